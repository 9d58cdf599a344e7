"""Parameters that are each within their bounds, and that a server refuses to start with together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.postgresql import parameters
from hakit.components.postgresql.settings import kibibytes
from hakit.components.postgresql.tuning import NEEDED, SEGMENT, declared, senders, where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.postgresql.members import Cluster
    from hakit.components.postgresql.settings import PostgresqlSettings
    from hakit.inventory.origin import Path

BACKENDS = (1 << 18) - 1
"""The most processes of a server that take part in its shared memory (MAX_BACKENDS of its postmaster.h)."""
LAUNCHER = 1
"""The process that starts autovacuum's workers; it counts, and nobody sets it."""
RESERVED = {"superuser_reserved_connections": 3, "reserved_connections": 0}
"""Connections that are not for everybody, and the defaults (PostgreSQL documentation, 20.3.1)."""


def faults(cluster: Cluster, settings: PostgresqlSettings) -> Iterator[tuple[Path, str]]:
    """Path below the component, message."""
    yield from _backends(cluster, settings)
    yield from _reserved(settings)
    yield from _segments(settings)


def _backends(cluster: Cluster, settings: PostgresqlSettings) -> Iterator[tuple[Path, str]]:
    shares = {
        "max_connections": NEEDED["max_connections"],
        "autovacuum_max_workers": 3,
        "max_worker_processes": NEEDED["max_worker_processes"],
        "max_wal_senders": senders(cluster),
    }
    values = _numbers(settings, shares)
    total = sum(values.values()) + LAUNCHER
    if total > BACKENDS:
        largest = max((name for name in values if where(settings, name)), key=values.__getitem__)
        told = " + ".join(f"{name} {value}" for name, value in values.items())
        path = where(settings, largest)[-1][0][1:]
        yield path, f"{told} + {LAUNCHER} makes {total} processes, and a server starts with {BACKENDS} at most"


def _reserved(settings: PostgresqlSettings) -> Iterator[tuple[Path, str]]:
    everybody = _numbers(settings, {"max_connections": NEEDED["max_connections"]})["max_connections"]
    values = _numbers(settings, RESERVED)
    if sum(values.values()) >= everybody:
        at = [place for name in ("max_connections", *RESERVED) for place, _ in where(settings, name)][-1]
        told = " + ".join(f"{name} {value}" for name, value in values.items() if value)
        yield at[1:], f"{told} leaves nothing of max_connections {everybody}: the server does not start"


def _segments(settings: PostgresqlSettings) -> Iterator[tuple[Path, str]]:
    least = 2 * kibibytes(settings.data.wal_segment or SEGMENT) / 1024
    for name in ("min_wal_size", "max_wal_size"):
        size = _number(settings, name)
        if size is not None and size < least:
            path = where(settings, name)[-1][0][1:]
            yield path, f"{name} expects two WAL segments at least, {least:g}MB: the server does not start with less"


def _numbers(settings: PostgresqlSettings, defaults: dict[str, int]) -> dict[str, int]:
    found = {name: _number(settings, name) for name in defaults}
    return {name: defaults[name] if value is None else int(value) for name, value in found.items()}


def _number(settings: PostgresqlSettings, name: str) -> float | None:
    """What the inventory sets a parameter to, in its unit; None for nothing, or for what no server takes."""
    value = declared(settings, name)
    row = next(known[name] for known in map(parameters.known, (15, 17)) if name in known)
    return None if value is None or row.fault(value) else row.number(value)
