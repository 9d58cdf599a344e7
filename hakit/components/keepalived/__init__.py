"""keepalived: addresses that survive their host."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, ClassVar, cast

from hakit.components.base import Component, Serving, Wire
from hakit.components.keepalived import check, member, resources
from hakit.components.keepalived.paths import UNIT
from hakit.components.keepalived.routers import memberships, virtual_routers
from hakit.components.keepalived.rules import RULES, UPHELD
from hakit.components.keepalived.settings import KeepalivedSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.components.base import Answer, HostContext, RedundancyGroup, Report, Withdrawal
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

__all__ = ["Keepalived"]


class Keepalived(Component):
    """VRRP by keepalived; each instance is a redundancy group."""

    name = "keepalived"
    Settings: ClassVar[type[BaseModel]] = KeepalivedSettings
    packages = ("keepalived",)
    rules = RULES
    upheld = UPHELD

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """Everything keepalived needs on a host."""
        return resources.resources(ctx)

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """Names that lead nowhere, addresses that can't go together."""
        return check.problems(site)

    def serves(self, site: Site) -> Iterable[Serving]:
        """Every address of every instance."""
        for router in virtual_routers(site).values():
            for place, address in enumerate(router.members[0].settings.addresses):
                interface = ipaddress.ip_interface(address)
                yield Serving(
                    address=str(interface.ip),
                    hosts=tuple(one.host.name for one in router.members),
                    takeover=router.takeover,
                    path=(self.name, "instances", router.name, "addresses", place),
                    network=str(interface.network),
                )

    def needs(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """What its instances track."""
        del site
        settings = cast("KeepalivedSettings", host.settings[self.name])
        for name, instance in settings.instances.items():
            for place, component in enumerate(instance.track):
                yield component, (self.name, "instances", name, "track", place)

    def interfaces(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """The links that its instances use and track."""
        del site
        settings = cast("KeepalivedSettings", host.settings[self.name])
        for name, instance in settings.instances.items():
            yield instance.interface, (self.name, "instances", name, "interface")
            for place, interface in enumerate(instance.track_interfaces):
                yield interface, (self.name, "instances", name, "track_interfaces", place)

    def holds(self, site: Site, host: Host) -> Iterable[str]:
        """Its unit: keepalived 2.2 stays BACKUP for ever on a link that was made anew. A reload is all that it needs.

        Source: https://github.com/acassen/keepalived/issues/2190, #1847 and #2564; `dynamic_interfaces` was tried with
        2.2.7, and did not help.
        """
        del site, host
        yield UNIT

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        """The members of each instance."""
        return member.groups(site)

    def withdraw(self, site: Site, host: Host) -> Iterable[Withdrawal]:
        """How the host gives up its addresses, and takes none."""
        return member.withdrawals(site, host)

    def inspect(self, site: Site, host: Host) -> Mapping[str, Probe]:
        """Its unit, its states, its addresses."""
        return member.inspect(site, host)

    def report(self, site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterable[Report]:
        """The VRRP state of each instance."""
        return member.report(site, host, answers)

    def wire(self, site: Site, host: Host) -> Iterable[Wire]:
        """The adverts of each of its instances."""
        for router, own in memberships(site, host):
            yield Wire(
                interface=str(own.settings.interface),
                protocol="vrrp",
                id=int(own.settings.virtual_router_id),
                sources=tuple(one.source for one in router.members),
                multicast=not own.settings.unicast,
                path=(self.name, "instances", router.name),
            )
