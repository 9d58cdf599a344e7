"""Where the things of a cluster are on a Debian host, and who its members are."""

from __future__ import annotations

from hakit.agent.declare import Declaration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    Nested = dict[str, type[Declaration]]

USER = "postgres"
SOCKETS = "/run/postgresql"
"""Where Debian's servers listen for local clients."""
LIBRARY = "/usr/local/lib/hakit-postgresql"
"""The programs that live on the host: run as `python3 -I -S -E LIBRARY endpoint FILE` and `… guard FILE`."""
RUNNING = "/run/hakit-postgresql"
"""What is forgotten at a reboot: `<version>-<cluster>.held`."""
SLOT_LOST = "lost"
"""A slot's wal_status when its WAL is gone (PostgreSQL documentation, pg_replication_slots)."""


class Member(Declaration):
    """A member of a cluster as its peers know it: its host's name and address.

    `votes`: whether it is asked before a server opens for writes, and counts for the majority. A member on another site
    that is never promoted does not.
    """

    name: str
    address: str
    votes: bool = True


class Place(Declaration):
    """One cluster on one host.

    `host` is the host's name in the inventory: the member's name in the cluster, its application_name and, with
    everything but letters, digits and `_` replaced by `_` and in small letters, its slot. `port` is the server's,
    `endpoint` that of the role endpoint. `members` are all members, this one included, in the order of the inventory;
    `allow` are the addresses beside theirs that may ask the endpoint (balancers).
    """

    nested: ClassVar[Nested] = {"members": Member}
    version: int
    cluster: str
    host: str
    data: str
    port: int = 5432
    endpoint: int = 8008
    members: tuple[Member, ...] = ()
    allow: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`15-main`: what Debian's units and our files call it."""
        return f"{self.version}-{self.cluster}"

    @property
    def unit(self) -> str:
        """The systemd unit of the server."""
        return f"postgresql@{self.label}.service"

    @property
    def config(self) -> str:
        """The folder of its configuration."""
        return f"/etc/postgresql/{self.version}/{self.cluster}"

    @property
    def file(self) -> str:
        """This very description, as JSON, for the programs that live on the host."""
        return f"{self.config}/hakit.json"

    @property
    def programs(self) -> str:
        """The folder of the server's programs."""
        return f"/usr/lib/postgresql/{self.version}/bin"

    @property
    def passfile(self) -> str:
        """The passwords with which this member connects to others (owner postgres, mode 0600)."""
        return f"{self.config}/hakit.pgpass"

    @property
    def state(self) -> str:
        """The folder of what was decided (owner postgres, mode 0750): `decision.json` and `upstream.conf`."""
        return f"/var/lib/hakit-postgresql/{self.label}"

    @property
    def decision(self) -> str:
        """The record of the last decision about who is primary."""
        return f"{self.state}/decision.json"

    @property
    def upstream(self) -> str:
        """The file, included by the server's configuration, that says whom a standby follows."""
        return f"{self.state}/upstream.conf"

    @property
    def held(self) -> str:
        """While this file exists the endpoint does not call this server a primary; its text says why."""
        return f"{RUNNING}/{self.label}.held"

    @property
    def aside(self) -> str:
        """While this file exists the endpoint does not call this server a replica; its text says why.

        The name holds no version: whoever writes it may not know the host's release.
        """
        return aside(self.cluster)

    @property
    def signal(self) -> str:
        """The file that makes a server start as a standby."""
        return f"{self.data}/standby.signal"

    @property
    def making(self) -> str:
        """The sibling of the data directory in which one is made or copied, before it is renamed."""
        return f"{self.data}.hakit-new"

    @property
    def torn(self) -> str:
        """While this file exists the data directory must not be started: a rewind in it did not end; it says so."""
        return f"{self.data}.hakit-torn"

    def address(self, host: str) -> str:
        """The address of a member; empty when there is none of that name."""
        return next((one.address for one in self.members if one.name == host), "")


def aside(cluster: str) -> str:
    """`Place.aside` of a cluster's member."""
    return f"{RUNNING}/{cluster}.aside"


def slot_name(host: str) -> str:
    """The name of a member's replication slot (PostgreSQL allows a–z, 0–9 and _, at most 63)."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in host.lower())[:63]
