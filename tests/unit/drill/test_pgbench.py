"""pgbench on a real server: what it is told, through breaks of its connections, against what is there."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from hakit.drill.database import Database
from hakit.drill.pgbench import Benched, Books, Pgbench
from hakit.errors import HakitError
from tests.unit.agent.postgres.servers import Servers, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.postgres.servers import Server

WRONG = "wrong"
PASSWORD = "it's a  pass=word"  # noqa: S105 - of a server that lives for a test, on loopback


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with a database for pgbench."""
    with TemporaryDirectory(prefix="bench") as folder:
        Path(folder).chmod(0o755)
        servers = Servers(Path(folder))
        try:
            made = servers.member("db1").create().start()
            quoted = PASSWORD.replace("'", "''")
            made.query(f"CREATE ROLE bench LOGIN PASSWORD '{quoted}'")
            made.query("CREATE DATABASE bench OWNER bench")
            yield made
        finally:
            servers.close()


def database(server: Server, **other: str) -> Database:
    settings: dict[str, str | int] = {"user": "bench", "password": PASSWORD, "dbname": "bench", "connect_timeout": 2}
    return Database((), **{"host": server.address, "port": server.place.port, **settings, **other})


@pytest.fixture
def bench(server: Server) -> Iterator[Pgbench]:
    """pgbench with new tables."""
    with database(server) as entered:
        made = Pgbench(entered)
        made.fill()
        yield made


def rows(server: Server) -> int:
    return int(server.value("SELECT count(*) FROM pgbench_history", "bench") or 0)


def test_undisturbed_every_transaction_is_there(bench: Pgbench) -> None:
    with bench:
        told = bench.stop()
    books = bench.books()
    assert told.done > 0
    assert told == Benched(done=books.rows)
    assert books.balanced
    assert (books.lost(told), books.unexpected(told)) == (0, 0)


def test_it_goes_on_after_its_connections_broke_and_the_server_was_away(bench: Pgbench, server: Server) -> None:
    def cut() -> bool:
        server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bench'")
        return bench.told.broken > 0

    with bench:
        until(cut, "a client is cut off in the middle of a transaction")
        server.stop("immediate")
        server.start()
        before = rows(server)
        until(lambda: rows(server) > before, "pgbench commits again")
        told = bench.stop()
    books = bench.books()
    assert told.done > before
    assert books.balanced
    assert (books.lost(told), books.unexpected(told)) == (0, 0)


def test_a_half_transaction_a_lost_one_and_a_strangers_are_noticed(bench: Pgbench, server: Server) -> None:
    with bench:
        told = bench.stop()
    server.query("DELETE FROM pgbench_history WHERE ctid IN (SELECT ctid FROM pgbench_history LIMIT 3)", "bench")
    assert bench.books().lost(told) == 3
    stranger = "INSERT INTO pgbench_history (tid, bid, aid, delta) SELECT 1, 1, 1, 0 FROM generate_series(1, 5)"
    server.query(stranger, "bench")
    assert bench.books().unexpected(told) == 2
    server.query("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1", "bench")
    assert not bench.books().balanced


@pytest.mark.parametrize("table", ["branches", "tellers", "history"])
def test_each_table_counts(table: str) -> None:
    sums = {"accounts": 7, "branches": 7, "tellers": 7, "history": 7, "rows": 1}
    assert Books(**sums).balanced
    assert not Books(**{**sums, table: 8}).balanced


def test_a_broken_connection_leaves_one_transaction_open_and_no_more() -> None:
    told = Benched(done=10, broken=2)
    assert [Books(0, 0, 0, 0, rows).unexpected(told) for rows in (9, 10, 12, 13)] == [0, 0, 0, 1]
    assert [Books(0, 0, 0, 0, rows).lost(told) for rows in (9, 10, 12)] == [1, 0, 0]


def test_the_password_is_in_no_argument_and_no_environment(bench: Pgbench, server: Server) -> None:
    del server
    seen: list[bytes] = []

    def looked() -> bool:
        seen.extend(_of_pgbench())
        return bool(seen)

    with bench:
        until(looked, "pgbench runs")
        bench.stop()
    assert all(PASSWORD.encode() not in one for one in seen)


def _of_pgbench() -> list[bytes]:
    """The arguments and environments of the programs that we have started."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for one in children for pid in one.read_text().split()]
    found = []
    for pid in pids:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if b"pgbench" in arguments and b"PGSERVICEFILE" in environment:
            found += [arguments, environment]
    return found


def test_what_is_wrong_is_told(server: Server) -> None:
    with (
        database(server, password=WRONG) as entered,
        pytest.raises(HakitError, match="could not make its tables") as caught,
    ):
        Pgbench(entered).fill()
    assert caught.value.why
    assert "password authentication failed" in caught.value.why
    with database(server) as entered, pytest.raises(HakitError, match="did not answer") as caught:
        entered.ask("SELECT nothing")
    assert caught.value.why


def test_an_answer_is_rows_of_text(server: Server) -> None:
    with database(server) as entered:
        assert entered.ask("SELECT 1, 'a \"b\", c', NULL UNION ALL SELECT 2, '', 'x'") == [
            ["1", 'a "b", c', ""],
            ["2", "", "x"],
        ]
        assert entered.ask("SELECT 1 WHERE false") == []


def test_nothing_is_left_behind(server: Server) -> None:
    threads = threading.active_count()
    with database(server) as entered:
        (file,) = [word.partition("=")[2] for word in entered.command("psql") if word.startswith("PGSERVICEFILE=")]
        assert Path(file).stat().st_mode & 0o777 == 0o600
        bench = Pgbench(entered)
        bench.fill()
        with bench:
            pass
    assert threading.active_count() == threads
    assert not Path(file).parent.exists()
    assert not _of_pgbench()


@pytest.mark.parametrize("value", ["a\nb", "a ", "a\t"])
def test_what_a_service_file_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(HakitError, match="the value of password has several lines or ends with a space"):
        Database((), password=value)
