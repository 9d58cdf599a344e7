"""How a network that was there before is made again with ip(8) and sysfs, where its manager has not done it. Pure.

One pass can't do all: what is made in one is filled in the next, so this is asked again until nothing is left.
"""

from __future__ import annotations

from hakit.agent.network.comparing import MADE, OURS, is_hardware
from hakit.agent.network.leaving import Command, family, ip, leaving, way
from hakit.agent.resources.network import Link, Network, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hakit.agent.network.live import Live, LiveLink

NET = "/sys/class/net"
FIRST = ("mode",)  # a bond takes it only while it has no members, and the others by its mode


def as_network(old: Live, others: Iterable[str]) -> Network:
    """A network that was there as a declaration of the same; addresses that others bring are no part of it."""
    brought = {address.partition("/")[0] for address in others}
    ours = [link for link in old.links if is_hardware(link, old)]
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
    return Network(manager="", files=(), links=links, routes=routes, others=tuple(others))


def mending(old: Live, now: Live, others: Iterable[str]) -> tuple[Command, ...]:
    """What is to be done next to the kernel's network so that it is as it was; empty once it is."""
    network = as_network(old, others)
    commands = list(leaving(network, now))
    was = {link.name: link for link in old.links}
    for link in network.links:
        here = now.link(link.name)
        if here is None or (here.kind != link.kind and link.kind in MADE):
            commands += _make(link)
        else:
            commands += _fit(link, was[link.name], here)
    for route in old.routes:
        if route.protocol in OURS and any(link.name == route.link for link in network.links):
            same = any((one.to, one.via, one.link, one.metric) == _id(route) for one in now.routes)
            if not same:
                commands.append(ip(*family(route), "route", "replace", *way(route), "protocol", route.protocol))
    return tuple(commands)


def _id(route: object) -> tuple[object, ...]:
    return tuple(getattr(route, name) for name in ("to", "via", "link", "metric"))


def _make(link: Link) -> Iterator[Command]:
    if link.kind == "vlan":
        words = ("link", link.on, "name", link.name, "type", "vlan", "id", str(link.id))
        yield ip("link", "add", *words)
    elif link.kind in MADE:
        mode = dict(link.options).get("mode", "")
        more = ("mode", mode) if link.kind == "bond" and mode else ()
        yield ip("link", "add", "name", link.name, "type", link.kind, *more)


def _fit(link: Link, was: LiveLink, here: LiveLink) -> Iterator[Command]:
    """What differs in a link that is there."""
    has = dict(here.options)
    folder = "bonding" if link.kind == "bond" else "bridge"
    for name, value in link.options:
        if has.get(name, "") != value and name not in FIRST:
            for text in _texts(name, has.get(name, ""), value):
                yield Command(path=f"{NET}/{link.name}/{folder}/{name}", text=text)
    if here.master != link.master and link.master:
        # A bond takes a member only while that is down.
        yield ip("link", "set", "dev", link.name, "down")
        yield ip("link", "set", "dev", link.name, "master", link.master)
    if link.mtu and here.mtu != link.mtu:
        yield ip("link", "set", "dev", link.name, "mtu", str(link.mtu))
    if was.up != here.up or (was.up and here.master != link.master):
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
