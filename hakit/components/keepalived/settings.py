"""Settings of keepalived: addresses that move between hosts by VRRP."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hakit.inventory.types import (
    AbsPath,
    Cidr,
    Duration,
    Interface,
    Ip,
    Line,
    Name,
    Secret,
    Settings,
    UserName,
    expected,
)

MAX_WEIGHT = 253
"""keepalived.conf(5): weights of trackers lie in -253..253."""


def _within(low: float, high: float, what: str) -> AfterValidator:
    def check(value: float) -> float:
        if not low <= value <= high:
            raise expected(what, f"{value:g}s")
        return value

    return AfterValidator(check)


def _milliseconds(value: float) -> float:
    if abs(value * 1000 - round(value * 1000)) > ROUNDING:
        raise expected("whole milliseconds", f"{value:g}s")
    return value


ROUNDING = 1e-6
"""Milliseconds that a duration may be off because it is held in seconds."""


def _whole_seconds(value: float) -> float:
    if value != int(value):
        raise expected("whole seconds", f"{value:g}s")
    return value


_UNBALANCED = re.compile(r"[^']*'(?:[^']*'[^']*')*[^']*")
_REPLACED = re.compile(r"\$\{?_[A-Z]|~(?:SEQ|LST)")


def _command(value: str) -> str:
    if not value.startswith("/") or set(value) & set('"\\') or _UNBALANCED.fullmatch(value):
        raise expected("a command by its absolute path, without '\"' or a backslash, each \"'\" closed", value)
    if found := _REPLACED.search(value):
        raise expected(f"a command without {found[0]}, which keepalived would replace", value)
    return value


def plain_word(text: str) -> str:
    """A word that keepalived takes as it is: it has no quoting that holds for all. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9%&()*+,./:;<=>?@\[\]^_|-]+", text) or text.startswith("@"):
        raise ValueError("holds more than letters, digits and % & ( ) * + , . / : ; < = > ? [ ] ^ _ | -")
    return text


_WHOLE = AfterValidator(_whole_seconds)
AdvertInterval = Annotated[Duration, _within(0.01, 255, "an interval from 10ms to 40s (VRRPv3) or 1s to 255s (VRRPv2)")]
Delay = Annotated[Duration, _within(0, 1000, "a delay from 0 to 1000s"), AfterValidator(_milliseconds)]
ScriptTime = Annotated[Duration, _within(1, 3600, "1s to 1h: keepalived 2.2 knows no shorter ones"), _WHOLE]
GarpDelay = Annotated[Duration, _within(0, 4294, "0 to 4294s: keepalived counts microseconds in 32 bits"), _WHOLE]
GarpTime = Annotated[Duration, _within(0, 86400, "0 to 1d"), _WHOLE]
ScriptCommand = Annotated[Line, AfterValidator(_command)]
Weight = Annotated[int, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]
Count = Annotated[int, Field(ge=1, le=1000)]


class Script(Settings):
    """A check of your own; exit 0 means healthy."""

    command: ScriptCommand = Field(description="The command with its arguments, by its absolute path; no quotes.")
    interval: ScriptTime = Field(default=1.0, description="Time between two runs, in whole seconds.")
    timeout: ScriptTime = Field(default=1.0, description="After this a run counts as failed, in whole seconds.")
    fall: Count = Field(default=1, description="Failures in a row that make it fail.")
    rise: Count = Field(default=2, description="Successes in a row that make it healthy again.")
    weight: Weight = Field(
        default=0,
        description="0: a failure makes the host give up the address. Otherwise the priority changes by this much.",
    )
    user: UserName = Field(default="keepalived_script", description="The user it runs as.")


class TrackFile(Settings):
    """A file with a number in it; with weight 0 any number but 0 means failed."""

    path: AbsPath = Field(description="The file; its folder must exist when keepalived starts.")
    weight: Weight = Field(
        default=0,
        description="0: a number but 0 makes the host give up the address. Otherwise number x weight is added to the "
        "priority.",
    )


class Garp(Settings):
    """Gratuitous ARP (and its IPv6 counterpart): how neighbours and switches learn that an address moved."""

    repeat: Annotated[int, Field(ge=1, le=100)] = Field(default=5, description="Packets sent at once on a takeover.")
    delay: GarpDelay = Field(default=1.0, description="Time until they are sent once more, in whole seconds.")
    refresh: GarpTime = Field(default=60.0, description="Sent again at this interval, whole seconds; 0: never.")


class Instance(Settings):
    """One VRRP instance: addresses that one of its members holds."""

    interface: Interface = Field(description="The NIC that carries the addresses and the adverts.")
    virtual_router_id: Annotated[int, Field(ge=1, le=255)] = Field(
        description="Tells instances on one network segment apart (1-255)."
    )
    addresses: Annotated[tuple[Cidr, ...], Field(min_length=1)] = Field(
        description="The addresses with their prefix lengths. The first stands in the adverts."
    )
    prefer: Name | None = Field(
        default=None, description="The host that holds the addresses while all is well; by default the first member."
    )
    version: Literal[2, 3] = Field(default=3, description="The VRRP version. 2 is slower and IPv4 only.")
    advert_interval: AdvertInterval | None = Field(
        default=None,
        description="Time between adverts; a takeover takes up to four of them. By default 100ms, with VRRPv2 1s.",
    )
    unicast: bool = Field(
        default=True, description="Adverts go to the members' addresses; false: by multicast, to whoever listens."
    )
    source: Ip | None = Field(
        default=None, description="The address adverts come from, on this host; by default the host's address."
    )
    priority: Annotated[int, Field(ge=1, le=254)] | None = Field(
        default=None, description="This host's priority; by default derived: 150 for the preferred host, then 140, …"
    )
    preempt: bool = Field(default=True, description="The preferred host takes the addresses back when well again.")
    preempt_delay: Delay = Field(
        default=5.0, description="How long it waits before it takes them back. Does not delay a takeover in need."
    )
    track: tuple[Name, ...] = Field(
        default=(),
        description="Components of the same host that must serve, or it gives up the addresses (such as haproxy).",
    )
    track_interfaces: tuple[Interface, ...] = Field(
        default=(), description="Further NICs whose loss makes the host give up the addresses."
    )
    track_scripts: tuple[Name, ...] = Field(default=(), description="Names of `scripts`.")
    track_files: tuple[Name, ...] = Field(default=(), description="Names of `files`.")
    auth: Secret | None = Field(
        default=None, description="VRRPv2 only: a password of at most 8 characters, sent in clear text."
    )
    garp: Garp = Field(default_factory=Garp, description="Gratuitous ARP after a takeover.")
    extra: tuple[Line, ...] = Field(default=(), description="Lines added to the instance as they are.")

    @property
    def advert(self) -> float:
        """Seconds between adverts."""
        if self.advert_interval is not None:
            return self.advert_interval
        return 1.0 if self.version == 2 else 0.1  # noqa: PLR2004 - VRRPv2 counts in seconds (RFC 3768, 5.3.7)


class SyncGroup(Settings):
    """Instances that move together."""

    instances: Annotated[tuple[Name, ...], Field(min_length=2)] = Field(description="Names of `instances`.")
    tracking_weight: bool = Field(
        default=False, description="Let weighted trackers work (otherwise keepalived ignores them in a sync group)."
    )
    extra: tuple[Line, ...] = Field(default=(), description="Lines added to the group as they are.")


class KeepalivedSettings(Settings):
    """Addresses that survive their host: VRRP by keepalived.

    A host runs every instance that its settings contain; the hosts that have an instance of the same name are its
    members. Peers, priorities and checks are derived from that.
    """

    instances: dict[Name, Instance] = Field(default_factory=dict, description="VRRP instances by name.")
    scripts: dict[Name, Script] = Field(default_factory=dict, description="Checks of your own, by name.")
    files: dict[Name, TrackFile] = Field(default_factory=dict, description="Files to watch, by name.")
    sync_groups: dict[Name, SyncGroup] = Field(default_factory=dict, description="Instances that move together.")
    startup_delay: Delay = Field(
        default=0.0, description="Time after its start before VRRP begins; for NICs that are slow to forward."
    )
    nice: Annotated[int, Field(ge=-20, le=19)] = Field(
        default=-20, description="The VRRP process's nice value, so that a busy host still sends its adverts in time."
    )
    extra: tuple[Line, ...] = Field(default=(), description="Lines added to global_defs as they are.")
