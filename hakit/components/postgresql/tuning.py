"""The parameters of one server: what hakit derives, what the inventory sets over it, and which file each is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.postgres.place import SOCKETS
from hakit.components.postgresql import parameters
from hakit.components.postgresql.members import COMPONENT, cluster_of, settings_of
from hakit.components.postgresql.settings import kibibytes
from hakit.inventory.origin import Text, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hakit.agent.postgres.place import Place
    from hakit.components.postgresql.members import Cluster
    from hakit.components.postgresql.settings import PostgresqlSettings, Value
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

NEEDED = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}
"""What a standby must have at least as much of as the primary (PostgreSQL documentation, 27.4.3), and the defaults."""
SPARE = 4
"""Senders and slots beyond the members: a copy takes two senders, an operator's tool one more."""
MIB = 1024**2
CHECKPOINT = "1GB"
"""WAL between two checkpoints at most: PostgreSQL's default of max_wal_size."""
WAL_SIZES = {"min_wal_size": 5, "max_wal_size": 64}
"""What initdb sets them to, in segments (DEFAULT_MIN_WAL_SEGS and DEFAULT_MAX_WAL_SEGS of its xlog_internal.h)."""
SEGMENT = "16MB"
"""The size of a WAL segment where initdb is told nothing; the server's own defaults are for it."""
CERTIFICATE = ("/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key")
"""What Debian's ssl-cert makes on each host: it hides what is said, and proves nobody's name."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of postgresql.conf: `text` is the value as it stands there."""

    name: str
    text: str
    why: str = ""


def extra(settings: PostgresqlSettings) -> Iterator[tuple[int, str, str]]:
    """Place, name and value of what extra lines set; lines that the server would not understand are left out."""
    for place, line in enumerate(settings.extra):
        try:
            found = parameters.parse(line)
        except ValueError:
            continue
        if found is not None:
            yield place, *found


def where(settings: PostgresqlSettings, name: str) -> list[tuple[Path, Value]]:
    """Where the inventory sets a parameter, as a path below `hakit`, and to what; the last one counts."""
    found: list[tuple[Path, Value]] = [
        ((COMPONENT, "parameters", str(key)), value)
        for key, value in settings.parameters.items()
        if key.lower() == name
    ]
    return found + [((COMPONENT, "extra", at), text) for at, key, text in extra(settings) if key.lower() == name]


def declared(settings: PostgresqlSettings, name: str) -> Value | None:
    """What the inventory sets a parameter to; None where it says nothing."""
    found = where(settings, name)
    return found[-1][1] if found else None


def needed(site: Site, host: Host) -> dict[str, int]:
    """The values on a host of what a standby must have as much of as the primary."""
    defaults = {**NEEDED, "max_wal_senders": senders(cluster_of(site, host))}
    found = {}
    for name, default in defaults.items():
        value = declared(settings_of(host), name)
        number = None if value is None else parameters.known(15)[name].number(value)
        found[name] = default if number is None else int(number)
    return found


def slot_limit(settings: PostgresqlSettings) -> int | None:
    """The bytes of WAL that slots keep at most for standbys that are away; None where there is no bound."""
    name = "max_slot_wal_keep_size"
    value = declared(settings, name)
    megabytes = None if value is None else parameters.known(15)[name].number(value)
    if megabytes is None:
        return kibibytes(settings.replication.slot_limit) * 1024
    return None if megabytes < 0 else int(megabytes) * MIB


def senders(cluster: Cluster) -> int:
    """WAL senders and slots where the inventory says nothing."""
    return max(NEEDED["max_wal_senders"], len(cluster.hosts) + SPARE)


def memory(size: int) -> dict[str, str]:
    """Parameters from a host's memory in bytes: a quarter, three quarters and a sixteenth of it.

    PostgreSQL documentation, 20.4.1 and 20.7.2, for the first two. Rounded down to 16 MB, so that a kernel that takes
    some more for itself does not restart the server.
    """
    shared = min(max(size // 4, 32 * MIB), 32 * 1024 * MIB)
    upkeep = min(max(size // 16, 64 * MIB), 1024 * MIB)
    return {
        "shared_buffers": _megabytes(shared),
        "effective_cache_size": _megabytes(max(size * 3 // 4, 64 * MIB)),
        "maintenance_work_mem": _megabytes(upkeep),
    }


def _megabytes(size: int) -> str:
    return f"{size // (16 * MIB) * 16}MB"


def lines(site: Site, host: Host, place: Place, size: int | None) -> tuple[Line, ...]:
    """Everything that is set on a host, by name where nothing else orders it; `size` is its memory, if known."""
    settings, cluster = settings_of(host), cluster_of(site, host)
    found: dict[str, Line] = {}
    for name, value in _defaults(settings, cluster, size).items():
        found[name] = Line(name, _with_origin(value))
    for name, value in settings.parameters.items():
        if name.lower() not in parameters.OWNED:
            found[name.lower()] = Line(str(name), _with_origin(value))
    for name, value in _derived(settings, cluster, host, place).items():
        found[name] = Line(name, _with_origin(value))
    return tuple(found[name] for name in sorted(found))


def _with_origin(value: Value) -> str:
    text, origin = parameters.written(value), origin_of(value)
    return Text.at(text, origin) if origin else text


def split(version: int, found: tuple[Line, ...]) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Those that a reload takes up, and those that need a restart."""
    late = tuple(line for line in found if parameters.restarts(version, line.name))
    return tuple(line for line in found if line not in late), late


def split_extra(version: int, settings: PostgresqlSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The extra lines in the same way."""
    late = {place for place, name, _ in extra(settings) if parameters.restarts(version, name)}
    numbered = list(enumerate(settings.extra))
    return (
        tuple(line for place, line in numbered if place not in late),
        tuple(line for place, line in numbered if place in late),
    )


def _derived(settings: PostgresqlSettings, cluster: Cluster, host: Host, place: Place) -> Mapping[str, Any]:
    """What nobody may set otherwise."""
    listen = ("*",) if "*" in settings.listen else ("127.0.0.1", host.address, *settings.listen)
    return {
        "data_directory": place.data,
        "hba_file": f"{place.config}/pg_hba.conf",
        "ident_file": f"{place.config}/pg_ident.conf",
        "external_pid_file": f"{SOCKETS}/{place.label}.pid",
        "unix_socket_directories": SOCKETS,
        "listen_addresses": ", ".join(dict.fromkeys(listen)),
        "port": settings.port,
        "cluster_name": host.name,
        "synchronous_standby_names": cluster.synchronous_standbys,
        "hot_standby": True,
        "wal_log_hints": True,
        "recovery_min_apply_delay": f"{round(settings.delay * 1000)}ms",
    }


def _wal_sizes(settings: PostgresqlSettings) -> dict[str, str]:
    """For segments larger than usual, of which the server wants two at least and its defaults may hold fewer."""
    segment = kibibytes(settings.data.wal_segment or SEGMENT)
    if segment <= kibibytes(SEGMENT):
        return {}
    sizes = {name: count * segment // 1024 for name, count in WAL_SIZES.items()}
    return {name: f"{size}MB" if size % 1024 else f"{size // 1024}GB" for name, size in sizes.items()}


def _defaults(settings: PostgresqlSettings, cluster: Cluster, size: int | None) -> dict[str, Any]:
    """What the inventory may set otherwise."""
    count = senders(cluster)
    return {
        **({} if size is None else memory(size)),
        **_wal_sizes(settings),
        "wal_level": "replica",
        "max_wal_senders": count,
        "max_replication_slots": count,
        "max_slot_wal_keep_size": settings.replication.slot_limit,
        # A slot keeps WAL from where its standby is; pg_rewind reads it from the last checkpoint before that.
        "wal_keep_size": min(settings.replication.slot_limit, CHECKPOINT, key=kibibytes),
        "wal_retrieve_retry_interval": "200ms",
        "wal_receiver_status_interval": "1s",
        "wal_receiver_timeout": "10s",
        "wal_sender_timeout": "10s",
        "synchronous_commit": settings.synchronous.commit if settings.synchronous else "on",
        "password_encryption": "scram-sha-256",
        # So that a primary can tell its last commit, when two have to be compared.
        "track_commit_timestamp": True,
        "ssl": True,
        "ssl_cert_file": CERTIFICATE[0],
        "ssl_key_file": CERTIFICATE[1],
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_timezone": "UTC",
        "timezone": "UTC",
        **dict.fromkeys(("lc_messages", "lc_monetary", "lc_numeric", "lc_time"), str(settings.data.locale)),
    }
