"""What a member says to another one, and how it reads the answer."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure, Stopped
from hakit.agent.postgres import progress, upstream
from hakit.agent.postgres.place import Member, Place
from hakit.agent.postgres.replication import Upstream
from hakit.agent.process import Result
from hakit.agent.work import Work
from tests.unit.agent.postgres.servers import PROGRAMS, Server, command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Servers

MEMBERS = (Member(name="db1", address="10.0.0.1"), Member(name="db2", address="fd00::2"))
PLACE = Place(version=15, cluster="main", host="db2", data="/srv/main", members=MEMBERS)


def work_in(folder: Path) -> Work:
    return Work(str(folder), lambda _: None)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            'connection to server at "10.0.0.1", port 5432 failed: FATAL:  password authentication failed for user "r"',
            "db1 (10.0.0.1) refuses the password of the role r: the inventory's is not the role's",
        ),
        (
            "connection failed: fe_sendauth: no password supplied",
            "db1 (10.0.0.1) asks for a password, and /etc/postgresql/15/main/hakit.pgpass has none for the role r",
        ),
        (
            'FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.2", user "r", no encryption',
            "db1 (10.0.0.1) has no row in its pg_hba.conf that lets the role r replicate from here",
        ),
        ("connection failed: Connection refused", "db1 (10.0.0.1) is there, but no server listens on port 5432"),
        ("connection failed: timeout expired", "db1 (10.0.0.1) does not answer on port 5432"),
        ("FATAL:  the database system is starting up", "db1 (10.0.0.1) is not ready"),
        (
            "pg_basebackup: error: could not write to file: No space left on device",
            "the disk is full: pg_basebackup: error: could not write to file: No space left on device",
        ),
        (
            "ERROR:  all replication slots are in use",
            "db1 (10.0.0.1) has no replication slot left: raise max_replication_slots there",
        ),
        ("   10/20 kB (50%), 0/1 tablespace\nsomething new", "db1 (10.0.0.1): something new"),
        ("", "db1 (10.0.0.1): exit 1"),
    ],
)
def test_failures_are_told_in_words(tmp_path: Path, said: str, meant: str) -> None:
    source = Upstream(PLACE, "db1", "r", work_in(tmp_path))
    assert source.failure(Result(1, "", said)).message == meant


@pytest.mark.parametrize(
    ("line", "user"),
    [
        ("*:*:*:replicator:secret", "replicator"),
        (r"10.0.0.1:5432:replication:we\:ird\\:x", "we:ird\\"),
        (r"fd00\:\:2:5432:*:r:a\:b", "r"),
    ],
)
def test_the_role_is_read_from_the_passwords(tmp_path: Path, line: str, user: str) -> None:
    passfile = tmp_path / PLACE.passfile.lstrip("/")
    passfile.parent.mkdir(parents=True)
    passfile.write_text(f"# a comment: with colons:a:b:c\n{line}\n")
    assert upstream.replicator(PLACE, work_in(tmp_path)) == user


def test_without_passwords_nobody_replicates(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"hakit.pgpass is missing"):
        upstream.replicator(PLACE, work_in(tmp_path))


NASTY = ["o'brien", "back\\slash", "two words", "quote\\'", "", "ümlaut", "a=b host=evil"]


@pytest.mark.parametrize("user", NASTY)
def test_any_name_survives_the_servers_configuration_and_libpq(servers: Servers, user: str) -> None:
    server = servers.member("db1").create()
    words = {"user": user, "host": "127.0.0.1"}
    server.at(server.place.upstream).write_text(upstream.text(words, "db-2.Example"))
    shown = [_configured(server, name) for name in ("primary_conninfo", "primary_slot_name")]
    assert shown == [upstream.conninfo(words), "db_2_example"]
    server.start()
    target = upstream.conninfo({**words, "host": server.address, "port": str(server.place.port), "dbname": "postgres"})
    answer = subprocess.run([PROGRAMS / "psql", "-wd", target], capture_output=True, text=True, check=False)
    assert (f'"{user}"' if user else "no password supplied") in answer.stderr or "no password supplied" in answer.stderr


def _configured(server: Server, name: str) -> str:
    config = f"{server.at(server.place.config)}/postgresql.conf"
    return command(PROGRAMS / "postgres", "-C", name, "-c", f"config_file={config}").rstrip("\n")


def test_progress_is_told_once_per_per_cent(tmp_path: Path) -> None:
    log, told = tmp_path / "log", list[str]()
    work = Work("", told.append)
    tick = progress.Progress("db1", str(log), work).tick
    for text in ("", "pg_basebackup: initiating base backup\n", "  1024/4096 kB (25%), 0/1 tablespace\n", ""):
        with log.open("a") as file:
            file.write(text)
        tick()
    assert told == ["1 of 4 MiB copied from db1 (25 %)"]


def test_what_does_not_advance_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.write_text("  1024/4096 kB (25%), 0/1 tablespace\n")
    watched = progress.Progress("db1", str(log), Work("", lambda _: None))
    watched.tick()
    monkeypatch.setattr(progress, "STALL", -1.0)
    with pytest.raises(Failure, match=r"the copy from db1 did not advance .* \(1 MiB done\)"):
        watched.tick()
    log.write_text("  4096/4096 kB (100%), 1/1 tablespace\n")
    watched.tick()
    watched.tick()


@pytest.mark.parametrize("ends", [True, False])
def test_what_loses_its_controller_ends_where_it_may(tmp_path: Path, ends: bool) -> None:
    log = tmp_path / "log"
    log.touch()
    work = Work("", lambda _: None)
    work.gone = lambda: True
    watched = progress.Progress("db1", str(log), work, ends=ends)
    if ends:
        with pytest.raises(Stopped):
            watched.tick()
    else:
        watched.tick()
