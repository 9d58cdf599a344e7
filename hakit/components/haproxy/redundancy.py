"""Who stands in for whom behind and beside HAProxy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.probes import Probe
from hakit.components.base import RedundancyGroup, Tier
from hakit.components.haproxy import clients, clusters, view
from hakit.components.haproxy.paths import ADMIN_SOCKET, ALL_SERVERS, HEALTH_PATH
from hakit.components.haproxy.values import bind_address, is_ip
from hakit.components.once import once_per_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.inventory.model import Host, Site


@dataclass(frozen=True, slots=True)
class Health:
    """Where the balancers beside a host ask whether its HAProxy works: its address, and theirs.

    `address` is empty where they can't: there are none, or a host is known by name, or the port is taken.
    """

    address: str = ""
    peers: tuple[str, ...] = ()


def groups(site: Site) -> Iterator[RedundancyGroup]:
    """The servers of each pool that are hosts of the inventory, and the balancers that bind the same address."""
    yield from _pools(site)
    yield from _balancers(site)


def health(site: Site, host: Host) -> Health:
    """Who may ask a host's HAProxy whether it works: whoever shares an address, or a pool's work, with it."""
    if len(view.sharing(site)[host.name]) < 2 or not view.is_specific(host.address) or _taken(host):  # noqa: PLR2004
        return Health()
    names = view.sharing(site)[host.name] | _fellows(site).get(host.name, frozenset())
    peers = (other.address for name, other in site.hosts.items() if name in names)
    return Health(host.address, tuple(dict.fromkeys(address for address in peers if is_ip(address))))


def _taken(host: Host) -> bool:
    """Whether HAProxy listens on the host's health port for something else."""
    settings = view.settings_of(host)
    binds = [bind for _, _, front in view.fronts(settings) for bind in front.bind]
    binds += [settings.stats.bind] if settings.stats else []
    places = {bind_address(bind) for bind in binds} | {(host.address, settings.peers_port)}
    return any(port == settings.health_port and not view.is_loopback(address) for address, port in places)


@once_per_site
def _fellows(site: Site) -> Mapping[str, frozenset[str]]:
    """The hosts that are servers of a pool together with a host, by its name."""
    found: dict[str, set[str]] = {}
    for _, _, pool in view.every_pool(site):
        names = {server.name for server in pool.servers if server.name in site.hosts}
        for name in names:
            found.setdefault(name, set()).update(names)
    return {name: frozenset(others) for name, others in found.items()}


def tiers(site: Site) -> Iterator[Tier]:
    """The servers behind each bound address, where all of them are hosts of the inventory."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for host in site.running("haproxy"):
        settings = view.settings_of(host)
        by_name = {name: (kind, pool) for kind, name, pool in view.pools(settings)}
        for _, name, front in view.fronts(settings):
            for target in clients.targets(name, front):
                if target not in by_name:
                    continue
                kind, pool = by_name[target]
                names = tuple(server.name for server in view.servers(site, pool))
                for bind in front.bind:
                    address = bind_address(bind)[0]
                    address = address if view.is_specific(address) else "*"
                    if names and (address, names) not in seen and all(one in site.hosts for one in names):
                        seen.add((address, names))
                        by_hand = pool.postgresql is not None and pool.role == "primary"
                        yield Tier(address, names, host, ("haproxy", kind, target), automatic=not by_hand)


def _pools(site: Site) -> Iterator[RedundancyGroup]:
    """One group for equal pools of several balancers; each balancer asks the servers as its checks do.

    A pool for writes is none: its one server at work can't be replaced by another one of it, only by a promotion.
    """
    found: dict[tuple[str, str, tuple[str, ...]], list[tuple[Host, view.PoolView]]] = {}
    for host, _, pool in view.every_pool(site):
        members = tuple(server.name for server in pool.servers if server.name in site.hosts)
        if len(members) > 1 and not pool.claims:
            found.setdefault((pool.name, pool.settings.role or "", members), []).append((host, pool))
    for (name, role, members), pools in found.items():
        probes: dict[str, tuple[Probe, ...]] = dict.fromkeys(members, ())
        reached: dict[str, tuple[Probe, ...]] = dict.fromkeys(members, ())
        for host, pool in pools:
            for server in pool.servers:
                if server.name in probes:
                    probes[server.name] += (_probe(host, pool, server),)
                    reached[server.name] += _in_rotation(site, host, pool, server.name)
        yield RedundancyGroup(
            name=f"haproxy pool {name}",
            component="haproxy",
            hosts=members,
            probes=probes,
            reached=reached,
            # The primary serves as well, but not in a pool of standbys.
            keep=max(pool.settings.keep for _, pool in pools) + (role == "replica"),
            service=clients.of_pool(site, name, [host for host, _ in pools], members),
        )


def _probe(host: Host, pool: view.PoolView, server: view.ServerView) -> Probe:
    """As the balancer checks it. Of a pool of standbys the primary serves too: as the primary that it is."""
    port = server.check_port or pool.check.port or server.port
    path = pool.check.http
    if pool.settings.role == "replica":
        path = clusters.path_of("any", pool.settings.max_lag)
    if path:
        url = f"http://{view.endpoint(server.address, port)}{path}"
        return Probe(kind="http", target=url, seen_from=host.name)
    return Probe(kind="tcp", target=view.endpoint(server.address, port), seen_from=host.name)


def _in_rotation(site: Site, balancer: Host, pool: view.PoolView, server: str) -> tuple[Probe, ...]:
    """Whether a balancer sends a server requests: its checks may need seconds to see that it is well again.

    A balancer that does not run, or does not know the server yet, has nothing against it. The primary gets nothing from
    a pool of standbys: it has to be in the balancer's pool for writes; where there is none nothing is asked.
    """
    match = rf"(?![\s\S]*{_row(pool.name, server)}(?!UP,|no check,))"
    if pool.settings.role == "replica":
        cluster = pool.settings.postgresql
        writes = [
            one for _, one in view.host_pools(site, balancer) if one.claims and one.settings.postgresql == cluster
        ]
        if not writes:
            return ()
        match = "|".join([match, *(rf"(?=[\s\S]*{_row(one.name, server)}UP,)" for one in writes)])
    probe = Probe(
        kind="socket",
        target=ADMIN_SOCKET,
        text=ALL_SERVERS,
        match=rf"\A(?:{match})",
        seen_from=balancer.name,
        timeout=3.0,
        missing=True,
        no=f"haproxy on {balancer.name} sends it nothing",
    )
    return (probe,)


def _row(pool: str, server: str) -> str:
    """The beginning of a server's row up to its 18th field, the status (HAProxy's management guide, 9.1)."""
    return rf"^{re.escape(pool)},{re.escape(server)},(?:[^,\n]*,){{15}}"


def _balancers(site: Site) -> Iterator[RedundancyGroup]:
    for (address, port), hosts in view.balancers(site).items():
        if len(hosts) > 1:
            # Each is asked by the next one: what it says of itself proves nothing to its clients.
            askers = zip(hosts, (*hosts[1:], hosts[0]), strict=True)
            names = tuple(host.name for host in hosts)
            yield RedundancyGroup(
                name=f"haproxy {address}:{port}",
                component="haproxy",
                hosts=tuple(reversed(names)),
                probes={host.name: (_alive(site, host, asker),) for host, asker in askers},
                service=clients.of_address(site, hosts[0], (address, port), names),
            )


def _alive(site: Site, host: Host, asker: Host) -> Probe:
    address, port = health(site, host).address, view.settings_of(host).health_port
    if address:
        return Probe(kind="http", target=f"http://{view.endpoint(address, port)}{HEALTH_PATH}", seen_from=asker.name)
    return Probe(kind="http", target=f"http://127.0.0.1:{port}{HEALTH_PATH}")
