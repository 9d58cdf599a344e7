"""raid: arrays of disks, what stands on them, and who is told when a disk dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.components.base import Component
from hakit.components.raid import check, resources
from hakit.components.raid.model import NAME, mounts
from hakit.components.raid.rules import RULES, UPHELD
from hakit.components.raid.settings import RaidSettings
from hakit.components.raid.watching import probes, reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.components.base import Answer, HostContext, Report
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

__all__ = ["Raid"]


class Raid(Component):
    """Arrays, volumes, file systems and mounts; the monitor, the scrub and the timeouts of disks."""

    name = NAME
    Settings: ClassVar[type[BaseModel]] = RaidSettings
    packages = ("mdadm",)
    storage = True
    rules = RULES
    upheld = UPHELD

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """The arrays, what is below and what stands on them."""
        return resources.resources(ctx)

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """Arrays that can't be."""
        return check.problems(site)

    def mounts(self, site: Site, host: Host) -> Iterable[str]:
        """The mount points of its file systems."""
        return mounts(site).get(host.name, {})

    def sound(self, site: Site, host: Host) -> Iterable[Probe]:
        """Whether each array has all its members."""
        return probes(site, host).values()

    def inspect(self, site: Site, host: Host) -> Mapping[str, Probe]:
        """The state of each array."""
        return probes(site, host)

    def report(self, site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterable[Report]:
        """What each array's state means."""
        return reports(site, host, answers)
