"""How a network that was there before is made again with ip(8) and sysfs, where its manager has not done it. Pure.

One pass can't do all: what is made in one is filled in the next, so this is asked again until nothing is left.
"""

from __future__ import annotations

from hakit.agent.network.comparing import MADE, OURS, is_hardware, names_of
from hakit.agent.network.leaving import Command, family, ip, leaving, way
from hakit.agent.resources.network import Link, Network, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.network.live import Live, LiveLink, LiveRoute

NET = "/sys/class/net"
FIRST = ("mode",)  # a bond takes it only while it has no members, and the others by its mode


def as_network(old: Live, new: Network) -> Network:
    """A network that was there as a declaration of the same; addresses that others bring are no part of it.

    The links that `new` declares are part of it whatever they are: a container has a cable's end for a card.
    """
    brought = {address.partition("/")[0] for address in new.others}
    also = links_of(new, old)
    ours = [link for link in old.links if link.name in also or is_hardware(link, old)]
    links = tuple(
        Link(
            name=link.name,
            kind=link.kind,
            master=link.master,
            on=link.on,
            id=link.id,
            options=link.options,
            addresses=tuple(one for one in link.addresses if one.partition("/")[0] not in brought),
            dhcp=tuple(sorted({"6" if ":" in one else "4" for one in link.given})),
            mtu=link.mtu,
        )
        for link in ours
    )
    names = {link.name for link in links}
    routes = tuple(
        Route(to=one.to, via=one.via, link=one.link, metric=one.metric)
        for one in old.routes
        if one.protocol in OURS and one.link in names
    )
    return Network(manager="", files=(), links=links, routes=routes, others=new.others)


def links_of(new: Network, live: Live) -> frozenset[str]:
    """The kernel's names of all declared links."""
    return frozenset(names_of(new, live).values())


def mending(old: Live, now: Live, new: Network) -> tuple[Command, ...]:
    """What is to be done next so that the kernel's network is as it was before `new`; empty once it is."""
    network = as_network(old, new)
    commands = list(leaving(network, now, links_of(new, now)))
    was = {link.name: link for link in old.links}
    there = {link.name for link in now.links}
    for link in network.links:
        here = now.link(link.name)
        if here is None or (here.kind != link.kind and link.kind in MADE):
            commands += _make(link) if link.kind != "vlan" or link.on in there else ()
        else:
            commands += _fit(link, was[link.name], here, there)
    if not commands:
        commands += _ways(network, old, now)
    return tuple(commands)


def _ways(network: Network, old: Live, now: Live) -> Iterator[Command]:
    """Routes that are missing; the kernel takes them once their links have addresses."""
    names = {link.name for link in network.links}
    has = {_id(one) for one in now.routes}
    for route in old.routes:
        if route.protocol in OURS and route.link in names and _id(route) not in has:
            yield ip(*family(route), "route", "replace", *way(route), "protocol", route.protocol)


def _id(route: LiveRoute) -> tuple[str, str, str, int]:
    return route.to, route.via, route.link, route.metric


def _make(link: Link) -> Iterator[Command]:
    if link.kind == "vlan":
        words = ("link", link.on, "name", link.name, "type", "vlan", "id", str(link.id))
        yield ip("link", "add", *words)
    elif link.kind in MADE:
        mode = dict(link.options).get("mode", "")
        more = ("mode", mode) if link.kind == "bond" and mode else ()
        yield ip("link", "add", "name", link.name, "type", link.kind, *more)


def _fit(link: Link, was: LiveLink, here: LiveLink, there: set[str]) -> Iterator[Command]:
    """What differs in a link that is there."""
    has = dict(here.options)
    folder = "bonding" if link.kind == "bond" else "bridge"
    for name, value in link.options:
        if has.get(name, "") != value and name not in FIRST:
            for text in _texts(name, has.get(name, ""), value):
                yield Command(path=f"{NET}/{link.name}/{folder}/{name}", text=text)
    if here.master != link.master and link.master in there:
        # A bond takes a member only while that is down.
        yield ip("link", "set", "dev", link.name, "down")
        yield ip("link", "set", "dev", link.name, "master", link.master)
    if link.mtu and here.mtu != link.mtu:
        yield ip("link", "set", "dev", link.name, "mtu", str(link.mtu))
    if was.up != here.up or (was.up and here.master != link.master and link.master in there):
        yield ip("link", "set", "dev", link.name, "up" if was.up else "down")
    for address in link.addresses:
        if address not in here.addresses:
            wide = ("broadcast", "+") if ":" not in address else ("nodad",)
            yield ip("address", "replace", address, *wide, "dev", link.name)


def _texts(name: str, has: str, value: str) -> tuple[str, ...]:
    """What is written to an option: of a list, signs and members (Documentation/networking/bonding.rst)."""
    if name != "arp_ip_target":
        return (value,) if value or name == "primary" else ()
    gone = tuple(f"-{one}" for one in has.split() if one not in value.split())
    return gone + tuple(f"+{one}" for one in value.split() if one not in has.split())
