"""Who may log in from where: the rows of pg_hba.conf, and which of them an earlier one hides.

The server takes the first row that fits type, database, user and address, and looks no further (PostgreSQL
documentation, 21.1).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.postgres.place import USER
from hakit.components.postgresql.members import balancers, cluster_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.postgresql.settings import Access, PostgresqlSettings
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALL, REPLICATION, SCRAM = "all", "replication", "scram-sha-256"
REWOUND = "postgres"
"""The database that pg_rewind logs in to."""
LOOPBACK = ("127.0.0.1/32", "::1/128")
_TYPES = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
_INCLUDES = ("include", "include_if_exists", "include_dir")
INCLUDING = 16
"""The first version that reads these in pg_hba.conf (its release notes, E.1.3.1.4)."""
_METHODS = frozenset(
    [SCRAM, "trust", "reject", "md5", "password", "gss", "ident", "peer", "pam", "ldap", "radius", "cert"]
)
"""Those of a server for Linux: sspi is Windows'."""
_ONLY = {"peer": ("local",), "cert": ("hostssl",), "gss": tuple(kind for kind in _TYPES if kind != "local")}
_NEEDS = {
    "ldap": ("ldapserver|ldapurl", "ldapbasedn|ldapprefix|ldapsuffix|ldapurl"),
    "radius": ("radiusservers", "radiussecrets"),
}
"""Methods that fit rows of some types alone, and options without which a method is refused (21.1, 21.10, 21.11)."""
_TOKEN = re.compile(r'(?:[^\s",#]|"[^"]*")+(?:\s*,\s*(?:[^\s",#]|"[^"]*")+)*')


@dataclass(frozen=True, slots=True)
class Row:
    """A row; `address` is empty for `local`, `path` the setting (below `hakit`) it stems from, empty where derived."""

    type: str
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str
    method: str
    why: str = ""
    path: Path = ()

    @property
    def replicates(self) -> bool:
        """Whether it speaks of replication connections; `all` databases does not."""
        return REPLICATION in self.databases

    @property
    def network(self) -> Network | None:
        """What its address covers; None for `local`, names and the server's own keywords."""
        try:
            return ipaddress.ip_network(self.address, strict=False)
        except ValueError:
            return None

    @property
    def anywhere(self) -> bool:
        """Whether it speaks of every address of a family."""
        network = self.network
        return self.address == ALL or (network is not None and network.prefixlen == 0)

    def covers(self, other: Row) -> bool:
        """Whether everything that fits the other row fits this one, too."""
        return (
            self._covers_type(other)
            and _covers(self.databases, other.databases, REPLICATION)
            and _covers(self.users, other.users)
            and self._covers_address(other)
        )

    def _covers_type(self, other: Row) -> bool:
        return self.type == other.type or (self.type == "host" and other.type != "local")

    def _covers_address(self, other: Row) -> bool:
        if self.address in (other.address, ALL):
            return True
        mine, theirs = self.network, other.network
        if isinstance(mine, ipaddress.IPv4Network) and isinstance(theirs, ipaddress.IPv4Network):
            return theirs.subnet_of(mine)
        if isinstance(mine, ipaddress.IPv6Network) and isinstance(theirs, ipaddress.IPv6Network):
            return theirs.subnet_of(mine)
        return False


def _covers(mine: tuple[str, ...], theirs: tuple[str, ...], never: str = "") -> bool:
    """Whether `all`, or the very names, cover others; `never` is not among what `all` means."""
    return all(name in mine or (ALL in mine and name != never) for name in theirs)


def rows(site: Site, host: Host) -> tuple[Row, ...]:
    """All rows of a member, in an order in which none hides a later one that hakit derives."""
    return (*derived(site, host), *declared(site, settings_of(host)), *extra(settings_of(host)))


def derived(site: Site, host: Host) -> Iterator[Row]:
    """What the cluster itself needs, the same on every member."""
    cluster, settings = cluster_of(site, host), settings_of(host)
    replicator = (str(settings.replication.user),)
    yield Row("local", (ALL,), (USER,), "", "peer", "the host's own administrator, and hakit")
    for one in cluster.hosts:
        address = host_address(one.address)
        yield Row("host", (REPLICATION,), replicator, address, SCRAM, f"{one.name} follows")
        yield Row("host", (REWOUND,), replicator, address, SCRAM, f"pg_rewind on {one.name}")
    for address in LOOPBACK:
        yield Row("host", (ALL,), (ALL,), address, SCRAM, "programs on this host")
    users = tuple(map(str, client_roles(settings)))
    for address in balancers(site, cluster) if users else ():
        yield Row("host", (ALL,), users, host_address(address), SCRAM, "clients come through this balancer")


def client_roles(settings: PostgresqlSettings) -> tuple[str, ...]:
    """The roles that applications log in as: no superuser, none that replicates."""
    return tuple(
        name for name, role in settings.roles.items() if role.login and not role.superuser and not role.replication
    )


def declared(site: Site, settings: PostgresqlSettings) -> Iterator[Row]:
    """The rows of `access`, in its order; a group is a row for each of its addresses."""
    for place, access in enumerate(settings.access):
        for address in _addresses(site, access):
            yield Row(
                type="hostssl" if access.tls else "host",
                databases=tuple(map(str, access.databases)),
                users=tuple(map(str, access.roles)),
                address=address,
                method=access.method,
                path=("postgresql", "access", place),
            )


def _addresses(site: Site, access: Access) -> tuple[str, ...]:
    if access.network is not None:
        return (str(access.network),)
    hosts = site.members(access.group) if access.group else ()
    return tuple(dict.fromkeys(host_address(host.address) for host in hosts))


def extra(settings: PostgresqlSettings) -> Iterator[Row]:
    """The rows of `hba_extra` that are understood."""
    for place, line in enumerate(settings.hba_extra):
        found = parse(line)
        if isinstance(found, Row):
            yield Row(
                found.type,
                found.databases,
                found.users,
                found.address,
                found.method,
                path=("postgresql", "hba_extra", place),
            )


def host_address(address: str) -> str:
    """An address as a row of its own; a name stays one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return f"{ip}/{ip.max_prefixlen}"


def parse(line: str, version: int = INCLUDING) -> Row | str | None:
    """A line as a row of a server's; None for one that says nothing here; what is wrong with it, in words."""
    words = _TOKEN.findall(line.partition("#")[0] if '"' not in line else line)
    if words and words[0] in _INCLUDES and version < INCLUDING:
        newer = f"{INCLUDING} and newer do: say  release: 13  of such hosts"
        return f"PostgreSQL {version} reads no {words[0]} here, {newer}"
    if not words or words[0] in _INCLUDES:
        return None
    kind, *rest = words
    if kind not in _TYPES:
        return f"a row begins with {', '.join(_TYPES)}, got {kind}"
    least = 3 if kind == "local" else 4
    if len(rest) < least:
        needs = "database, user and method" if kind == "local" else "database, user, address and method"
        return f"a {kind} row needs {needs}"
    databases, users, *rest = rest
    address = "" if kind == "local" else rest.pop(0)
    if _is_address(address) and len(rest) > 1 and _is_address(rest[0]):
        address = f"{address}/{rest.pop(0)}"
    method, *options = rest
    wrong = _unfit(kind, method, options) or _no_address(address)
    return wrong or Row(kind, _names(databases), _names(users), address, method)


def _unfit(kind: str, method: str, options: list[str]) -> str:
    """Why the server does not take a method in such a row; empty where it does."""
    if method not in _METHODS:
        return f"no such method: {method} (known are {', '.join(sorted(_METHODS))})"
    only = _ONLY.get(method, _TYPES)
    if kind not in only:
        return f"{method} is for rows of {' or '.join(only)}, not of {kind}"
    odd = [word for word in options if "=" not in word]
    if odd:
        return f"an option of {method} reads name=value, got {odd[0]}"
    given = {word.partition("=")[0] for word in options}
    missing = [one for one in _NEEDS.get(method, ()) if not given.intersection(one.split("|"))]
    return f"{method} needs {missing[0].replace('|', ' or ')}=…" if missing else ""


def _no_address(address: str) -> str:
    """Why the server does not take an address; empty where it does. Names are not looked up."""
    if _is_address(address):
        return f"{address} needs its prefix length, or a mask after it"
    if "/" in address:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError:
            return f"{address} is no network"
    return ""


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().strip('"') for name in text.split(","))


def hidden(found: tuple[Row, ...]) -> Iterator[tuple[Row, Row]]:
    """The rows that can never be reached, each with the earlier one that takes its connections."""
    for place, row in enumerate(found):
        first = next((earlier for earlier in found[:place] if earlier.covers(row)), None)
        if first is not None:
            yield row, first
