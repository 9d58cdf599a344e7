"""The verbs of an operator's commands, on a primary and a standby with real servers.

Units are started and stopped by a stand-in for systemd (`members.SYSTEMCTL`); the boot guard has tests of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.postgres import steps
from hakit.agent.postgres.own import Own
from hakit.agent.postgres.wal import number
from hakit.agent.starting import AgentGone
from hakit.agent.tasks import Task
from tests.unit.agent.postgres.members import Host, until
from tests.unit.agent.postgres.residents import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.postgres.servers import Servers


@pytest.fixture
def pair(servers: Servers) -> Iterator[tuple[Host, Host]]:
    """db1, the primary, and db2, its standby, both running as units."""
    hosts = tuple(Host(server) for server in servers.pair())
    yield hosts[0], hosts[1]
    for host in hosts:
        host.do("stop", mode="immediate")


def test_a_switchover_step_by_step_each_step_twice(pair: tuple[Host, Host]) -> None:
    db1, db2 = pair
    db1.query("CREATE TABLE t (n int)")
    db1.query("INSERT INTO t SELECT generate_series(1, 100)")

    def twice(host: Host, verb: str, **arguments: str) -> dict[str, object]:
        first = host.do(verb, **arguments)
        second = host.do(verb, **arguments)
        assert {**first, "seconds": 0} == {**second, "seconds": 0}
        return first

    for host in pair:
        twice(host, "decide", record='{"epoch": 2, "primary": "db2", "kind": "switchover"}')
    twice(db1, "checkpoint")
    twice(db2, "hold", why="until its standby is attached")
    stopped = twice(db1, "stop", mode="fast")
    assert stopped["state"] == "shut down"
    halted = twice(db2, "halt")
    assert number(str(halted["lsn"])) >= number(str(stopped["checkpoint"]))
    assert halted["timeline"] == stopped["timeline"] == 1
    twice(db1, "demote")
    assert db2.do("slots", hosts="db1,db3") == {"made": ["db1", "db3"], "dropped": [], "kept": []}
    assert db2.do("slots", hosts="db1,db3") == {"made": [], "dropped": [], "kept": []}
    assert twice(db2, "promote") == {"timeline": 2}
    assert twice(db1, "follow", upstream="db2") == {"upstream": "db2", "streams": False}
    twice(db1, "start")
    assert twice(db1, "follow", upstream="db2", wait="30") == {"upstream": "db2", "streams": True}
    assert db1.do("slots", hosts="") == {"made": [], "dropped": ["db2"], "kept": []}
    twice(db2, "release")
    db2.query("INSERT INTO t VALUES (101)")
    until(lambda: db1.query("SELECT count(*) FROM t") == [("101",)], "the old primary follows")
    assert not db2.server.at(db2.place.held).exists()


def test_a_halted_standby_receives_nothing_even_after_a_restart(pair: tuple[Host, Host]) -> None:
    db1, db2 = pair
    db1.query("CREATE TABLE t (n int)")
    until(lambda: db2.query("SELECT to_regclass('t')") == [("t",)], "the table is there")
    first = db2.do("halt")
    db1.query("INSERT INTO t VALUES (1)")
    assert db2.do("halt") == first
    db2.server.stop()
    db2.do("start")
    again = db2.do("halt")
    assert again == first
    db2.do("follow", upstream="db1", wait="30")
    until(lambda: db2.query("SELECT count(*) FROM t") == [("1",)], "the row is there")


def test_a_halted_standby_tells_the_timeline_that_it_received_last(pair: tuple[Host, Host]) -> None:
    db1, db2 = pair
    db1.server.stop()
    db2.decide("db2", 2)
    db2.do("promote")
    db2.do("slots", hosts="db1")
    db1.do("demote")
    db1.do("follow", upstream="db2")
    db1.do("start")
    db1.do("follow", upstream="db2", wait="30")
    assert db1.do("halt")["timeline"] == 2
    assert db1.do("look")["timeline"] == 2
    own = Own(db1.place, str(db1.server.root))  # as an endpoint that has just begun to look
    assert own.look()[0].timeline == 2
    own.close()


def test_a_standby_that_left_the_primarys_history_is_halted_too(pair: tuple[Host, Host]) -> None:
    db1, db2 = pair
    db2.decide("db2", 2)
    db2.do("promote")
    db1.query("CREATE TABLE lost ()")
    db1.server.stop()
    db1.do("demote")
    db1.do("follow", upstream="db2")
    db1.do("start")
    until(lambda: db1.query("SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver'"), "it tries to receive")
    assert db1.do("halt")["timeline"] == 1


def test_a_standby_that_has_more_than_it_replayed_does_not_tell_where_it_stands(servers: Servers) -> None:
    db1, db2 = servers.pair()
    host = Host(db2)
    db2.query("SELECT pg_wal_replay_pause()")
    until(lambda: db2.value("SELECT pg_get_wal_replay_pause_state()") == "paused", "db2 replays no more")
    reached = db2.value("SELECT pg_last_wal_replay_lsn()")
    db1.query("CREATE TABLE t AS SELECT generate_series(1, 1000)")
    end = str(db1.value("SELECT pg_current_wal_flush_lsn()"))
    until(lambda: db2.value(f"SELECT pg_last_wal_receive_lsn() >= '{end}'") == "t", "db2 has the rows on its disk")
    db2.stop()
    db1.stop("immediate")  # nobody sends it anything
    # What a conflict does for as long as a report runs, a target does for good.
    db2.start("-c", f"recovery_target_lsn={reached}", "-c", "recovery_target_action=pause")
    with pytest.raises(Failure, match=r"db2 still replays \(at .*, it waits in RecoveryPause\) after 1.5 s"):
        host.do("halt", timeout=1.5)
    db2.stop()
    db2.start("-c", "recovery_min_apply_delay=1h")
    with pytest.raises(Failure, match="db2 holds a commit back"):
        host.do("halt")
    db2.stop()
    db2.start()
    assert number(str(host.do("halt")["lsn"])) >= number(end)


def test_a_primary_is_not_halted(pair: tuple[Host, Host]) -> None:
    with pytest.raises(Failure, match="db1 is no standby"):
        pair[0].do("halt")


def test_only_who_was_decided_for_is_promoted(pair: tuple[Host, Host]) -> None:
    db2 = pair[1]
    with pytest.raises(Failure, match=r"db2 must not be promoted: .*\(epoch 0\) names nobody"):
        db2.do("promote")
    db2.decide("db1", 1)
    with pytest.raises(Failure, match=r"db2 must not be promoted: .*\(epoch 1\) names db1"):
        db2.do("promote")
    assert db2.query("SELECT pg_is_in_recovery()") == [("t",)]


def test_nobody_is_promoted_beside_a_primary(pair: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch) -> None:
    db1, db2 = pair
    endpoint = Endpoint(db1.server)
    try:
        endpoint.until("/primary", 200)
        db2.decide("db2", 2)
        with monkeypatch.context() as patched:
            patched.setattr(steps, "CLAIM", 0.2)
            with pytest.raises(Failure, match=r"db2 must not be promoted: db1 \(timeline 1\) runs as the primary"):
                db2.do("promote")
        assert db2.query("SELECT pg_is_in_recovery()") == [("t",)]
        db1.do("stop")
        assert db2.do("promote") == {"timeline": 2}  # as soon as the endpoint of db1 says that it was stopped
    finally:
        endpoint.close()


def test_a_switchover_that_did_not_promote_goes_back(pair: tuple[Host, Host]) -> None:
    db1, db2 = pair
    db1.decide("db2", 2)
    db1.do("stop")
    db1.do("demote")
    with pytest.raises(Failure, match=r"db1 must not be made a primary again: .* names db2"):
        db1.do("resume")
    db1.decide("db1", 3)
    assert db1.do("resume") == db1.do("resume") == {"standby": False}
    db1.do("start")
    db2.do("follow", upstream="db1", wait="30")
    assert db1.query("SELECT pg_is_in_recovery()") == [("f",)]


def test_what_ran_as_a_standby_is_not_made_a_primary_by_a_deleted_file(pair: tuple[Host, Host]) -> None:
    db2 = pair[1]
    db2.decide("db2", 2)
    db2.server.stop()
    with pytest.raises(Failure, match="has run as a standby since"):
        db2.do("resume")
    assert db2.server.at(db2.place.signal).exists()


@pytest.mark.parametrize("verb", ["demote", "resume"])
def test_a_running_server_is_not_turned_around(pair: tuple[Host, Host], verb: str) -> None:
    host = pair[0] if verb == "demote" else pair[1]
    host.decide(host.place.host, 2)
    with pytest.raises(Failure, match=r"while the server of db[12] runs: stop it first"):
        host.do(verb)


def test_one_that_holds_a_commit_back_is_not_waited_for(servers: Servers) -> None:
    db1, db2 = servers.pair()
    host = Host(db2)
    db2.query("ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
    db2.reload()
    db1.query("CREATE TABLE t (n int)")
    until(lambda: host.do("look")["delays"], "db2 holds a commit back")
    db1.stop()
    until(lambda: db2.query("SELECT FROM pg_stat_wal_receiver") == [], "nothing is received any more")
    db1.start()
    found = host.do("look")
    assert (found["receiving"], found["why"], found["delays"]) == (None, "", True)
    own = Own(db2.place, str(db2.root))
    until(lambda: own.look()[0].streams, "it is in its place")
    assert host.do("follow", upstream="db1", wait="30") == {"upstream": "db1", "streams": False}


def test_a_slot_that_lost_its_wal_is_made_anew(servers: Servers) -> None:
    db1 = servers.member("db1").create().start("-c", "max_slot_wal_keep_size=1MB", "-c", "max_wal_size=32MB")
    host = Host(db1)
    assert host.do("slots", hosts="db2")["made"] == ["db2"]
    status = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'db2'"

    def lost() -> bool:
        db1.query("SELECT pg_switch_wal()")
        db1.query("CREATE TABLE IF NOT EXISTS t (n int)")
        db1.query("INSERT INTO t SELECT generate_series(1, 1000)")
        db1.query("CHECKPOINT")
        return db1.value(status) == "lost"

    until(lost, "the slot has lost its WAL")
    assert host.do("slots", hosts="db2") == {"made": ["db2"], "dropped": [], "kept": []}
    assert db1.value(status) == "reserved"


def test_slots_of_members_alone_are_made_and_dropped(pair: tuple[Host, Host]) -> None:
    db1 = pair[0]
    db1.query("SELECT pg_create_physical_replication_slot('archive')")
    assert db1.do("slots", hosts="db2,db3") == {"made": ["db3"], "dropped": [], "kept": []}
    assert db1.do("slots", hosts="db3", timeout=0.5) == {"made": [], "dropped": [], "kept": ["db2"]}
    assert db1.do("slots", hosts="db2") == {"made": [], "dropped": ["db3"], "kept": []}
    names = db1.query("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
    assert names == [("archive",), ("db2",)]
    with pytest.raises(Failure, match="db9: no member of the cluster main"):
        db1.do("slots", hosts="db9")


def test_a_standby_follows_members_alone(pair: tuple[Host, Host]) -> None:
    db2 = pair[1]
    before = db2.server.at(db2.place.upstream).read_text()
    for host in ("db9", "db2"):
        with pytest.raises(Failure, match=rf"{host} (is no member|can't follow itself)"):
            db2.do("follow", upstream=host)
    assert db2.server.at(db2.place.upstream).read_text() == before


def test_who_does_not_come_to_stream_is_said(pair: tuple[Host, Host]) -> None:
    with pytest.raises(Failure, match=r"db2 did not begin to stream from db3 \(127.0.0.3\) within 0.5 s"):
        pair[1].do("follow", upstream="db3", wait="0.5")


def test_an_immediate_stop_waits_for_nobody(pair: tuple[Host, Host]) -> None:
    db1, db2 = pair
    db2.server.freeze()  # a fast stop would wait for it, until it has all WAL
    try:
        db1.query("CREATE TABLE t ()")
        stopped = db1.do("stop", mode="immediate")
    finally:
        db2.server.thaw()
    # How far the unit's own, ordered stop came before, is open: its checkpoint comes before the wait for standbys.
    assert stopped["running"] is False
    with pytest.raises(Failure, match="no such mode of stopping: hard"):
        pair[0].do("stop", mode="hard")


def test_a_server_that_can_not_start_says_why(pair: tuple[Host, Host]) -> None:
    db1 = pair[0]
    db1.do("stop")
    (db1.server.data / "PG_VERSION").write_text("nonsense\n")
    with pytest.raises(Failure, match="the server of db1 died after its start"):
        db1.do("start")


def test_verbs_are_checked(pair: tuple[Host, Host]) -> None:
    for verb, arguments, words in (
        ("fly", {}, "PostgreSQL has no verb 'fly'"),
        ("follow", {}, "the verb follow needs upstream"),
        ("start", {"now": "yes"}, "the verb start knows no now"),
    ):
        with pytest.raises(Failure, match=words):
            pair[0].do(verb, **arguments)


def test_a_task_reaches_the_host_and_a_refusal_leaves_the_session_open(pair: tuple[Host, Host]) -> None:
    db1 = pair[0]

    def task(do: str, **arguments: str) -> Task:
        return Task(kind="postgres", do=do, about=db1.place, arguments=tuple(arguments.items()))

    with db1.agents.client() as client:
        with pytest.raises(Failure, match="db1 is no standby"):
            client.task(task("halt"))
        assert client.task(task("look"))["role"] == "primary"


def test_what_changes_a_host_needs_its_lock(pair: tuple[Host, Host]) -> None:
    db1 = pair[0]
    with db1.agents.client(lock=False) as client, pytest.raises(AgentGone, match="without the host's lock"):
        client.task(Task(kind="postgres", do="checkpoint", about=db1.place))
