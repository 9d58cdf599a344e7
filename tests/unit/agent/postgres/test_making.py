"""Data directories made and copied, with real servers."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.client import Client
from hakit.agent.errors import Failure, Stopped
from hakit.agent.handlers.cluster import Clusters
from hakit.agent.postgres import making, record
from hakit.agent.postgres.decision import Decision
from hakit.agent.resources.package import Package
from hakit.agent.starting import AgentGone
from tests.unit.agent.postgres.members import Host, owner_of, until
from tests.unit.agent.postgres.residents import Endpoint
from tests.unit.agent.postgres.servers import PASSWORD, REPLICATOR, account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.resources.postgres import Cluster
    from hakit.agent.work import Change, Work
    from tests.unit.agent.agent_support import ForkChannel
    from tests.unit.agent.postgres.servers import Server, Servers

OURS = (
    "SELECT CASE active WHEN false THEN pg_drop_replication_slot(slot_name) END FROM pg_replication_slots "
    "WHERE slot_name = 'db3'"
)
OPTIONS = ("--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "--no-sync")


def plan(resource: Cluster, work: Work) -> Change:
    handler = Clusters()
    return handler.diff(resource, handler.read([resource], work)[resource.key], work)


def apply(resource: Cluster, work: Work) -> tuple[str, ...]:
    change = plan(resource, work)
    return Clusters().apply(resource, change, work)


@pytest.fixture(scope="module")
def primary(request: pytest.FixtureRequest) -> Server:
    """A primary from which others are copied: the one that looks are shared with."""
    shared: tuple[Server, Server] = request.getfixturevalue("shared")
    return shared[0]


@pytest.fixture
def new(primary: Server) -> Iterator[Host]:
    """A member without data, of the cluster of `primary`."""
    server = primary.servers.member("db3").lay_out()
    yield Host(server)
    server.stop("immediate")
    until(lambda: not primary.query(f"{OURS} AND active"), "the slot is free")
    primary.query(OURS)
    shutil.rmtree(server.root)


def copied(host: Host, primary: Server, **fields: object) -> Cluster:
    system = primary.value("SELECT system_identifier FROM pg_control_system()")
    values: dict[str, object] = {"origin": "copy", "upstream": "db1", "system": system, **fields}
    return host.cluster(**values)


def test_a_cluster_is_made_and_is_the_same_afterwards(servers: Servers) -> None:
    host = Host(servers.member("db1").lay_out())
    resource = host.cluster(origin="create", options=OPTIONS)
    assert plan(resource, host.work).summary == ("create cluster 15-main (initdb, checksums)",)
    assert apply(resource, host.work) == ("create cluster 15-main (initdb, checksums)",)
    assert plan(resource, host.work).summary == ()
    assert host.beside() == {"main"}
    assert owner_of(host.server.data) == account()[2]
    assert host.server.data.stat().st_mode & 0o777 == 0o700
    record = json.loads(host.server.at(host.place.decision).read_text())
    assert (record["epoch"], record["primary"], record["kind"]) == (1, "db1", "made")
    assert record["excused"] == ["db2", "db3"]
    host.server.start()
    assert host.server.value("SHOW data_checksums") == "on"


def test_a_standby_is_copied_and_streams(new: Host, primary: Server) -> None:
    resource = copied(new, primary)
    assert plan(resource, new.work).summary == ("copy from db1 (127.0.0.1)",)
    assert apply(resource, new.work) == ("copy from db1 (127.0.0.1)",)
    assert plan(resource, new.work).summary == ()
    assert new.beside() == {"main"}
    assert new.server.at(new.place.signal).exists()
    new.server.start()
    until(new.server.streams, "db3 streams")
    rows = primary.query("SELECT application_name, client_addr FROM pg_stat_replication WHERE application_name = 'db3'")
    assert rows == [("db3", "127.0.0.1")]
    assert primary.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'db3'") == "t"


def test_the_primary_can_be_unknown(new: Host) -> None:
    change = plan(new.cluster(), new.work)
    assert change.status == "unknown"
    assert change.after == "known after the cluster's primary is known"


def test_before_the_package_has_come_nothing_is_known(new: Host) -> None:
    place = new.place.replace(version=99)
    work = new.work
    package = Package(package="postgresql-99")
    resource = new.cluster(origin="create", after=("package:postgresql-99",)).replace(place=place)
    work.declare([package, resource])
    work.status["package:postgresql-99"] = "change"
    assert plan(resource, work).after == "known after package:postgresql-99"
    work.status.clear()
    with pytest.raises(Failure, match=r"PostgreSQL 99 is not installed"):
        plan(resource, work)


def snapshot(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_what_is_in_the_way_is_left_alone(new: Host, primary: Server) -> None:
    new.server.data.mkdir()
    for name in ("a", "b", "c", "d"):
        (new.server.data / name).write_text("precious")
    for origin in ("copy", "create", ""):
        with pytest.raises(Failure, match=r"main is in the way: no cluster, it holds a, b, c and more.*move it away"):
            plan(copied(new, primary, origin=origin), new.work)
    assert len(snapshot(new.server.data)) == 4


def test_another_clusters_data_are_left_alone(servers: Servers) -> None:
    host = Host(servers.member("db1").create(anew=True))
    before = snapshot(host.server.data)
    with pytest.raises(Failure, match=r"another cluster: its system identifier is \d+, that of main is 42"):
        plan(host.cluster(system="42", origin="copy", upstream="db2"), host.work)
    assert snapshot(host.server.data) == before


def test_data_of_a_former_primary_are_left_alone_with_the_way_back(servers: Servers) -> None:
    host = Host(servers.member("db1").create())
    with pytest.raises(Failure, match="db2 leads: rejoin"):
        plan(host.cluster(parted="db2 leads: rejoin"), host.work)


def test_data_of_another_version_are_left_alone(servers: Servers) -> None:
    host = Host(servers.member("db1").create())
    (host.server.data / "PG_VERSION").write_text("13\n")
    with pytest.raises(Failure, match=r"a cluster of PostgreSQL 13, and 15 is declared"):
        plan(host.cluster(), host.work)


def test_a_copy_of_another_cluster_is_refused_before_it_begins(new: Host, primary: Server) -> None:
    with pytest.raises(Failure, match=r"db1 \(127.0.0.1\) belongs to another cluster: .* that of this one is 42"):
        apply(copied(new, primary, system="42"), new.work)
    assert new.beside() == set()


def test_a_wrong_password_is_said_and_never_shown(new: Host, primary: Server) -> None:
    passfile = new.server.at(new.place.passfile)
    passfile.write_text(f"*:*:*:{REPLICATOR}:not it\n")
    with pytest.raises(Failure, match=r"db1 \(127.0.0.1\) refuses the password of the role replicator") as caught:
        apply(copied(new, primary), new.work)
    assert "not it" not in caught.value.output
    assert PASSWORD not in caught.value.output
    assert new.beside() == set()


def test_an_upstream_that_is_not_there_is_said(new: Host, primary: Server) -> None:
    resource = copied(new, primary)
    away = resource.replace(place=resource.place.replace(port=1))
    with pytest.raises(Failure, match=r"db1 \(127.0.0.1\) is there, but no server listens on port 1$"):
        apply(away, new.work)
    assert new.beside() == set()


def test_a_copy_knows_what_was_decided(new: Host, primary: Server) -> None:
    decided = Decision(epoch=4, primary="db1", kind="failover", excused=("db2", "db3"))
    file = primary.at(primary.place.decision)
    file.write_text(decided.text())
    endpoint = Endpoint(primary)
    try:
        endpoint.until("/live", 200)
        apply(copied(new, primary), new.work)
        assert record.read(str(new.server.at(new.place.decision))) == decided.replace(excused=("db2",))
    finally:
        endpoint.close()
        file.unlink()


def test_an_upstream_may_be_a_standby(new: Host, primary: Server) -> None:
    apply(copied(new, primary, upstream="db2"), new.work)
    new.server.start()
    until(new.server.streams, "db3 streams")
    assert new.server.value("SELECT sender_host FROM pg_stat_wal_receiver") == "127.0.0.2"
    new.server.stop()
    standby = primary.servers.member("db2")
    until(lambda: standby.value("SELECT active FROM pg_replication_slots") == "f", "the slot is free")
    standby.query("SELECT pg_drop_replication_slot('db3')")


def test_nothing_is_made_where_a_mount_is_missing(new: Host, primary: Server) -> None:
    new.server.at("/srv/pg").mkdir(parents=True)
    with pytest.raises(Failure, match=r"/srv/pg is not mounted"):
        plan(copied(new, primary, mount="/srv/pg"), new.work)


def test_a_mount_point_is_no_data_directory(new: Host, primary: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    new.server.data.mkdir()
    # A mount needs privileges that not everybody has who runs this.
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(new.server.data))
    with pytest.raises(Failure, match=r"is itself a mount point.*name a directory below it, such as .*/main/main"):
        plan(copied(new, primary), new.work)


def test_a_new_file_system_in_the_way_is_called_one(
    new: Host, primary: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (new.server.data / "lost+found").mkdir(parents=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(new.server.data))
    with pytest.raises(Failure, match=r"is itself a mount point.*name a directory below it"):
        plan(copied(new, primary), new.work)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_refused_before_anything_is_copied(new: Host, primary: Server, *, there: bool) -> None:
    elsewhere = new.server.at("/srv/elsewhere")
    elsewhere.parent.mkdir(parents=True)
    if there:
        elsewhere.mkdir()
    new.server.data.symlink_to(elsewhere)
    with pytest.raises(Failure, match=r"main is a symbolic link, .*name what it leads to \(.*/srv/elsewhere\)"):
        plan(copied(new, primary), new.work)
    assert new.server.data.is_symlink()


def test_a_link_to_something_else_is_in_the_way(new: Host, primary: Server) -> None:
    elsewhere = new.server.at("/srv/elsewhere")
    elsewhere.mkdir(parents=True)
    (elsewhere / "precious").touch()
    new.server.data.symlink_to(elsewhere)
    with pytest.raises(Failure, match=r"main is in the way: no cluster, it is a symbolic link"):
        plan(copied(new, primary), new.work)


def test_an_empty_directory_is_replaced(new: Host, primary: Server) -> None:
    new.server.data.mkdir()
    apply(copied(new, primary), new.work)
    assert (new.server.data / "PG_VERSION").exists()


def test_a_member_whose_disk_is_missing_makes_no_new_cluster(servers: Servers) -> None:
    host = Host(servers.member("db1").lay_out())
    host.server.at(host.place.decision).write_text(json.dumps(FIRST))
    with pytest.raises(Failure, match=r"was a member of main already .* names db2 the primary.*is its file system"):
        plan(host.cluster(origin="create"), host.work)


FIRST = {
    "epoch": 3, "primary": "db2", "before": "db1", "kind": "switchover", "since": "2026-11-22T16:03:11Z", "run": "r",
    "who": "w", "excused": [],
}  # fmt: skip


def test_a_strangers_folder_of_the_same_name_is_left_alone(new: Host, primary: Server) -> None:
    folder = new.server.at(new.place.making)
    folder.mkdir()
    (folder / "precious").write_text("x")
    with pytest.raises(Failure, match=r"main.hakit-new is in the way: hakit did not make it"):
        plan(copied(new, primary), new.work)
    assert (folder / "precious").exists()


def test_a_copy_ends_with_its_controller_and_is_begun_again(new: Host, primary: Server) -> None:
    resource, work = copied(new, primary, rate=2048), new.work
    asked = iter([False, False, False])
    work.gone = lambda: next(asked, True)
    with pytest.raises(Stopped):
        apply(resource, work)
    assert not new.server.data.exists()
    assert new.notes
    assert all(re.fullmatch(r"\d+ of \d+ MiB copied from db1 \(127.0.0.1\) \(\d+ %\)", note) for note in new.notes)
    assert apply(resource.replace(rate=0), new.work) == ("copy from db1 (127.0.0.1)",)
    assert new.beside() == {"main"}


def test_no_commit_is_acknowledged_by_a_copy(new: Host, primary: Server) -> None:
    """A copy streams WAL with a slot, and says that it has it on disk: that is no standby's word."""
    seen = "SELECT flush_lsn IS NOT NULL, sync_state FROM pg_stat_replication WHERE application_name <> 'db2'"
    told: list[str | None] = []
    work = new.work

    def look(_: str) -> None:
        primary.query("SELECT pg_logical_emit_message(false, 'test', 'some WAL')")
        primary.query("SELECT pg_switch_wal()")  # received WAL is reported at the end of its file
        until(lambda: any(flushed == "t" for flushed, _ in primary.query(seen)), "the copy reports what it has")
        told.extend(state for _, state in primary.query(seen))
        work.gone = lambda: True

    work.say = look  # the copy goes on meanwhile
    primary.query("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (\"db3\")'")
    primary.reload()
    try:
        with pytest.raises(Stopped):
            apply(copied(new, primary, rate=2048), work)
    finally:
        primary.query("ALTER SYSTEM RESET synchronous_standby_names")
        primary.reload()
    assert set(told) == {"async"}


def test_an_agent_that_is_killed_takes_the_copy_along(new: Host, primary: Server) -> None:
    resource = copied(new, primary, rate=2048)
    channels: list[ForkChannel] = []

    def start(command: str) -> ForkChannel:
        channels.append(new.agents.channel(command))
        return channels[-1]

    client = Client.start(start, sudo=False)
    client.hello(run="test", who="tests", lock=True, packages=[])
    client.plan([resource], None)
    with pytest.raises(AgentGone):
        client.apply([resource.key], [], lambda event: os.kill(channels[0].pid, 9) if event.ev == "note" else None)
    client.close()
    assert not new.server.data.exists()
    assert new.beside() == {"main.hakit-new"}
    done = new.agents.apply(resource.replace(rate=0))
    assert done.result.failed == 0
    assert new.beside() == {"main"}
    assert not programs_in(new.place.making)


def programs_in(folder: str) -> list[str]:
    """The command lines that name a folder of a member's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(entry.read_text().replace("\0", " "))
    return [line for line in found if f"db3{folder}" in line]


def test_a_copy_killed_anywhere_is_completed_by_the_next(new: Host, primary: Server) -> None:
    resource = copied(new, primary)
    for kill_at in itertools.count(2, 5):
        try:
            new.agents.apply(resource, kill_at=kill_at)
        except AgentGone:
            if new.server.data.exists():
                assert new.server.at(new.place.signal).exists()
                assert new.server.at(new.place.upstream).exists()
            assert new.agents.apply(resource).result.failed == 0
        else:
            assert kill_at > 30, "the kills hit nothing"
            break
        assert new.beside() == {"main"}
        assert plan(resource, new.work).summary == ()
        shutil.rmtree(new.server.data)
        new.server.at(new.place.upstream).unlink()


def fail_at_its_place(resource: Cluster, new: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a whole copy that does not come to its place."""
    with monkeypatch.context() as patched:
        patched.setattr(making.Making, "put", lambda _: (_ for _ in ()).throw(Failure("the disk is gone")))
        with pytest.raises(Failure, match="the disk is gone"):
            apply(resource, new.work)


def test_a_whole_copy_is_put_in_its_place_without_another(
    new: Host, primary: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = copied(new, primary)
    fail_at_its_place(resource, new, monkeypatch)
    assert not new.server.data.exists()
    assert plan(resource, new.work).summary == ("finish the copy of cluster 15-main from db1 (127.0.0.1)",)
    with monkeypatch.context() as patched:
        patched.setattr(making, "_base_backup", lambda *_: pytest.fail("copied once more"))
        apply(resource, new.work)
    assert new.beside() == {"main"}
    new.server.start()
    until(new.server.streams, "db3 streams")


def test_a_whole_copy_whose_wal_is_gone_is_made_anew(
    new: Host, primary: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = copied(new, primary)
    fail_at_its_place(resource, new, monkeypatch)
    until(lambda: not primary.query(f"{OURS} AND active"), "the slot is free")
    primary.query(OURS)
    apply(resource, new.work)
    new.server.start()
    active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'db3'"
    until(lambda: primary.query(active) == [("t",)], "db3 streams with its slot", 10.0)


def test_what_an_interrupted_run_left_beside_its_data_is_cleared(new: Host, primary: Server) -> None:
    resource = copied(new, primary)
    apply(resource, new.work)
    folder = new.server.at(new.place.making)
    folder.mkdir()
    (folder / making.MARK).touch()
    (folder / making.COMPLETE).write_text("1\n")
    assert plan(resource, new.work).summary[0].startswith("clear /var/lib/postgresql/15/main.hakit-new")
    apply(resource, new.work)
    assert new.beside() == {"main"}
    assert plan(resource, new.work).summary == ()


def test_a_cluster_whose_making_was_killed_anywhere_is_made_by_the_next(servers: Servers) -> None:
    host = Host(servers.member("db1").lay_out())
    resource = host.cluster(origin="create", options=OPTIONS)
    for kill_at in itertools.count(3, 6):
        try:
            host.agents.apply(resource, kill_at=kill_at)
        except AgentGone:
            done = host.agents.apply(resource)
            assert done.result.failed == 0, (kill_at, done.events[-1].error)
        else:
            assert kill_at > 20, "the kills hit nothing"
            break
        assert host.beside() == {"main"}
        assert plan(resource, host.work).summary == ()
        shutil.rmtree(host.server.data)
        host.server.at(host.place.decision).unlink()


def test_a_cluster_that_is_declared_no_more_keeps_its_data(servers: Servers) -> None:
    host = Host(servers.member("db1").lay_out())
    host.agents.apply(host.cluster(origin="create", options=OPTIONS))
    done = host.agents.apply()
    assert done.item("cluster:15-main").summary == ("forget; the data stay in /var/lib/postgresql/15/main",)
    assert (host.server.data / "PG_VERSION").exists()
    assert host.agents.plan() == ()


def test_a_cluster_that_others_have_is_not_made_again(new: Host) -> None:
    with pytest.raises(Failure, match=r"the cluster main is there already \(system identifier 42\)"):
        plan(new.cluster(origin="create", system="42"), new.work)
