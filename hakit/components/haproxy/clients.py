"""What clients see: the probes that ask where they would, as they would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.probes import Probe
from hakit.components.haproxy import view
from hakit.components.haproxy.settings import Frontend, Listen
from hakit.components.haproxy.values import bind_address, is_ip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakit.components.haproxy.settings import Pool
    from hakit.inventory.model import Host, Site

PATIENCE = 3.0
"""Seconds for an answer through HAProxy: it may have to give up on a server (timeout connect, 1 s) and try another."""
_ANSWERS = range(200, 400)
"""What the agent takes for a good answer."""


def targets(name: str, front: Frontend | Listen) -> list[str]:
    """The names of the pools that a front leads to."""
    if isinstance(front, Listen):
        return [name]
    return list(dict.fromkeys([front.backend, *(route.backend for route in front.routes)]))


def of_address(site: Site, balancer: Host, place: tuple[str, int], members: Sequence[str]) -> tuple[Probe, ...]:
    """One question to what a balancer binds at an address."""
    for _, _, front in view.fronts(view.settings_of(balancer)):
        for bind in front.bind:
            if bind_address(bind) == place:
                return (_probe(balancer, front, bind, _asker(site, members)),)
    return ()


def of_pool(site: Site, pool: str, balancers: Iterable[Host], members: Sequence[str]) -> tuple[Probe, ...]:
    """One question to each address at which requests go to a pool that no route takes elsewhere."""
    balancers = list(balancers)
    asker = _asker(site, members, [host.name for host in balancers])
    found = [
        _probe(host, front, bind, asker)
        for host in balancers
        for _, name, front in view.fronts(view.settings_of(host))
        if targets(name, front)[0] == pool
        for bind in front.bind
        if _reachable(host, bind)
    ]
    return tuple(dict.fromkeys(found))


def _asker(site: Site, members: Sequence[str], balancers: Sequence[str] = ()) -> str:
    """A host that is not concerned; or at least no member; or a member."""
    hosts = list(site.hosts)
    return next(
        (name for others in ({*members, *balancers}, {*members}) for name in hosts if name not in others), members[-1]
    )


def _reachable(host: Host, bind: str) -> bool:
    address = bind_address(bind)[0]
    return view.is_specific(address) or (not view.is_loopback(address) and is_ip(host.address))


def _probe(host: Host, front: Frontend | Listen, bind: str, asker: str) -> Probe:
    address, port = bind_address(bind)
    where = view.endpoint(address if view.is_specific(address) else host.address, port)
    path = _path(host, front) if " " not in bind else None
    if path is None:
        return Probe(kind="tcp", target=where, seen_from=asker, timeout=PATIENCE)
    return Probe(kind="http", target=f"http://{where}{path}", seen_from=asker, timeout=PATIENCE)


def _path(host: Host, front: Frontend | Listen) -> str | None:
    """The path that every server behind a front answers, as its check says; None where the check asks otherwise.

    A request of a client's differs from a check that goes to another port, has its own Host header or method, or
    expects an answer that is no success; and a route may take it elsewhere.
    """
    settings = view.settings_of(host)
    pool: Pool | None = front if isinstance(front, Listen) else settings.backends.get(front.backend)
    if pool is None or view.front_mode(front) != "http" or pool.check.http is None or not pool.check.enabled:
        return None
    check, path = pool.check, str(pool.check.http)
    as_clients = check.port is None and check.host is None and check.method == "GET" and check.expect in _ANSWERS
    routes = front.routes if isinstance(front, Frontend) else ()
    taken = any(route.host is None and path.startswith(route.path or "/") for route in routes)
    extra = any(front.extra) or any(pool.extra)
    return path if as_clients and not taken and not extra else None
