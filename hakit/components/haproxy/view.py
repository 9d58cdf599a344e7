"""What is derived from HAProxy's settings: servers, modes, partners, limits. Pure; templates only print it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from hakit.components.haproxy import clusters, values
from hakit.components.haproxy.settings import HaproxySettings, Listen, Server
from hakit.components.haproxy.values import bind_address, is_ip
from hakit.components.once import once_per_site
from hakit.inventory.origin import Text, origin_of
from hakit.inventory.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.components.haproxy.settings import Check, Frontend, Mode, OwnTimeouts, Pool
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

RESERVE = 100
"""Connections kept free for the health check and the statistics, so that a rush of clients never looks like a fault."""
STOP_TCP, STOP_HTTP = 30.0, 900.0
"""Seconds until an old worker must end: it runs no checks, so a TCP session in it can outlive its server's role."""
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
"""Milliseconds of HAProxy's units of time (its configuration manual, 2.5)."""
NONLOCAL = {4: "net.ipv4.ip_nonlocal_bind", 6: "net.ipv6.ip_nonlocal_bind"}
"""The kernel parameters that let a process bind an address that the host does not have."""


def clock(value: float) -> str:
    """A duration in seconds as HAProxy writes it; it keeps its origin."""
    milliseconds = round(value * 1000)
    size, unit = next((size, unit) for size, unit in _UNITS if milliseconds % size == 0)
    text = f"{milliseconds // size}{unit}" if milliseconds else "0"
    origin = origin_of(value)
    return Text.at(text, origin) if origin else text


def quoted(value: str | Secret) -> str | Secret:
    """A word as HAProxy reads it back; it keeps its origin, or stays a secret."""
    if isinstance(value, Secret):
        return value.written(values.quoted)
    origin = origin_of(value)
    text = values.quoted(value)
    return Text.at(text, origin) if origin else text


def is_loopback(address: str) -> bool:
    """Whether only the host itself reaches it."""
    return is_ip(address) and ipaddress.ip_address(address).is_loopback


def is_specific(address: str) -> bool:
    """Whether a bind's address is one that some host has: not all addresses, not the loopback, no name."""
    if not is_ip(address):
        return False
    ip = ipaddress.ip_address(address)
    return not (ip.is_unspecified or ip.is_loopback)


def endpoint(address: str, port: int | None) -> str:
    """Address and port in one word; IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server line. `port` is None where the settings name none; `check_port` where it is asked at its own port."""

    name: str
    address: str
    port: int | None
    own: Server = field(default_factory=Server)
    check_port: int | None = None

    @property
    def bracketed(self) -> bool:
        """Whether the address needs brackets before a port."""
        return ":" in self.address

    @property
    def checked(self) -> bool:
        """Whether the pool's check holds for it."""
        return "no-check" not in self.own.options.split()


@dataclass(frozen=True, slots=True)
class PoolView:
    """A backend, or the back of a listen, with everything derived.

    `claims` is, where only the primary of a cluster may serve, the section that counts who claims to be it.
    """

    name: str
    settings: Pool
    check: Check
    claims: str
    mode: Mode
    balance: str
    cookie: str | None
    shutdown_sessions: bool
    servers: tuple[ServerView, ...]
    timeouts: tuple[tuple[str, str], ...]
    peers: bool

    @property
    def named_servers(self) -> bool:
        """Whether an address is a name that HAProxy must resolve."""
        return any(not is_ip(server.address) for server in self.servers)


@dataclass(frozen=True, slots=True)
class FrontendView:
    """A frontend, or the front of a listen."""

    name: str
    settings: Frontend | Listen
    mode: Mode
    maxconn: int
    timeouts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ListenView:
    """Both in one section."""

    front: FrontendView
    pool: PoolView


def settings_of(host: Host) -> HaproxySettings:
    """The settings of a host that runs HAProxy."""
    return cast("HaproxySettings", host.settings["haproxy"])


def fronts(settings: HaproxySettings) -> Iterator[tuple[str, str, Frontend | Listen]]:
    """Everything that binds: kind (`frontends` or `listens`), name, settings."""
    for name, frontend in settings.frontends.items():
        yield "frontends", name, frontend
    for name, listen in settings.listens.items():
        yield "listens", name, listen


def pools(settings: HaproxySettings) -> Iterator[tuple[str, str, Pool]]:
    """Everything that has servers: kind (`backends` or `listens`), name, settings."""
    for name, backend in settings.backends.items():
        yield "backends", name, backend
    for name, listen in settings.listens.items():
        yield "listens", name, listen


def pool_mode(settings: HaproxySettings, name: str, pool: Pool) -> Mode:
    """What the pool says, or the mode of the first frontend that leads to it, or http; in front of a cluster tcp."""
    if pool.postgresql is not None:
        return "tcp"
    if pool.mode is not None:
        return pool.mode
    for frontend in settings.frontends.values():
        if frontend.backend == name or any(route.backend == name for route in frontend.routes):
            return frontend.mode
    return "http"


def front_mode(front: Frontend | Listen) -> Mode:
    """The mode of what binds."""
    clustered = isinstance(front, Listen) and front.postgresql is not None
    return "tcp" if clustered else front.mode or "http"


def has_tcp(settings: HaproxySettings) -> bool:
    """Whether any proxy is a TCP proxy."""
    return any(front_mode(front) == "tcp" for _, _, front in fronts(settings))


def stop_after(settings: HaproxySettings) -> float | None:
    """Seconds after which an old worker must end; None: never."""
    if settings.hard_stop_after == "never":
        return None
    if settings.hard_stop_after is None:
        return STOP_TCP if has_tcp(settings) else STOP_HTTP
    return settings.hard_stop_after


def servers(site: Site, pool: Pool) -> tuple[ServerView, ...]:
    """The group's hosts in the order of the inventory, then the servers that only the pool names; or the cluster's."""
    if pool.postgresql is not None:
        return _members(site, pool)
    hosts = {host.name: host for host in site.members(pool.group)} if pool.group else {}
    names = dict.fromkeys([*hosts, *pool.servers])
    found = []
    for name in names:
        own = pool.servers.get(name, Server())
        host = hosts.get(name) or site.hosts.get(name)
        address = own.address or (host.address if host else name)
        found.append(ServerView(name, address, own.port or pool.port, own))
    return tuple(found)


def _members(site: Site, pool: Pool) -> tuple[ServerView, ...]:
    hosts = ((host, clusters.member(host)) for host in clusters.serving(site, pool))
    return tuple(
        ServerView(host.name, host.address, one.port, pool.servers.get(host.name, Server()), one.endpoint.port)
        for host, one in hosts
    )


def frontend_view(settings: HaproxySettings, name: str, frontend: Frontend | Listen) -> FrontendView:
    """A frontend with its limits."""
    own = frontend.frontend_maxconn if isinstance(frontend, Listen) else frontend.maxconn
    mode = front_mode(frontend)
    client = frontend.timeouts.client
    if client is None and mode == "tcp":
        client = settings.defaults.timeouts.idle
    own_times = frontend.timeouts
    times = (
        ("client", client),
        ("http-request", own_times.http_request),
        ("http-keep-alive", own_times.http_keep_alive),
    )
    return FrontendView(name, frontend, mode, own or settings.defaults.maxconn, _present(times))


def pool_view(site: Site, settings: HaproxySettings, name: str, pool: Pool, *, peers: bool) -> PoolView:
    """A pool with everything derived; `peers` says whether another balancer shares its table."""
    mode = pool_mode(settings, name, pool)
    return PoolView(
        name=name,
        settings=pool,
        check=clusters.check_of(pool),
        claims=f"{clusters.CLAIMS}{name}" if pool.role == "primary" else "",
        mode=mode,
        balance=pool.balance or ("leastconn" if mode == "tcp" else "roundrobin"),
        cookie=(pool.cookie or f"SRV_{name}") if pool.sticky == "cookie" else None,
        shutdown_sessions=mode == "tcp" if pool.shutdown_sessions is None else pool.shutdown_sessions,
        servers=servers(site, pool),
        timeouts=_pool_timeouts(settings, pool.timeouts, mode),
        peers=peers and pool.sticky == "source",
    )


def _pool_timeouts(settings: HaproxySettings, own: OwnTimeouts, mode: Mode) -> tuple[tuple[str, str], ...]:
    server = own.server
    if server is None and mode == "tcp":
        server = settings.defaults.timeouts.idle
    times = (("connect", own.connect), ("server", server), ("queue", own.queue), ("tunnel", own.tunnel))
    return _present(times)


def _present(times: tuple[tuple[str, float | None], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, clock(value)) for name, value in times if value is not None)


def host_pools(site: Site, host: Host) -> Iterator[tuple[Path, PoolView]]:
    """Every pool of a balancer with the path of its settings."""
    settings = settings_of(host)
    for kind, name, pool in pools(settings):
        yield ("haproxy", kind, name), pool_view(site, settings, name, pool, peers=False)


@once_per_site
def every_pool(site: Site) -> tuple[tuple[Host, Path, PoolView], ...]:
    """Every pool of every balancer with the path of its settings; who shares the settings shares the pools."""
    known: dict[int, tuple[tuple[Path, PoolView], ...]] = {}
    found: list[tuple[Host, Path, PoolView]] = []
    for host in site.running("haproxy"):
        key = id(settings_of(host))
        if key not in known:
            known[key] = tuple(host_pools(site, host))
        found += [(host, path, pool) for path, pool in known[key]]
    return tuple(found)


@once_per_site
def balancers(site: Site) -> Mapping[tuple[str, int], tuple[Host, ...]]:
    """The hosts that bind each address and port, where that is an address of somebody; in inventory order."""
    found: dict[tuple[str, int], dict[str, Host]] = {}
    for host in site.running("haproxy"):
        for _, _, front in fronts(settings_of(host)):
            for bind in front.bind:
                address, port = bind_address(bind)
                if is_specific(address):
                    found.setdefault((address, port), {})[host.name] = host
    return {place: tuple(hosts.values()) for place, hosts in found.items()}


@once_per_site
def sharing(site: Site) -> Mapping[str, frozenset[str]]:
    """The hosts that bind an address and port together with a host, itself included, by its name."""
    found: dict[str, set[str]] = {host.name: {host.name} for host in site.running("haproxy")}
    for hosts in balancers(site).values():
        for host in hosts:
            found[host.name].update(other.name for other in hosts)
    return {name: frozenset(others) for name, others in found.items()}


def total_maxconn(settings: HaproxySettings) -> int:
    """The process's limit: what all frontends may have together, and the reserve."""
    if settings.maxconn is not None:
        return settings.maxconn
    return sum(frontend_view(settings, name, front).maxconn for _, name, front in fronts(settings)) + RESERVE


def foreign_binds(host: Host, settings: HaproxySettings) -> frozenset[int]:
    """The IP versions in which something binds to an address that the host may not have: a VIP, most of all."""
    addresses = [bind_address(bind)[0] for _, _, front in fronts(settings) for bind in front.bind]
    if settings.stats is not None:
        addresses.append(bind_address(settings.stats.bind)[0])
    return frozenset(
        ipaddress.ip_address(address).version
        for address in addresses
        if is_specific(address) and address != host.address
    )


def partners(site: Site, host: Host, registry: Mapping[str, Component]) -> tuple[Host, ...]:
    """The hosts that balance in this one's place, itself included, in the order of the inventory.

    They run HAProxy and share an address with it: one that a component keeps alive, or one that both bind.
    """
    names = set(sharing(site)[host.name])
    for component in registry.values():
        for serving in component.serves(site):
            if host.name in serving.hosts:
                names.update(serving.hosts)
    return tuple(other for other in site.running("haproxy") if other.name in names)


def peers(site: Site, host: Host, registry: Mapping[str, Component]) -> tuple[Host, ...]:
    """Those of its partners, itself included, that HAProxy can know as peers; empty unless it is one of several.

    A peer that is known by name must be looked up before HAProxy starts, and without an answer it does not start.
    """
    known = tuple(other for other in partners(site, host, registry) if is_ip(other.address))
    return known if len(known) > 1 and is_ip(host.address) else ()
