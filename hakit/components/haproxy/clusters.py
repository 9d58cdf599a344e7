"""PostgreSQL clusters as balancers see them: who is a member, where it says which role it has, how that is asked.

Components never import each other: what a member's settings have is said here, by a protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from hakit.components.once import once_per_site

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from hakit.components.haproxy.settings import Check, Pool
    from hakit.inventory.model import Host, Site

    Role = Literal["primary", "replica", "any"]

CLAIMS = "hakit-claims-"
"""What the sections begin with that count who claims to be the primary, before the name of the write pool."""
_PATHS = {"primary": "/primary", "replica": "/replica", "any": "/read"}
"""Where a member's endpoint answers 200 exactly while it may get such work; Patroni's REST API has the same paths."""
_EAGER: dict[str, Any] = {"interval": 0.5, "fast": 0.25, "timeout": 2.0, "fall": 1, "rise": 1}
"""How a write pool asks: the first refusal counts, but a host that is only slow to answer has two seconds."""
_MAX_CONNECTIONS, _RESERVED = 100, 3
"""PostgreSQL's defaults of max_connections and of superuser_reserved_connections (19.3.1 of its manual)."""


class Endpoint(Protocol):
    """Where a member says over HTTP which role it has."""

    @property
    def port(self) -> int:
        """Its port, on the host's address."""


class Member(Protocol):
    """What a balancer has to know of a member's settings: `delay` in seconds, 0 where it is not kept behind."""

    @property
    def cluster(self) -> str:
        """The name of its cluster."""

    @property
    def port(self) -> int:
        """The server's port."""

    @property
    def endpoint(self) -> Endpoint:
        """Its role endpoint."""

    @property
    def delay(self) -> float:
        """How far it stays behind on purpose."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameters of the server that are not PostgreSQL's defaults."""


def member(host: Host) -> Member:
    """A host's settings as a member; it must be one."""
    return cast("Member", host.settings["postgresql"])


@once_per_site
def clusters(site: Site) -> Mapping[str, tuple[Host, ...]]:
    """The members of each cluster, in the order of the inventory."""
    found: dict[str, list[Host]] = {}
    for host in site.running("postgresql"):
        found.setdefault(member(host).cluster, []).append(host)
    return {name: tuple(hosts) for name, hosts in found.items()}


def serving(site: Site, pool: Pool) -> tuple[Host, ...]:
    """The members that a pool has as servers.

    All of them may claim to be the primary, so a write pool has all; those that stay behind on purpose serve no reads.
    """
    hosts = clusters(site).get(str(pool.postgresql), ())
    return hosts if pool.role == "primary" else tuple(host for host in hosts if not member(host).delay)


def check_of(pool: Pool) -> Check:
    """How a pool asks its servers: as its settings say, or as its role in front of a cluster does."""
    if pool.postgresql is None or pool.role is None:
        return pool.check
    eager = _EAGER if pool.role == "primary" else {}
    own = {key: value for key, value in eager.items() if key not in pool.check.model_fields_set}
    return pool.check.model_copy(update={**own, "enabled": True, "http": path_of(pool.role, pool.max_lag)})


def path_of(role: Role, max_lag: str | None) -> str:
    """The path that a member with this role answers well, while it is no further behind than this."""
    return _PATHS[role] + (f"?lag={max_lag}" if max_lag else "")


def connections(host: Host) -> int:
    """How many connections a member has for clients. Where the parameters are no numbers: by PostgreSQL's defaults."""
    parameters = member(host).parameters

    def number(name: str, default: int) -> int:
        text = str(parameters.get(name, default))
        return int(text) if text.isdecimal() else default

    reserved = number("superuser_reserved_connections", _RESERVED) + number("reserved_connections", 0)
    return number("max_connections", _MAX_CONNECTIONS) - reserved
