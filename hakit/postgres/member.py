"""What one member says of itself, as typed values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hakit.agent.postgres.control import ARCHIVE_RECOVERY
from hakit.agent.postgres.decision import UNDECIDED, Decision, from_wire
from hakit.agent.postgres.wal import number

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIMARY, STANDBY = "primary", "standby"
CLUSTER = "cluster"
"""What `look` calls a data directory with a cluster in it."""
CRAMPED = 16 << 20
"""Bytes for WAL with which a server is about to stop: PostgreSQL's segments are of 16 MB, unless asked otherwise."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A standby as its upstream sees it; `sync` is `sync`, `quorum`, `potential` or `async`."""

    name: str
    state: str
    sync: str

    @property
    def acknowledges(self) -> bool:
        """Whether commits count on it now."""
        return self.state == "streaming" and self.sync in ("sync", "quorum")


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot; `kept` is the WAL that it holds back, in bytes."""

    name: str
    active: bool
    kept: int
    status: str


@dataclass(frozen=True, slots=True)
class MemberState:
    """What `look` found on a member. LSNs are numbers; `lsn` is what it wrote, or what a standby has flushed."""

    host: str
    installed: bool = True
    data: str = CLUSTER
    system: str = ""
    timeline: int = 0
    state: str = ""
    checkpoint: int = 0
    signal: bool = False
    unstarted: bool = False
    running: bool = False
    role: str = ""
    lsn: int = 0
    replayed: int = 0
    upstream: str = ""
    receiving: str = ""
    delays: bool = False
    replicas: tuple[Replica, ...] = ()
    slots: tuple[Slot, ...] = ()
    pending: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    replayed_at: str = ""
    held: str = ""
    decision: Decision = UNDECIDED
    why: str = ""
    free: int | None = None

    @classmethod
    def of(cls, host: str, answer: Mapping[str, Any]) -> MemberState:
        """From what the task `look` answered; what it leaves out is empty."""
        text = {key: _text(answer.get(key)) for key in ("data", "system", "state", "role", "upstream", "held", "why")}
        receiving = answer.get("receiving") or {}
        return cls(
            host,
            bool(answer.get("installed")),
            timeline=_number(answer.get("timeline")),
            checkpoint=number(_text(answer.get("checkpoint"))),
            signal=bool(answer.get("standby")),
            unstarted=bool(answer.get("unstarted")),
            running=bool(answer.get("running")),
            lsn=number(_text(answer.get("lsn"))),
            replayed=number(_text(answer.get("replayed"))),
            receiving=_text(receiving.get("status")),
            delays=bool(answer.get("delays")),
            replicas=tuple(_replica(one) for one in answer.get("replicas") or ()),
            slots=tuple(_slot(one) for one in answer.get("slots") or ()),
            pending=tuple(map(str, answer.get("pending") or ())),
            settings={str(key): _text(value) for key, value in (answer.get("settings") or {}).items()},
            replayed_at=_text(answer.get("replayed_at")),
            decision=from_wire(answer.get("decision") or {}),
            free=_number(answer["free"]) if "free" in answer else None,
            **text,
        )

    @property
    def cramped(self) -> bool:
        """Whether there is no room left for WAL; unknown is no."""
        return self.data == CLUSTER and self.free is not None and self.free < CRAMPED

    @property
    def blank(self) -> bool:
        """Whether there is nothing of a cluster on it yet."""
        return not self.installed or self.data in ("absent", "empty", "")

    @property
    def leads(self) -> bool:
        """Whether it is a running primary."""
        return self.running and self.role == PRIMARY

    @property
    def follows(self) -> bool:
        """Whether it is a running standby."""
        return self.running and self.role == STANDBY

    @property
    def opaque(self) -> bool:
        """Whether it runs and may be a primary, but does not say: too busy, out of connections, starting or ending."""
        return self.running and not self.role and not self.signal

    @property
    def streams(self) -> bool:
        """Whether it receives what its upstream writes."""
        return self.follows and self.receiving == "streaming"

    @property
    def in_place(self) -> bool:
        """Whether it receives, or will when its delay is over: PostgreSQL starts no receiver before."""
        return self.streams or (self.follows and self.delays)

    @property
    def former(self) -> bool:
        """Whether it has the data of a primary, and is none: it would open for writes if its guard let it."""
        return self.data == CLUSTER and not self.signal and not self.leads

    @property
    def demoted(self) -> bool:
        """Whether a former primary was told to be a standby, and has not run as one yet."""
        stopped = self.data == CLUSTER and self.signal and not self.running
        # A standby leaves these words behind, whether it was shut down or crashed; a copy those of its source.
        return stopped and not self.unstarted and self.state not in ("shut down in recovery", ARCHIVE_RECOVERY)

    @property
    def clean(self) -> bool:
        """Whether a stopped primary was shut down in order."""
        return not self.running and self.state == "shut down"


def _replica(one: Mapping[str, Any]) -> Replica:
    return Replica(**{key: _text(one.get(key)) for key in ("name", "state", "sync")})


def _slot(one: Mapping[str, Any]) -> Slot:
    name, status = _text(one.get("name")), _text(one.get("status"))
    return Slot(name, bool(one.get("active")), _number(one.get("kept")), status)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> int:
    try:
        return int(str(value or 0))
    except ValueError:
        return 0
