"""The writing client, against a real server that is killed, or refuses, meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.postgres.place import USER
from hakit.drill.writer import Writer
from hakit.errors import HakitError
from tests.unit.agent.postgres.servers import Servers, short_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.postgres.servers import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with short_folder() as folder:
        servers = Servers(folder)
        try:
            yield servers.member("db1").create().start()
        finally:
            servers.close()


def writer(server: Server, **words: str) -> Writer:
    named = {"host": server.sockets, "port": str(server.place.port), "user": USER, "dbname": "postgres", **words}
    return Writer((), " ".join(f"{key}={value}" for key, value in named.items()), workers=2, interval=0.01)


def rows(server: Server) -> list[str]:
    return [str(row[0]) for row in server.query("SELECT id FROM hakit_drill")]


def grows(server: Server) -> None:
    least = len(rows(server)) + 10
    until(lambda: len(rows(server)) > least, "rows are written")


@pytest.fixture(autouse=True)
def _empty(server: Server) -> None:
    server.query("DROP TABLE IF EXISTS hakit_drill")


def test_a_killed_server_loses_nothing_that_it_acknowledged(server: Server) -> None:
    with writer(server) as client:
        grows(server)
        server.stop("kill")
        server.start()
        grows(server)
        seen = client.stop()
    there = rows(server)
    verdict = seen.judge(there)
    assert (verdict.lost, verdict.unexpected) == ((), ())
    assert verdict.ok + verdict.recovered == len(there)
    assert verdict.ok == seen.counts["acknowledged"] >= 20
    assert {row.outcome for row in seen.rows} >= {"acknowledged", "failed"}
    assert seen.turns == ("db1",)


def test_what_is_refused_has_failed_and_is_not_there(server: Server) -> None:
    with writer(server) as client:
        grows(server)
        server.query("ALTER SYSTEM SET default_transaction_read_only = on")
        server.reload()
        until(lambda: "INSERT in a read-only transaction" in server.log.read_text(), "rows are refused")
        server.query("ALTER SYSTEM RESET default_transaction_read_only")
        server.reload()
        grows(server)
        seen = client.stop()
    assert "read-only" in next(row.text for row in seen.rows if row.outcome == "failed")
    assert "unknown" not in seen.counts
    assert seen.judge(rows(server)).unexpected == ()


def test_whom_nobody_lets_in_does_not_begin(server: Server) -> None:
    with pytest.raises(HakitError, match="ended before a row was acknowledged"), writer(server, dbname="nowhere"):
        pass
