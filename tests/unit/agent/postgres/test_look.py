from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.errors import Failure
from hakit.agent.postgres import control, look, record, serverlog
from hakit.agent.postgres.decision import Decision
from tests.unit.agent.postgres.members import Host
from tests.unit.agent.postgres.servers import PROGRAMS, VERSION, account, until

if TYPE_CHECKING:
    from tests.unit.agent.postgres.servers import Server, Servers


def seen(server: Server) -> dict[str, Any]:
    """What a look at a member tells; its host is laid out for it."""
    return Host(server).do("look")


def test_a_primary_and_its_standby(servers: Servers) -> None:
    db1, db2 = servers.pair()
    db1.query("CREATE TABLE t AS SELECT 1")
    until(lambda: db2.value("SELECT pg_last_xact_replay_timestamp()"), "db2 has replayed a transaction")
    looks = [(seen(db1), seen(db2))]

    def alike() -> bool:
        """Whether nothing was written between the looks: a primary writes a little from time to time, unasked."""
        looks.append((seen(db1), seen(db2)))
        first, second = looks[-1]
        return bool(first["lsn"] == second["lsn"] == second["replayed"])

    until(alike, "db2 has it all")
    first, second = looks[-1]
    assert first["installed"]
    assert first["data"] == second["data"] == control.CLUSTER
    assert first["system"] == second["system"] == db1.value("SELECT system_identifier FROM pg_control_system()")
    assert (first["role"], second["role"]) == ("primary", "standby")
    assert (first["running"], second["running"]) == (True, True)
    assert (first["standby"], second["standby"]) == (False, True)
    assert (first["timeline"], second["timeline"]) == (1, 1)
    assert first["lsn"] == second["lsn"] == second["replayed"]
    assert (first["state"], second["state"]) == ("in production", "in archive recovery")
    assert first["why"] == second["why"] == ""
    assert (first["upstream"], second["upstream"]) == ("", "db1")
    assert first["receiving"] is None
    assert second["receiving"] == {"status": "streaming"}
    (replica,) = first["replicas"]
    assert (replica["name"], replica["state"], replica["sync"]) == ("db2", "streaming", "async")
    (slot,) = first["slots"]
    assert (slot["name"], slot["active"], slot["status"]) == ("db2", True, "reserved")
    assert slot["kept"] >= 0
    assert (first["replayed"], first["replayed_at"]) == ("", "")
    assert second["replayed_at"].startswith(time.strftime("%Y-", time.gmtime()))
    assert second["replayed_at"].endswith("Z")
    assert first["settings"] == {
        "max_connections": "20",
        "max_wal_senders": "10",
        "max_worker_processes": "8",
        "max_prepared_transactions": "0",
        "max_locks_per_transaction": "64",
        "synchronous_standby_names": "",
        "synchronous_commit": "on",
    }
    assert first["free"] > 1 << 20
    assert first["decision"] == Decision().wire()


def test_what_was_decided_and_what_is_held(servers: Servers) -> None:
    db1 = servers.member("db1").create().start()
    made = Decision(epoch=3, primary="db1", kind="switchover", excused=("db3",))
    record._write(str(db1.at(db1.place.decision)), made, account()[:2])
    db1.at(db1.place.held).write_text("moving\n")
    found = seen(db1)
    assert found["decision"] == made.wire()
    assert found["held"] == "moving"


def test_settings_that_wait_for_a_restart_and_the_last_commit(servers: Servers) -> None:
    db1 = servers.member("db1").create().start("-c", "track_commit_timestamp=on")
    db1.query("CREATE TABLE t AS SELECT 1")
    config = db1.at(db1.place.config) / "postgresql.conf"
    config.write_text(config.read_text() + "max_connections = 30\nmax_wal_senders = 11\n")
    db1.reload()
    until(lambda: seen(db1)["pending"] == ["max_connections", "max_wal_senders"], "both are pending")
    assert seen(db1)["replayed_at"].startswith(time.strftime("%Y-", time.gmtime()))


def test_a_host_without_anything(servers: Servers) -> None:
    db1 = servers.member("db1").lay_out()
    found = seen(db1)
    assert (found["data"], found["running"], found["role"], found["why"]) == (control.ABSENT, False, "", "")
    assert (found["system"], found["timeline"], found["settings"]) == ("", 0, {})
    assert found["free"] > 0


@pytest.mark.parametrize(("name", "kind"), [("letters.txt", control.FOREIGN), ("PG_VERSION", control.PARTIAL)])
def test_what_else_may_be_there(servers: Servers, name: str, kind: str) -> None:
    db1 = servers.member("db1").lay_out()
    db1.data.mkdir()
    (db1.data / name).touch()
    assert seen(db1)["data"] == kind


def test_a_stopped_server_tells_where_it_stopped(servers: Servers) -> None:
    db1 = servers.member("db1").create().start()
    db1.stop()
    found = seen(db1)
    assert (found["running"], found["role"], found["state"]) == (False, "", "shut down")
    assert found["checkpoint"] != ""
    assert found["lsn"] == ""


def test_a_hung_server_takes_no_longer_than_it_may(servers: Servers) -> None:
    db1 = servers.member("db1").create().start()
    db1.freeze()
    began = time.monotonic()
    found = seen(db1)
    assert time.monotonic() - began < look.PATIENCE + 5
    assert (found["running"], found["role"]) == (True, "")
    assert found["why"] == "the server did not answer in time"


def test_why_it_does_not_run(servers: Servers) -> None:
    db1 = servers.member("db1", members=()).create()
    host = Host(db1)
    assert host.do("look")["why"] == ""
    log = db1.at(serverlog.path(db1.place))
    log.parent.mkdir(parents=True)
    log.write_text(
        f"2026-11-22 23:21:19 [1] FATAL:  of another start\n"
        f"2026-11-22 23:21:19 [1] LOG:  starting PostgreSQL {VERSION}.1\n"
        f'2026-11-22 23:21:19 [1] FATAL:  could not create lock file "x": No space left on device\n'
        f"2026-11-22 23:21:19 [1] LOG:  database system is shut down\n"
    )
    assert host.do("look")["why"] == 'could not create lock file "x": No space left on device'
    with log.open("a") as file:
        file.write(f"2026-11-22 23:25:00 [2] LOG:  starting PostgreSQL {VERSION}.1\n")
    assert host.do("look")["why"] == ""
    with log.open("a") as file:
        file.write("2026-11-22 23:25:01 [2] PANIC:  could not write to file: No space left on device\n")
    said = db1.root / f"run/hakit-postgresql/{db1.place.label}.guard"
    said.write_text("opens: epoch 1 names db1\n")
    assert host.do("look")["why"].endswith("No space left on device")
    said.write_text("does not open: db2 was made the primary\n")
    assert host.do("look")["why"] == "db1 does not open: db2 was made the primary"
    db1.at(db1.place.torn).write_text("a rewind to db2 did not end\n")
    assert host.do("look")["why"] == "a rewind to db2 did not end"


def test_what_is_ended_on_purpose_is_no_reason(servers: Servers) -> None:
    db1 = servers.member("db1", members=()).create()
    log = db1.at(serverlog.path(db1.place))
    log.parent.mkdir(parents=True)
    log.write_text(
        "2026-11-22 23:21:19 [1] LOG:  starting PostgreSQL\n"
        "2026-11-22 23:21:20 [2] FATAL:  could not connect to the primary server: timeout expired\n"
        "2026-11-22 23:21:21 [1] LOG:  received fast shutdown request\n"
        "2026-11-22 23:21:21 [3] FATAL:  terminating walreceiver process due to administrator command\n"
        "2026-11-22 23:21:21 [4] postgres@postgres FATAL:  the database system is shutting down\n"
        "2026-11-22 23:21:22 [1] LOG:  database system is shut down\n"
    )
    assert seen(db1)["why"] == ""


def test_data_that_cant_be_read_are_told_and_no_reason_to_be_silent(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    file = db1.data / "global" / "pg_control"
    file.write_bytes(bytes(reversed(file.read_bytes())))
    found = seen(db1)
    assert (found["data"], found["system"], found["running"]) == (control.CLUSTER, "", False)
    assert found["why"].startswith(f"pg_controldata can't tell the state of {db1.data}: ")


def test_a_standby_that_its_upstream_refuses_receives_nothing_and_says_why(servers: Servers) -> None:
    db1, db2 = servers.pair()
    log = db2.at(serverlog.path(db2.place))
    log.parent.mkdir(parents=True)
    log.symlink_to(db2.log)
    assert seen(db2)["why"] == ""
    db2.stop()
    db1.query("SELECT pg_drop_replication_slot('db2')")
    db2.start()
    reason = """could not start WAL streaming: ERROR: replication slot "db2" does not exist"""
    until(lambda: seen(db2)["why"] == reason, "it says why")
    # Each attempt is seen to be under way for some milliseconds.
    statuses = {(found["receiving"] or {}).get("status", "") for found in (seen(db2) for _ in range(50))}
    assert "streaming" not in statuses


def test_a_standby_that_was_away_for_too_long_says_so(servers: Servers) -> None:
    db1, db2 = servers.pair()
    log = db2.at(serverlog.path(db2.place))
    log.parent.mkdir(parents=True)
    log.symlink_to(db2.log)
    db2.stop()
    db1.query("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    db1.query("ALTER SYSTEM SET max_wal_size = '32MB'")
    db1.reload()
    db1.query("CREATE TABLE t (n int)")

    def lost() -> bool:
        db1.query("INSERT INTO t SELECT generate_series(1, 1000)")
        db1.query("SELECT pg_switch_wal()")
        db1.query("CHECKPOINT")
        return db1.value("SELECT wal_status FROM pg_replication_slots") == "lost"

    until(lost, "the slot has lost its WAL")
    db2.start()
    until(lambda: serverlog.is_gone(seen(db2)["why"]), "it says why")
    looks = [(found["receiving"] or {}).get("status", "") for found in (seen(db2) for _ in range(100))]
    assert "streaming" not in looks


def test_a_damaged_record_fails_the_look(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    db1.at(db1.place.decision).write_text("{")
    with pytest.raises(Failure, match="is no record of a decision"):
        seen(db1)


def test_whom_it_is_told_to_follow(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    upstream = db1.at(db1.place.upstream)
    for text, expected in (
        ("", ""),
        ("# hakit: follows nobody\n", ""),
        (f"primary_conninfo = 'host={db1.place.address('db3')} port=5432 user=r'\n", "db3"),
        ("primary_conninfo = 'port=5432 host=10.1.2.3'\n", "10.1.2.3"),
    ):
        upstream.write_text(text)
        assert seen(db1)["upstream"] == expected


def test_the_programs_may_be_missing(servers: Servers) -> None:
    db1 = servers.member("db1", version=12).create()
    assert PROGRAMS.exists()
    found = seen(db1)
    assert (found["installed"], found["data"], found["system"]) == (False, control.CLUSTER, "")
