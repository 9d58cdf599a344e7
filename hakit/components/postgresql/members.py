"""The clusters of a site: who belongs to each, who may lead, who counts for a commit. Derived once, for all hosts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from hakit.agent.postgres.place import Member, Place
from hakit.components.once import once_per_site
from hakit.components.postgresql.settings import PostgresqlSettings
from hakit.lint.rule import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.inventory.model import Host, Site

COMPONENT = "postgresql"
VERSIONS = {12: 15, 13: 17}
"""The PostgreSQL that a Debian release brings (packages.debian.org, postgresql)."""


def settings_of(host: Host) -> PostgresqlSettings:
    """The settings of a host that runs PostgreSQL."""
    return cast("PostgresqlSettings", host.settings[COMPONENT])


@dataclass(frozen=True, slots=True)
class Cluster:
    """The hosts that name the same cluster, in the order of the inventory."""

    name: str
    hosts: tuple[Host, ...]

    @property
    def first(self) -> PostgresqlSettings:
        """The settings of the first member: those of the cluster as a whole are the same on all (see check)."""
        return settings_of(self.hosts[0])

    @property
    def names(self) -> tuple[str, ...]:
        """The members by name."""
        return tuple(host.name for host in self.hosts)

    @property
    def maker(self) -> str:
        """The host on which the cluster is first made."""
        return str(self.first.primary)

    def host(self, name: str) -> Host | None:
        """The member of a name."""
        return next((host for host in self.hosts if host.name == name), None)

    def afar(self, host: Host) -> bool:
        """Whether a member stands on another site than the one on which the cluster is made."""
        maker = self.host(self.maker)
        return maker is not None and settings_of(host).site != settings_of(maker).site

    @property
    def promotable(self) -> tuple[str, ...]:
        """The members that may become the primary."""
        return tuple(host.name for host in self.hosts if may_lead(settings_of(host)))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The members whose word counts for a synchronous commit; empty where commits wait for nobody."""
        synchronous = self.first.synchronous
        if synchronous is None:
            return ()
        if synchronous.standbys:
            return tuple(map(str, synchronous.standbys))
        return tuple(host.name for host in self.hosts if not settings_of(host).delay and not self.afar(host))

    def counting(self, primary: str) -> tuple[str, ...]:
        """The candidates whose word reaches a primary: one that follows another standby tells nobody but that one."""
        following = {host.name: settings_of(host).upstream for host in self.hosts}
        return tuple(
            name for name in self.candidates if name != primary and str(following.get(name) or primary) == primary
        )

    @property
    def voters(self) -> tuple[str, ...]:
        """The members that are asked before a server opens for writes: all but those afar that are never promoted."""
        return tuple(host.name for host in self.hosts if may_lead(settings_of(host)) or not self.afar(host))

    @property
    def synchronous_standbys(self) -> str:
        """The value of synchronous_standby_names, the same on all members; each ignores its own name there."""
        synchronous = self.first.synchronous
        if synchronous is None:
            return ""
        method, count = ("ANY", synchronous.any) if synchronous.any else ("FIRST", synchronous.first)
        quoted = ", ".join('"{}"'.format(name.replace('"', '""')) for name in self.candidates)
        return f"{method} {count} ({quoted})"


def may_lead(settings: PostgresqlSettings) -> bool:
    """Whether a member may become the primary; a delayed one never does."""
    return settings.promotable and not settings.delay


@once_per_site
def clusters(site: Site) -> Mapping[str, Cluster]:
    """All clusters of the site by name, in the order in which hosts name them."""
    found: dict[str, list[Host]] = {}
    for host, settings in configured(site, COMPONENT, PostgresqlSettings):
        found.setdefault(str(settings.cluster), []).append(host)
    return {name: Cluster(name, tuple(hosts)) for name, hosts in found.items()}


def cluster_of(site: Site, host: Host) -> Cluster:
    """The cluster that a host is a member of."""
    return clusters(site)[str(settings_of(host).cluster)]


def place(site: Site, host: Host, release: int) -> Place:
    """Where the things of a host's cluster are, and who its peers are."""
    cluster, settings = cluster_of(site, host), settings_of(host)
    version = VERSIONS.get(release, VERSIONS[12])
    voters = cluster.voters
    members = tuple(Member(name=one.name, address=one.address, votes=one.name in voters) for one in cluster.hosts)
    return Place(
        version=version,
        cluster=cluster.name,
        host=host.name,
        data=str(settings.data.directory or f"/var/lib/postgresql/{version}/{cluster.name}"),
        port=int(settings.port),
        endpoint=int(settings.endpoint.port),
        members=members,
        allow=tuple(dict.fromkeys((*balancers(site, cluster), *map(str, settings.endpoint.allow)))),
    )


def balancers(site: Site, cluster: Cluster) -> tuple[str, ...]:
    """All addresses of the hosts that balance this cluster, in the order of the inventory."""
    found = [address for host in _balancing(site, cluster) for address in addresses(host)]
    return tuple(dict.fromkeys(found))


def addresses(host: Host) -> tuple[str, ...]:
    """The addresses that a host's connections may come from."""
    return (host.address, *(str(ipaddress.ip_interface(cidr).ip) for cidr in host.nics.values() if cidr))


def _balancing(site: Site, cluster: Cluster) -> Iterator[Host]:
    """The hosts with a pool that names the cluster, or one of its members.

    Components don't import each other: any component may have pools, in mappings whose values say whom they lead to.
    """
    for host in site.hosts.values():
        for name, settings in host.settings.items():
            if name != COMPONENT and any(_leads_to(site, cluster, pool) for pool in _pools(settings)):
                yield host
                break


def _pools(settings: object) -> Iterator[object]:
    for kind in ("backends", "listens"):
        pools = getattr(settings, kind, None)
        if isinstance(pools, dict):
            yield from pools.values()


def _leads_to(site: Site, cluster: Cluster, pool: object) -> bool:
    if getattr(pool, COMPONENT, None) is not None:
        return str(getattr(pool, COMPONENT)) == cluster.name
    group, servers = getattr(pool, "group", None), getattr(pool, "servers", None) or {}
    named = {host.name for host in site.members(str(group))} if group else set()
    return bool({*named, *map(str, servers)}.intersection(cluster.names))
