"""The primary moves, and then dies, while clients write; in the end every acknowledged row is counted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import click
from psycopg.conninfo import make_conninfo

from hakit.drill.database import Database
from hakit.drill.pgbench import Benched, Books, Pgbench
from hakit.drill.writer import Verdict, Writer, Writing
from hakit.errors import HakitError
from hakit.present.terminal import paint
from scripts.demo.stage import INVENTORY, FailedError, Stage, hakit, heading, wait_until

CLUSTER, SERVICE, PORT = "main", "orders", 5432
AT = ("-i", str(INVENTORY))
STILL = 1.5
"""Seconds of undisturbed writes before and after, which show that the pause between them is one."""


@dataclass(frozen=True)
class Result:
    """What became of the rows of one client. `recovered`: committed, though the client heard no answer."""

    client: str
    ok: int
    lost: int
    recovered: int
    unexpected: int

    @classmethod
    def of_writer(cls, client: str, verdict: Verdict) -> Result:
        """A writer's: it knows each row by an id of its own making."""
        return cls(client, verdict.ok, len(verdict.lost), verdict.recovered, len(verdict.unexpected))

    @classmethod
    def of_pgbench(cls, told: Benched, books: Books) -> Result:
        """pgbench's: it counts its transactions, and the table has a row of each."""
        lost, unexpected = books.lost(told), books.unexpected(told)
        return cls("pgbench", told.done - lost, lost, max(0, books.rows - told.done) - unexpected, unexpected)


class Drill:
    """Clients that write through the virtual address of the database."""

    def __init__(self, stage: Stage, database: Database, conninfo: str) -> None:
        self._stage = stage
        self._database = database
        self._conninfo = conninfo
        self._written: dict[str, Writing] = {}

    def switch_over(self) -> None:
        """Move the primary in order while the clients write."""
        heading("Move the primary to another host, under load")
        with self._writer("switchover") as writer:
            time.sleep(STILL)
            hakit("postgres", "switchover", *AT, CLUSTER, "--yes")
            time.sleep(STILL)
            self.take("switchover", writer.stop())

    def fail_over(self) -> str:
        """Pull the primary's power while the clients write, and name another one; who was the primary."""
        heading("Pull the power of the primary, under load")
        primary = str(status()["primary"])
        with self._writer("failover") as writer:
            time.sleep(STILL)
            hakit("lab", "power", *AT, "pull", primary)
            hakit("postgres", "failover", *AT, CLUSTER, "--fenced", primary, "--yes")
            wait_until(self._writable, f"{SERVICE} takes writes")
            time.sleep(STILL)
            self.take("failover", writer.stop())
        return primary

    def take_back(self, host: str) -> None:
        """Have the old primary follow the new one, while pgbench goes on."""
        heading("Give the old primary its power back")
        hakit("lab", "power", *AT, "on", host)
        hakit("postgres", "status", *AT, CLUSTER, codes=(1,))
        hakit("postgres", "rejoin", *AT, CLUSTER, host)
        wait_until(lambda: status()["state"] == "healthy", f"{CLUSTER} is healthy")
        hakit("postgres", "status", *AT, CLUSTER)

    def take(self, name: str, written: Writing) -> None:
        """Keep what a writer was told, to be compared in the end, and say it."""
        self._written[name] = written
        counts = {outcome: written.counts.get(outcome, 0) for outcome in ("acknowledged", "failed", "unknown")}
        click.echo(
            f"{' → '.join(written.turns)}: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}, "
            + paint(f"longest pause {written.longest_pause:.2f} s", bold=True)
        )

    def count(self, told: Benched, books: Books) -> None:
        """Compare what the clients were told with what is there. Raises FailedError when a commit is missing."""
        heading("Is every acknowledged row there?")
        results = [Result.of_writer(name, one.judge(self._rows(name))) for name, one in self._written.items()]
        results.append(Result.of_pgbench(told, books))
        click.echo(f"{'':<12}{'ok':>8}{'lost':>8}{'recovered':>12}{'unexpected':>12}")
        for one in results:
            click.echo(f"{one.client:<12}{one.ok:>8}{one.lost:>8}{one.recovered:>12}{one.unexpected:>12}")
        same = "agree" if books.balanced else "DIFFER"
        click.echo(f"pgbench's sums of accounts, branches, tellers and history {same}.")
        if not books.balanced or any(one.lost or one.unexpected for one in results):
            raise FailedError("the database is not what its clients were told")
        click.echo(paint(f"All {sum(one.ok for one in results)} acknowledged commits are there.", "green", bold=True))

    def _writer(self, name: str) -> Writer:
        self._database.ask(f"DROP TABLE IF EXISTS {table(name)}")
        click.echo("Four clients insert a row each 50 ms, ids of their own making, and pgbench writes beside them.")
        return Writer(self._stage.lab.enter(), self._conninfo, table=table(name))

    def _rows(self, name: str) -> set[str]:
        return {row[0] for row in self._database.ask(f"SELECT id FROM {table(name)}")}  # noqa: S608 - our own name

    def _writable(self) -> bool:
        try:
            return self._database.ask("SELECT pg_is_in_recovery()") == [["f"]]
        except HakitError:
            return False


def table(name: str) -> str:
    """The table of a writer."""
    return f"demo_{name}"


def status() -> dict[str, Any]:
    """How the cluster is, as programs read it."""
    command = [sys.executable, "-m", "hakit", "postgres", "status", *AT, CLUSTER, "--json"]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    try:
        (found,) = json.loads(done.stdout)
    except ValueError:
        raise FailedError(f"hakit postgres status says nothing: {done.stderr}") from None
    state: dict[str, Any] = found
    return state


def primary_moves_and_dies(stage: Stage) -> None:
    """A switchover, a failover and a return, with clients that write all the time."""
    heading("Fill the database, and write through its address")
    settings: dict[str, Any] = {
        "host": str(stage.site.services[SERVICE].address),
        "port": PORT,
        "user": SERVICE,
        "password": stage.site.secrets.get(SERVICE),
        "dbname": SERVICE,
        "connect_timeout": 2,
    }
    with Database(stage.lab.enter(), **settings) as database:
        drill = Drill(stage, database, make_conninfo(**settings))
        bench = Pgbench(database)
        bench.fill()
        click.echo("pgbench has its tables, and commits from now on as fast as it can.")
        with bench:
            drill.switch_over()
            dead = drill.fail_over()
            drill.take_back(dead)
            told = bench.stop()
        drill.count(told, bench.books())
