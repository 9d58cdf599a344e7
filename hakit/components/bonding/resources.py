"""What a host needs for its network: the packages that bring it up, and the network itself, changed as one."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from hakit.agent.resources.files import File
from hakit.agent.resources.network import Link as Declared
from hakit.agent.resources.network import Network, Route
from hakit.agent.resources.package import Package
from hakit.components.bonding import ifupdown, netplan, networkd
from hakit.components.bonding.addressing import literal
from hakit.components.bonding.model import DEFAULT4, DEFAULT6, NAME, derive
from hakit.components.bonding.options import LACP
from hakit.components.bonding.paths import RESOLV_CONF
from hakit.components.bonding.seen import IFUPDOWN, NETPLAN, NETWORKD, known, manager, require_nics
from hakit.components.bonding.settings import Bond, BondingSettings
from hakit.lint.rule import configured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext
    from hakit.components.bonding.model import Link, Net
    from hakit.components.bonding.settings import LinkSettings
    from hakit.inventory.model import Site

WRITERS = {NETWORKD: networkd.files, IFUPDOWN: ifupdown.files, NETPLAN: netplan.files}


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything that a host's network needs. Raises RefusedError where the host is not as the inventory says."""
    settings = ctx.settings(BondingSettings)
    wanted, before = manager(settings, ctx.facts, ctx.host.name)
    net = derive(settings, known(settings, ctx.facts))
    require_nics(net, ctx.facts, ctx.host.name)
    needed = tuple(_packages(wanted, net, ctx.facts.release))
    for package in needed:
        yield Package(package=package, component=ctx.component)
    resolver = ctx.facts.network.resolver if ctx.facts.network is not None else "file"
    dns = settings.dns
    # Who writes /etc/resolv.conf is told the servers in the network's own files; where nobody does, hakit does.
    told = dns is not None and (resolver == "systemd-resolved" or (resolver == "resolvconf" and wanted == IFUPDOWN))
    files = tuple(WRITERS[wanted](ctx, net, resolving=told))
    if dns is not None and not told:
        files = (*files, File(path=RESOLV_CONF, content=ctx.template("resolv.conf", dns=dns)))
    confirm = settings.confirm
    yield Network(
        manager=wanted,
        before=before,
        files=files,
        links=tuple(_link(net, link) for link in net),
        routes=tuple(_routes(net)),
        others=tuple(_others(ctx)),
        reload=tuple(dict.fromkeys(_holding(ctx))),
        servers=tuple(dns.servers) if dns is not None else (),
        search=tuple(dns.search) if dns is not None else (),
        gateways=tuple(dict.fromkeys(_gateways(net))) if confirm.gateway else (),
        peers=tuple(_peer(ctx.site, peer) for peer in confirm.peers),
        mates=tuple(dict.fromkeys(_mates(ctx))),
        lacp=tuple(link.name for link in net if isinstance(link.settings, Bond) and link.settings.mode == LACP),
        timeout=float(confirm.timeout),
        after=tuple(f"package:{package}" for package in needed),
        component=ctx.component,
    )


def _mates(ctx: HostContext) -> Iterator[str]:
    """The hosts that keep an address alive together with this one, each where it is in that address's network."""
    declared = {
        host.name: [text for links in _all(settings) for link in links.values() for text in link.addresses]
        for host, settings in configured(ctx.site, NAME, BondingSettings)
    }
    for component in ctx.registry.values():
        for serving in component.serves(ctx.site):
            for name in serving.hosts if ctx.host.name in serving.hosts else ():
                address = _near(ctx.site.hosts[name].address, declared.get(name, ()), serving.address)
                if address and name != ctx.host.name:
                    yield address


def _all(settings: BondingSettings) -> tuple[Mapping[str, LinkSettings], ...]:
    return settings.nics, settings.bonds, settings.vlans, settings.bridges


def _near(known: str, declared: Iterable[str], vip: str) -> str:
    """The address of a host that is in the subnet of a VIP, or the one by which it is known; empty for a name."""
    for text in declared:
        if ipaddress.ip_address(vip) in ipaddress.ip_interface(text).network:
            return text.partition("/")[0]
    return known if literal(known) is not None else ""


def _others(ctx: HostContext) -> Iterator[str]:
    """The addresses that other components bring to the host and take away."""
    for component in ctx.registry.values():
        for serving in component.serves(ctx.site):
            if ctx.host.name in serving.hosts:
                yield serving.address


def _holding(ctx: HostContext) -> Iterator[str]:
    """The units of other components that hold on to links."""
    for component in ctx.registry.values():
        if component.name in ctx.host.settings:
            yield from component.holds(ctx.site, ctx.host)


def _packages(wanted: str, net: Net, release: int) -> Iterator[str]:
    """systemd-networkd is part of Debian's systemd."""
    if wanted == IFUPDOWN:
        yield from ifupdown.packages(net, release)
    elif wanted == NETPLAN:
        yield "netplan.io"


def _link(net: Net, link: Link) -> Declared:
    settings = link.settings
    master = net.link(link.master)
    return Declared(
        name=link.name,
        kind=link.kind,
        nic=link.match,
        master=master.name if master is not None else "",
        on=link.on,
        id=link.id,
        options=link.options,
        addresses=settings.addresses,
        dhcp=(*(("4",) if settings.dhcp4 else ()), *(("6",) if settings.dhcp6 or link.ra else ())),
        mac=link.mac or "",
        mtu=link.mtu or 0,
    )


def _routes(net: Net) -> Iterator[Route]:
    for link in net:
        for way in link.ways():
            yield Route(to=way.to, via=way.via or "", link=link.name, metric=-1 if way.metric is None else way.metric)


def _gateways(net: Net) -> Iterator[str]:
    """The routers of the default routes; a link-local one needs the link by which it is asked."""
    for link in net:
        for way in link.ways():
            if way.to in (DEFAULT4, DEFAULT6) and way.via is not None:
                local = ipaddress.ip_address(way.via).is_link_local
                yield f"{way.via}%{link.name}" if local else str(way.via)


def _peer(site: Site, peer: str) -> str:
    """The address of a peer: a host's, or itself."""
    return str(peer) if literal(peer) is not None else site.hosts[peer].address
