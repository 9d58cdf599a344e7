"""What the inventory says of a cluster, as far as its operators' commands need it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.components.postgresql.members import clusters, settings_of
from hakit.components.postgresql.settings import kibibytes
from hakit.errors import UsageError
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hakit.components.postgresql.settings import Fence
    from hakit.inventory.model import Site

_NAMES = re.compile(r"(?:(?P<method>any|first)\s+)?(?P<count>[0-9]+)\s*\((?P<list>.*)\)", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')
EVERYBODY = "*"
WEAK = ("off", "local")
"""The values of synchronous_commit with which no standby has a commit before it is acknowledged."""


@dataclass(frozen=True, slots=True)
class Synchrony:
    """For how many of which standbys a commit waits; `count` 0: for none."""

    count: int = 0
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, setting: str, commit: str = "on") -> Synchrony:
        """From synchronous_standby_names and synchronous_commit as a server has them (PostgreSQL manual, 20.6.2).

        `FIRST 1 (a, b)` and `ANY 1 (a, b)` promise the same when it is not known who was there: one of them has it.
        """
        if not setting.strip() or commit in WEAK:
            return cls()
        found = _NAMES.fullmatch(setting.strip())
        listed = found["list"] if found else setting
        names = tuple(quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(listed))
        return cls(int(found["count"]) if found else 1, names)

    def candidates(self, members: Collection[str], primary: str) -> tuple[str, ...]:
        """Who may have acknowledged a commit of `primary`: members, and names that are none's, each once.

        A member that left the inventory, or a receiver that was never in it, may be all that has a commit. PostgreSQL
        compares the names without regard to case (SyncRepGetStandbyPriority).
        """
        known = {one.lower(): one for one in members}
        listed = members if EVERYBODY in self.names else [known.get(one.lower(), one.lower()) for one in self.names]
        return tuple(one for one in dict.fromkeys(listed) if one != primary)


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster: its members in the order of the inventory, and what each may be.

    `voters` are asked by the boot guard, `promotable` may become the primary, `candidates` count for a commit.
    `upstreams` maps the members that the inventory has follow another one than the primary. `rate` is in KiB/s, 0 for
    no limit, `catch_up` in seconds.
    """

    name: str
    members: tuple[str, ...]
    voters: tuple[str, ...]
    promotable: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    synchrony: Synchrony = Synchrony()
    maker: str = ""
    upstreams: Mapping[str, str] = field(default_factory=dict)
    fences: Mapping[str, Fence] = field(default_factory=dict)
    rate: int = 0
    catch_up: float = 300.0

    def upstream_of(self, host: str, primary: str, absent: Collection[str] = ()) -> str:
        """Whom a member follows while `primary` leads: its declared upstream, unless that is absent or itself below."""
        upstream = self.upstreams.get(host, primary)
        seen, above = {host}, upstream
        while above != primary:
            if above in absent or above in seen or above not in self.members:
                return primary
            seen.add(above)
            above = self.upstreams.get(above, primary)
        return upstream

    def followers(self, host: str, primary: str, absent: Collection[str] = ()) -> tuple[str, ...]:
        """The members that follow `host` itself while `primary` leads."""
        others = [one for one in self.members if one not in (primary, host)]
        return tuple(one for one in others if self.upstream_of(one, primary, absent) == host)


def must_be_members(layout: Layout, hosts: Iterable[str]) -> None:
    """Raises UsageError for a host that is none of the cluster's."""
    for host in hosts:
        if host not in layout.members:
            raise UsageError(
                f"{host} is no member of {layout.name}{did_you_mean(host, layout.members)}",
                hint=f"its members are {', '.join(layout.members)}",
            )


def layout(site: Site, name: str) -> Layout:
    """The cluster of a name. Raises UsageError when the inventory has none."""
    known = clusters(site)
    if name not in known:
        near = did_you_mean(name, known) if known else ""
        hint = f"it has {', '.join(known)}" if known else "no host of it runs postgresql"
        raise UsageError(f"the inventory has no PostgreSQL cluster {name}{near}", hint=hint)
    cluster = known[name]
    settings = {host.name: settings_of(host) for host in cluster.hosts}
    rate = cluster.first.replication.rate
    return Layout(
        name,
        cluster.names,
        cluster.voters,
        cluster.promotable,
        cluster.candidates,
        Synchrony.parse(cluster.synchronous_standbys),
        cluster.maker,
        {host: str(one.upstream) for host, one in settings.items() if one.upstream},
        {host: one.fence for host, one in settings.items() if one.fence},
        kibibytes(str(rate)) if rate else 0,
        float(cluster.first.replication.catch_up),
    )
