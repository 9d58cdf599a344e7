"""A host's network as one file of netplan, which writes files of systemd-networkd from it.

Keys are those of netplan 0.106 (Debian 12) and 1.1 (Debian 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.resources.files import File
from hakit.components.bonding.model import DEFAULT4, DEFAULT6, forward_delay
from hakit.components.bonding.options import UNSET
from hakit.components.bonding.paths import NETPLAN_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.base import HostContext
    from hakit.components.bonding.model import Link, Net, Way

KEYS = {
    "mode": "mode",
    "miimon": "mii-monitor-interval",
    "updelay": "up-delay",
    "downdelay": "down-delay",
    "arp_interval": "arp-interval",
    "arp_ip_target": "arp-ip-targets",
    "arp_validate": "arp-validate",
    "arp_all_targets": "arp-all-targets",
    "lacp_rate": "lacp-rate",
    "ad_select": "ad-select",
    "min_links": "min-links",
    "xmit_hash_policy": "transmit-hash-policy",
    "fail_over_mac": "fail-over-mac-policy",
    "num_grat_arp": "gratuitous-arp",
    "resend_igmp": "resend-igmp",
    "primary": "primary",
    "primary_reselect": "primary-reselect-policy",
}
"""Names in sysfs → `parameters` of a bond; times are in milliseconds."""
SECTIONS = {"physical": "ethernets", "bond": "bonds", "vlan": "vlans", "bridge": "bridges"}


def files(ctx: HostContext, net: Net, *, resolving: bool) -> Iterator[File]:
    """The file of a network; with `resolving` systemd-resolved is told the name servers."""
    keys = {link.name: key(link) for link in net}
    found = [(section, tuple(link for link in net if link.kind == kind)) for kind, section in SECTIONS.items()]
    content = ctx.template(
        "netplan.yaml",
        sections=tuple((section, links) for section, links in found if links),
        key=key,
        members=lambda link: tuple(keys.get(one, one) for one in link.members),
        attributes=lambda link: tuple(_attributes(net, link, keys)),
        parameters=lambda link: tuple(_parameters(link, keys)),
        destination=destination,
        resolving=net.resolving if resolving and net.dns is not None else None,
        dns=net.dns,
    )
    # netplan 1.0 complains of files that others may read.
    yield File(path=NETPLAN_FILE, content=content, mode=0o600)


def key(link: Link) -> str:
    """What a link is called in the file: a card that is found by its MAC address goes by the inventory's name."""
    return link.declared if link.match.startswith("mac:") else link.name


def destination(way: Way) -> str:
    """Where a route leads: netplan's `default` is the family's of its router."""
    return "default" if way.to in (DEFAULT4, DEFAULT6) else way.to


def _attributes(net: Net, link: Link, keys: dict[str, str]) -> Iterator[tuple[str, object]]:
    settings, mtu = link.settings, net.told_mtu(link)
    if link.match.startswith("mac:"):
        yield "match", f'{{macaddress: "{link.match.removeprefix("mac:")}"}}'
    if link.kind == "vlan":
        yield "id", link.id
        yield "link", keys.get(link.on, link.on)
    if link.mac is not None:
        yield "macaddress", f'"{link.mac}"'
    if mtu is not None:
        yield "mtu", mtu
    yield "dhcp4", _yaml(settings.dhcp4)
    if settings.dhcp6:
        yield "dhcp6", _yaml(settings.dhcp6)
    if mtu is not None:
        asked = {"dhcp4": settings.dhcp4, "dhcp6": settings.dhcp6}
        yield from ((f"{name}-overrides", "{use-mtu: false}") for name, asks in asked.items() if asks)
    yield "accept-ra", _yaml(link.ra)
    if settings.addresses:
        # Addresses stay while no cable is plugged in, and those that others bring survive a restart of networkd.
        yield "ignore-carrier", "true"
        yield "critical", "true"
    if not link.configured:
        yield "link-local", "[]"
        # The boot does not wait for what only carries others.
        yield "optional", "true"


def _yaml(value: bool) -> str:
    return "true" if value else "false"


def _parameters(link: Link, keys: dict[str, str]) -> Iterator[tuple[str, object]]:
    if link.kind == "bridge":
        yield "stp", _yaml(link.bridge.stp)
        yield "forward-delay", forward_delay(link.bridge)
    elif link.kind == "bond":
        for name, value in link.options:
            if name == "arp_ip_target":
                yield KEYS[name], f"[{', '.join(value.split())}]"
            elif (name, value) not in UNSET:
                yield KEYS[name], keys.get(value, value) if name == "primary" else value
