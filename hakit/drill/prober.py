"""Asks a service at a steady pace, from wherever it is told to, and measures the gaps between answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hakit.drill.process import Measuring

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDING = 10.0
"""Seconds that the client has to end its last requests, each of which takes 0.3 s at most."""


@dataclass(frozen=True, slots=True)
class Probing:
    """What a prober saw: times in seconds, with who answered (first line of the body) or why nobody did.

    `until` is when it stopped asking. There is one success at least: nothing is measured before it.
    """

    successes: tuple[tuple[float, str], ...]
    failures: tuple[tuple[float, str], ...]
    until: float

    @property
    def longest_gap(self) -> float:
        """The longest time between two successes, or after the last one until the end, in seconds."""
        times = [at for at, _ in self.successes]
        return max(
            (after - before for before, after in pairwise([*times, max([self.until, *times[-1:]])])), default=0.0
        )

    @property
    def ended_well(self) -> bool:
        """Whether it was answered at the end."""
        return self.until - self.successes[-1][0] < 0.2  # noqa: PLR2004  ten requests


class Prober(Measuring):
    """A client that opens a new connection to a service every 20 ms, with a timeout of 0.3 s.

    `enter` are the words before a command that make it run elsewhere. Entering the context waits for the first success;
    `stop` ends it and returns what it saw.
    """

    def __init__(self, enter: Sequence[str], address: str, port: int = 80, path: str = "/") -> None:
        unready = "the measuring client ended before it was answered"
        super().__init__(enter, "client.py", address, port, path, unready=unready)

    def run_for(self, seconds: float) -> None:
        """Let it ask: a wait that is for no state, since what may be missing is looked for."""
        time.sleep(seconds)

    def stop(self) -> Probing:
        """End it."""
        value = self._ended(ENDING)
        return Probing(
            successes=tuple((at, text) for at, text in value["successes"]),
            failures=tuple((at, text) for at, text in value["failures"]),
            until=value["until"],
        )
