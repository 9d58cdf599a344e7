"""Writes rows at a steady pace, from wherever it is told to, and tells afterwards which of them are there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from hakit.errors import HakitError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PROGRAM = Path(__file__).with_name("writing.py")
Outcome = Literal["acknowledged", "failed", "unknown"]


class Row(NamedTuple):
    """One row that was sent, or was to be: when, in monotonic seconds, and what became of it as the client knows.

    `text` is the server that acknowledged it, or why none did.
    """

    id: str
    begun: float
    ended: float
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is in the table, against what the client was told.

    `ok`: acknowledged and there. `lost`: acknowledged and not there. `recovered`: unknown and there. `unexpected`:
    there although it failed, or although nobody sent it.
    """

    ok: int
    lost: tuple[str, ...]
    recovered: int
    unexpected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Writing:
    """What a writer was told; `until` is when it stopped, in monotonic seconds."""

    rows: tuple[Row, ...]
    until: float

    @property
    def counts(self) -> dict[str, int]:
        """How many rows had each outcome."""
        return dict(Counter(row.outcome for row in self.rows))

    @property
    def acknowledged(self) -> list[Row]:
        """The rows that a server acknowledged, in the order in which it did."""
        return sorted((row for row in self.rows if row.outcome == "acknowledged"), key=lambda row: row.ended)

    @property
    def longest_pause(self) -> float:
        """The longest time without an acknowledged row, in seconds, until the end."""
        times = [row.ended for row in self.acknowledged]
        return max((after - before for before, after in pairwise([*times, max(self.until, *times[-1:])])), default=0.0)

    @property
    def turns(self) -> tuple[str, ...]:
        """The servers that acknowledged, in turns: `(db1, db2)` after one switchover."""
        servers = [row.text for row in self.acknowledged]
        return tuple(server for place, server in enumerate(servers) if place == 0 or servers[place - 1] != server)

    def judge(self, there: Collection[str]) -> Verdict:
        """Compare with the ids that are in the table now."""
        present, known = set(there), {row.id: row.outcome for row in self.rows}
        acknowledged = {name for name, outcome in known.items() if outcome == "acknowledged"}
        return Verdict(
            ok=len(acknowledged & present),
            lost=tuple(sorted(acknowledged - present)),
            recovered=sum(known.get(name) == "unknown" for name in present),
            unexpected=tuple(sorted(name for name in present if known.get(name, "failed") == "failed")),
        )


class Writer:
    """A client of several connections, each of which inserts a row every `interval` seconds.

    `enter` are the words before a command that make it run elsewhere (in a lab's network, say). `conninfo` is libpq's;
    it reaches the program through its stdin, for it may hold a password. An insert without an answer after `timeout`
    seconds is given up as unknown. Entering the context waits for the first acknowledged row; `stop` ends it.
    """

    def __init__(
        self,
        enter: Sequence[str],
        conninfo: str,
        *,
        table: str = "hakit_drill",
        workers: int = 4,
        interval: float = 0.05,
        timeout: float = 1.0,
    ) -> None:
        words = (str(word) for word in (PROGRAM, workers, interval, timeout))
        self._command = [*enter, sys.executable, "-I", *words]
        self._first = json.dumps({"conninfo": conninfo, "table": table}) + "\n"
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None  # noqa: S101  stdin=PIPE
        assert self._process.stdout is not None  # noqa: S101  stdout=PIPE
        self._process.stdin.write(self._first)
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            self.__exit__()
            raise HakitError("the writing client ended before a row was acknowledged")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process as process:  # which waits for its end
                process.kill()

    def stop(self) -> Writing:
        """End it, and wait for what is on its way."""
        assert self._process is not None  # noqa: S101  entered
        out, _ = self._process.communicate(timeout=3 * self._timeout + 10)
        value = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        return Writing(tuple(Row(*row) for row in value["rows"]), value["until"])
