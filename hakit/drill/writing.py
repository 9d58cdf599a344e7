"""A client that writes rows through a balancer at a steady pace; a program of its own, with psycopg.

    python writing.py WORKERS INTERVAL TIMEOUT

Its first line of stdin is a JSON object: `conninfo` as libpq takes it, and `table`, which it makes where it is
missing. Each worker keeps a connection, opens a new one when that breaks, and inserts one row per INTERVAL seconds,
with an id of its own making. Prints `ready` after the first acknowledged row. Ends when its stdin is closed and every
insert has ended; then prints one JSON value, in monotonic seconds:

    {"rows": [[id, begun, ended, outcome, text], …], "until": time}

The outcome is `acknowledged` (the server said so; `text` is its cluster_name), `failed` (it was refused, or nothing
was sent) or `unknown` (no answer came within TIMEOUT seconds, or the connection broke: it may have been committed).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from typing import Any

import psycopg
from psycopg import sql

ACKNOWLEDGED, FAILED, UNKNOWN = "acknowledged", "failed", "unknown"


class Worker:
    """One connection, and the rows that were sent over it and those before it."""

    def __init__(self, conninfo: str, table: str, patience: float) -> None:
        self._conninfo = conninfo
        self._insert = sql.SQL("INSERT INTO {} (id) VALUES (%s) RETURNING current_setting('cluster_name')").format(
            sql.Identifier(table)
        )
        self._patience = patience
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self.rows: list[tuple[str, float, float, str, str]] = []

    async def write(self) -> None:
        """Insert one row, and note how that went."""
        name, begun = str(uuid.uuid4()), time.monotonic()
        outcome, text = await self._attempt(name)
        self.rows.append((name, begun, time.monotonic(), outcome, text))

    async def _attempt(self, name: str) -> tuple[str, str]:
        try:
            connection = await asyncio.wait_for(self._connected(), self._patience)
        except (psycopg.Error, OSError, TimeoutError) as error:
            return FAILED, _reason(error)
        try:
            cursor = await asyncio.wait_for(connection.execute(self._insert, (name,)), self._patience)
            row = await cursor.fetchone()
        except (psycopg.Error, OSError, TimeoutError) as error:
            refused = isinstance(error, psycopg.Error) and error.sqlstate and not error.sqlstate.startswith("57P")
            await self.close()
            return (FAILED if refused else UNKNOWN), _reason(error)
        return ACKNOWLEDGED, str(row[0]) if row else ""

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.broken:
            self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        return self._connection

    async def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "timeout" if isinstance(error, TimeoutError) else type(error).__name__


async def _work(worker: Worker, interval: float, ready: asyncio.Event, ended: asyncio.Event) -> None:
    following = time.monotonic()
    while not ended.is_set():
        await worker.write()
        if worker.rows[-1][3] == ACKNOWLEDGED and not ready.is_set():
            ready.set()
            say("ready")
        following = max(following + interval, time.monotonic())
        try:
            await asyncio.wait_for(ended.wait(), max(0.0, following - time.monotonic()))
        except TimeoutError:
            continue
    await worker.close()


async def _make_table(conninfo: str, table: str) -> None:
    text = sql.SQL("CREATE TABLE IF NOT EXISTS {} (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await connection.execute(text.format(sql.Identifier(table)))


async def run(workers: int, interval: float, patience: float) -> None:
    """Write until stdin ends, then report."""
    asked = json.loads(await asyncio.to_thread(sys.stdin.readline))
    await _make_table(asked["conninfo"], asked["table"])
    ready, ended = asyncio.Event(), asyncio.Event()
    made = [Worker(asked["conninfo"], asked["table"], patience) for _ in range(workers)]
    tasks = [asyncio.create_task(_work(one, interval, ready, ended)) for one in made]
    await asyncio.to_thread(sys.stdin.read)
    until = time.monotonic()
    ended.set()
    await asyncio.gather(*tasks)
    say(json.dumps({"rows": [row for one in made for row in one.rows], "until": until}))


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
