"""keepalived: addresses that survive their host."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, ClassVar, cast

from hakit.agent.probes import Probe
from hakit.components.base import Component, RedundancyGroup, Serving, Wire
from hakit.components.keepalived import check, resources
from hakit.components.keepalived.routers import virtual_routers
from hakit.components.keepalived.rules import RULES, UPHELD
from hakit.components.keepalived.settings import KeepalivedSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext
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
                    hosts=tuple(member.host.name for member in router.members),
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

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        """The members of each instance, the backups first: disrupting them moves nothing."""
        for router in virtual_routers(site).values():
            hosts = tuple(member.host.name for member in reversed(router.members))
            probes = {name: (Probe(kind="unit", target=resources.UNIT),) for name in hosts}
            address = str(ipaddress.ip_interface(router.members[0].settings.addresses[0]).ip)
            holder = Probe(kind="address", target=address)
            yield RedundancyGroup(f"{self.name} {router.name}", self.name, hosts, probes, holder)

    def wire(self, site: Site, host: Host) -> Iterable[Wire]:
        """The adverts of each of its instances."""
        for router in virtual_routers(site).values():
            for member in router.members:
                if member.host.name == host.name:
                    yield Wire(
                        interface=str(member.settings.interface),
                        protocol="vrrp",
                        id=int(member.settings.virtual_router_id),
                        sources=tuple(one.source for one in router.members),
                        multicast=not member.settings.unicast,
                        path=(self.name, "instances", router.name),
                    )
