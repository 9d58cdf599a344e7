"""Writes rows at a steady pace, from wherever it is told to, and tells afterwards which of them are there."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from hakit.drill.process import Measuring

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

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


class Writer(Measuring):
    """A client of several connections, each of which inserts a row every `interval` seconds.

    `enter` are the words before a command that make it run elsewhere. `conninfo` is libpq's; it reaches the program
    through its stdin, for it may hold a password. An insert without an answer after `timeout` seconds is given up as
    unknown. Entering the context waits for the first acknowledged row; `stop` ends it.
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
        first = json.dumps({"conninfo": conninfo, "table": table}) + "\n"
        unready = "the writing client ended before a row was acknowledged"
        super().__init__(enter, "writing.py", workers, interval, timeout, first=first, unready=unready)
        self._timeout = timeout

    def stop(self) -> Writing:
        """End it, and wait for what is on its way."""
        value = self._ended(3 * self._timeout + 10)
        return Writing(tuple(Row(*row) for row in value["rows"]), value["until"])
