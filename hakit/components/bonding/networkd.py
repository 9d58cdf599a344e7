"""A host's network as files of systemd-networkd: a .network per link, a .netdev for what is no card.

Directives are those of systemd.network(5) and systemd.netdev(5) in systemd 252 (Debian 12) and 257 (Debian 13), which
agree on all that is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.resources.files import File
from hakit.components.bonding.model import DEFAULT4, DEFAULT6, forward_delay
from hakit.components.bonding.options import UNSET
from hakit.components.bonding.paths import NETWORKD_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.base import HostContext
    from hakit.components.bonding.model import Link, Net

KEYS = {
    "mode": "Mode",
    "miimon": "MIIMonitorSec",
    "updelay": "UpDelaySec",
    "downdelay": "DownDelaySec",
    "arp_interval": "ARPIntervalSec",
    "arp_ip_target": "ARPIPTargets",
    "arp_validate": "ARPValidate",
    "arp_all_targets": "ARPAllTargets",
    "lacp_rate": "LACPTransmitRate",
    "ad_select": "AdSelect",
    "min_links": "MinLinks",
    "xmit_hash_policy": "TransmitHashPolicy",
    "fail_over_mac": "FailOverMACPolicy",
    "num_grat_arp": "GratuitousARP",
    "resend_igmp": "ResendIGMP",
    "primary_reselect": "PrimaryReselectPolicy",
}
"""Names in sysfs → systemd.netdev(5), [Bond]; the primary is told by the member's own file."""
MILLISECONDS = ("miimon", "updelay", "downdelay", "arp_interval")


@dataclass(frozen=True, slots=True)
class Match:
    """How a file finds its link: `kind` is `name`, `mac` or `path`."""

    kind: str
    value: str


def files(ctx: HostContext, net: Net, *, resolving: bool) -> Iterator[File]:
    """The files of a network; with `resolving` systemd-resolved is told the name servers."""
    for link in net:
        stem = f"{NETWORKD_FOLDER}/10-hakit-{link.name}"
        yield File(path=f"{stem}.network", content=ctx.template("link.network", **_values(net, link, resolving)))
        if link.kind != "physical":
            yield File(path=f"{stem}.netdev", content=ctx.template("link.netdev", link=link, lines=_lines(link)))
        if link.kind == "bond" and link.mac is None:
            yield File(path=f"{stem}.link", content=ctx.template("link.link", link=link))


def _values(net: Net, link: Link, resolving: bool) -> dict[str, object]:
    master = net.link(link.master)
    told = net.dns if resolving and link is net.resolving else None
    ways = tuple(link.ways())
    # Where DHCP alone brings addresses, networkd can't know that a router is on the link, and wants to be told.
    static = bool(link.settings.addresses)
    defaults = tuple(way for way in ways if way.to in (DEFAULT4, DEFAULT6) and way.metric is None and static)
    kind, _, value = link.match.partition(":")
    return {
        "link": link,
        "match": Match(kind or "name", value or link.name),
        "master_key": "Bridge" if master is not None and master.kind == "bridge" else "Bond",
        "mtu": net.told_mtu(link),
        "is_primary": master is not None and ("primary", link.name) in master.options,
        "dhcp": _dhcp(link),
        "static": static,
        "defaults": defaults,
        "routes": tuple(way for way in ways if way not in defaults),
        "servers": told.servers if told is not None else (),
        "search": told.search if told is not None else (),
    }


def _dhcp(link: Link) -> str:
    return {(True, True): "yes", (True, False): "ipv4", (False, True): "ipv6"}.get(
        (link.settings.dhcp4, link.settings.dhcp6), ""
    )


def _lines(link: Link) -> tuple[tuple[str, object], ...]:
    """The lines of a .netdev's own section; what has its default is left out, so that the rest is read."""
    if link.kind == "bridge":
        return (("STP", "yes" if link.bridge.stp else "no"), ("ForwardDelaySec", forward_delay(link.bridge)))
    lines: list[tuple[str, object]] = []
    for name, value in link.options:
        if name in KEYS and (name, value) not in UNSET:
            lines.append((KEYS[name], f"{value}ms" if name in MILLISECONDS else value))
    return tuple(lines)
