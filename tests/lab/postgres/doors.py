"""Both balancers' write pools asked all the time, each on its own address: who takes writes, and on which timeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.lab.postgres.conftest import INVENTORY, SECRETS, Cluster

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.lab.conftest import LabFactory

PROGRAM = Path(__file__).with_name("knocking.py")
DOORS = {"lb1": "10.78.0.11", "lb2": "10.78.0.12"}
PORT = 6432
INTERVAL, PATIENCE = 0.05, 1.0
FRONTEND = f'      orders-door: {{mode: tcp, bind: ["*:{PORT}"], backend: orders}}\n'
"""A way to the same pool that does not move with the address."""


def make(lab_factory: LabFactory, folder: Path) -> Cluster:
    """A new cluster whose balancers can each be asked by itself; its inventory is written into a folder first."""
    made = Cluster(lab_factory(inventory(folder)))
    made.run("apply", "--yes", "--no-diff", timeout=600)
    made.settled()
    return made


def inventory(folder: Path) -> Path:
    """The inventory with that way on both balancers, in a folder."""
    shutil.copytree(INVENTORY, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".hakit"))
    file = folder / "group_vars" / "balancers.yml"
    before, head, after = file.read_text(encoding="utf-8").partition("    frontends:\n")
    file.write_text(before + head + FRONTEND + after, encoding="utf-8")
    return folder


class Knock(NamedTuple):
    """One row over one new connection; `server` and `timeline` are of who acknowledged it."""

    id: str
    door: str
    begun: float
    ended: float
    outcome: str
    server: str
    timeline: int
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of all knocks; `until` is when they ended, in monotonic seconds."""

    knocks: tuple[Knock, ...]
    until: float

    @property
    def acknowledged(self) -> list[Knock]:
        """Those that were, in order."""
        return sorted((one for one in self.knocks if one.outcome == "acknowledged"), key=lambda one: one.ended)

    @property
    def turns(self) -> tuple[tuple[str, int], ...]:
        """Server and timeline of those that took writes, in turns."""
        found = [(one.server, one.timeline) for one in self.acknowledged]
        return tuple(one for place, one in enumerate(found) if place == 0 or found[place - 1] != one)

    def between(self, begin: float, end: float) -> list[Knock]:
        """The acknowledged ones that lie within a time wholly."""
        return [one for one in self.acknowledged if begin <= one.begun and one.ended <= end]

    def rivals(self) -> list[str]:
        """Signs of two primaries at once: a timeline of two servers, or an old one written after a newer one was."""
        servers: dict[int, set[str]] = {}
        first: dict[int, float] = {}
        for one in self.acknowledged:
            servers.setdefault(one.timeline, set()).add(one.server)
            first.setdefault(one.timeline, one.ended)
        found = [f"timeline {line}: {sorted(names)}" for line, names in servers.items() if len(names) > 1]
        late = [
            f"{one.door} led to {one.server} on timeline {one.timeline} after a newer one was written"
            for one in self.acknowledged
            if any(one.timeline < line and one.begun > at for line, at in first.items())
        ]
        return found + late

    def standbys(self) -> list[Knock]:
        """The knocks that were led to a server that takes no writes."""
        return [one for one in self.knocks if one.outcome == "standby"]

    def judge(self, there: Collection[str]) -> tuple[list[Knock], list[str]]:
        """What was acknowledged and is not there; what is there although it was refused, or nobody sent it."""
        present, known = set(there), {one.id: one.outcome for one in self.knocks}
        lost = [one for one in self.acknowledged if one.id not in present]
        return lost, sorted(name for name in present if known.get(name, "failed") in ("failed", "standby"))


class Doors:
    """Knocks at one balancer after the other, 20 times a second, from entering the context until `stop`."""

    def __init__(self, cluster: Cluster, table: str) -> None:
        password = SECRETS["HAKIT_SECRET_ORDERS"]
        words = f"port={PORT} user=orders password={password} dbname=orders connect_timeout=2 sslmode=disable"
        self._first = {"table": table, "doors": {name: f"host={one} {words}" for name, one in DOORS.items()}}
        self._command = [*cluster.lab.lab.enter(), sys.executable, "-I", *map(str, (PROGRAM, INTERVAL, PATIENCE))]
        self._cluster = cluster
        self._table = table
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._first) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process as process:  # which waits for its end
                process.kill()

    def stop(self) -> Seen:
        """End it, and wait for what is on its way."""
        assert self._process is not None
        out, _ = self._process.communicate(timeout=4 * PATIENCE + 10)
        value = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        return Seen(tuple(Knock(*one) for one in value["knocks"]), value["until"])

    def check(self, seen: Seen) -> None:
        """Nothing that was acknowledged is missing, nobody was led to a standby, there was one primary at a time."""
        lost, unexpected = seen.judge([row[0] for row in self._cluster.ask(f"SELECT id FROM {self._table}")])  # noqa: S608 - our own name
        assert lost == []
        assert unexpected == []
        assert seen.rivals() == []
        assert seen.standbys() == []
