"""Where there is no primary to ask: standbys, servers to come, and servers that are in trouble."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent.postgres import serverlog
from hakit.agent.postgres.place import SOCKETS
from hakit.agent.resources.files import File, Files
from hakit.agent.resources.postgres import Cluster
from hakit.agent.starting import AgentGone
from hakit.agent.wire import Text
from tests.unit.agent.postgres.objects.site import COMPONENT, Site, secret
from tests.unit.agent.postgres.servers import until

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource
    from tests.unit.agent.postgres.servers import Server, Servers

FILE = "files:/etc/first"


def everything(site: Site, *after: str) -> list[Resource]:
    """One of each type."""
    return [
        site.role("s_role", options=(("LOGIN", "true"),), password=secret("secret"), after=after),
        site.database("s_data", owner="s_role", after=(*after, "role:s_role")),
        site.extension("s_data", "hstore", after=("database:s_data",)),
        site.grant("s_data", "s_role", "ALL", "SCHEMA", "public", after=("database:s_data",)),
    ]


def first(site: Site) -> Files:
    """A file that is yet to be written, on which everything else stands."""
    return Files(
        label="/etc/first",
        component=COMPONENT,
        files=(File(path="/etc/first", content=Text("x"), owner=_me(), group=_me()),),
        after=(f"cluster:{site.place.label}",),
    )


def _me() -> str:
    return "root" if os.geteuid() == 0 else str(os.geteuid())


def statuses(site: Site, *resources: Resource) -> list[str]:
    return [item.status for item in site.plan(*resources)]


def test_a_standby_has_what_its_primary_has(shared: tuple[Server, Server]) -> None:
    site = Site(shared[1])
    assert statuses(site, *everything(site)) == ["same"] * 4


def test_a_standby_that_does_not_run_is_known_by_its_data(servers: Servers) -> None:
    server = servers.member("db2").lay_out()
    server.data.mkdir(parents=True)
    server.at(server.place.signal).touch()
    site = Site(server)
    assert statuses(site, *everything(site)) == ["same"] * 4


def test_before_there_is_a_server_all_is_known_after_what_makes_it(servers: Servers) -> None:
    site = Site(servers.member("db1").lay_out())
    items = site.plan(first(site), *everything(site, FILE))
    assert [item.status for item in items[1:]] == ["unknown"] * 4
    assert [item.after for item in items[1:]] == [
        f"known after {key}" for key in (FILE, FILE, *["database:s_data"] * 2)
    ]


@pytest.mark.parametrize(("origin", "status"), [("create", "unknown"), ("", "unknown"), ("copy", "same")])
def test_a_member_that_is_made_as_a_copy_will_have_it_all(servers: Servers, origin: str, status: str) -> None:
    site = Site(servers.member("db2").lay_out())
    cluster = Cluster(place=site.place, origin=origin, upstream="db1", component=COMPONENT)
    items = site.plan(cluster, *everything(site, cluster.key))
    assert [item.status for item in items[1:]] == [status] * 4


def test_a_server_that_should_run_and_does_not_is_told(servers: Servers) -> None:
    server = servers.member("db1").create()
    site = Site(server)
    message = site.refused(everything(site)[0])
    assert message.startswith("the server of 15-main does not answer (no server listens on ")
    assert message.endswith("): see postgresql@15-main.service")


def test_a_server_that_ends_while_it_is_asked_tells_why(servers: Servers) -> None:
    server = servers.member("db1").create()
    site = Site(server)
    log = server.at(serverlog.path(server.place))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("LOG:  starting PostgreSQL 15\nFATAL:  could not write: No space left on device\n")
    with socket.socket(socket.AF_UNIX) as ending:
        ending.bind(str(server.at(f"{SOCKETS}/.s.PGSQL.{server.place.port}")))
        ending.listen()

        def end() -> None:
            with contextlib.suppress(OSError):
                while True:
                    ending.accept()[0].close()

        threading.Thread(target=end, daemon=True).start()
        message = site.refused(everything(site)[0])
        ending.shutdown(socket.SHUT_RDWR)
    assert message == (
        "the server of 15-main does not answer (could not write: No space left on device): "
        "see postgresql@15-main.service"
    )


def test_another_server_on_the_port_is_left_alone(servers: Servers) -> None:
    server = servers.member("db1").create().start()
    shutil.copytree(server.data, f"{server.data}-ours", symlinks=True)
    site = Site(servers.member("db1"))
    site.place = server.place.replace(data=f"{server.place.data}-ours", cluster="ours")
    for one in everything(site):
        assert "listens another server than that of 15-ours" in site.refused(one)
    assert site.rows("SELECT FROM pg_roles WHERE rolname = 's_role'") == []


def test_a_hung_server_holds_nobody_up_for_long(servers: Servers) -> None:
    server = servers.member("db1").create().start()
    site = Site(server)
    server.freeze()
    began = time.monotonic()
    items = site.plan(*(site.role(f"s_{number}") for number in range(20)))
    assert time.monotonic() - began < 12
    assert {item.error.message if item.error else "" for item in items} == {"the server did not answer in time"}


@pytest.mark.timeout(60)
def test_without_a_standby_a_synchronous_primary_gets_all_the_same(servers: Servers) -> None:
    server = servers.member("db1").create().start("-c", "synchronous_standby_names=ANY 1 (db2, db3)")
    site = Site(server)
    began = time.monotonic()
    site.settle(*everything(site))
    assert time.monotonic() - began < 20


def test_read_only_by_default_is_no_hindrance(servers: Servers) -> None:
    server = servers.member("db1").create().start("-c", "default_transaction_read_only=on")
    site = Site(server)
    site.settle(*everything(site))


def test_what_users_put_in_a_schema_never_runs_as_superuser(site: Site) -> None:
    site.settle(site.database("s_trap"))
    site.rows(
        "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'trapped'; END $$; ALTER DATABASE s_trap SET search_path = public, pg_catalog",
        "s_trap",
    )
    site.settle(site.grant("s_trap", "replicator", "SELECT", "ALL TABLES IN SCHEMA", "public", future=True))


def test_a_plan_takes_a_session_for_each_type_and_database(site: Site) -> None:
    names = [f"s_many{number}" for number in range(20)]
    site.settle(site.database("s_many"))
    roles = [site.role(name, options=(("LOGIN", "true"),)) for name in names]
    grants = [site.grant("s_many", name, "USAGE", "SCHEMA", "public", after=(f"role:{name}",)) for name in names]
    site.settle(*roles, site.database("s_many"), *grants)
    before = site.server.log.stat().st_size
    site.plan(*roles, site.database("s_many"), *grants)
    log = site.server.log.read_bytes()[before:].decode(errors="replace")
    assert log.count("connection authorized") == 3


def test_a_primary_that_became_a_standby_meanwhile_changes_nothing(servers: Servers) -> None:
    db1, db2 = servers.pair()
    site = Site(db1)
    role = site.role("s_moved")
    with site.agents.client() as client:
        assert client.plan([role], None)[0].status == "change"
        db1.stop()
        db2.promote()
        db2.add_slot("db1")
        db1.follow(db2).start()
        until(db1.streams, "db1 follows db2")
        result = client.apply([role.key], [], lambda _: None)
    assert result.changed == 0
    assert db2.query("SELECT FROM pg_roles WHERE rolname = 's_moved'") == []


def test_a_run_killed_at_any_write_is_taken_up_again(site: Site) -> None:
    role = site.role("s_killed", options=(("LOGIN", "true"),), password=secret("secret"))
    kills = 0
    while site.only(role).status != "same":
        kills += 1
        with contextlib.suppress(AgentGone):
            site.agents.apply(role, kill_at=kills)
    assert kills > 3
    assert site.logs_in("s_killed", "secret")
