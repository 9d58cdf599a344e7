"""HAProxy: load balancers that hand requests to servers that work."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.components.base import Component, Health
from hakit.components.haproxy import check, redundancy, resources
from hakit.components.haproxy.resources import HEALTH_PATH, UNIT
from hakit.components.haproxy.rules import RULES, UPHELD
from hakit.components.haproxy.settings import HaproxySettings
from hakit.components.haproxy.view import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext, RedundancyGroup, Tier
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

__all__ = ["Haproxy"]


class Haproxy(Component):
    """HTTP and TCP balancing; each pool is a redundancy group, and so are the balancers of one frontend."""

    name = "haproxy"
    Settings: ClassVar[type[BaseModel]] = HaproxySettings
    packages = ("haproxy",)
    rules = RULES
    upheld = UPHELD

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """Everything HAProxy needs on a host."""
        return resources.resources(ctx)

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """Names that lead nowhere, settings that exclude each other."""
        return check.problems(site)

    def health(self, site: Site, host: Host) -> Health | None:  # noqa: ARG002  the interface knows the site too
        """A frontend of its own on the loopback: its worker must run to answer."""
        return Health(unit=UNIT, url=f"http://127.0.0.1:{settings_of(host).health_port}{HEALTH_PATH}")

    def tiers(self, site: Site) -> Iterable[Tier]:
        """The servers behind each address that is bound."""
        return redundancy.tiers(site)

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        """The servers of each pool, the balancers of each address."""
        return redundancy.groups(site)
