"""A client that writes rows, each over a new connection, through several balancers; a program of its own, with psycopg.

    python knocking.py INTERVAL TIMEOUT

Its first line of stdin is a JSON object: `doors`, the conninfo of each balancer by its name, and `table`, which it
makes through the first where it is missing. Every INTERVAL seconds it knocks at one door after the other, whether the
last knock was answered or not, unless many of them hang. Prints `ready` after the first acknowledged row. Ends when its
stdin is closed and every knock has ended; then prints one JSON value, in monotonic seconds:

    {"knocks": [[id, door, begun, ended, outcome, server, timeline, text], …], "until": time}

The outcome is `acknowledged`, `standby` (who was reached takes no writes), `failed`, or `unknown` (no answer came).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from itertools import cycle
from typing import Any

import psycopg
from psycopg import sql

READ_ONLY = "25006"  # read_only_sql_transaction
MOST = 16  # knocks at one door that hang
INSERT = (
    "INSERT INTO {} (id) VALUES (%s) RETURNING current_setting('cluster_name'), "
    "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
)


class Door:
    """One balancer, and the knocks at it."""

    def __init__(self, name: str, conninfo: str, table: str, patience: float) -> None:
        self._name = name
        self._conninfo = conninfo
        self._insert = sql.SQL(INSERT).format(sql.Identifier(table))
        self._patience = patience
        self.knocks: list[tuple[Any, ...]] = []
        self.hanging: set[asyncio.Task[None]] = set()

    def knock(self) -> None:
        """Begin a knock."""
        if len(self.hanging) < MOST:
            task = asyncio.create_task(self._knock())
            self.hanging.add(task)
            task.add_done_callback(self.hanging.discard)

    async def _knock(self) -> None:
        name, begun = str(uuid.uuid4()), time.monotonic()
        found = await self._attempt(name)
        self.knocks.append((name, self._name, begun, time.monotonic(), *found))

    async def _attempt(self, name: str) -> tuple[str, str, int, str]:
        try:
            connecting = psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
            connection = await asyncio.wait_for(connecting, self._patience)
        except (psycopg.Error, OSError, TimeoutError) as error:
            return "failed", "", 0, _reason(error)
        try:
            cursor = await asyncio.wait_for(connection.execute(self._insert, (name,)), self._patience)
            row = await cursor.fetchone()
        except (psycopg.Error, OSError, TimeoutError) as error:
            state = (isinstance(error, psycopg.Error) and error.sqlstate) or ""
            if state == READ_ONLY:
                return "standby", "", 0, _reason(error)
            return ("failed" if state and not state.startswith("57P") else "unknown"), "", 0, _reason(error)
        finally:
            connection.pgconn.finish()
        return ("acknowledged", str(row[0]), int(row[1]), "") if row else ("unknown", "", 0, "no row came back")


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "timeout" if isinstance(error, TimeoutError) else type(error).__name__


async def _knock(doors: list[Door], interval: float, ended: asyncio.Event) -> None:
    following, told = time.monotonic(), False
    for door in cycle(doors):
        if ended.is_set():
            return
        door.knock()
        if not told and any(knock[4] == "acknowledged" for one in doors for knock in one.knocks):
            told = True
            say("ready")
        following = max(following + interval, time.monotonic())
        try:
            await asyncio.wait_for(ended.wait(), max(0.0, following - time.monotonic()))
        except TimeoutError:
            continue


async def run(interval: float, patience: float) -> None:
    """Knock until stdin ends, then report."""
    asked = json.loads(await asyncio.to_thread(sys.stdin.readline))
    doors = [Door(name, conninfo, asked["table"], patience) for name, conninfo in asked["doors"].items()]
    text = sql.SQL("CREATE TABLE IF NOT EXISTS {} (id uuid PRIMARY KEY)").format(sql.Identifier(asked["table"]))
    async with await psycopg.AsyncConnection.connect(
        next(iter(asked["doors"].values())), autocommit=True
    ) as connection:
        await connection.execute(text)
    ended = asyncio.Event()
    task = asyncio.create_task(_knock(doors, interval, ended))
    await asyncio.to_thread(sys.stdin.read)
    until = time.monotonic()
    ended.set()
    await task
    await asyncio.gather(*(one for door in doors for one in door.hanging))
    say(json.dumps({"knocks": [knock for door in doors for knock in door.knocks], "until": until}))


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(float(sys.argv[1]), float(sys.argv[2])))
