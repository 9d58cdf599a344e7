"""Who stands in for whom behind and beside HAProxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.probes import Probe
from hakit.components.base import RedundancyGroup, Tier
from hakit.components.haproxy import view
from hakit.components.haproxy.resources import HEALTH_PATH
from hakit.components.haproxy.settings import Listen, bind_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.haproxy.settings import Frontend, Pool
    from hakit.inventory.model import Host, Site


def groups(site: Site) -> Iterator[RedundancyGroup]:
    """The servers of each pool that are hosts of the inventory, and the balancers that bind the same address."""
    yield from _pools(site)
    yield from _balancers(site)


def tiers(site: Site) -> Iterator[Tier]:
    """The servers behind each bound address, where all of them are hosts of the inventory."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for host in site.running("haproxy"):
        settings = view.settings_of(host)
        by_name = {name: (kind, pool) for kind, name, pool in view.pools(settings)}
        for _, name, front in view.fronts(settings):
            for target in _targets(name, front):
                if target not in by_name:
                    continue
                kind, pool = by_name[target]
                names = tuple(server.name for server in view.servers(site, pool))
                for bind in front.bind:
                    address = bind_address(bind)[0]
                    address = address if view.is_specific(address) else "*"
                    if names and (address, names) not in seen and all(one in site.hosts for one in names):
                        seen.add((address, names))
                        yield Tier(address, names, host, ("haproxy", kind, target))


def _targets(name: str, front: Frontend | Listen) -> list[str]:
    """The names of the pools that a front leads to."""
    if isinstance(front, Listen):
        return [name]
    return list(dict.fromkeys([front.backend, *(route.backend for route in front.routes)]))


def _pools(site: Site) -> Iterator[RedundancyGroup]:
    """One group for equal pools of several balancers; each balancer asks the servers as its checks do."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, list[Probe]]] = {}
    for host in site.running("haproxy"):
        for _, name, pool in view.pools(view.settings_of(host)):
            servers = [one for one in view.servers(site, pool) if one.name in site.hosts]
            if len(servers) > 1:
                probes = found.setdefault((name, tuple(one.name for one in servers)), {one.name: [] for one in servers})
                for server in servers:
                    probes[server.name].append(_probe(host, pool, server))
    for (name, members), probes in found.items():
        asked = {member: tuple(dict.fromkeys(probes[member])) for member in members}
        yield RedundancyGroup(f"haproxy pool {name}", "haproxy", members, asked)


def _probe(host: Host, pool: Pool, server: view.ServerView) -> Probe:
    address = f"[{server.address}]" if server.bracketed else server.address
    port = pool.check.port or server.port
    if pool.check.http:
        return Probe(kind="http", target=f"http://{address}:{port}{pool.check.http}", seen_from=host.name)
    return Probe(kind="tcp", target=f"{address}:{port}", seen_from=host.name)


def _balancers(site: Site) -> Iterator[RedundancyGroup]:
    found: dict[tuple[str, int], list[Host]] = {}
    for host in site.running("haproxy"):
        for _, _, front in view.fronts(view.settings_of(host)):
            for bind in front.bind:
                address, port = bind_address(bind)
                if view.is_specific(address) and host not in found.setdefault((address, port), []):
                    found[address, port].append(host)
    for (address, port), hosts in found.items():
        if len(hosts) > 1:
            probes = {host.name: (_alive(host),) for host in hosts}
            names = tuple(host.name for host in reversed(hosts))
            yield RedundancyGroup(f"haproxy {address}:{port}", "haproxy", names, probes)


def _alive(host: Host) -> Probe:
    return Probe(kind="http", target=f"http://127.0.0.1:{view.settings_of(host).health_port}{HEALTH_PATH}")
