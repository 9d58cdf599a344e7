"""Who is changed after whom: a pure function from plans, redundancy groups and their standing to steps.

Hosts that stand in for each other and whose service would notice are changed one at a time: those that do not serve
first, those that hold a role now (a VIP, say) last. One ranking of all hosts serves all groups, so that a host in
several groups can't wait in a circle.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hakit.engine.steps import Standing, Step, ranking
from hakit.engine.together import Together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hakit.components.base import RedundancyGroup
    from hakit.engine.plan import HostPlan


def gated(plan: HostPlan) -> bool:
    """Whether somebody may notice the change of this host."""
    return plan.impact != "none"


def schedule(
    plans: Iterable[HostPlan],
    groups: Iterable[RedundancyGroup],
    standing: Standing | None = None,
    restore: Collection[str] = (),
) -> tuple[Step, ...]:
    """Steps in an order that works. `restore` are hosts that a dead run left out of service."""
    standing = standing or Standing()
    changing = {plan.host: plan for plan in plans if plan.changes and not plan.refused}
    groups = tuple(groups)
    rank = ranking(dict.fromkeys([*changing, *restore]), groups, standing)
    together = Together.of(changing, groups, rank, standing)
    alone = {host: changes for host, plan in changing.items() if (changes := together.without(plan))}
    steps = [Step.of(host, changes) for host, changes in alone.items()]
    steps += [Step(host, "restore", gated=True) for host in restore if host not in alone]
    ordered = one_at_a_time(steps, groups, rank, standing)
    return (*ordered, *together.steps(ordered))


def one_at_a_time(
    steps: Iterable[Step],
    groups: Iterable[RedundancyGroup],
    rank: Mapping[str, tuple[int, ...]],
    standing: Standing,
) -> tuple[Step, ...]:
    """The steps, one per host, each gated one after the one before it in each of its groups.

    Who is disrupted is not disrupted together with those that help it out and back.
    """
    by_host = {step.host: step for step in sorted(steps, key=lambda step: rank[step.host])}
    after: dict[str, set[str]] = {host: set() for host in by_host}
    for group in groups:
        waiting = sorted((h for h in group.hosts if h in by_host and by_host[h].gated), key=rank.__getitem__)
        for earlier, later in pairwise(waiting):
            after[later].add(by_host[earlier].name)
    for group in groups:
        starting, running = _starting(group, by_host)
        for host in starting:
            after[host] |= running
    disrupted = {host for host, step in by_host.items() if step.disrupts}
    for host in disrupted:
        for helper in (standing.helpers.get(host, frozenset()) & disrupted) - {host}:
            earlier, later = sorted((host, helper), key=rank.__getitem__)
            after[later].add(by_host[earlier].name)
    return tuple(replace(step, after=frozenset(after[step.host])) for step in by_host.values())


def _starting(group: RedundancyGroup, by_host: Mapping[str, Step]) -> tuple[list[str], set[str]]:
    """The members whose unit only starts, and the names of the steps in which another one's reloads.

    One that starts speaks the new configuration at once: the others have to have loaded it by then. So it is after a
    run that died among members which must agree, some stopped, some not reloaded yet.
    """
    concerned = [h for h in group.hosts if h in by_host and group.unit and f"unit:{group.unit}" in by_host[h].keys]
    starting = [host for host in concerned if not by_host[host].gated]
    return starting, {by_host[h].name for h in concerned if by_host[h].gated and not by_host[h].disrupts}
