from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from hakit.agent.handlers.role import QUIET, Roles
from hakit.agent.postgres.scram import fits, verifier
from tests.unit.agent.postgres.objects.site import Site, secret

if TYPE_CHECKING:
    from hakit.agent.resources.postgres import Role
    from tests.unit.agent.postgres.servers import Server

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NAMES = TEXT.filter(lambda name: name and len(name.encode()) <= 63 and not name.startswith("pg_"))


def kept(site: Site, role: str) -> str:
    """The verifier that the server keeps."""
    with site.server.connect() as connection:
        sql = f"SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'"  # noqa: S608 - of this test's own names
        return str(connection.query(sql)[0][0])


def test_a_role_is_made_with_all_that_is_declared(site: Site) -> None:
    group = site.role("r_group", options=(("LOGIN", "false"),))
    role = site.role(
        "r_all",
        options=(("LOGIN", "true"), ("CREATEDB", "true"), ("INHERIT", "False"), ("CONNECTION LIMIT", "7")),
        member_of=("r_group",),
        settings=(("work_mem", "8MB"), ("search_path", '"$user", Orders'), ("app.tenant", "it's \\ one")),
        password=secret("let me in"),
        after=("role:r_group",),
    )
    assert site.settle(group, role) == (
        ("create",),
        (
            "create",
            "work_mem = 8MB",
            'search_path = "$user", Orders',
            "app.tenant = it's \\ one",
            "join r_group",
            "set password",
        ),
    )
    assert site.rows(
        "SELECT rolcanlogin, rolcreatedb, rolinherit, rolsuper, rolconnlimit, pg_has_role(oid, 'r_group', 'member') "
        "FROM pg_roles WHERE rolname = 'r_all'"
    ) == [("t", "t", "f", "f", "7", "t")]
    assert site.logs_in("r_all", "let me in")
    assert not site.logs_in("r_all", "let me out")


def test_what_differs_is_mended_and_the_rest_left_alone(site: Site) -> None:
    site.rows("CREATE ROLE r_mend LOGIN CREATEDB BYPASSRLS CONNECTION LIMIT 3; ALTER ROLE r_mend SET Work_Mem TO '1MB'")
    site.rows("ALTER ROLE r_mend SET jit = off; CREATE ROLE r_other; GRANT r_other TO r_mend")
    role = site.role(
        "r_mend", options=(("CREATEDB", "false"), ("CONNECTION LIMIT", "-1")), settings=(("WORK_MEM", "2MB"),)
    )
    assert site.settle(role) == (("createdb true → false", "connection limit 3 → -1", "WORK_MEM = 2MB"),)
    assert site.value("SELECT rolbypassrls FROM pg_roles WHERE rolname = 'r_mend'") == "t"
    settings = "SELECT setconfig FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole WHERE rolname = 'r_mend'"
    assert site.value(settings) == "{work_mem=2MB,jit=off}"
    assert site.value("SELECT pg_has_role('r_mend', 'r_other', 'member')") == "t"


def test_a_verifier_that_fits_stays_the_same(site: Site) -> None:
    role = site.role("r_stable", options=(("LOGIN", "true"),), password=secret("stable"))
    site.settle(role)
    before = kept(site, "r_stable")
    assert fits(before, "stable")
    assert site.settle(role.replace(options=(("LOGIN", "true"), ("CREATEDB", "true")))) == (("createdb false → true",),)
    assert kept(site, "r_stable") == before


def test_a_verifier_that_others_made_of_the_password_stays(site: Site) -> None:
    site.rows(f"CREATE ROLE r_theirs LOGIN PASSWORD '{verifier('theirs', iterations=5000)}'")
    assert site.settle(site.role("r_theirs", password=secret("theirs"))) == ((),)


def test_a_new_password_replaces_the_old_one(site: Site) -> None:
    role = site.role("r_change", options=(("LOGIN", "true"),), password=secret("old"))
    site.settle(role)
    assert site.settle(role.replace(password=secret("new"))) == (("change password",),)
    assert site.logs_in("r_change", "new")
    assert not site.logs_in("r_change", "old")


def test_an_md5_verifier_is_replaced(site: Site) -> None:
    site.rows("SET password_encryption = md5; CREATE ROLE r_md5 LOGIN PASSWORD 'secret'")
    assert kept(site, "r_md5").startswith("md5")
    assert site.settle(site.role("r_md5", password=secret("secret"))) == (("change password, from md5 to SCRAM",),)
    assert site.logs_in("r_md5", "secret")


def test_a_role_without_a_declared_password_keeps_the_one_it_has(site: Site) -> None:
    site.rows("CREATE ROLE r_keeps LOGIN PASSWORD 'kept'")
    assert site.settle(site.role("r_keeps", options=(("LOGIN", "true"),))) == ((),)
    assert site.logs_in("r_keeps", "kept")


def test_neither_password_nor_verifier_is_logged_or_shown(talkative: Site) -> None:
    site = talkative
    site.rows("CREATE EXTENSION pg_stat_statements")
    role = site.role("r_quiet", options=(("LOGIN", "true"),), password=secret("very quiet indeed"))
    site.settle(role)
    site.settle(role.replace(password=secret("quieter still")))
    log = site.server.log.read_text()
    assert 'statement: CREATE ROLE "r_quiet"' in log, "the log tells of other statements"
    for word in ("very quiet indeed", "quieter still", "SCRAM-SHA-256$", kept(site, "r_quiet")[-40:]):
        assert word not in log
    assert site.value("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%CREATE ROLE%'") != "0"
    assert site.value("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%SCRAM-SHA-256$%'") == "0"


def test_other_sessions_do_not_see_what_a_quiet_one_does(site: Site) -> None:
    with site.server.connect() as connection:
        connection.query(QUIET)
        pid = connection.query("SELECT pg_backend_pid(), 'a verifier'")[0][0]
        shown = [query for other, query in site.rows("SELECT pid, query FROM pg_stat_activity") if other == pid]
    assert len(shown) == 1
    assert "verifier" not in (shown[0] or "")


def test_a_refusal_quotes_no_password(site: Site) -> None:
    role = site.role("r_told", password=secret("work_mem"), settings=(("work_mem", "x"), ("no_such_parameter", "1")))
    applied = site.apply(role)
    failed = next(event.error for event in applied.events if event.ev == "failed")
    assert failed is not None
    assert "PostgreSQL refuses it" in failed.message
    assert "work_mem" not in failed.message + failed.output
    assert "<secret:password>" in failed.message + failed.output
    assert site.rows("SELECT FROM pg_roles WHERE rolname = 'r_told'") == [], "made whole or not at all"


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("x" * 64, {}, "longer than 63 bytes"),
        ("pg_mine", {}, "PostgreSQL keeps"),
        ("none", {}, "PostgreSQL keeps"),
        ("r_no", {"options": (("LOGIN PASSWORD 'x'", "true"),)}, "no option"),
        ("r_no", {"options": (("LOGIN", "true SUPERUSER"),)}, "is true or false"),
        ("r_no", {"options": (("CONNECTION LIMIT", "1 SUPERUSER"),)}, "takes a number"),
        ("r_no", {"password": secret("")}, "empty"),
        ("r_no", {"settings": (("search_path", 'a"b'),)}, "no list of names"),
        ("r_no", {"member_of": ("r_nobody",)}, "there is no role r_nobody"),
        ("postgres", {"options": (("SUPERUSER", "false"),)}, "has to keep SUPERUSER"),
        ("postgres", {"options": (("LOGIN", "false"),)}, "has to keep LOGIN"),
    ],
)
def test_what_can_be_no_role_is_refused_before_anything_is_done(
    site: Site, name: str, fields: dict[str, object], why: str
) -> None:
    assert why in site.refused(site.role(name, **fields))


def test_one_that_can_be_none_leaves_the_others_to_be_planned(site: Site) -> None:
    items = site.plan(site.role("r_beside"), site.role("r\0"), site.role("y" * 70))
    assert {item.key: item.status for item in items} == {
        "role:r_beside": "change",
        "role:r\0": "refused",
        "role:" + "y" * 70: "refused",
    }


def test_a_group_that_is_yet_to_come_is_waited_for(site: Site) -> None:
    role = site.role("r_member", member_of=("r_later",), after=("role:r_later",))
    items = site.plan(site.role("r_later"), role)
    assert items[1].after == "known after role:r_later"
    site.settle(site.role("r_later"), role)


def test_roles_that_leave_stay_and_are_told_of_once(site: Site) -> None:
    site.settle(site.role("r_leaves", options=(("LOGIN", "true"),)))
    (item,) = site.plan()
    assert (item.key, item.status) == ("role:r_leaves", "remove")
    assert item.summary == ("forget; role r_leaves stays in 15-main, for hakit drops nothing there",)
    site.apply()
    assert site.plan() == ()
    assert site.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'r_leaves'") == "t"


@example(name='Weird "Näme"; DROP', setting="'; DROP TABLE canary; --", clear="'; DROP TABLE canary; --")
@example(name="\\", setting="\\'", clear="\\'")
@example(name="$$", setting="$user", clear="\u0627\u0031")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, setting=TEXT, clear=TEXT.filter(bool))
def test_no_value_is_read_as_sql(primary: Server, name: str, setting: str, clear: str) -> None:
    assume(name not in {"none", "public", "postgres", "replicator"})
    site = Site(primary)
    role: Role = site.role(
        name,
        options=(("LOGIN", "true"),),
        settings=(("app.value", setting),),
        password=secret(clear),
        member_of=("pg_monitor",),
    )
    with site.server.connect() as connection:
        connection.query("CREATE TABLE IF NOT EXISTS canary ()")
        before = {row[0] for row in connection.query("SELECT rolname FROM pg_roles")}
        roles, work = Roles(), site.work(role)
        change = roles.diff(role, roles.read([role], work)[role.key], work)
        roles.apply(role, change, work)
        assert roles.diff(role, roles.read([role], work)[role.key], work).summary == ()
        after = {row[0] for row in connection.query("SELECT rolname FROM pg_roles")}
        assert after - before == {name}
        assert connection.query("SELECT count(*) FROM pg_roles WHERE rolsuper") == [("1",)]
        assert connection.query("SELECT count(*) FROM canary") == [("0",)]
        quoted = '"' + name.replace('"', '""') + '"'
        connection.query(f"DROP ROLE {quoted}")
