"""Who is changed after whom: a pure function from plans, redundancy groups and their standing to steps.

Hosts that stand in for each other and whose service would notice are changed one at a time: those that do not serve
first, those that hold a role now (a VIP, say) last. One ranking of all hosts serves all groups, so that a host in
several groups can't wait in a circle. What components decided (who comes after whom, who is first) goes before that.
Where a host waits for others with a part of its changes alone, and nobody notices the rest, it goes in two halves.
"""

from __future__ import annotations

from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

from hakit.agent.resources.base import NONE
from hakit.engine.steps import Standing, Step, ranking
from hakit.engine.together import Together
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hakit.components.base import RedundancyGroup
    from hakit.engine.plan import HostPlan, SitePlan


def gated(plan: HostPlan) -> bool:
    """Whether somebody may notice the change of this host."""
    return plan.impact != NONE


def schedule(
    plans: Iterable[HostPlan],
    groups: Iterable[RedundancyGroup],
    standing: Standing | None = None,
    restore: Collection[str] = (),
) -> tuple[Step, ...]:
    """Steps in an order that works. `restore` are hosts that a dead run left out of service.

    Raises RefusedError when hosts would wait for each other.
    """
    standing = standing or Standing()
    changing = {plan.host: plan for plan in plans if plan.changes and not plan.refused}
    groups = tuple(groups)
    after = {host: frozenset(plan.after) & changing.keys() - {host} for host, plan in changing.items()}
    first = frozenset(host for host, plan in changing.items() if plan.first)
    rank = _in_turn(ranking(dict.fromkeys([*changing, *restore]), groups, standing, first), after)
    together = Together.of(changing, groups, rank, standing)
    alone = {host: changes for host, plan in changing.items() if (changes := together.without(plan))}
    divided = _divided(changing, groups, after, {*together.components, *restore})
    steps = [divided[host][1] if host in divided else Step.of(host, changes) for host, changes in alone.items()]
    steps += [Step(host, "restore", gated=True) for host in restore if host not in alone]
    ordered = one_at_a_time(steps, groups, rank, standing)
    firsts = [first for first, _ in divided.values()]
    return _after((*ordered, *firsts, *together.steps(ordered)), after)


def _divided(
    changing: Mapping[str, HostPlan],
    groups: Collection[RedundancyGroup],
    after: Mapping[str, Collection[str]],
    whole: Collection[str],
) -> dict[str, tuple[Step, Step]]:
    """The hosts that go in two halves, none of `whole`: what needs nobody to go before, and what waits for `after`.

    The first half passes no gate, so it is only what nobody notices; it starts no unit that a mate is to reload before
    (see `_starting`). A removal may have to come before the one half or after the other, so it keeps a host in one.
    """
    busy = [group for group in groups if any(host in changing and gated(changing[host]) for host in group.hosts)]
    units = {f"unit:{group.unit}" for group in busy if group.unit}
    found: dict[str, tuple[Step, Step]] = {}
    for host, plan in changing.items():
        before = [change for change in plan.changes if change.key not in plan.held]
        waiting = [change for change in plan.changes if change.key in plan.held]
        unnoticed = all(one.impact == NONE and one.kind != "remove" and one.key not in units for one in before)
        if after[host] and host not in whole and before and waiting and unnoticed:
            first = replace(Step.of(host, before), half="first")
            found[host] = first, replace(Step.of(host, waiting), half="second", after=frozenset({first.name}))
    return found


def blocked(plan: SitePlan, apart: Mapping[str, str]) -> dict[str, str]:
    """The hosts that can't be changed, and why: `apart`, and those whose turn comes after one that can't.

    Whom a run can't ask, refuses, or leaves out by its limits is not as declared when it ends.
    """
    found = dict(apart)
    waiting = {one.host: set(one.after) - {one.host} for one in plan.changing if one.after and not one.refused}
    before = -1
    while len(found) != before:
        before = len(found)
        for host, others in waiting.items():
            for other in sorted(others):
                if host not in found and (why := _undone(plan, other, found)):
                    found[host] = f"must be changed after {other}, which {why}"
    return found


def _undone(plan: SitePlan, host: str, apart: Mapping[str, str]) -> str:
    if host in apart:
        return "is not changed either"
    if host in plan.hosts:
        return "refuses" if plan.hosts[host].refused else ""
    if host in plan.watched:
        return "this run leaves out" if plan.watched[host].changes else ""
    return "can't be asked"


def _in_turn(rank: Mapping[str, tuple[int, ...]], after: Mapping[str, Collection[str]]) -> dict[str, tuple[int, ...]]:
    """The ranking again, with each host behind those whose turn comes before its own; else as it was."""
    followers: dict[str, list[str]] = {host: [] for host in rank}
    missing = {host: len(after.get(host, ())) for host in rank}
    for host, others in after.items():
        for other in others:
            followers[other].append(host)
    ready = [(place, host) for host, place in rank.items() if not missing[host]]
    heapify(ready)
    found: dict[str, tuple[int, ...]] = {}
    while ready:
        _, host = heappop(ready)
        found[host] = (len(found),)
        for follower in followers[host]:
            missing[follower] -= 1
            if not missing[follower]:
                heappush(ready, (rank[follower], follower))
    _refuse_circle(after)
    return found


def _after(steps: tuple[Step, ...], after: Mapping[str, Collection[str]]) -> tuple[Step, ...]:
    """The steps, each also after all steps of the hosts whose turn comes before its own; but first halves are not."""
    if not any(after.values()):
        return steps
    names = {host: frozenset(step.name for step in steps if step.host == host) for host in after}
    done = tuple(
        step
        if step.half == "first"
        else replace(step, after=step.after.union(*(names[other] for other in after.get(step.host, ()))))
        for step in steps
    )
    _refuse_circle({step.name: step.after for step in done})
    return done


def _refuse_circle(after: Mapping[str, Collection[str]]) -> None:
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        raise RefusedError(
            f"the changes wait for each other: {' before '.join(error.args[1])}",
            why="Each of these hosts would have to be changed before the next one; nothing was changed.",
            hint="make the changes in two runs: take one of them back in the inventory, apply, then make it again",
        ) from error


def one_at_a_time(
    steps: Iterable[Step],
    groups: Iterable[RedundancyGroup],
    rank: Mapping[str, tuple[int, ...]],
    standing: Standing,
) -> tuple[Step, ...]:
    """The steps, one per host, each gated one also after the one before it in each of its groups.

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
    return tuple(replace(step, after=step.after | after[step.host]) for step in by_host.values())


def _starting(group: RedundancyGroup, by_host: Mapping[str, Step]) -> tuple[list[str], set[str]]:
    """The members whose unit only starts, and the names of the steps in which another one's reloads.

    One that starts speaks the new configuration at once: the others have to have loaded it by then. So it is after a
    run that died among members which must agree, some stopped, some not reloaded yet.
    """
    concerned = [h for h in group.hosts if h in by_host and group.unit and f"unit:{group.unit}" in by_host[h].keys]
    starting = [host for host in concerned if not by_host[host].gated]
    return starting, {by_host[h].name for h in concerned if by_host[h].gated and not by_host[h].disrupts}
