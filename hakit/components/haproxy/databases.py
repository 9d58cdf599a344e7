"""Rules of pools in front of PostgreSQL that are written by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hakit.components.haproxy import clusters, view
from hakit.components.haproxy.settings import HaproxySettings
from hakit.components.haproxy.view import every_pool
from hakit.lint.rule import Finding, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MANUAL = "HAProxy 2.6 configuration manual"
DATABASE_PORTS = frozenset({5432, 6432})
"""PostgreSQL's and PgBouncer's registered or usual ports."""
IDLE = 1800.0
"""Seconds that client pools keep a connection at most (HikariCP's maxLifetime is 30 minutes by default)."""
_ROLE = re.compile(r"^(?:http-check|tcp-check\s+expect|option\s+external-check)\b")


def is_database(pool: view.PoolView) -> bool:
    """Whether a pool stands in front of PostgreSQL: it says so, or by its port or its check."""
    if pool.settings.postgresql is not None:
        return True
    asked = any(re.match(r"option\s+pgsql-check\b", line) for line in pool.settings.extra)
    return pool.mode == "tcp" and (asked or any(server.port in DATABASE_PORTS for server in pool.servers))


def _databases(site: Site) -> Iterator[tuple[Host, Path, view.PoolView]]:
    return ((host, path, pool) for host, path, pool in every_pool(site) if is_database(pool))


@rule(
    "HP002",
    "error",
    reason="A check that does not prove the role sends writes to standbys.",
    source=f"{MANUAL}, 4.2 option pgsql-check (asks for a login, no more); Patroni's REST API, health check endpoints",
)
def unproven_role(site: Site, components: Components) -> Iterator[Finding]:
    """Database pools of several servers whose check only proves that something listens."""
    del components
    for host, path, pool in _databases(site):
        active = [server for server in pool.servers if not server.own.backup and server.own.weight != 0]
        proven = pool.check.http or any(_ROLE.match(line) for line in pool.settings.extra)
        if len(active) > 1 and not proven:
            yield Finding(
                host,
                (*path, "check"),
                f"the check of {pool.name} does not tell a primary from a standby: writes would go to either",
                write="postgresql: CLUSTER  and  role: primary; or check: {http: /primary, port: 8008} (Patroni); "
                "a pool for reads alone may waive this",
            )


@rule(
    "HP004",
    "error",
    reason="After a reload the old worker runs no checks: its sessions stay on a server that was demoted.",
    source=f"{MANUAL}, 3.1 hard-stop-after",
)
def immortal_worker(site: Site, components: Components) -> Iterator[Finding]:
    """Database pools in a process whose old workers may live for ever."""
    del components
    for host, path, _ in _databases(site):
        settings = view.settings_of(host)
        if settings.hard_stop_after in ("never", 0):
            yield Finding(
                host,
                ("haproxy", "hard_stop_after"),
                f"sessions of {path[-1]} in an old worker outlive their server's role: it runs no checks any more",
                write="hard_stop_after: 30s, or leave it out",
            )


@rule(
    "HP015",
    "warning",
    reason="A proxy that cuts idle connections breaks the applications' pools, which find out with the next query.",
    source=f"{MANUAL}, 4.2 timeout client, timeout server; HikariCP's maxLifetime (30 minutes by default)",
)
def impatient_proxy(site: Site, components: Components) -> Iterator[Finding]:
    """Idle times of database proxies that are shorter than those of client pools."""
    del components
    databases: dict[str, set[str | int]] = {}
    for host, path, _ in _databases(site):
        databases.setdefault(host.name, set()).add(path[-1])
    for host, settings in configured(site, "haproxy", HaproxySettings):
        pools = databases.get(host.name, set())
        default = settings.defaults.timeouts.idle
        for kind, name, proxy in (*view.fronts(settings), *view.pools(settings)):
            leads_there = name in pools or getattr(proxy, "backend", None) in pools
            for key in ("client", "server") if leads_there else ():
                own = getattr(proxy.timeouts, key)
                value = default if own is None else own
                if 0 < value < IDLE:
                    path = ("defaults", "timeouts", "idle") if own is None else (kind, name, "timeouts", key)
                    message = f"{name} cuts connections that are idle for {view.clock(value)}; client pools keep theirs"
                    yield Finding(host, ("haproxy", *path), f"{message} up to 30m", write=f"{path[-1]}: 1h")


def crowded(site: Site) -> Iterator[Finding]:
    """Pools of one balancer that together send a server more connections than it has for clients."""
    for host in site.running("haproxy"):
        found: dict[tuple[tuple[Path, ...], int, int], list[str]] = {}
        for name, limits in _limits(site, host):
            total, there = sum(limits.values()), clusters.connections(site.hosts[name])
            if total > there:
                found.setdefault((tuple(limits), total, there), []).append(name)
        for (paths, total, there), names in found.items():
            servers = ", ".join(dict.fromkeys(names))
            message = (
                f"{' and '.join(str(path[-1]) for path in paths)} can send {total} connections to {servers}, where "
            )
            message += f"clients have {there}: the rest is refused there, and would have been queued here"
            write = f"maxconn: {there // len(paths)}, or max_connections: {total + 10} for the cluster"
            yield Finding(host, (*paths[0], "maxconn"), message, write=write, severity="warning")


def _limits(site: Site, host: Host) -> Iterator[tuple[str, dict[Path, int]]]:
    """The members of clusters behind a balancer, each with the most that each pool sends to it.

    Twice where it matters: the primary gets what the pools for writes send, a standby what those for reads do.
    """
    for roles in (("primary", "any", None), ("replica", "any", None)):
        sent: dict[str, dict[Path, int]] = {}
        for path, pool in view.host_pools(site, host):
            for server in pool.servers if is_database(pool) and pool.settings.role in roles else ():
                limit = server.own.maxconn or pool.settings.maxconn
                if limit and server.name in site.hosts and "postgresql" in site.hosts[server.name].settings:
                    sent.setdefault(server.name, {})[path] = limit
        yield from sent.items()


DATABASE_RULES = (unproven_role, immortal_worker, impatient_proxy)
