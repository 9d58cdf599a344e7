"""A former primary taken back, with real servers: rewound, or copied anew with its old data moved aside."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.postgres import control, making, power, programs, rewinding
from hakit.agent.postgres.replication import Upstream
from tests.unit.agent.postgres.members import Host, until
from tests.unit.agent.postgres.servers import REPLICATOR, account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.postgres.servers import Servers


@pytest.fixture
def parted(servers: Servers) -> Iterator[tuple[Host, Host]]:
    """db1, a stopped former primary that wrote after db2, the primary now, had been promoted."""
    old, new = (Host(server) for server in servers.pair())
    # A slot keeps WAL from where its standby is; pg_rewind needs it from the last checkpoint before that.
    old.query("ALTER SYSTEM SET wal_keep_size = '64MB'")
    old.server.reload()
    old.query("CREATE TABLE t (n int)")
    old.query("INSERT INTO t SELECT generate_series(1, 100)")
    end = old.server.value("SELECT pg_current_wal_lsn()")
    until(lambda: new.server.value(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t", "db2 has the rows")
    for host in (old, new):
        host.decide("db2", 2)
    new.do("promote")
    old.query("CREATE TABLE lost AS SELECT generate_series(1, 1000)")
    old.query("INSERT INTO t VALUES (-1)")
    new.query("INSERT INTO t VALUES (101)")
    new.do("checkpoint")
    new.do("slots", hosts="db1")
    yield old, new
    for host in (old, new):
        host.do("stop", mode="immediate")


def follows(old: Host) -> None:
    """Whether it is a standby that has what the new primary has, and nothing else."""
    old.do("start")
    old.do("follow", upstream="db2", wait="30")
    until(lambda: old.query("SELECT sum(n) FROM t") == [(str(sum(range(1, 102))),)], "it has the new primary's rows")
    assert old.query("SELECT to_regclass('lost')") == [(None,)]
    assert old.query("SELECT pg_is_in_recovery()") == [("t",)]


@pytest.mark.parametrize("mode", ["fast", "kill"])
@pytest.mark.parametrize("demoted", [False, True], ids=["", "demoted before"])
def test_a_former_primary_is_rewound(parted: tuple[Host, Host], mode: str, demoted: bool) -> None:
    old, _ = parted
    old.server.stop(mode)
    if demoted:
        old.do("demote")
    assert old.do("rewind", upstream="db2") == {"rewound": True, "upstream": "db2"}
    assert not old.server.at(old.place.torn).exists()
    assert old.beside() == {"main"}
    follows(old)


def test_a_rewind_that_is_repeated_finds_nothing_to_do(parted: tuple[Host, Host]) -> None:
    old, _ = parted
    old.do("stop")
    old.do("rewind", upstream="db2")
    old.do("start")
    old.do("follow", upstream="db2", wait="30")
    old.do("stop")
    assert old.do("rewind", upstream="db2") == {"rewound": False, "upstream": "db2"}
    follows(old)


def test_a_running_server_is_not_rewound(parted: tuple[Host, Host]) -> None:
    with pytest.raises(Failure, match="can't rewind it while the server of db1 runs"):
        parted[0].do("rewind", upstream="db2")


def test_a_primary_without_a_checkpoint_since_its_promotion_is_waited_for(
    parted: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = parted
    old.do("stop")
    monkeypatch.setattr(Upstream, "is_on_its_timeline", lambda _: False)
    with pytest.raises(Failure, match=r"db2 \(127.0.0.2\) has written no checkpoint since it was promoted"):
        old.do("rewind", upstream="db2", timeout=0.2)


def test_a_rewind_that_dies_leaves_data_that_nobody_starts(
    parted: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = parted
    old.do("stop")
    real = rewinding._command

    def dies(*arguments: object, **options: object) -> list[str]:
        command = real(*arguments, **options)  # type: ignore[arg-type]  # as they came
        return command if "--dry-run" in command else ["sh", "-c", "kill -KILL $$"]

    with monkeypatch.context() as patched:
        patched.setattr(rewinding, "_command", dies)
        with pytest.raises(Failure, match=r"/var/lib/postgresql/15/main is lost: a rewind to db2 failed; .* reinit"):
            old.do("rewind", upstream="db2")
    for verb, arguments in (("start", {}), ("rewind", {"upstream": "db2"})):
        with pytest.raises(Failure, match="a rewind to db2 failed"):
            old.do(verb, **arguments)
    done = old.do("reinit", upstream="db2")
    aside = os.path.basename(str(done["aside"]))  # noqa: PTH119 - a path of the host
    assert old.beside() == {"main", aside}
    assert (old.server.data.parent / aside / "PG_VERSION").exists()
    assert new.query("SELECT slot_name FROM pg_replication_slots") == [("db1",)]
    follows(old)


def test_a_recovery_before_the_rewind_that_was_interrupted_goes_on(
    parted: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = parted
    old.server.stop("kill")
    old.do("demote")
    real = programs.run

    def dies(argv: list[str], *arguments: object, **options: object) -> object:
        if "--single" in argv:
            raise KeyboardInterrupt
        return real(argv, *arguments, **options)  # type: ignore[arg-type]  # as they came

    with monkeypatch.context() as patched:
        patched.setattr(programs, "run", dies)
        with pytest.raises(KeyboardInterrupt):
            old.do("rewind", upstream="db2")
    with pytest.raises(Failure, match="must not be started: its recovery before a rewind did not end"):
        old.do("start")
    assert old.do("rewind", upstream="db2")["rewound"] is True
    follows(old)


@pytest.mark.parametrize("started", [True, False], ids=["crashed", "not started since it was rewound"])
def test_a_standby_is_never_recovered_alone(parted: tuple[Host, Host], started: bool) -> None:
    """It would end its WAL with a record of its own; below where the others parted no rewind would see that."""
    old, _ = parted
    old.do("stop")
    old.do("rewind", upstream="db2")
    assert old.do("look")["unstarted"] is True
    if started:
        old.server.start()
        old.server.stop("kill")
        assert old.do("look")["unstarted"] is False
    state = old.do("look")
    assert state["state"] == "in archive recovery"
    with pytest.raises(Failure, match=r"db1 is a standby that was not shut down .*: start its server and stop it"):
        old.do("rewind", upstream="db2")
    assert {**old.do("look"), "free": 0} == {**state, "free": 0, "standby": True}
    follows(old)


def test_missing_wal_is_found_before_anything_is_changed(parted: tuple[Host, Host]) -> None:
    old, _ = parted
    old.query("SELECT pg_switch_wal()")
    old.query("INSERT INTO t VALUES (-2)")
    old.do("stop")
    wal = sorted(path for path in (old.server.data / "pg_wal").iterdir() if path.name.startswith("00000001"))
    for path in wal[:-1]:
        path.unlink()
    before = sorted(str(path) for path in old.server.data.rglob("*"))
    with pytest.raises(Failure, match=r"db1 has no longer the WAL back to where it parted from db2; .* reinit"):
        old.do("rewind", upstream="db2")
    after = sorted(str(path) for path in old.server.data.rglob("*"))
    assert set(after) - set(before) == {str(old.server.data / "standby.signal")}
    assert not old.server.at(old.place.torn).exists()


def test_data_without_checksums_and_hints_are_not_rewound(
    parted: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = parted
    old.do("stop")
    real = control.read
    monkeypatch.setattr(control, "read", lambda *arguments: real(*arguments).replace(checksums=False, hints=False))
    with pytest.raises(Failure, match="neither checksums nor wal_log_hints"):
        old.do("rewind", upstream="db2")


def test_another_cluster_is_not_rewound(parted: tuple[Host, Host]) -> None:
    old, new = parted
    old.do("stop")
    shutil.rmtree(old.server.data)
    old.server.create(anew=True)
    with pytest.raises(Failure, match=r"db2 \(127.0.0.2\) belongs to another cluster"):
        old.do("rewind", upstream="db2")
    assert new.query("SELECT 1")


@pytest.mark.parametrize("verb", ["rewind", "reinit"])
def test_a_wrong_password_changes_nothing(parted: tuple[Host, Host], verb: str) -> None:
    old, _ = parted
    old.do("stop")
    old.server.at(old.place.passfile).write_text(f"*:*:*:{REPLICATOR}:not it\n")
    before = sorted(str(path) for path in old.server.data.rglob("*"))
    with pytest.raises(Failure, match=r"db2 \(127.0.0.2\) refuses the password of the role replicator"):
        old.do(verb, upstream="db2")
    assert sorted(str(path) for path in old.server.data.rglob("*")) == before
    assert old.beside() == {"main"}


def test_a_role_that_may_not_read_files_is_said(parted: tuple[Host, Host]) -> None:
    old, new = parted
    old.do("stop")
    new.query(f"REVOKE EXECUTE ON FUNCTION pg_read_binary_file(text) FROM {REPLICATOR}")
    with pytest.raises(Failure, match=r"the role replicator may not read files on db2|can't be rewound"):
        old.do("rewind", upstream="db2")
    assert not old.server.at(old.place.torn).exists()


def test_a_server_that_does_not_stop_is_not_waited_for_as_long_as_a_copy(
    parted: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = parted
    old.do("stop")

    def stop(_place: object, _arguments: object, _work: object, timeout: float) -> None:
        raise Failure(f"it did not stop within {timeout:g} s")

    with monkeypatch.context() as patched:
        patched.setattr(power, "stop", stop)
        with pytest.raises(Failure, match="within 120 s"):
            old.do("reinit", upstream="db2", timeout=7 * 86400)


def test_the_primary_is_not_copied_anew(parted: tuple[Host, Host]) -> None:
    old, new = parted
    new.do("follow", upstream="db1")
    with pytest.raises(Failure, match="db2 was decided to be the primary"):
        new.do("reinit", upstream="db1")
    old.server.at(old.place.decision).unlink()
    with pytest.raises(Failure, match="db1 runs as a primary"):
        old.do("reinit", upstream="db2")


def test_a_reinit_that_dies_before_the_end_is_completed_without_another_copy(
    parted: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = parted
    old.do("stop")
    with monkeypatch.context() as patched:
        patched.setattr(making.Making, "put", lambda _: (_ for _ in ()).throw(Failure("the host died")))
        with pytest.raises(Failure, match="the host died"):
            old.do("reinit", upstream="db2")
    assert not old.server.data.exists()
    with monkeypatch.context() as patched:
        patched.setattr(making, "_base_backup", lambda *_: pytest.fail("copied once more"))
        assert old.do("reinit", upstream="db2")["aside"] == ""
    assert len(old.beside()) == 2
    follows(old)
    assert account()[0] == old.server.data.stat().st_uid
