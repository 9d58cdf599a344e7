"""A host's network as /etc/network/interfaces, for ifupdown with ifenslave and bridge-utils.

Options are those of interfaces(5) in ifupdown 0.8.41 (Debian 12) and 0.8.44 (Debian 13), of ifenslave 2.13/2.14 and of
bridge-utils-interfaces(5). A VLAN called `<parent>.<id>` is made by ifupdown itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.resources.files import File
from hakit.components.bonding.model import DEFAULT4, DEFAULT6, forward_delay
from hakit.components.bonding.options import UNSET
from hakit.components.bonding.paths import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.base import HostContext
    from hakit.components.bonding.model import Link, Net, Way

    Line = tuple[str, tuple[object, ...]]

IFENSLAVE = {
    "mode",
    "miimon",
    "updelay",
    "downdelay",
    "arp_interval",
    "arp_ip_target",
    "arp_validate",
    "lacp_rate",
    "ad_select",
    "xmit_hash_policy",
    "fail_over_mac",
    "num_grat_arp",
    "primary",
    "primary_reselect",
}
"""Options that ifenslave sets; the others can be set at any time, and are written to sysfs once the bond is up."""


@dataclass(frozen=True, slots=True)
class Stanza:
    """One `iface` of a link: a key and the words behind it on each line."""

    family: str
    method: str
    lines: tuple[Line, ...]


def packages(net: Net, release: int) -> tuple[str, ...]:
    """The Debian packages that bring such a network up."""
    kinds = {link.kind for link in net}
    asking = any(link.settings.dhcp4 or link.settings.dhcp6 for link in net)
    client = "isc-dhcp-client" if release <= 12 else "dhcpcd-base"  # noqa: PLR2004 - bookworm, the last with ISC's
    return (
        "ifupdown",
        *(("ifenslave",) if "bond" in kinds else ()),
        *(("bridge-utils",) if "bridge" in kinds else ()),
        *((client,) if asking else ()),
    )


def files(ctx: HostContext, net: Net, *, resolving: bool) -> Iterator[File]:
    """The file of a network; with `resolving` the resolver's own hook is told the name servers."""
    links = tuple(link for link in net if not _silent(net, link))

    def stanzas_of(link: Link) -> tuple[Stanza, ...]:
        return stanzas(link, _resolver(net, link) if resolving else ())

    content = ctx.template("interfaces", links=links, stanzas=stanzas_of)
    yield File(path=INTERFACES, content=content)


def _silent(net: Net, link: Link) -> bool:
    """Whether a card needs no stanza: its master brings it up, and gives it the MTU where that is a bond."""
    master = net.link(link.master)
    return master is not None and link.kind == "physical" and (link.mtu is None or master.kind == "bond")


def _resolver(net: Net, link: Link) -> tuple[Line, ...]:
    if net.dns is None or link is not net.resolving:
        return ()
    return (
        ("dns-nameservers", tuple(net.dns.servers)),
        *((("dns-search", tuple(net.dns.search)),) if net.dns.search else ()),
    )


def stanzas(link: Link, resolver: tuple[Line, ...]) -> tuple[Stanza, ...]:
    """The stanzas of a link; the first makes the link, and each family's first has the family's routes."""
    plain = list(_addressing(link))
    if not plain or _misses(link, plain[0]):
        plain.insert(0, Stanza("inet", "manual", ()))
    told: list[Stanza] = []
    for place, stanza in enumerate(plain):
        version = 6 if stanza.family == "inet6" else 4
        first_of_family = stanza.family not in [one.family for one in told]
        lines = [*stanza.lines]
        if first_of_family:
            lines = [*lines[:1], *_gateway(link, version), *lines[1:]]
        if place == 0:
            lines += [*_making(link), *resolver]
        if first_of_family:
            families = {one.family for one in plain}
            lines += [_route(link, way) for way in _others(link) if way.version == version or len(families) == 1]
        # Stanzas are taken down in the order in which they come up.
        if place == len(plain) - 1 and link.kind == "vlan" and not native(link):
            lines.append(("post-down", ("ip", "link", "del", link.name)))
        told.append(Stanza(stanza.family, stanza.method, tuple(lines)))
    return tuple(told)


def _misses(link: Link, stanza: Stanza) -> bool:
    """Whether a stanza's method would not take the link's MTU or MAC address as it is meant (interfaces(5))."""
    if stanza.family == "inet":
        return stanza.method == "dhcp" and link.mtu is not None
    return link.mtu is not None or link.mac is not None


def _addressing(link: Link) -> Iterator[Stanza]:
    settings = link.settings
    for address in link.addresses(4):
        yield Stanza("inet", "static", (("address", (address,)),))
    if settings.dhcp4:
        yield Stanza("inet", "dhcp", ())
    advertised: Line = ("accept_ra", (2 if link.ra else 0,))
    for place, address in enumerate(link.addresses(6)):
        yield Stanza("inet6", "static", (("address", (address,)), *((advertised,) if not place else ())))
    if settings.dhcp6:
        yield Stanza("inet6", "dhcp", (("accept_ra", (1,)),) if link.ra else ())
    elif link.ra and not link.addresses(6):
        yield Stanza("inet6", "auto", ())


def _gateway(link: Link, version: int) -> Iterator[Line]:
    for way in link.ways():
        if way.to == (DEFAULT4 if version == 4 else DEFAULT6) and way.metric is None:  # noqa: PLR2004 - the family
            yield "gateway", (way.via,)


def _others(link: Link) -> Iterator[Way]:
    return (way for way in link.ways() if way.to not in (DEFAULT4, DEFAULT6) or way.metric is not None)


def _route(link: Link, way: Way) -> Line:
    to = "default" if way.to in (DEFAULT4, DEFAULT6) else way.to
    ip = ("ip", "-6") if way.version == 6 else ("ip",)  # noqa: PLR2004 - the family
    via = ("via", way.via) if way.via is not None else ()
    metric = ("metric", way.metric) if way.metric is not None else ()
    return "up", (*ip, "route", "replace", to, *via, "dev", link.name, *metric)


def native(link: Link) -> bool:
    """Whether ifupdown makes the VLAN by itself, for its name says all."""
    return link.name == f"{link.on}.{link.id}"


def _making(link: Link) -> Iterator[Line]:
    """What makes the link, and how it is."""
    if link.kind == "vlan" and native(link):
        yield "vlan-raw-device", (link.on,)
    elif link.kind == "vlan":
        yield "pre-up", ("ip", "link", "add", "link", link.on, "name", link.name, "type", "vlan", "id", link.id)
    if link.mac is not None:
        yield ("bridge_hw" if link.kind == "bridge" else "hwaddress"), (link.mac,)
    if link.mtu is not None:
        yield "mtu", (link.mtu,)
    if link.kind == "bond":
        yield from _bond(link)
    elif link.kind == "bridge":
        yield "bridge_ports", link.members or ("none",)
        yield "bridge_stp", ("on" if link.bridge.stp else "off",)
        yield "bridge_fd", (forward_delay(link.bridge),)
        yield "bridge_maxwait", (0,)
    if not link.addresses(6) and not link.settings.dhcp6 and not link.ra:
        # With slashes, for a VLAN's name holds a dot; -e: a kernel without IPv6 is no failure.
        yield "up", ("sysctl", "-q", "-e", "-w", f"net/ipv6/conf/{link.name}/accept_ra=0")


def _bond(link: Link) -> Iterator[Line]:
    told = [(name, value) for name, value in link.options if (name, value) not in UNSET]
    for name, value in told:
        if name in IFENSLAVE:
            yield f"bond-{name.replace('_', '-')}", (value,)
    yield "bond-slaves", link.members
    for name, value in told:
        if name not in IFENSLAVE:
            yield "up", ("echo", value, ">", f"/sys/class/net/{link.name}/bonding/{name}")
