"""The rules about priorities and the weights that checks add to them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hakit.components.keepalived.routers import virtual_routers
from hakit.components.keepalived.settings import KeepalivedSettings
from hakit.lint.rule import Finding, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.inventory.model import Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

LOWEST, HIGHEST = 1, 254
"""keepalived clips an effective priority to this range (keepalived.conf(5), track files)."""


@dataclass(frozen=True, slots=True)
class _Tracker:
    """A check with a weight that a member's instance tracks; `path` is where its weight stands."""

    kind: str
    name: str
    weight: int
    path: Path

    @property
    def loss(self) -> int:
        """By how much a failure changes the distance to a member whose check succeeds.

        A negative weight is taken off on failure, a positive one is added on success (keepalived.conf(5)).
        """
        return abs(self.weight)


def _trackers(member: Member) -> Iterator[_Tracker]:
    settings = member.host.settings["keepalived"]
    assert isinstance(settings, KeepalivedSettings)  # noqa: S101 - narrows the type, the registry guarantees it
    for name in member.settings.track_scripts:
        if name in settings.scripts and settings.scripts[name].weight:
            weight = settings.scripts[name].weight
            yield _Tracker("check", name, weight, ("keepalived", "scripts", name, "weight"))
    for name in member.settings.track_files:
        if name in settings.files and settings.files[name].weight:
            yield _Tracker("file", name, settings.files[name].weight, ("keepalived", "files", name, "weight"))


@rule(
    "KA001",
    "error",
    reason="With nopreempt nobody takes over from a holder that is alive, however low its priority has fallen.",
    source="https://github.com/acassen/keepalived/issues/2599",
)
def weight_without_preemption(site: Site, components: Components) -> Iterator[Finding]:
    """Weighted checks of an instance that does not preempt."""
    del components
    for router in virtual_routers(site).values():
        for member in router.members:
            for tracker in _trackers(member) if not member.settings.preempt else ():
                message = (
                    f"{router.name} does not preempt, so a failed {tracker.kind} {tracker.name} lowers a priority that "
                    "nobody looks at: the addresses stay"
                )
                write = "weight: 0, which makes a failed check a fault, or  preempt: true"
                yield Finding(member.host, tracker.path, message, write=write)


@rule(
    "KA002",
    "error",
    reason="A failed check moves nothing unless its weight exceeds the distance to the next priority.",
    source="keepalived.conf(5), vrrp_script: weight",
)
def weight_too_small(site: Site, components: Components) -> Iterator[Finding]:
    """Weights that do not bring a member below the next one."""
    del components
    for router in virtual_routers(site).values():
        for member, following in pairwise(router.members):
            gap = member.priority - following.priority
            for tracker in _trackers(member) if member.settings.preempt else ():
                if tracker.loss <= gap:
                    yield _stays(router, member, following, tracker)


def _stays(router: VirtualRouter, member: Member, following: Member, tracker: _Tracker) -> Finding:
    lowered = member.priority - tracker.loss
    stands = "level with" if lowered == following.priority else "still above"
    enough = member.priority - router.members[-1].priority + 10
    sign = "-" if tracker.weight < 0 else ""
    return Finding(
        member.host,
        tracker.path,
        f"a failed {tracker.kind} {tracker.name} lowers {member.host.name} from {member.priority} to {lowered}, "
        f"{stands} {following.host.name} ({following.priority}): the addresses of {router.name} would stay on a host "
        "that can't serve",
        write=f"weight: {sign}{enough}   or weight: 0, which makes a failed check a fault",
    )


@rule(
    "KA008",
    "error",
    reason="Equal priorities are settled by the higher address, which nobody reads out of a configuration.",
    source="RFC 5798, 6.4.3; keepalived.conf(5), priority: all systems should have different priorities",
)
def priorities(site: Site, components: Components) -> Iterator[Finding]:
    """Equal priorities, weights that end in a tie or leave the range, sub-second adverts under VRRPv2."""
    del components
    for router in virtual_routers(site).values():
        yield from _equal(router)
        yield from _advert(router)
        for member in router.members:
            for tracker in _trackers(member) if member.settings.preempt else ():
                yield from _lands(router, member, tracker)


def _equal(router: VirtualRouter) -> Iterator[Finding]:
    for first, second in pairwise(router.members):
        if first.priority == second.priority:
            message = f"{first.host.name} and {second.host.name} both have priority {first.priority}: "
            message += "the higher address wins, and nobody reads it so"
            path = ("keepalived", "instances", router.name, "priority")
            yield Finding(second.host, path, message, write="leave priority out", severity="warning")


def _advert(router: VirtualRouter) -> Iterator[Finding]:
    for member in router.members:
        settings = member.settings
        path = ("keepalived", "instances", router.name, "advert_interval")
        if settings.version == 2 and settings.advert != int(settings.advert):  # noqa: PLR2004 - VRRP version
            message = f"VRRPv2 counts in whole seconds: {settings.advert:g}s is rounded"
            yield Finding(member.host, path, message, write="version: 3, or whole seconds", waivable=False)
        elif settings.version != 2 and settings.advert > V3_LONGEST:  # noqa: PLR2004 - VRRP version
            message = f"VRRPv3 adverts are at most {V3_LONGEST:g}s apart, not {settings.advert:g}s"
            yield Finding(member.host, path, message, write="a shorter interval", waivable=False)
        elif settings.version != 2 and abs(settings.advert * 100 - round(settings.advert * 100)) > ROUNDING:  # noqa: PLR2004 - VRRP version
            message = f"VRRPv3 counts in hundredths of a second: {settings.advert:g}s is rounded"
            yield Finding(member.host, path, message, write="a multiple of 10ms", waivable=False)


ROUNDING = 1e-6
"""Hundredths of a second that an interval may be off because it is held in seconds."""
V3_LONGEST = 40.95
"""Seconds: twelve bits of centiseconds (RFC 5798, 5.2.7)."""


def _lands(router: VirtualRouter, member: Member, tracker: _Tracker) -> Iterator[Finding]:
    """Where a check's weight takes a member: outside the range, or level with a member whose check succeeds."""
    bonus = max(tracker.weight, 0)
    reached = member.priority + tracker.weight
    if not LOWEST <= reached <= HIGHEST:
        message = (
            f"{tracker.kind} {tracker.name} takes {member.host.name} from {member.priority} to {reached}, which is "
            f"clipped to {LOWEST}-{HIGHEST}"
        )
        yield Finding(member.host, tracker.path, message, write="a smaller weight, or weight: 0")
        return
    failed = member.priority + min(tracker.weight, 0)
    below = [other for other in router.members if other.priority < member.priority]
    for other in below[1:]:
        if failed == other.priority + bonus:
            message = (
                f"a failed {tracker.kind} {tracker.name} brings {member.host.name} to {failed}, level with "
                f"{other.host.name}"
            )
            yield Finding(member.host, tracker.path, message, write="another weight, or weight: 0")


WEIGHT_RULES = (weight_without_preemption, weight_too_small, priorities)
