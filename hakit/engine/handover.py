"""Roles that are handed over before their holder is out of service: who leads a database cluster, say.

What moves by itself (a virtual address) needs none of this. How a role is moved is given to the run: the engine knows
no component by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hakit.engine import events
from hakit.errors import HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.engine.run import Run


@dataclass(frozen=True, slots=True)
class Handover:
    """What `host` holds (`leads cluster main`), and who is to take it over.

    `look` is the command that says where things stand, and how to go on, where it was cut.
    """

    host: str
    what: str
    to: str
    look: str = ""

    def __str__(self) -> str:
        """In words: `db1 leads cluster main: switched over to db2 first`."""
        return f"{self.host} {self.text}"

    @property
    def text(self) -> str:
        """The same without who it is about."""
        return f"{self.what}: switched over to {self.to} first"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is to be handed over in a run; and by host why that can't be, as things are."""

    handovers: tuple[Handover, ...] = ()
    refused: Mapping[str, RefusedError] = field(default_factory=dict)


class Mover(Protocol):
    """Moves one role between hosts that stand in for each other."""

    def ends(self, key: str) -> bool:
        """Whether to stop this resource of a host ends the role that the host holds."""

    def brace(self, run: Run, host: str) -> None:
        """Have what a host holds stop as quickly as it can, where it is about to; nothing where it holds nothing.

        Raises RefusedError, AgentError, ConnectError.
        """

    def foresee(self, run: Run, host: str, unfit: Mapping[str, str], preferred: str) -> Handover | None:
        """What a host has to hand over before it is out, and to whom; None when it holds nothing. Changes nothing.

        `unfit` are hosts that must not get it, and why; `preferred` gets it if it can. Raises RefusedError when
        nobody can take it over, AgentError, ConnectError.
        """

    def hand_over(self, run: Run, handover: Handover) -> str:
        """Do it; what the new holder does now, in words. Safe to repeat.

        Raises RefusedError, LockedError, AgentError, ConnectError.
        """


Due = tuple[tuple[Mover, Handover], ...]


class Handovers:
    """What the hosts of a run have to hand over. `unfit` are hosts that an operator takes out of service, and why."""

    def __init__(self, run: Run, unfit: Mapping[str, str]) -> None:
        self._run = run
        self._unfit = dict(unfit)
        self._foreseen: dict[tuple[str, Mover], str] = {}

    def of(self, host: str) -> Due:
        """What a host has to hand over now. Raises RefusedError when nobody can take it over."""
        found = []
        for mover in self._run.scope.movers:
            preferred = self._foreseen.get((host, mover), "")
            handover = mover.foresee(self._run, host, self._unfit, preferred)
            if handover is not None:
                self._foreseen[host, mover] = handover.to
                found.append((mover, handover))
        return tuple(found)

    def ending(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Those of some resources whose stop ends a role."""
        return tuple(key for key in keys if any(mover.ends(key) for mover in self._run.scope.movers))

    def foreseen(self, hosts: Iterable[str]) -> Foreseen:
        """What these hosts have to hand over as things are, and for whom nobody can take it over."""
        found: list[Handover] = []
        refused: dict[str, RefusedError] = {}
        for host in hosts:
            try:
                found += [handover for _, handover in self.of(host)]
            except RefusedError as error:
                refused[host] = error
        return Foreseen(tuple(found), refused)

    def brace(self, host: str) -> None:
        """Prepare a host for a stop of what it holds, which nobody takes over. What can't be done is only told."""
        for mover in self._run.scope.movers:
            try:
                mover.brace(self._run, host)
            except HakitError as error:
                self._run.sink(events.Noted(host, f"its stop may take longer: {error.message}"))

    def carry_out(self, host: str, due: Due) -> None:
        """Hand over what a host holds. Raises RefusedError, LockedError, AgentError, ConnectError."""
        for mover, handover in due:
            self._run.sink(events.Noted(host, handover.text))
            self._run.sink(events.Noted(handover.to, mover.hand_over(self._run, handover)))
