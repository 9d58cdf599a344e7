"""Changes on which the members of a group must agree: who is stopped, who changes first, who follows.

A VRRP router whose members speak different versions, or use different passwords, has two holders. So the followers
stop, the leader changes, the followers change and start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hakit.agent.resources.base import GROUP_ATOMIC
from hakit.engine.steps import Standing, Step, mates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.components.base import RedundancyGroup
    from hakit.engine.plan import Change, HostPlan, SitePlan

    Rank = Mapping[str, tuple[int, ...]]


def must_agree(plan: HostPlan) -> frozenset[str]:
    """The components that bring a change on which the members of their groups must agree."""
    return frozenset(change.component for change in plan.changes if change.impact == GROUP_ATOMIC)


def torn(plan: SitePlan, groups: Iterable[RedundancyGroup]) -> dict[str, str]:
    """The hosts that can't be changed, and why: they must agree with others that this run can't change with them."""
    found: dict[str, str] = {}
    for group in groups:
        for host in group.hosts:
            if host not in plan.hosts or group.component not in must_agree(plan.hosts[host]):
                continue
            for mate in group.hosts:
                why = _left_behind(plan, mate, group.component)
                if mate != host and why:
                    found.setdefault(host, f"must change at the same time as {mate} ({group.name}), which {why}")
    return found


def _left_behind(plan: SitePlan, mate: str, component: str) -> str:
    if mate in plan.failed or mate in plan.unseen:
        return "can't be asked"
    if mate in plan.watched and component in must_agree(plan.watched[mate]):
        return "this run leaves out"
    if mate in plan.hosts and plan.hosts[mate].refused:
        return "refuses"
    return ""


@dataclass(frozen=True, slots=True)
class Together:
    """What is changed together: per host the components of such changes, the groups concerned, who leads in them."""

    changing: Mapping[str, HostPlan]
    components: Mapping[str, frozenset[str]]
    groups: tuple[RedundancyGroup, ...]
    leaders: frozenset[str]

    @classmethod
    def of(
        cls, changing: Mapping[str, HostPlan], groups: tuple[RedundancyGroup, ...], rank: Rank, standing: Standing
    ) -> Together:
        """Found in the plans; a member that only joins in (a new one, say) follows."""
        asking = {host: must_agree(plan) for host, plan in changing.items()}
        concerned = tuple(g for g in groups if any(g.component in asking.get(host, ()) for host in g.hosts))
        components: dict[str, set[str]] = {}
        for group in concerned:
            for host in group.hosts:
                if host in changing and any(change.component == group.component for change in changing[host].changes):
                    components.setdefault(host, set()).add(group.component)
        leaders = _leaders(concerned, [host for host in components if asking[host]], rank, standing)
        return cls(changing, {host: frozenset(names) for host, names in components.items()}, concerned, leaders)

    def without(self, plan: HostPlan) -> tuple[Change, ...]:
        """The changes of a host that nobody has to agree with."""
        mine = self.components.get(plan.host, frozenset())
        return tuple(change for change in plan.changes if change.component not in mine)

    def steps(self, others: Iterable[Step]) -> tuple[Step, ...]:
        """Stop the followers, change the leaders, change the followers; after those of `others` that matter here."""
        before = frozenset(step.name for step in others if self._comes_before(step))
        stops = {host: self._stop(host, before) for host in self.components if self._speaks(host)}
        return (*stops.values(), *(self._change(host, before, stops) for host in self.components))

    def _speaks(self, host: str) -> bool:
        """Whether a follower has to be silent while its leader changes."""
        follows = host not in self.leaders and bool(must_agree(self.changing[host]))
        return follows and any(group.unit for group in self._groups_of(host))

    def _stop(self, host: str, before: frozenset[str]) -> Step:
        unit = next(group.unit for group in self._groups_of(host) if group.unit)
        return Step(host, "stop", after=before, unit=unit, atomic=True)

    def _change(self, host: str, before: frozenset[str], stops: Mapping[str, Step]) -> Step:
        own = self.components[host]
        step = Step.of(host, (change for change in self.changing[host].changes if change.component in own))
        partners = mates(host, self.groups)
        if host in self.leaders:
            after = {stops[mate].name for mate in partners if mate in stops}
        else:
            after = {Step(mate, atomic=True).name for mate in partners & self.leaders}
            after |= {stops[host].name} if host in stops else set()
        return replace(step, atomic=True, gated=True, disrupts=False, after=before | after)

    def _groups_of(self, host: str) -> list[RedundancyGroup]:
        return [group for group in self.groups if host in group.hosts]

    def _comes_before(self, step: Step) -> bool:
        """A member's other changes, and whoever stops speaking as a member."""
        units = {f"unit:{group.unit}" for group in self.groups if group.unit}
        return step.host in self.components or not units.isdisjoint((*step.keys, *step.remove))


def _leaders(
    groups: tuple[RedundancyGroup, ...], hosts: Iterable[str], rank: Rank, standing: Standing
) -> frozenset[str]:
    """Who keeps serving while the others are stopped: one per group, as far as groups that overlap let it be.

    A host that serves comes before one that does not, one with more roles before one with fewer.
    """
    chosen: set[str] = set()
    for host in sorted(hosts, key=lambda host: (host not in standing.idle, rank[host]), reverse=True):
        if not chosen & mates(host, groups):
            chosen.add(host)
    return frozenset(chosen)
