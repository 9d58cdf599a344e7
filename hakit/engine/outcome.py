"""How a run ended, host by host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["changed", "same", "failed", "not started", "unreachable"]


@dataclass(frozen=True, slots=True)
class HostResult:
    """How a host ended: `changed` counts resources, `why` tells why it failed or was left alone.

    `untold` are hosts that helped it out of its duties and could not be told to help it back.
    """

    state: State
    changed: int = 0
    seconds: float = 0.0
    why: str = ""
    untold: tuple[str, ...] = ()

    def plus(self, other: HostResult) -> HostResult:
        """This and a later step of the same host as one: the worse state counts, then whether anything changed."""
        worse = max((self, other), key=lambda one: _WORST.index(one.state))
        return HostResult(worse.state, self.changed + other.changed, self.seconds + other.seconds, worse.why)


_WORST: tuple[State, ...] = ("same", "changed", "not started", "failed", "unreachable")


@dataclass(slots=True)
class Outcome:
    """How every host of a run ended; `stopped` when the operator ended it early."""

    hosts: dict[str, HostResult] = field(default_factory=dict)
    stopped: bool = False

    def add(self, host: str, result: HostResult) -> None:
        """Take the end of one step of a host."""
        self.hosts[host] = self.hosts[host].plus(result) if host in self.hosts else result

    def count(self, *states: State) -> int:
        """How many hosts ended in one of these states."""
        return sum(result.state in states for result in self.hosts.values())

    @property
    def good(self) -> bool:
        """Whether every host is as declared now."""
        return not self.stopped and self.count("failed", "not started", "unreachable") == 0
