"""Everything that happens during a run, as values. Only `cli` and `present` turn them into output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hakit.engine.plan import Rejection
    from hakit.errors import HakitError


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on or to a host."""

    host: str


@dataclass(frozen=True, slots=True)
class Reached(Event):
    """The agent on the host answered; `taken_over` tells whose dead run's lock was taken over."""

    seconds: float
    taken_over: str | None = None


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """The host said what differs."""

    changes: int


@dataclass(frozen=True, slots=True)
class Unreachable(Event):
    """The host can't be worked with; the others go on."""

    error: HakitError


@dataclass(frozen=True, slots=True)
class Broken(Event):
    """Work on the host ended with an error: the host was lost, say, or what it holds could not be handed over."""

    error: HakitError


@dataclass(frozen=True, slots=True)
class Started(Event):
    """Work on the host begins: so many resources are to change."""

    total: int


@dataclass(frozen=True, slots=True)
class Begun(Event):
    """A resource is being worked on."""

    key: str


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """Something worth knowing while it lasts, such as a wait."""

    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Done(Event):
    """A resource is as declared now."""

    key: str
    changed: bool
    summary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A resource could not be made as declared."""

    key: str
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Skipped(Event):
    """A resource was left alone because one that it needs failed."""

    key: str
    because: str


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """Work on the host has ended."""

    changed: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NotStarted(Event):
    """The host was left alone, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """The host was taken out of its duties before it is disrupted; `what` names them."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Returned(Event):
    """The host is back in its duties."""


@dataclass(frozen=True, slots=True)
class Overridden(Event):
    """The gate said no, and the operator overruled it for `reason`."""

    why: str
    reason: str
