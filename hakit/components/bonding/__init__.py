"""bonding: the whole network of a host, changed as one and confirmed, or put back."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, ClassVar

from hakit.components.base import Component
from hakit.components.bonding import check, resources
from hakit.components.bonding.model import networks
from hakit.components.bonding.rules import RULES, UPHELD
from hakit.components.bonding.settings import BondingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

__all__ = ["Bonding"]


class Bonding(Component):
    """NICs, bonds, VLANs, bridges, addresses, routes and the resolver, for whatever brings the network up."""

    name = "bonding"
    Settings: ClassVar[type[BaseModel]] = BondingSettings
    network = True
    rules = RULES
    upheld = UPHELD

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """The host's network, and the packages that it needs."""
        return resources.resources(ctx)

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """Links and addresses that can't be."""
        return check.problems(site)

    def addresses(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """The static addresses of a host."""
        net = networks(site).get(host.name)
        for link in net or ():
            for place, text in enumerate(link.settings.addresses):
                yield str(ipaddress.ip_interface(text).ip), (*link.path, "addresses", place)

    def links(self, site: Site, host: Host) -> Mapping[str, str] | None:
        """Every link of a host; a port can't be used by itself."""
        net = networks(site).get(host.name)
        if net is None:
            return None
        found = {"lo": ""}
        for link in net:
            found[link.declared] = f"a member of {link.master}, which takes all its packets" if link.master else ""
        return found
