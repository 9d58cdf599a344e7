"""What the inventory says of PostgreSQL: one cluster of servers that replicate each other."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from hakit.inventory.types import (
    AbsPath,
    Duration,
    Line,
    Name,
    Network,
    PackageName,
    Port,
    Secret,
    Settings,
    Word,
    expected,
)

LONGEST = 63
"""PostgreSQL cuts identifiers after 63 bytes (NAMEDATALEN)."""
_SIZES = {"kB": 1, "MB": 1024, "GB": 1024**2, "TB": 1024**3}
_SIZE = re.compile(r"([0-9]{1,9})(kB|MB|GB|TB)")


def kibibytes(size: str) -> int:
    """A size as PostgreSQL writes it, in KiB: `1GB` is 1048576. Raises ValueError."""
    found = _SIZE.fullmatch(size)
    if found is None:
        raise ValueError(size)
    return int(found.group(1)) * _SIZES[found.group(2)]


def _size(value: str) -> str:
    if _SIZE.fullmatch(value) is None:
        raise expected("a size with PostgreSQL's unit such as 512MB or 1GB", value)
    return value


def _identifier(value: str) -> str:
    if len(value.encode()) > LONGEST:
        raise expected(f"a name of at most {LONGEST} bytes", value)
    return value


def _cluster(value: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value) is None:
        raise expected("a name of small letters, digits and '_' (Debian's units can't hold a '-')", value)
    return value


def _locale(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.@-]+", value) is None:
        raise expected("the name of a locale such as C.UTF-8 or de_DE.UTF-8", value)
    return value


Locale = Annotated[
    str,
    AfterValidator(_locale),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_.@-]+$", "x-expects": "the name of a locale"}),
]
Size = Annotated[
    str,
    AfterValidator(_size),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,9}(kB|MB|GB|TB)$", "x-expects": "a size such as 512MB"}),
]
ClusterName = Annotated[
    str,
    AfterValidator(_cluster),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$", "x-expects": "a name of small letters"}),
]
Identifier = Annotated[Name, AfterValidator(_identifier)]
Value = bool | int | float | Line


class Data(Settings):
    """Where the data are, and how they are made; only the making reads all but `mount`."""

    directory: AbsPath | None = Field(
        default=None, description="The data directory; left out: Debian's, /var/lib/postgresql/<version>/<cluster>."
    )
    mount: AbsPath | None = Field(
        default=None, description="A mount point above it: nothing is made or started unless it is mounted."
    )
    checksums: bool = Field(
        default=True, description="Data checksums: they find silent damage, and pg_rewind needs them."
    )
    locale: Locale = Field(default="C.UTF-8", description="The locale; it must be there on each host.")
    encoding: Word = Field(default="UTF8", description="The encoding of new databases.")
    wal_segment: Size | None = Field(default=None, description="The size of WAL segments; left out: 16MB.")


class Synchronous(Settings):
    """How many standbys have a commit before it is acknowledged; exactly one of `any` and `first`."""

    any: Annotated[int, Field(ge=1, le=16)] | None = Field(default=None, description="Any so many of the standbys.")
    first: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None, description="The first so many of those that are there, in the order of `standbys`."
    )
    standbys: tuple[Name, ...] = Field(
        default=(),
        description="The members that count, by host; left out: all of the primary's site that are not delayed. "
        "The primary of the day may be among them.",
    )
    commit: Literal["on", "remote_apply", "remote_write"] = Field(
        default="on",
        description="What a standby has done with a commit: flushed it, made it visible, or only written it.",
    )
    single: bool = Field(
        default=False, description="Allow a single candidate: commits wait for ever while it is away (rule PG005)."
    )


class Replication(Settings):
    """How standbys get the primary's changes."""

    user: Identifier = Field(default="replicator", description="The role that standbys log in as.")
    password: Secret = Field(description="Its password.")
    slot_limit: Size = Field(
        default="1GB",
        description="WAL that a slot keeps for a standby that is away; one that is away longer is copied anew.",
    )
    rate: Size | None = Field(
        default=None, description="Most that copying a standby takes per second; left out: no limit."
    )
    catch_up: Duration = Field(default=300.0, description="How long a new or restarted standby may take to catch up.")


class RoleSettings(Settings):
    """A role: with `login` it is a user."""

    login: bool = Field(default=True, description="Whether it can log in.")
    password: Secret | None = Field(default=None, description="Its password; left out: none is set.")
    superuser: bool = Field(default=False, description="Whether it may do everything.")
    createdb: bool = Field(default=False, description="Whether it may make databases.")
    createrole: bool = Field(default=False, description="Whether it may make roles.")
    replication: bool = Field(default=False, description="Whether it may copy the cluster.")
    connections: Annotated[int, Field(ge=-1)] = Field(default=-1, description="Its connections at most; -1: no limit.")
    member_of: tuple[Identifier, ...] = Field(default=(), description="Roles whose privileges it has.")
    settings: dict[Word, Value] = Field(default_factory=dict, description="Parameters of its sessions.")


class GrantSettings(Settings):
    """Privileges on objects of one kind."""

    role: Identifier = Field(description="Who gets them.")
    privileges: Annotated[tuple[Line, ...], Field(min_length=1)] = Field(description="SELECT, INSERT, USAGE, ALL …")
    objects: Literal["database", "schema", "tables", "sequences", "functions"] = Field(
        default="database", description="On the database, a schema, or everything of a kind in a schema."
    )
    in_schema: Identifier = Field(default="public", description="The schema, where it is not the database.")
    future: bool = Field(default=True, description="For `tables`, `sequences`, `functions`: also those made later.")


class DatabaseSettings(Settings):
    """A database."""

    owner: Identifier | None = Field(default=None, description="The role that owns it; left out: postgres.")
    encoding: Word | None = Field(default=None, description="Its encoding, where it is made.")
    locale: Locale | None = Field(default=None, description="Its locale, where it is made.")
    template: Identifier | None = Field(default=None, description="The database it is made from.")
    extensions: tuple[Identifier, ...] = Field(default=(), description="Extensions that are made in it.")
    grants: tuple[GrantSettings, ...] = Field(default=(), description="Privileges in it.")


class Access(Settings):
    """Who may log in from where: rows of pg_hba.conf, after those that hakit derives."""

    databases: Annotated[tuple[Identifier, ...], Field(min_length=1)] = Field(
        default=("all",), description="Databases; `all` is every one."
    )
    roles: Annotated[tuple[Identifier, ...], Field(min_length=1)] = Field(
        default=("all",), description="Roles; `all` is every one."
    )
    group: Name | None = Field(default=None, description="A group or host of the inventory, by its addresses.")
    network: Network | None = Field(default=None, description="Or a network.")
    method: Literal["scram-sha-256", "md5", "cert", "reject", "trust"] = Field(
        default="scram-sha-256", description="How they prove who they are."
    )
    tls: bool = Field(default=False, description="Only over TLS (hostssl).")


class Fence(Settings):
    """How the controller makes sure that a host which it can't reach runs no more."""

    command: Annotated[tuple[Line, ...], Field(min_length=1)] = Field(
        description="Program and arguments, run where hakit runs, without a shell; `{host}` and `{address}` are filled "
        "in. Exit 0 must mean that the host is without power."
    )
    timeout: Duration = Field(default=60.0, description="How long it may take.")

    def argv(self, host: str, address: str) -> tuple[str, ...]:
        """The command for a host."""
        return tuple(str(word).replace("{host}", host).replace("{address}", address) for word in self.command)


class Endpoint(Settings):
    """The role endpoint: tells balancers and peers over HTTP what this server is."""

    port: Port = Field(default=8008, description="Where it listens, on the host's address and on 127.0.0.1.")
    allow: tuple[Network, ...] = Field(
        default=(), description="Networks that may ask beside the members and the balancers of the inventory."
    )


class PostgresqlSettings(Settings):
    """PostgreSQL with streaming replication: the hosts that name the same `cluster` are its members."""

    cluster: ClusterName = Field(description="The cluster's name, and Debian's for it on each host.")
    primary: Name = Field(
        description="The host on which the cluster is first made; which one is primary later is read, not assumed."
    )
    port: Port = Field(default=5432, description="The servers' port.")
    listen: tuple[Word, ...] = Field(
        default=(), description="Addresses to listen on beside 127.0.0.1 and the host's own; `*` for all."
    )
    data: Data = Field(default_factory=Data, description="Where the data are, and how they are made.")
    replication: Replication = Field(description="How standbys get the primary's changes.")
    synchronous: Synchronous | None = Field(
        default=None, description="Commits wait for standbys; left out: they don't, and a failover may lose some."
    )
    upstream: Name | None = Field(
        default=None, description="The member that this one follows while it is a standby; left out: the primary."
    )
    delay: Duration = Field(default=0.0, description="How far this standby stays behind on purpose; never promoted.")
    site: Name | None = Field(
        default=None, description="The place of this member; one on another site than the primary's is asynchronous."
    )
    promotable: bool = Field(default=True, description="Whether this member may become the primary.")
    parameters: dict[Word, Value] = Field(default_factory=dict, description="The server's parameters, by name.")
    extra: tuple[Line, ...] = Field(default=(), description="Lines for postgresql.conf, as they are.")
    hba_extra: tuple[Line, ...] = Field(default=(), description="Lines for pg_hba.conf before its last, as they are.")
    roles: dict[Identifier, RoleSettings] = Field(default_factory=dict, description="Roles, by name.")
    databases: dict[Identifier, DatabaseSettings] = Field(default_factory=dict, description="Databases, by name.")
    access: tuple[Access, ...] = Field(default=(), description="Who may log in from where.")
    packages: tuple[PackageName, ...] = Field(default=(), description="Packages of extensions beside the server's own.")
    endpoint: Endpoint = Field(default_factory=Endpoint, description="The role endpoint.")
    fence: Fence | None = Field(default=None, description="How a host that can't be reached is made sure to be off.")
