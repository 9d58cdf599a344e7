"""The network of a host, as one thing: it is changed whole, confirmed over a new connection, or put back."""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.resources.base import DISRUPTIVE, Resource
from hakit.agent.resources.files import File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    Nested = dict[str, type[Declaration]]

NETWORKD, IFUPDOWN, NETPLAN = "systemd-networkd", "ifupdown", "netplan"
"""What can have a host's network in its hands."""


class Link(Declaration):
    """A link as the kernel is to have it; what is left empty is not compared.

    `kind` is `physical`, `bond`, `vlan` or `bridge`. `nic` says which card a physical one is, where `name` does not:
    `mac:52:54:00:12:34:56` (the permanent address) or `path:pci-0000:00:05.0` (udev's ID_PATH). `master` is the bond or
    bridge it is a port of, `on` the link a VLAN with the tag `id` is on. `options` are pairs of a name in sysfs'
    bonding or bridge folder and its value as the kernel shows it (`("mode", "active-backup")`). `addresses` are
    static, with their prefix length; `dhcp` names the families whose addresses others give: by DHCP, or by router
    advertisements (`4`, `6`). `mac` is set where it is asked for. `mtu` 0 is the kernel's own.
    """

    name: str
    kind: str = "physical"
    nic: str = ""
    master: str = ""
    on: str = ""
    id: int = 0
    options: tuple[tuple[str, str], ...] = ()
    addresses: tuple[str, ...] = ()
    dhcp: tuple[str, ...] = ()
    mac: str = ""
    mtu: int = 0


class Route(Declaration):
    """A route of the main table: `to` is a network, `default` for 0.0.0.0/0 and `default6` for ::/0.

    `via` empty: on the link itself. `metric` -1: whatever it is.
    """

    to: str
    via: str = ""
    link: str = ""
    metric: int = -1


class Network(Resource):
    """All links, addresses and routes of a host.

    `manager` is who brings them up (`systemd-networkd`, `ifupdown`, `netplan`), `before` who did until now where that
    is another. `files` are its configuration, whole: other files in its folders that configure links are put aside.
    `others` are addresses that come and go on its links by other hands (VIPs): they are left alone.
    `reload` are units that are reloaded once their links have changed, there and back, where they run.
    `servers` and `search` are the resolver's, empty where not hakit's. Before a change is kept, `gateways` and `peers`
    (addresses) must answer from the host, and those of `mates`, who stand in for it, that answered before the change;
    links in `lacp` must have a partner, and the controller must have come back over a new connection, all within
    `timeout` seconds; otherwise the host puts the old network back by itself.
    """

    type: ClassVar[str] = "network"
    nested: ClassVar[Nested] = {"links": Link, "routes": Route, "files": File}
    impact: str = DISRUPTIVE
    manager: str
    before: str = ""
    files: tuple[File, ...]
    links: tuple[Link, ...]
    routes: tuple[Route, ...] = ()
    others: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    mates: tuple[str, ...] = ()
    lacp: tuple[str, ...] = ()
    timeout: float = 60.0

    @property
    def name(self) -> str:
        """A host has one."""
        return "network"
