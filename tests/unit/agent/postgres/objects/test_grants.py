from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from hakit.agent.handlers.grant import Grants
from tests.unit.agent.postgres.objects.site import Site

if TYPE_CHECKING:
    from tests.unit.agent.postgres.servers import Server

TABLES, SEQUENCES, FUNCTIONS = "ALL TABLES IN SCHEMA", "ALL SEQUENCES IN SCHEMA", "ALL FUNCTIONS IN SCHEMA"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)


@pytest.fixture
def shop(site: Site) -> Site:
    """A site with the roles g_owner, g_app and g_reader, and a database `shop` with things in schema `Sales "1"`."""
    roles = [site.role(name, options=(("LOGIN", "true"),)) for name in ("g_owner", "g_app", "g_reader")]
    site.apply(*roles, site.database("shop", owner="g_owner", after=("role:g_owner",)))
    site.rows(
        """
        DROP SCHEMA IF EXISTS "Sales ""1" CASCADE; CREATE SCHEMA "Sales ""1" AUTHORIZATION g_owner;
        SET search_path = "Sales ""1";
        CREATE TABLE orders (id serial); CREATE VIEW open AS SELECT * FROM orders; CREATE TABLE "Üm laut" (x int);
        CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql RETURN $1 * 2;
        CREATE PROCEDURE nothing() LANGUAGE sql AS '';
        REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC;
        """,
        "shop",
    )
    site.rows("REVOKE ALL ON DATABASE shop FROM PUBLIC, g_app")
    return site


SALES = 'Sales "1'


@pytest.mark.parametrize(
    ("privileges", "on", "done", "has"),
    [
        (
            "connect, temp",
            ("DATABASE", "shop"),
            "grant CONNECT, TEMPORARY on database shop",
            "has_database_privilege('g_app', 'shop', 'CONNECT, TEMP')",
        ),
        (
            "USAGE",
            ("SCHEMA", SALES),
            'grant USAGE on schema Sales "1',
            """has_schema_privilege('g_app', 'Sales "1', 'USAGE')""",
        ),
        (
            "SELECT, INSERT",
            (TABLES, SALES),
            'grant SELECT, INSERT on all tables in schema Sales "1 (3 of 3 lack it)',
            """has_table_privilege('g_app', '"Sales ""1"."Üm laut"', 'INSERT')""",
        ),
        (
            "usage",
            (SEQUENCES, SALES),
            'grant USAGE on all sequences in schema Sales "1',
            """has_sequence_privilege('g_app', '"Sales ""1".orders_id_seq', 'USAGE')""",
        ),
        (
            "ALL PRIVILEGES",
            (FUNCTIONS, SALES),
            'grant EXECUTE on all functions in schema Sales "1',
            """has_function_privilege('g_app', '"Sales ""1".twice(int)', 'EXECUTE')""",
        ),
        (
            "EXECUTE",
            ("FUNCTION", '"Sales ""1".twice(integer)'),
            'grant EXECUTE on function "Sales ""1".twice(integer)',
            """has_function_privilege('g_app', '"Sales ""1".twice(int)', 'EXECUTE')""",
        ),
    ],
)
def test_privileges_are_granted_once(shop: Site, privileges: str, on: tuple[str, str], done: str, has: str) -> None:
    grant = shop.grant("shop", "g_app", privileges, *on)
    assert shop.settle(grant) == ((done,),)
    assert shop.value(f"SELECT {has}", "shop") == "t"
    assert shop.value(f"SELECT {has.replace('g_app', 'g_reader')}", "shop") == "f"


def test_all_is_every_privilege_that_the_server_knows(shop: Site) -> None:
    shop.settle(shop.grant("shop", "g_app", "ALL", TABLES, SALES))
    acl = shop.value("SELECT relacl FROM pg_class WHERE relname = 'orders'", "shop")
    assert acl is not None
    assert "g_app=arwdDxt/g_owner" in acl.replace("postgres", "g_owner")


def test_privileges_on_only_some_of_the_things_are_completed(shop: Site) -> None:
    shop.rows('GRANT SELECT ON "Sales ""1".orders, "Sales ""1".open TO g_app', "shop")
    done = shop.settle(shop.grant("shop", "g_app", "SELECT", TABLES, SALES))
    assert done == (('grant SELECT on all tables in schema Sales "1 (1 of 3 lack it)',),)


def test_an_owner_and_the_public_have_what_the_server_gives_them(shop: Site) -> None:
    assert shop.settle(shop.grant("shop", "g_owner", "ALL", "DATABASE", "shop")) == ((),)
    assert shop.settle(shop.grant("shop", "postgres", "ALL", TABLES, SALES)) == ((),), "nothing was granted on them yet"
    assert shop.settle(shop.grant("shop", "public", "CONNECT", "DATABASE", "shop")) != ((),)
    assert shop.value("SELECT has_database_privilege('g_reader', 'shop', 'CONNECT')") == "t"


def test_what_is_granted_beside_stays(shop: Site) -> None:
    shop.rows('GRANT ALL ON SCHEMA "Sales ""1" TO g_app WITH GRANT OPTION', "shop")
    assert shop.settle(shop.grant("shop", "g_app", "USAGE", "SCHEMA", SALES)) == ((),)
    has = """has_schema_privilege('g_app', 'Sales "1', 'CREATE WITH GRANT OPTION')"""
    assert shop.value(f"SELECT {has}", "shop") == "t"


def test_a_schema_without_tables_has_all_that_is_granted_on_them(shop: Site) -> None:
    shop.rows('DROP TABLE "Sales ""1".orders, "Sales ""1"."Üm laut" CASCADE', "shop")
    assert shop.settle(shop.grant("shop", "g_app", "SELECT", TABLES, SALES)) == ((),)


@pytest.mark.parametrize(
    ("kind", "make", "has"),
    [
        (TABLES, 'CREATE TABLE "Sales ""1".later ()', "has_table_privilege('g_reader', t, 'SELECT')"),
        (SEQUENCES, 'CREATE SEQUENCE "Sales ""1".later', "has_sequence_privilege('g_reader', t, 'SELECT')"),
    ],
)
def test_what_the_owner_and_other_makers_make_later_is_granted_too(shop: Site, kind: str, make: str, has: str) -> None:
    # The reader's grant is carried out before the one that makes g_app a maker.
    shop.rows('REVOKE ALL ON SCHEMA "Sales ""1" FROM g_app', "shop")
    makes = shop.grant("shop", "g_app", "CREATE, USAGE", "SCHEMA", SALES)
    reads = shop.grant("shop", "g_reader", "SELECT", kind, SALES, future=True)
    done = shop.settle(reads, makes)[0]
    what = kind.split()[1].lower()
    assert [line for line in done if "later" in line] == [
        f"SELECT on {what} that {maker} makes there later" for maker in ("g_app", "g_owner", "postgres")
    ]
    for maker in ("g_app", "g_owner", "postgres"):
        with shop.server.connect("shop") as connection:
            connection.query(f"SET ROLE {maker}; {make}")
            held = connection.query(f"""RESET ROLE; SELECT {has.replace(", t,", ''', '"Sales ""1".later',''')}""")
            connection.query(f'DROP {kind.split()[1][:-1]} "Sales ""1".later')
        assert held == [("t",)], maker


def test_without_future_no_default_is_set(shop: Site) -> None:
    shop.settle(shop.grant("shop", "g_reader", "EXECUTE", FUNCTIONS, SALES))
    assert shop.value("SELECT count(*) FROM pg_default_acl", "shop") == "0"


@pytest.mark.parametrize(
    ("role", "privileges", "on", "why"),
    [
        ("g_app", "SELECT", ("TABLE", "orders"), "hakit grants nothing on TABLE"),
        ("g_app", "SELEKT", (TABLES, SALES), "there is no privilege SELEKT on all tables in schema; there are DELETE,"),
        ("g_app", "SELECT (x)", (TABLES, SALES), "there is no privilege SELECT (X)"),
        ("g_app", "EXECUTE", (TABLES, SALES), "there is no privilege EXECUTE"),
        ("g_nobody", "SELECT", (TABLES, SALES), "there is no role g_nobody"),
        ("g_app", "SELECT", (TABLES, "Sales"), "there is no schema Sales in database shop"),
        ("g_app", "USAGE", ("SCHEMA", "Sales"), "there is no schema Sales in database shop"),
        ("g_app", "EXECUTE", ("FUNCTION", "thrice(int)"), "there is no function thrice(int)"),
        ("g_app", "EXECUTE", ("FUNCTION", "twice("), "PostgreSQL refuses it"),
        ("g_app", "CONNECT", ("DATABASE", "mall"), "there is no database mall"),
    ],
)
def test_what_can_not_be_granted_is_refused(
    shop: Site, role: str, privileges: str, on: tuple[str, str], why: str
) -> None:
    assert why in shop.refused(shop.grant("shop", role, privileges, *on))


def test_a_fault_in_one_grant_leaves_the_others_to_be_planned(shop: Site) -> None:
    items = shop.plan(
        shop.grant("shop", "g_app", "EXECUTE", "FUNCTION", "twice("),
        shop.grant("shop", "g_app", "USAGE", "SCHEMA", SALES),
    )
    assert [item.status for item in items] == ["refused", "change"]


def test_what_is_granted_on_is_waited_for(shop: Site) -> None:
    after = ("database:mall", "role:g_later")
    grant = shop.grant("mall", "g_later", "USAGE", "SCHEMA", "public", after=after)
    items = {item.key: item for item in shop.plan(shop.role("g_later"), shop.database("mall"), grant)}
    assert items[grant.key].after == "known after database:mall"
    grant = shop.grant("shop", "g_later", "USAGE", "SCHEMA", "public", after=after)
    items = {item.key: item for item in shop.plan(shop.role("g_later"), grant)}
    assert items[grant.key].after == "known after role:g_later"


@example(schema="public; DROP TABLE x", role='a" TO b', function="f(int); DROP TABLE x")
@example(schema="\\'", role="\\'", function="'\\")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=TEXT, role=TEXT, function=TEXT)
def test_no_value_is_read_as_sql(primary: Server, schema: str, role: str, function: str) -> None:
    site = Site(primary)
    assume(len(schema.encode()) <= 63 and len(role.encode()) <= 63)
    assume(schema not in {"public", "information_schema"})
    assume(not schema.startswith("pg_") and not role.startswith("pg_") and role not in {"none", "public"})
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in (schema, role)]
    with site.server.connect() as connection:
        connection.query(
            f"DROP SCHEMA IF EXISTS {quoted[0]} CASCADE; CREATE SCHEMA {quoted[0]}; CREATE TABLE {quoted[0]}.x (); "
            f"CREATE ROLE {quoted[1]}"
        )
        grants = [
            site.grant("postgres", role, "SELECT", TABLES, schema, future=True),
            site.grant("postgres", role, "ALL", "SCHEMA", schema),
        ]
        handler, work = Grants(), site.work(*grants)
        for one in grants:
            handler.apply(one, handler.diff(one, handler.read(grants, work)[one.key], work), work)
        states = handler.read(grants, work)
        assert [handler.diff(one, states[one.key], work).summary for one in grants] == [(), ()]
        wrong = site.grant("postgres", role, "EXECUTE", "FUNCTION", function)
        state = handler.read([wrong], work)[wrong.key]
        assert isinstance(state, Exception) or state.count == 0
        assert connection.query(f"SELECT count(*) FROM {quoted[0]}.x") == [("0",)]  # noqa: S608 - of this test's own names
        connection.query(f"DROP SCHEMA {quoted[0]} CASCADE; DROP OWNED BY {quoted[1]}; DROP ROLE {quoted[1]}")
