"""What contradicts itself in a pool that a PostgreSQL cluster is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.haproxy import clusters
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.haproxy.settings import Pool, Server
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Problems = Iterator[tuple[Path, str]]

_ASKED = ("enabled", "http", "expect", "method", "host", "port")
"""The settings of a check that the role decides."""
_OVERRULING = frozenset(
    ["no-check", "port", "addr", "track", "agent-check", "disabled", "on-marked-down", "init-state"]
)
"""Options of servers with which HAProxy asks somebody else, or nobody, or does not cut (its manual, 5.2)."""
_CHECKS = frozenset(["http-check", "tcp-check", "external-check"])
"""What begins the lines that say how servers are checked; `option httpchk` and the like are told by their ending."""


def problems(site: Site, pool: Pool) -> Problems:
    """Paths below the pool, and messages."""
    if pool.postgresql is None:
        for key in ("role", "max_lag"):
            if getattr(pool, key) is not None:
                yield (key,), f"{key} is that of a PostgreSQL cluster's members: postgresql: CLUSTER is missing"
        return
    known = clusters.clusters(site)
    if pool.postgresql not in known:
        near = did_you_mean(pool.postgresql, known)
        yield ("postgresql",), f"no host of the inventory is a member of a cluster {pool.postgresql}{near}"
    if pool.role is None:
        yield ("postgresql",), "say who gets the sessions: role: primary (writes), replica or any (reads)"
    yield from _derived(pool)
    yield from _servers(pool, known.get(pool.postgresql, ()))
    if pool.role == "primary":
        yield from _writes(pool)


def _derived(pool: Pool) -> Problems:
    """Settings beside a cluster that say what the cluster says."""
    if pool.mode == "http":
        yield ("mode",), "PostgreSQL does not speak HTTP: mode tcp, or leave it out"
    for key, what in (("group", "which servers there are"), ("port", "which port they have")):
        if getattr(pool, key) is not None:
            yield (key,), f"the cluster says {what}: leave {key} out"
    for key in _ASKED:
        if key in pool.check.model_fields_set:
            yield ("check", key), f"the role says how its servers are asked: leave {key} out, or postgresql"
    if _OVERRULING & set(pool.options.split()):
        yield ("options",), _overruling(pool.options)
    for place, line in enumerate(pool.extra):
        words = line.split()[:2]
        chosen = words[:1] == ["option"] and words[-1].endswith(("chk", "-check"))
        if chosen or _CHECKS & set(words[:1]):
            yield ("extra", place), "the role says how its servers are asked: leave the line out, or postgresql"


def _overruling(options: str) -> str:
    found = next(word for word in options.split() if word in _OVERRULING)
    return f"{found} would set aside the check that proves the role: leave it out"


def _servers(pool: Pool, members: tuple[Host, ...]) -> Problems:
    own: Mapping[str, Server] = pool.servers
    names = {host.name for host in members}
    for name, server in own.items():
        if members and name not in names:
            yield ("servers", name), f"{name} is no member of {pool.postgresql}{did_you_mean(name, names)}"
        for key in ("address", "port"):
            if getattr(server, key) is not None:
                yield ("servers", name, key), f"the cluster says where {name} is: leave {key} out"
        if _OVERRULING & set(server.options.split()):
            yield ("servers", name, "options"), _overruling(server.options)


def _writes(pool: Pool) -> Problems:
    """Settings that mean nothing, or harm, where one server at most has work."""
    one = "only the primary has work here"
    if pool.max_lag is not None:
        yield ("max_lag",), "the primary is never behind: max_lag is for role replica or any"
    if pool.sticky is not None:
        yield ("sticky",), f"{one}, clients can't stick to another server: leave sticky out"
    if "keep" in pool.model_fields_set:
        yield ("keep",), f"{one}, there is nobody to keep beside it: leave keep out"
    if pool.shutdown_sessions is False:
        yield ("shutdown_sessions",), "sessions have to end when their server is the primary no more: leave it out"
    for name, server in pool.servers.items():
        for key, said in (("weight", server.weight is not None), ("backup", server.backup)):
            if said:
                yield ("servers", name, key), f"{one}, whoever that is: leave {key} out"
