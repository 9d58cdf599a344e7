"""The rules about commits that wait for standbys: for how many, for whom, and what they then promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.postgresql.members import COMPONENT, clusters, settings_of
from hakit.components.postgresql.tuning import declared, where
from hakit.lint.rule import Finding, rule
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.components.postgresql.members import Cluster
    from hakit.inventory.model import Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MANUAL = "PostgreSQL documentation"
SETTING: Path = (COMPONENT, "synchronous")
COMMIT = "synchronous_commit"
_LOCAL = ("off", "local", "false", "no", "0")


@rule(
    "PG005",
    "error",
    reason="A commit that waits for standbys waits for ever while too few of them are there.",
    source=f"{MANUAL}, 27.2.8.3 (planning for high availability)",
)
def too_few_candidates(site: Site, components: Components) -> Iterator[Finding]:
    """As many standbys to wait for as there are, or more."""
    del components
    for cluster in clusters(site).values():
        synchronous = cluster.first.synchronous
        if synchronous is None or any(name not in cluster.names for name in cluster.candidates):
            continue
        count = synchronous.any or synchronous.first or 0
        left = min((len(cluster.counting(name)) for name in cluster.promotable), default=0)
        host, path = cluster.hosts[0], (*SETTING, "any" if synchronous.any else "first")
        if left < count:
            message = f"commits wait for {count}, but beside the primary only {left} can be left: they would never end"
            write = f"{path[-1]}: {left}, or more members" if left else "leave synchronous out, or more members"
            yield Finding(host, path, message, write=write, waivable=False)
        elif left == count == 1 and not synchronous.single:
            message = "there is one candidate beside the primary: while it is away, every commit waits"
            yield Finding(host, path, message, write="a third member, or  single: true  if that is what you want")
        elif left == count > 1:
            message = f"all {count} candidates beside the primary must be there, or every commit waits"
            yield Finding(host, path, message, write=f"{path[-1]}: {count - 1}", severity="warning")


@rule(
    "PG006",
    "error",
    reason="A name in synchronous_standby_names that no standby has is waited for in vain.",
    source=f"{MANUAL}, 20.6.2 synchronous_standby_names",
)
def unknown_candidate(site: Site, components: Components) -> Iterator[Finding]:
    """Candidates that are no members."""
    del components
    for cluster in clusters(site).values():
        synchronous = cluster.first.synchronous
        for place, name in enumerate(synchronous.standbys if synchronous else ()):
            if name not in cluster.names:
                near = did_you_mean(name, cluster.names)
                message = f"no member of {cluster.name} is called {name}{near}: no standby ever answers to that name"
                write = f"one of {', '.join(cluster.names)}"
                yield Finding(cluster.hosts[0], (*SETTING, "standbys", place), message, write=write)


@rule(
    "PG007",
    "error",
    reason="Whoever promises that no commit is lost must have commits wait until a standby has them on disk.",
    source=f"{MANUAL}, 20.5.1 synchronous_commit, table of its modes",
)
def promises_too_much(site: Site, components: Components) -> Iterator[Finding]:
    """Commits that wait for nobody, or not long enough, where none may be lost."""
    for cluster in clusters(site).values():
        yield from _weak_commits(cluster)
        yield from _promised(site, components, cluster)


def _weak_commits(cluster: Cluster) -> Iterator[Finding]:
    if cluster.first.synchronous is None:
        return
    write = "leave it out; synchronous: {commit: on}"
    remote = "a standby that only wrote a commit loses it with its power; commits are lost if both machines die"
    for host in cluster.hosts:
        for path, value in where(settings_of(host), COMMIT):
            if value is False or str(value).lower() in _LOCAL:
                message = (
                    "commits are acknowledged before a standby has them, though synchronous says that none is lost"
                )
                yield Finding(host, path, message, write=write)
            elif str(value).lower() == "remote_write":
                yield Finding(host, path, remote, write=write, severity="warning")
    if cluster.first.synchronous.commit == "remote_write":
        yield Finding(cluster.hosts[0], (*SETTING, "commit"), remote, write="commit: on", severity="warning")
    for name, role in cluster.first.roles.items():
        for key, value in role.settings.items():
            if key.lower() == COMMIT and (value is False or str(value).lower() in _LOCAL):
                message = f"what {name} commits may be lost with the primary, though synchronous promises that none is"
                path = (COMPONENT, "roles", name, "settings", key)
                yield Finding(cluster.hosts[0], path, message, write="leave it out", severity="warning")


def _promised(site: Site, components: Components, cluster: Cluster) -> Iterator[Finding]:
    """Services with `rpo: 0s` in front of a cluster whose commits wait for nobody."""
    commit = declared(cluster.first, COMMIT)
    if cluster.first.synchronous is not None and (commit is None or str(commit).lower() not in _LOCAL):
        return
    members = set(cluster.names)
    fronts = {tier.address for one in components.values() for tier in one.tiers(site) if members & set(tier.hosts)}
    for name, service in site.services.items():
        if service.rpo == 0 and service.address in fronts:
            message = f"nothing may be lost is promised, but commits of {cluster.name} wait for no standby"
            write = "synchronous: {any: 1}, or an rpo of some seconds"
            yield Finding(cluster.hosts[0], ("services", name, "rpo"), message, write=write)


COMMIT_RULES = (too_few_candidates, unknown_candidate, promises_too_much)
