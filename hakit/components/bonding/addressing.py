"""Addresses and routes that can't work: used twice, outside their subnets, two ways to everywhere."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from hakit.components.bonding.model import DEFAULT4, DEFAULT6, EVERYWHERE, NAME
from hakit.components.bonding.settings import Bond, BondingSettings
from hakit.lint.rule import configured
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hakit.components.bonding.model import Link, Net, Way
    from hakit.components.bonding.settings import LinkSettings
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Wrong = tuple[Path, str]
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

POINT_TO_POINT = 2
"""Addresses of a network that has none to spare for its own name (RFC 3021: /31; /32 and IPv6's likewise)."""


def problems(settings: BondingSettings, net: Net) -> Iterator[Wrong]:
    """What is wrong with one host's addresses: path below `hakit`, message."""
    if not any(link.settings.addresses or link.settings.dhcp4 or link.settings.dhcp6 for link in net):
        yield (NAME,), "no link has an address: nobody could reach the host any more — addresses or dhcp4 for one"
    yield from _addresses(net)
    for link in net:
        yield from _gateways(link)
        yield from _routes(link)
        if isinstance(link.settings, Bond):
            yield from _arp_targets(net, link, link.settings)
    yield from _defaults(net)
    yield from _resolver(settings, net)


def _addresses(net: Net) -> Iterator[Wrong]:
    taken: dict[Address, str] = {}
    for link in net:
        for place, text in enumerate(link.settings.addresses):
            path = (*link.path, "addresses", place)
            interface = ipaddress.ip_interface(text)
            if why := _unfit(interface):
                yield path, f"{text} {why}"
                continue
            if interface.ip in taken:
                where = "twice here" if taken[interface.ip] == link.name else f"on {taken[interface.ip]} already"
                yield path, f"{interface.ip} is {where} — an address has one place"
            taken.setdefault(interface.ip, link.declared)


def _unfit(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str:
    """Why no host can have the address; empty where it can."""
    ip, network = interface.ip, interface.network
    if ip.is_loopback or ip.is_multicast or ip.is_unspecified or network.prefixlen == 0:
        return "is no address that a host can have on a link"
    if network.num_addresses > POINT_TO_POINT and ip.version == 4:  # noqa: PLR2004 - IPv6 has no such addresses
        if ip == network.network_address:
            return f"is the network itself — hosts have {network[1]} to {network[-2]}"
        if ip == network.broadcast_address:
            return f"is the broadcast address of {network} — hosts have {network[1]} to {network[-2]}"
    return ""


def _subnets(settings: LinkSettings, version: int) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = [ipaddress.ip_interface(one).network for one in settings.addresses]
    return [one for one in found if one.version == version]


def _asks(settings: LinkSettings, version: int) -> bool:
    """Whether the link's subnets of a family are given by others."""
    if version == 4:  # noqa: PLR2004 - the family
        return settings.dhcp4
    return settings.dhcp6 or bool(settings.accept_ra)


def _gateways(link: Link) -> Iterator[Wrong]:
    settings = link.settings
    for key, version, other in (("gateway", 4, "gateway6"), ("gateway6", 6, "gateway")):
        gateway: str | None = getattr(settings, key)
        if gateway is None:
            continue
        path = (*link.path, key)
        if ipaddress.ip_address(gateway).version != version:
            yield path, f"{gateway} is no IPv{version} address — write {other}: {gateway}"
        else:
            yield from _router(path, gateway, settings)


def _router(path: Path, gateway: str, settings: LinkSettings) -> Iterator[Wrong]:
    """A router that can't be reached by way of the link, or is the host itself."""
    ip = ipaddress.ip_address(gateway)
    subnets = _subnets(settings, ip.version)
    if any(ip == ipaddress.ip_interface(one).ip for one in settings.addresses):
        yield path, f"{gateway} is the host's own address — the router's is another one"
    elif any(ip.version == 4 and _is_edge(ip, one) for one in subnets if ip in one):  # noqa: PLR2004 - IPv6 has none
        yield path, f"{gateway} is the name or the broadcast address of its network, never a router's"
    elif not _asks(settings, ip.version) and not (any(ip in one for one in subnets) or (subnets and ip.is_link_local)):
        have = ", ".join(str(one) for one in subnets) or f"no IPv{ip.version} address"
        yield path, f"{gateway} can't be reached by way of this link, which has {have} — an address of its subnet"


def _is_edge(ip: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    edges = (network.network_address, network.broadcast_address)
    return network.num_addresses > POINT_TO_POINT and ip in edges


def _routes(link: Link) -> Iterator[Wrong]:
    for place, route in enumerate(link.settings.routes):
        path = (*link.path, "routes", place)
        if route.to in EVERYWHERE and route.via is None:
            yield path, "a default route needs a router — via: ADDRESS"
        elif route.via is not None:
            version = ipaddress.ip_address(route.via).version
            if route.to != DEFAULT4 and ipaddress.ip_network(route.to).version != version:
                yield (*path, "via"), f"{route.via} and {route.to} are of two families: no packet takes that way"
            else:
                yield from _router((*path, "via"), route.via, link.settings)


def _defaults(net: Net) -> Iterator[Wrong]:
    """Two routes to the same place that nothing tells apart."""
    taken: dict[tuple[str, int | None], tuple[Way, Link]] = {}
    for link in net:
        for way in link.ways():
            before, other = taken.setdefault((way.to, way.metric), (way, link))
            if before is not way:
                what = (
                    f"a default route of IPv{way.version}" if way.to in (DEFAULT4, DEFAULT6) else f"a route to {way.to}"
                )
                yield (
                    way.path,
                    (
                        f"{other.declared} has {what} already, and the kernel takes either — "
                        "keep one, or give one a metric (routes: [{to: …, via: …, metric: 200}])"
                    ),
                )
    yield from _given(net)


def _given(net: Net) -> Iterator[Wrong]:
    """A default route of one's own beside one that DHCP brings."""
    for link in net:
        for way in link.ways():
            version = {DEFAULT4: 4, DEFAULT6: 6}.get(way.to)
            asking = [one for one in net if version is not None and _asks(one.settings, version)]
            if asking:
                what = "DHCP" if version == 4 else "router advertisements"  # noqa: PLR2004 - the family
                message = f"{asking[0].declared} gets a default route by {what} too, and the kernel takes either"
                yield way.path, f"{message} — keep one of the two"


def _arp_targets(net: Net, link: Link, bond: Bond) -> Iterator[Wrong]:
    if bond.arp is None:
        return
    upper = [one for one in net if one.on == link.name or link.name in one.members]
    upper += [one for one in net if any(two.name in one.members or one.on == two.name for two in upper)]
    carried = [link, *upper]
    for place, target in enumerate(bond.arp.targets):
        path = (*link.path, "arp", "targets", place)
        ip = ipaddress.ip_address(target)
        if ip.version != 4:  # noqa: PLR2004 - ARP is IPv4's
            yield path, f"{target} can't be asked by ARP, which is IPv4's alone"
        elif any(ip == ipaddress.ip_interface(text).ip for one in carried for text in one.settings.addresses):
            yield path, f"{target} is the host itself: it would answer whatever the members do"
        elif not any(one.settings.dhcp4 for one in carried) and not any(
            ip in subnet for one in carried for subnet in _subnets(one.settings, 4)
        ):
            message = f"{target} is in no subnet of {link.declared}, and ARP goes no further: no member would ever work"
            yield path, f"{message} — a router in one of its subnets"


def _resolver(settings: BondingSettings, net: Net) -> Iterator[Wrong]:
    """Name servers that there is no way to."""
    for place, server in enumerate(settings.dns.servers if settings.dns else ()):
        ip = ipaddress.ip_address(server)
        if ip.is_loopback or any(_asks(link.settings, ip.version) for link in net):
            continue
        everywhere = DEFAULT4 if ip.version == 4 else DEFAULT6  # noqa: PLR2004 - the family
        subnets = [one for link in net for one in _subnets(link.settings, ip.version)]
        ways = [way.to for link in net for way in link.ways() if way.version == ip.version]
        if everywhere in ways or any(ip in one for one in subnets):
            continue
        if not any(ip in ipaddress.ip_network(to) for to in ways if to not in (DEFAULT4, DEFAULT6)):
            yield (NAME, "dns", "servers", place), f"there is no way to {server} — a gateway, or a server on a subnet"


def across(site: Site, nets: Mapping[str, Net]) -> Iterator[tuple[Host, Path, str]]:
    """What is wrong between hosts: addresses used twice, peers that nobody knows."""
    owners: dict[Address, str] = {}
    for host in site.hosts.values():
        if host.name not in nets and (ip := literal(host.address)) is not None:
            owners.setdefault(ip, host.name)
    for host, settings in configured(site, NAME, BondingSettings):
        for link in nets[host.name]:
            for place, text in enumerate(link.settings.addresses):
                ip = ipaddress.ip_interface(text).ip
                owner = owners.setdefault(ip, host.name)
                if owner != host.name:
                    message = f"{ip} is {owner}'s already — an address has one host"
                    yield host, (*link.path, "addresses", place), message
        yield from _peers(site, host, settings.confirm.peers)


def _peers(site: Site, host: Host, peers: Sequence[str]) -> Iterator[tuple[Host, Path, str]]:
    for place, peer in enumerate(peers):
        path: Path = (NAME, "confirm", "peers", place)
        if literal(peer) is not None:
            continue
        if peer == host.name:
            yield host, path, f"{peer} is the host itself: it answers whatever its network does"
        elif peer not in site.hosts:
            yield host, path, f"no such host: {peer}{did_you_mean(peer, site.hosts)}"
        elif literal(site.hosts[peer].address) is None:
            message = f"{peer} is known by the name {site.hosts[peer].address}, which may be found over another network"
            yield host, path, f"{message} — its address, here or as hakit.address"


def literal(text: str) -> Address | None:
    """The address that a text is, or None for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
