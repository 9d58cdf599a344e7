"""The site's VRRP instances: who is a member, in which order, with which priority. Derived once, for all hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.components.keepalived.settings import KeepalivedSettings
from hakit.components.once import once_per_site
from hakit.lint.rule import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.keepalived.settings import Instance
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

TOP_PRIORITY = 150
PRIORITY_STEP = 10
CHECK_WAIT = 0.5
"""Seconds that the check of a tracked component waits for an answer."""
SCRIPT_LATENCY = 1 + CHECK_WAIT
"""Seconds until that check has seen a hang: it runs each second, keepalived 2.2 knows no shorter interval."""


@dataclass(frozen=True, slots=True)
class Member:
    """A host's part in an instance; `source` is the address its adverts come from."""

    host: Host
    settings: Instance
    priority: int
    source: str


@dataclass(frozen=True, slots=True)
class VirtualRouter:
    """An instance with all its members, the preferred one first."""

    name: str
    members: tuple[Member, ...]

    @property
    def takeover(self) -> float:
        """Worst seconds from a failure to the next holder.

        A dead host: three adverts missed, then the skew time of the slowest member (RFC 5798, 6.1; RFC 3768 counts it
        in seconds). A hung service: its check, then the skew time, since the holder resigns.
        """
        worst = 0.0
        for member in self.members:
            unit = 1.0 if member.settings.version == 2 else member.settings.advert  # noqa: PLR2004 - VRRP version
            skew = (256 - member.priority) / 256 * unit
            hang = SCRIPT_LATENCY if member.settings.track else 0.0
            worst = max(worst, 3 * member.settings.advert + skew, hang + skew)
        return round(worst, 3)

    def member(self, host: Host) -> Member:
        """A host's part in it. Raises KeyError."""
        for member in self.members:
            if member.host.name == host.name:
                return member
        raise KeyError(host.name)


@once_per_site
def virtual_routers(site: Site) -> Mapping[str, VirtualRouter]:
    """All instances of the site by name, in the order in which hosts name them."""
    parts: dict[str, list[tuple[Host, Instance]]] = {}
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, instance in settings.instances.items():
            parts.setdefault(str(name), []).append((host, instance))
    return {name: VirtualRouter(name, _members(found)) for name, found in parts.items()}


def _members(found: list[tuple[Host, Instance]]) -> tuple[Member, ...]:
    # A stable sort: the preferred host first, all others in inventory order.
    ordered = sorted(found, key=lambda part: part[1].prefer != part[0].name)
    step = max(1, min(PRIORITY_STEP, (TOP_PRIORITY - 1) // max(1, len(ordered) - 1)))
    found_members = [
        Member(
            host=host,
            settings=instance,
            priority=instance.priority or max(1, TOP_PRIORITY - step * place),
            source=instance.source or host.address,
        )
        for place, (host, instance) in enumerate(ordered)
    ]
    return tuple(sorted(found_members, key=lambda member: -member.priority))


def members(site: Site) -> Iterator[tuple[VirtualRouter, Member]]:
    """Every member of every instance."""
    for router in virtual_routers(site).values():
        for member in router.members:
            yield router, member


def memberships(site: Site, host: Host) -> Iterator[tuple[VirtualRouter, Member]]:
    """The instances of a host, each with its part in it, in the order of its settings."""
    routers = virtual_routers(site)
    settings = host.settings.get("keepalived")
    if isinstance(settings, KeepalivedSettings):
        for name in settings.instances:
            yield routers[name], routers[name].member(host)


def instance_path(router: VirtualRouter, *keys: str | int) -> Path:
    """The path below `hakit` of an instance's setting."""
    return ("keepalived", "instances", router.name, *keys)
