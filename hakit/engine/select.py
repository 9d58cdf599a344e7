"""Which hosts a command means: names, groups and globs; a pattern that matches nothing is an error."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hakit.errors import UsageError
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hakit.components.base import Component
    from hakit.inventory.model import Site


def select(site: Site, patterns: Sequence[str], option: str = "--limit ") -> tuple[str, ...]:
    """Host names in inventory order. No pattern means all hosts; `!pattern` excludes.

    `option` is how the user gave the patterns, for messages. Raises UsageError.
    """
    wanted = [part.strip() for pattern in patterns for part in pattern.split(",") if part.strip()]
    if patterns and not wanted:
        raise UsageError("--limit is empty", hint="name hosts, groups or globs, or leave --limit out")
    chosen = set(site.hosts) if all(pattern.startswith("!") for pattern in wanted) else set()
    for pattern in wanted:
        if not pattern.startswith("!"):
            chosen |= _matching(site, pattern, option)
    for pattern in wanted:
        if pattern.startswith("!"):
            chosen -= _matching(site, pattern[1:], option)
    if not site.hosts:
        raise UsageError(f"{site.source}: the inventory has no hosts")
    if not chosen:
        raise UsageError(f"--limit {','.join(wanted)} leaves no host")
    return tuple(name for name in site.hosts if name in chosen)


def watched(site: Site, components: Mapping[str, Component], hosts: Collection[str]) -> tuple[str, ...]:
    """The hosts beside these that a run over these has to know of: who stands in for them, looks at them, or helps.

    Empty when all hosts are chosen anyway.
    """
    if len(hosts) == len(site.hosts):
        return ()
    needed: set[str] = set()
    for component in components.values():
        for group in component.groups(site):
            if not set(hosts).isdisjoint(group.hosts):
                needed.update(group.hosts)
                needed.update(probe.seen_from for host in group.hosts for probe in group.asked(host))
                needed.update(probe.seen_from for probe in group.service)
        for host in hosts:
            for duty in component.withdraw(site, site.hosts[host]):
                needed.update(order.host for order in (*duty.out, *duty.back))
    return tuple(name for name in site.hosts if name in needed and name not in hosts)


def select_components(known: Collection[str], wanted: Sequence[str]) -> frozenset[str] | None:
    """The components a command is limited to, None for all. Raises UsageError for an unknown one."""
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"no such component: {name}{did_you_mean(name, known)}", hint=f"there are: {', '.join(known)}"
            )
    return frozenset(wanted) or None


def _matching(site: Site, pattern: str, option: str) -> set[str]:
    hosts = {name for name in site.hosts if fnmatchcase(name, pattern)}
    for group in site.groups:
        if fnmatchcase(group, pattern):
            hosts.update(site.groups[group].hosts)
    if pattern == "all":
        hosts = set(site.hosts)
    if not hosts and pattern in site.groups:
        raise UsageError(f"{option}{pattern}: the group has no hosts")
    if not hosts:
        known = [*site.hosts, *site.groups]
        raise UsageError(
            f"{option}{pattern} matches no host and no group{did_you_mean(pattern, known)}",
            hint="hakit inventory  lists them",
        )
    return hosts
