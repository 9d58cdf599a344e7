from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.postgres import control
from tests.unit.agent.postgres.servers import PROGRAMS, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server, Servers


def read(server: Server) -> control.Control:
    return control.read(str(server.data), str(PROGRAMS))


def test_a_cluster_that_was_never_started(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    found = read(db1)
    assert found.system.isdigit()
    assert (found.state, found.timeline, found.checksums) == ("shut down", 1, True)
    assert found.checkpoint != "0/0"
    assert found.minimum == "0/0"


def test_two_clusters_are_told_apart(servers: Servers) -> None:
    ours, strange = servers.member("db1").create(), servers.member("db2").create(anew=True)
    assert read(ours).system != read(strange).system


def test_the_state_follows_the_server(servers: Servers) -> None:
    db1, db2 = servers.pair()
    assert read(db1).state == "in production"
    assert read(db1).hints
    assert read(db2).state == "in archive recovery"
    assert read(db2).system == read(db1).system
    db2.stop()
    assert read(db2).state == "shut down in recovery"
    db1.stop("kill")
    assert read(db1).state == "in production"


def test_a_promotion_shows_even_where_no_checkpoint_followed_it(servers: Servers) -> None:
    db1, db2 = servers.pair()
    db1.stop("kill")
    db2.query("ALTER SYSTEM SET checkpoint_timeout = '1d'")
    db2.promote().stop("kill")
    assert read(db2).timeline == 2


def test_a_standby_shows_the_timeline_that_it_followed_from_its_next_restartpoint(servers: Servers) -> None:
    db1, db2 = servers.pair()
    db3 = servers.member("db3").copy(db1).start()
    until(db3.streams, "db3 streams")
    db1.stop()
    db2.promote().add_slot("db3")
    db3.follow(db2).reload()
    until(db3.streams, "db3 streams from db2")
    db2.query("CHECKPOINT")
    end = db2.value("SELECT pg_current_wal_lsn()")
    until(lambda: db3.value(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t", "db3 has it")
    db3.query("CHECKPOINT")
    db3.stop("kill")
    assert read(db3).timeline == 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (None, control.ABSENT),
        ((), control.EMPTY),
        (("PG_VERSION", "global/pg_control", "base/1/PG_VERSION"), control.CLUSTER),
        (("PG_VERSION", "base/1/PG_VERSION"), control.PARTIAL),
        (("backup_label", "pg_wal/x"), control.PARTIAL),
        (("pg_wal/x",), control.PARTIAL),
        (("lost+found/x",), control.FOREIGN),
        (("letters.txt",), control.FOREIGN),
        (("global/pg_control",), control.FOREIGN),
    ],
)
def test_what_is_in_a_directory(tmp_path: Path, files: tuple[str, ...] | None, expected: str) -> None:
    data = tmp_path / "main"
    if files is not None:
        data.mkdir()
    for name in files or ():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    assert control.contents(str(data)) == expected


def test_a_file_in_the_way_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "main").touch()
    assert control.contents(str(tmp_path / "main")) == control.FOREIGN


def test_a_damaged_control_file_is_no_state(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    path = db1.data / "global/pg_control"
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(Failure, match="CRC"):
        read(db1)
    path.write_bytes(b"")
    with pytest.raises(Failure, match="pg_controldata can't tell the state of"):
        read(db1)


def test_missing_programs_are_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="not installed"):
        control.read(str(tmp_path), str(tmp_path))


TEXT = """\
Database system identifier:           7711143778021955026
Database cluster state:               in production
Latest checkpoint location:           0/1500718
Latest checkpoint's REDO location:    0/15006E0
Latest checkpoint's TimeLineID:       {checkpoint}
Time of latest checkpoint:            Sun Nov 22 23:36:09 2026
Minimum recovery ending location:     0/1600000
Min recovery ending loc's timeline:   {minimum}
wal_log_hints setting:                off
Data page checksum version:           0
"""


@pytest.mark.parametrize(("checkpoint", "minimum", "timeline"), [(1, 0, 1), (1, 2, 2), (12, 11, 12)])
def test_the_timeline_is_the_newest_that_the_file_knows_of(checkpoint: int, minimum: int, timeline: int) -> None:
    assert control.parse(TEXT.format(checkpoint=checkpoint, minimum=minimum)) == control.Control(
        system="7711143778021955026",
        state="in production",
        timeline=timeline,
        checkpoint="0/1500718",
        minimum="0/1600000",
        checksums=False,
        hints=False,
    )


def test_an_answer_of_another_kind_is_refused() -> None:
    with pytest.raises(Failure, match="says nothing of 'Database system identifier'"):
        control.parse("pg_control version number:            1300\n")
