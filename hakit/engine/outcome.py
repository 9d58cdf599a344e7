"""How a run ended, host by host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["changed", "same", "failed", "not started", "unreachable"]


@dataclass(frozen=True, slots=True)
class NetworkEnd:
    """How a change of a host's network ended, `seconds` after it began.

    `confirmed`: it is kept. `returned`: the old one is back; `why`, and the host's own `log` of it. `lost`: the host
    was not reached again. `open`: the operator left before it was settled, and the host settles it by itself.
    """

    how: Literal["confirmed", "returned", "lost", "open"]
    seconds: float
    why: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of a batch, or several: how many resources changed and failed, and why the rest was left."""

    changed: int = 0
    failed: int = 0
    why: str = ""
    network: NetworkEnd | None = None


@dataclass(frozen=True, slots=True)
class HostResult:
    """How a host ended: `changed` counts resources, `why` tells why it failed or was left alone.

    `network` tells how the change of its network ended, where there was one.
    `untold` are hosts that helped it out of its duties and could not be told to help it back.
    """

    state: State
    changed: int = 0
    seconds: float = 0.0
    why: str = ""
    network: NetworkEnd | None = None
    untold: tuple[str, ...] = ()

    def plus(self, other: HostResult) -> HostResult:
        """This and a later step of the same host as one: the worse state counts, then whether anything changed."""
        worse = max((self, other), key=lambda one: _WORST.index(one.state))
        seconds, network = self.seconds + other.seconds, other.network or self.network
        return HostResult(
            worse.state, self.changed + other.changed, seconds, worse.why, network, self.untold + other.untold
        )


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
