"""PostgreSQL with streaming replication: servers that copy each other, and a role endpoint that says who leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.components.base import Component
from hakit.components.postgresql import check, decide, redundancy, resources
from hakit.components.postgresql.members import COMPONENT, settings_of
from hakit.components.postgresql.rules import RULES, UPHELD
from hakit.components.postgresql.settings import PostgresqlSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from pydantic import BaseModel

    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.agent.tasks import Task
    from hakit.components.base import Answer, Decision, Facts, HostContext, RedundancyGroup, Report, Withdrawal
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

__all__ = ["Postgresql"]


class Postgresql(Component):
    """Members of a cluster; who of them is primary is read and decided, never declared."""

    name = "postgresql"
    Settings: ClassVar[type[BaseModel]] = PostgresqlSettings
    rules = RULES
    upheld = UPHELD

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """Everything a member needs on its host."""
        return resources.resources(ctx)

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """Members that disagree, names that lead nowhere, parameters that the server would refuse."""
        return check.problems(site)

    def mounted(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """The mount point that its data are below."""
        del site
        mount = settings_of(host).data.mount
        return () if mount is None else ((str(mount), (COMPONENT, "data", "mount")),)

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        """The members of each cluster."""
        return redundancy.groups(site)

    def withdraw(self, site: Site, host: Host) -> Iterable[Withdrawal]:
        """How readers are sent elsewhere before a standby is changed."""
        return redundancy.withdrawals(site, host)

    def inspect(self, site: Site, host: Host) -> Mapping[str, Probe]:
        """What its role endpoint says."""
        del site
        return redundancy.inspect(host)

    def report(self, site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterable[Report]:
        """The member's role."""
        return redundancy.report(site, host, answers)

    def observe(self, site: Site, host: Host, facts: Facts) -> Task:
        """What state the member is in."""
        return decide.observe(site, host, facts)

    def decide(
        self, site: Site, facts: Mapping[str, Facts], observed: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Decision]:
        """Who makes the cluster, who copies from whom, who restarts first."""
        check.refuse_unknown(site, facts)
        return decide.decide(site, facts, observed)
