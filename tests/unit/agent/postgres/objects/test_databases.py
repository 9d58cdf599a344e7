from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.agent.postgres.objects.site import Site

WEIRD = 'Wéird "data"; -- \\ 1'


def test_a_database_is_made_as_declared(site: Site) -> None:
    owner = site.role("d_owner")
    made = site.database("d_all", owner="d_owner", encoding="latin-1", locale="C", after=("role:d_owner",))
    assert site.settle(owner, made) == (("create",), ("create, owned by d_owner",))
    assert site.rows(
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype "
        "FROM pg_database WHERE datname = 'd_all'"
    ) == [("d_owner", "LATIN1", "C", "C")]


def test_a_weird_name_is_taken_as_it_is(site: Site) -> None:
    extension = site.extension(WEIRD, "hstore", after=(f"database:{WEIRD}",))
    grant = site.grant(WEIRD, "public", "CREATE", "DATABASE", WEIRD, after=(f"database:{WEIRD}",))
    site.settle(site.database(WEIRD), extension, grant)
    assert site.value("SELECT 'a=>1'::hstore->'a'", WEIRD) == "1"


def test_a_template_is_copied(site: Site) -> None:
    site.settle(site.database("d_template"))
    site.rows("CREATE TABLE t (x int)", "d_template")
    site.settle(site.database("d_copy", template="d_template"))
    assert site.value("SELECT count(*) FROM t", "d_copy") == "0"


def test_an_owner_is_changed_and_one_that_is_not_declared_stays(site: Site) -> None:
    site.settle(site.role("d_first"), site.role("d_second"))
    site.settle(site.database("d_owned", owner="d_first"))
    assert site.settle(site.database("d_owned")) == ((),)
    assert site.settle(site.database("d_owned", owner="d_second")) == (("owner d_first → d_second",),)


def test_equal_locales_and_encodings_may_be_written_differently(site: Site) -> None:
    site.settle(site.database("d_same", encoding="UTF8", locale="C.UTF-8"))
    assert site.settle(site.database("d_same", encoding="utf-8", locale="C.utf8")) == ((),)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"encoding": "LATIN1"}, "its encoding is UTF8, not LATIN1"),
        ({"locale": "C"}, "its locale is C.UTF-8, not C"),
        ({"encoding": "latin-17"}, "PostgreSQL has no encoding latin-17"),
        ({"owner": "d_nobody"}, "there is no role d_nobody"),
    ],
)
def test_what_holds_since_it_was_made_can_only_be_refused(site: Site, fields: dict[str, str], why: str) -> None:
    site.settle(site.database("d_holds"))
    assert why in site.refused(site.database("d_holds", **fields))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"encoding": "x' OWNER postgres; --"}, "PostgreSQL has no encoding"),
        ({"owner": "d_nobody"}, "there is no role d_nobody"),
        ({"template": "d_nothing"}, "there is no database d_nothing"),
    ],
)
def test_what_can_not_be_made_is_refused_before(site: Site, fields: dict[str, str], why: str) -> None:
    assert why in site.refused(site.database("d_never", **fields))


def test_what_the_server_refuses_is_told_in_its_words(site: Site) -> None:
    applied = site.apply(site.database("d_bad", locale="xx_YY'; DROP"))
    assert applied.error("database:d_bad") == 'PostgreSQL refuses it: invalid locale name: "xx_YY\'; DROP"'


def test_a_database_whose_removal_did_not_end_is_refused(site: Site) -> None:
    site.settle(site.database("d_half"))
    site.rows("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'd_half'")
    assert "drop it yourself" in site.refused(site.database("d_half"))


def test_databases_and_what_is_in_them_stay(site: Site) -> None:
    after = ("database:d_stays",)
    site.settle(
        site.database("d_stays"),
        site.extension("d_stays", "hstore", after=after),
        site.grant("d_stays", "public", "CREATE", "SCHEMA", "public", after=after),
    )
    lines = [line for item in site.plan() for line in item.summary]
    assert lines == [
        "forget; grant public on schema public in d_stays stays in 15-main, for hakit drops nothing there",
        "forget; extension d_stays/hstore stays in 15-main, for hakit drops nothing there",
        "forget; database d_stays stays in 15-main, for hakit drops nothing there",
    ]
    site.apply()
    assert site.plan() == ()
    assert site.value("SELECT count(*) FROM pg_extension WHERE extname = 'hstore'", "d_stays") == "1"


def test_an_extension_is_made_with_what_it_needs(site: Site) -> None:
    site.settle(site.database("e_one"))
    site.rows("CREATE SCHEMA tools", "e_one")
    extensions = [site.extension("e_one", name) for name in ("earthdistance", "cube")]
    extensions.append(site.extension("e_one", "hstore", schema="tools"))
    applied = site.apply(*extensions)
    assert applied.item("extension:e_one/earthdistance").summary == ("create (and cube, which it needs)",)
    assert {item.status for item in site.plan(*extensions)} == {"same"}
    placed = "SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace ORDER BY 1"
    assert site.rows(placed, "e_one") == [
        ("cube", "public"),
        ("earthdistance", "public"),
        ("hstore", "tools"),
        ("plpgsql", "pg_catalog"),
    ]


def test_an_extension_that_is_there_is_the_same_in_its_schema_alone(site: Site) -> None:
    site.settle(site.database("e_two"))
    assert site.settle(site.extension("e_two", "plpgsql")) == ((),)
    assert "it is in schema pg_catalog, not public" in site.refused(site.extension("e_two", "plpgsql", schema="public"))


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("pg_cron", "postgresql-15-cron"),
        ("vector", "postgresql-15-pgvector"),
        ("wal2json_of", "postgresql-15-wal2json-of"),
        ("plperlu", "postgresql-plperl-15"),
    ],
)
def test_an_extension_that_the_host_lacks_names_its_package(site: Site, name: str, package: str) -> None:
    site.settle(site.database("e_three"))
    assert f"perhaps {package}" in site.refused(site.extension("e_three", name))


def test_a_package_is_guessed_of_a_name_that_can_be_one_alone(site: Site) -> None:
    assert site.refused(site.extension("postgres", "x{version}'; --")).endswith("add its package to `packages`")


def test_a_schema_that_is_not_there_is_refused(site: Site) -> None:
    site.settle(site.database("e_four"))
    assert "there is no schema away" in site.refused(site.extension("e_four", "hstore", schema="away"))


def test_what_needs_a_database_that_is_not_there_waits_or_is_refused(site: Site) -> None:
    assert site.refused(site.extension("e_none", "hstore")) == "there is no database e_none"
    extension = site.extension("e_none", "hstore", after=("database:e_none",))
    items = {item.key: item for item in site.plan(site.database("e_none"), extension)}
    assert items[extension.key].status == "unknown"
    assert items[extension.key].after == "known after database:e_none"
