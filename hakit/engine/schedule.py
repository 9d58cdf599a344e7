"""Who is changed after whom: a pure function from plans and redundancy groups to steps.

Hosts that stand in for each other and whose service would notice are changed one at a time, those that hold a role now
(a VIP, say) last. One ranking of all hosts serves all groups, so that a host in several groups can't wait in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hakit.components.base import RedundancyGroup
    from hakit.engine.plan import HostPlan


@dataclass(frozen=True, slots=True)
class Step:
    """One batch on one host, begun when the steps of the hosts in `after` have ended well."""

    host: str
    keys: tuple[str, ...]
    remove: tuple[str, ...]
    after: frozenset[str] = frozenset()


def gated(plan: HostPlan) -> bool:
    """Whether somebody may notice the change of this host."""
    return plan.impact != "none"


def schedule(
    plans: Iterable[HostPlan], groups: Iterable[RedundancyGroup], holding: Mapping[str, int]
) -> tuple[Step, ...]:
    """Steps in an order that works. `holding` counts the roles that a host holds now."""
    changing = {plan.host: plan for plan in plans if plan.changes and not plan.refused}
    groups = tuple(groups)
    rank = _ranking(changing, groups, holding)
    after: dict[str, set[str]] = {host: set() for host in changing}
    for group in groups:
        waiting = sorted((h for h in group.hosts if h in changing and gated(changing[h])), key=rank.__getitem__)
        for earlier, later in pairwise(waiting):
            after[later].add(earlier)
    return tuple(_step(changing[host], frozenset(after[host])) for host in sorted(changing, key=rank.__getitem__))


def mates(host: str, groups: Iterable[RedundancyGroup]) -> frozenset[str]:
    """All hosts that stand in for this one, in any group."""
    return frozenset(other for group in groups if host in group.hosts for other in group.hosts) - {host}


def _ranking(
    hosts: Collection[str], groups: tuple[RedundancyGroup, ...], holding: Mapping[str, int]
) -> dict[str, tuple[int, int, int]]:
    """Roles held now, then the groups' own order (backups first), then the order of the plans."""
    order: dict[str, int] = {}
    for group in groups:
        for place, host in enumerate(group.hosts):
            order[host] = order.get(host, 0) + place
    return {host: (holding.get(host, 0), order.get(host, 0), index) for index, host in enumerate(hosts)}


def _step(plan: HostPlan, after: frozenset[str]) -> Step:
    return Step(
        plan.host,
        tuple(change.key for change in plan.changes if change.kind != "remove"),
        tuple(change.key for change in plan.changes if change.kind == "remove"),
        after,
    )
