"""What is wrong with the settings of a cluster so that nothing can be rendered from them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from hakit.agent.postgres.place import USER, slot_name
from hakit.components.postgresql import hba, parameters, together
from hakit.components.postgresql.members import COMPONENT, VERSIONS, clusters, may_lead, settings_of
from hakit.components.postgresql.settings import kibibytes
from hakit.components.postgresql.tuning import extra
from hakit.errors import RefusedError
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.components.base import Facts
    from hakit.components.postgresql.members import Cluster
    from hakit.components.postgresql.settings import DatabaseSettings, PostgresqlSettings, Value
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Wrong = tuple[Host, Path, str]
    Problems = Iterator[tuple[Path, str]]

ALIKE: tuple[Path, ...] = (
    ("primary",),
    ("port",),
    ("endpoint", "port"),
    ("replication",),
    ("synchronous",),
    ("roles",),
    ("databases",),
    ("data", "checksums"),
    ("data", "locale"),
    ("data", "encoding"),
    ("data", "wal_segment"),
)
"""Settings of the cluster as a whole: two members can't disagree on them."""
PUBLIC = "PUBLIC"
PREDEFINED = "pg_"
"""How the server's own roles begin (PostgreSQL documentation, 22.5)."""
SEGMENTS = frozenset(1024 << power for power in range(11))
"""The sizes of WAL segments that initdb makes, in KiB (--wal-segsize)."""
RATES = 32, 1 << 20
"""The least and the most that pg_basebackup takes as --max-rate, in KiB/s."""
PRIVILEGES = {
    "database": ("CREATE", "CONNECT", "TEMPORARY", "TEMP"),
    "schema": ("CREATE", "USAGE"),
    "tables": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "sequences": ("USAGE", "SELECT", "UPDATE"),
    "functions": ("EXECUTE",),
}
"""What can be granted on each kind of object (PostgreSQL documentation, table 5.2; MAINTAIN is new in 17)."""
EVERYTHING = ("ALL", "ALL PRIVILEGES")
LONGEST = (1 << 31) - 1
"""The most of recovery_min_apply_delay, in milliseconds."""
ROUNDING = 1e-6
"""What a number of seconds may lose as a float, in milliseconds."""
SESSION = frozenset({"user", "superuser", "backend", "superuser-backend"})
"""The contexts of parameters that a session, and so a role, may have values of its own for."""


def problems(site: Site) -> Iterator[Wrong]:
    """Host, path below `hakit`, message."""
    for cluster in clusters(site).values():
        yield from _cluster(cluster)
        for host in cluster.hosts:
            for path, message in _member(site, cluster, host):
                yield host, (COMPONENT, *path), message


def refuse_unknown(site: Site, facts: Mapping[str, Facts]) -> None:
    """Raise RefusedError for a parameter that a host's own release does not take: offline it may not be known."""
    wrong = [
        f"{host.name} (Debian {facts[host.name].release}): {fault}"
        for cluster in clusters(site).values()
        for host in cluster.hosts
        if host.name in facts and facts[host.name].release in VERSIONS
        for name, value in _set(settings_of(host))
        if (fault := parameters.fault(VERSIONS[facts[host.name].release], name, value))
    ]
    if wrong:
        raise RefusedError(
            "parameters that a host's server does not take",
            why="\n  ".join(wrong),
            hint="Set them for the hosts that know them, or leave them out.",
        )


def _set(settings: PostgresqlSettings) -> Iterator[tuple[str, Value]]:
    """Every parameter that the inventory sets."""
    yield from settings.parameters.items()
    yield from ((name, text) for _, name, text in extra(settings))


def passfile_word(text: str) -> str:
    """A field of a password file (PostgreSQL documentation, 34.16). Raises ValueError, without showing the text."""
    if not text.isprintable():
        raise ValueError("holds more than one line of printable text")
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _cluster(cluster: Cluster) -> Iterator[Wrong]:
    first = cluster.hosts[0]
    for host in cluster.hosts[1:]:
        for path in ALIKE:
            if _at(settings_of(host), path) != _at(cluster.first, path):
                message = f"{host.name} and {first.name} are members of {cluster.name} and must say the same here"
                yield host, (COMPONENT, *path), f"{message}: write it once, for a group that holds all members"
    yield from _fences(cluster)
    slots: dict[str, str] = {}
    for host in cluster.hosts:
        other = slots.setdefault(slot_name(host.name), host.name)
        if other != host.name:
            message = f"{host.name} and {other} would have the same replication slot, {slot_name(host.name)}"
            yield host, (COMPONENT, "cluster"), f"{message}: give one of the hosts another name"


def _fences(cluster: Cluster) -> Iterator[Wrong]:
    """Two members can't be without power by the same command: one of them would still run."""
    seen: dict[tuple[str, ...], str] = {}
    for host in cluster.hosts:
        fence = settings_of(host).fence
        if fence is not None:
            other = seen.setdefault(fence.argv(host.name, host.address), host.name)
            if other != host.name:
                message = f"the same command would fence {other} and {host.name}: write {{host}} or {{address}} in it"
                yield host, (COMPONENT, "fence", "command"), message


def _at(settings: object, path: Path) -> object:
    for key in path:
        settings = getattr(settings, str(key))
    return settings


def _member(site: Site, cluster: Cluster, host: Host) -> Problems:
    settings = settings_of(host)
    try:
        ipaddress.ip_address(host.address)
    except ValueError:
        message = f"peers and balancers are let in by address, but {host.name} is known as {host.address!r}"
        yield ("cluster",), f"{message}: write hakit.address for the host"
    yield from _roles_in_the_cluster(cluster, host, settings)
    yield from _upstream(cluster, host, settings)
    yield from _data(host, settings)
    yield from _replication(settings)
    yield from _parameters(host, settings)
    yield from together.faults(cluster, settings)
    yield from _access(site, host, settings)
    yield from _objects(settings)


def _roles_in_the_cluster(cluster: Cluster, host: Host, settings: PostgresqlSettings) -> Problems:
    maker = cluster.host(str(settings.primary))
    if maker is None:
        near = did_you_mean(settings.primary, cluster.names)
        yield ("primary",), f"{settings.primary} is no member of {cluster.name} ({', '.join(cluster.names)}){near}"
    elif maker is host and not may_lead(settings):
        key = "delay" if settings.delay else "promotable"
        yield (key,), f"the cluster is first made on {host.name}, so it must be one that may be primary"
    milliseconds = settings.delay * 1000
    if abs(milliseconds - round(milliseconds)) > ROUNDING or milliseconds > LONGEST:
        yield ("delay",), "expects whole milliseconds, 24d20h of them at most (the server counts no further)"
    synchronous = settings.synchronous
    if synchronous is not None and (synchronous.any is None) == (synchronous.first is None):
        has = "neither" if synchronous.any is None else "both"
        yield ("synchronous",), f"write any: N or first: N, for how many standbys a commit waits; it has {has}"


def _upstream(cluster: Cluster, host: Host, settings: PostgresqlSettings) -> Problems:
    if settings.upstream is None:
        return
    seen = [host.name]
    name: str | None = str(settings.upstream)
    while name is not None and name not in seen:
        seen.append(name)
        above = cluster.host(name)
        if above is None:
            near = did_you_mean(name, cluster.names)
            yield ("upstream",), f"{name} is no member of {cluster.name} ({', '.join(cluster.names)}){near}"
            return
        upstream = settings_of(above).upstream
        name = None if upstream is None else str(upstream)
    if name is not None:
        circle = " → ".join([*seen, name])
        yield ("upstream",), f"standbys follow each other in a circle ({circle}): one of them must follow the primary"


def _data(host: Host, settings: PostgresqlSettings) -> Problems:
    data = settings.data
    version = VERSIONS.get(host.release or 12, VERSIONS[12])
    directory = data.directory or f"/var/lib/postgresql/{version}/{settings.cluster}"
    if data.mount is not None and not directory.startswith(f"{data.mount.rstrip('/')}/"):
        what = "is the mount point itself" if directory == data.mount else f"is not below {data.mount}"
        yield ("data", "directory" if data.directory else "mount"), f"{directory} {what}: use a folder below it"
    if data.wal_segment is not None and kibibytes(data.wal_segment) not in SEGMENTS:
        yield ("data", "wal_segment"), f"{data.wal_segment} is no power of two from 1MB to 1GB"
    if data.directory is not None and data.directory.count("/") < 2:  # noqa: PLR2004 - /a/b
        yield ("data", "directory"), f"{directory} stands at the top of the file system: use a folder of its own"


def _replication(settings: PostgresqlSettings) -> Problems:
    replication = settings.replication
    if why := replication.password.unfit(passfile_word):
        yield ("replication", "password"), f"the secret {replication.password.name} {why}"
    if wrong := parameters.known(15)["max_slot_wal_keep_size"].fault(replication.slot_limit):
        yield ("replication", "slot_limit"), wrong
    if replication.rate is not None and not RATES[0] <= kibibytes(replication.rate) <= RATES[1]:
        yield ("replication", "rate"), f"expects 32kB to 1GB, got {replication.rate}"


def _parameters(host: Host, settings: PostgresqlSettings) -> Problems:
    versions = _versions(host)
    for name, value in settings.parameters.items():
        if wrong := _wrong(versions, name, value):
            yield ("parameters", name), wrong
    for place, line in enumerate(settings.extra):
        try:
            found = parameters.parse(line)
        except ValueError:
            yield ("extra", place), "a line of postgresql.conf reads  name = value,  with quotes around odd values"
            continue
        if found and (wrong := _wrong(versions, *found)):
            yield ("extra", place), wrong


def _versions(host: Host) -> list[int]:
    """The servers that a host may have: of its release, or of any where that is not said."""
    return [VERSIONS[host.release]] if host.release in VERSIONS else sorted(set(VERSIONS.values()))


def _wrong(versions: list[int], name: str, value: Value) -> str | None:
    """What every release that the host may have finds wrong: which one it is may not be known here."""
    faults = [parameters.fault(version, name, value) for version in versions]
    return None if None in faults else faults[0]


def _access(site: Site, host: Host, settings: PostgresqlSettings) -> Problems:
    for place, access in enumerate(settings.access):
        path: Path = ("access", place)
        if (access.group is None) == (access.network is None):
            has = "neither" if access.group is None else "both"
            yield path, f"write group or network, for where they come from; it has {has}"
        elif access.group is not None and not site.members(access.group):
            known = [*site.groups, *site.hosts]
            yield (*path, "group"), f"no such group or host: {access.group}{did_you_mean(access.group, known)}"
        if access.method == "cert" and not access.tls:
            yield (*path, "method"), "a certificate is only shown over TLS: write tls: true"
        for at, name in enumerate(access.roles):
            if name != hba.ALL and not _is_role(settings, name):
                yield (*path, "roles", at), _no_role(settings, name)
    oldest = min(_versions(host))
    for place, line in enumerate(settings.hba_extra):
        found = hba.parse(line, oldest)
        if isinstance(found, str):
            yield ("hba_extra", place), found


def _objects(settings: PostgresqlSettings) -> Problems:
    for name, role in settings.roles.items():
        path: Path = ("roles", name)
        if name in (USER, settings.replication.user) or name.startswith(PREDEFINED) or name.lower() == "public":
            yield path, f"hakit or the server itself makes the role {name}: choose another name"
        for at, group in enumerate(role.member_of):
            if not _is_role(settings, group):
                yield (*path, "member_of", at), _no_role(settings, group)
        for key, value in role.settings.items():
            yield from _session(path, key, value)
    for name, database in settings.databases.items():
        yield from _database(settings, ("databases", name), database)


def _session(path: Path, key: str, value: Value) -> Problems:
    """A parameter of a role's sessions, judged by the older release: what it does not know, the newer may."""
    row = next((known[key.lower()] for known in map(parameters.known, (15, 17)) if key.lower() in known), None)
    if row is None:
        if "." not in key:
            near = did_you_mean(key.lower(), parameters.known(15))
            yield (*path, "settings", key), f"PostgreSQL knows no parameter {key}{near}"
    elif row.context not in SESSION:
        yield (*path, "settings", key), f"{key} is the server's own, not a session's: write it under parameters"
    elif wrong := row.fault(value):
        yield (*path, "settings", key), f"{key} {wrong}"


def _database(settings: PostgresqlSettings, path: Path, database: DatabaseSettings) -> Problems:
    if database.owner is not None and not _is_role(settings, database.owner):
        yield (*path, "owner"), _no_role(settings, database.owner)
    for place, grant in enumerate(database.grants):
        if grant.role.upper() != PUBLIC and not _is_role(settings, grant.role):
            yield (*path, "grants", place, "role"), _no_role(settings, grant.role)
        known = PRIVILEGES[grant.objects]
        for at, privilege in enumerate(grant.privileges):
            if privilege.upper() not in (*known, *EVERYTHING):
                near = did_you_mean(privilege.upper(), known)
                text = f"nobody can be granted {privilege} on {grant.objects}{near}: there are {', '.join(known)}, ALL"
                yield (*path, "grants", place, "privileges", at), text


def _is_role(settings: PostgresqlSettings, name: str) -> bool:
    return name in (USER, settings.replication.user, *settings.roles) or name.startswith(PREDEFINED)


def _no_role(settings: PostgresqlSettings, name: str) -> str:
    known: Iterable[str] = (*settings.roles, USER)
    return f"no such role: {name}{did_you_mean(name, known)} — write it under roles"
