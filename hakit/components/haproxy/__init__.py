"""HAProxy: load balancers that hand requests to servers that work."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.components.base import Component, Health
from hakit.components.haproxy import check, drain, redundancy, resources, servers
from hakit.components.haproxy.paths import HEALTH_PATH, UNIT
from hakit.components.haproxy.rules import RULES, UPHELD
from hakit.components.haproxy.settings import HaproxySettings
from hakit.components.haproxy.view import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.components.base import Answer, HostContext, RedundancyGroup, Report, Tier, Withdrawal
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

    def withdraw(self, site: Site, host: Host) -> Iterable[Withdrawal]:
        """How the balancers are told to do without a server. A balancer itself gives up its addresses, not its work."""
        return drain.withdrawals(site, host)

    def inspect(self, site: Site, host: Host) -> Mapping[str, Probe]:  # noqa: ARG002  the interface knows the site too
        """What it knows of its servers."""
        return servers.inspect(host)

    def report(self, site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterable[Report]:  # noqa: ARG002  as above
        """How many servers of each pool are up."""
        return servers.report(host, answers)
