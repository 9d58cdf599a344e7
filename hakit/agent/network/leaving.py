"""What of the kernel's network has to go for a declared one: links, addresses, routes. Pure.

What a manager of networks leaves where it is (systemd-networkd keeps static addresses, and changes no bond that is
there) is taken away by us. Addresses that others bring stay.
"""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.network.comparing import MADE, OURS, is_hardware, is_same, names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from hakit.agent.network.live import Live, LiveLink, LiveRoute
    from hakit.agent.resources.network import Link, Network

SOON = 10.0  # seconds for one change of the kernel's; it takes milliseconds


class Command(Declaration):
    """One thing to do: a command, or a `text` written to the file `path` of sysfs."""

    argv: tuple[str, ...] = ()
    path: str = ""
    text: str = ""
    timeout: float = SOON

    def told(self) -> str:
        """As a shell would have it."""
        return " ".join(self.argv) if self.argv else f"echo {self.text} > {self.path}"


def ip(*words: str) -> Command:
    """What `ip` is asked to do."""
    return Command(argv=("ip", *words))


def leaving(network: Network, live: Live, also: Collection[str] = ()) -> tuple[Command, ...]:
    """Links first, the upper ones before those that they stand on; then routes and addresses of what stays.

    `also` are links of the host's network that neither the declaration nor their kind shows to be so.
    """
    names = names_of(network, live)
    declared = {names[link.name]: link for link in network.links}
    ours = [now for now in live.links if now.name in declared or now.name in also or is_hardware(now, live)]
    gone = [now.name for now in ours if now.kind in MADE and is_other(declared.get(now.name), now, names)]
    commands = [ip("link", "delete", "dev", name) for name in _from_above(gone, live)]
    stay = [now for now in ours if now.name not in gone]
    commands += _ports(stay, gone, declared)
    # Before the addresses: with the last of them the kernel takes the routes away itself.
    commands += _routes(network, live, stay, names)
    commands += _addresses(network, stay, declared)
    return tuple(commands)


def sizing(network: Network, live: Live) -> tuple[Command, ...]:
    """The MTUs that links are to have and can have now: a VLAN's fits into that of what it stands on.

    systemd-networkd sets all of them at once, and gives up on a VLAN whose parent was not there yet. A member's is left
    to its bond, which gives back what the member had before.
    """
    names = names_of(network, live)
    bonds = {link.name for link in network.links if link.kind == "bond"}
    commands = []
    for link in network.links:
        now = live.link(names[link.name])
        if now is not None and link.master not in bonds and link.mtu and now.mtu != link.mtu:
            below = live.link(now.on) if now.on else None
            if below is None or below.mtu >= link.mtu:
                commands.append(ip("link", "set", "dev", now.name, "mtu", str(link.mtu)))
    return tuple(commands)


def clearing(names: Collection[str], live: Live) -> tuple[Command, ...]:
    """What these links still are or have: ifup refuses to give a link what it has already."""
    made = [link.name for link in live.links if link.name in names and link.kind in MADE]
    commands = [
        ip(*family(route), "route", "delete", *way(route))
        for route in live.routes
        if route.protocol in OURS and route.link in names and route.link not in made
    ]
    commands += [
        ip("address", "delete", address, "dev", link.name)
        for link in live.links
        if link.name in names and link.name not in made
        for address in (*link.addresses, *link.given)
    ]
    commands += [ip("link", "delete", "dev", name) for name in _from_above(made, live)]
    return tuple(commands)


def is_other(link: Link | None, now: LiveLink, names: dict[str, str]) -> bool:
    """Whether a link that is there can't become the declared one without being made anew."""
    if link is None or link.kind != now.kind:
        return True
    if link.kind == "vlan":
        return (now.id, now.on) != (link.id, names.get(link.on, link.on))
    has = dict(now.options)
    wanted = [(name, value) for name, value in link.options if link.kind == "bond" and name != "primary"]
    return any(sorted(has.get(name, "").split()) != sorted(value.split()) for name, value in wanted)


def remade(network: Network, live: Live) -> bool:
    """Whether a declared link has to be made anew, or is lost with one that it stands on."""
    names = names_of(network, live)
    return any(
        now is not None and now.kind in MADE and is_other(link, now, names)
        for link in network.links
        for now in (live.link(names[link.name]),)
    )


def _from_above(names: Iterable[str], live: Live) -> Iterator[str]:
    """Links in such an order that one that stands on another comes before it."""
    waiting = list(names)
    while waiting:
        below = {lower for name in waiting for lower in _lower(name, live)}
        free = [name for name in waiting if name not in below] or waiting[:1]
        for name in free:
            waiting.remove(name)
            yield name


def _lower(name: str, live: Live) -> set[str]:
    now = live.link(name)
    on = {now.on} if now is not None and now.on else set()
    return on | {one.name for one in live.links if one.master == name}


def _ports(stay: list[LiveLink], gone: list[str], declared: dict[str, Link]) -> Iterator[Command]:
    """Ports of a bond or bridge that stays, and that they are no part of any more."""
    for now in stay:
        link = declared.get(now.name)
        if now.master and now.master not in gone and (link is None or link.master != now.master):
            yield ip("link", "set", "dev", now.name, "nomaster")


def _addresses(network: Network, stay: list[LiveLink], declared: dict[str, Link]) -> Iterator[Command]:
    others = {address.partition("/")[0] for address in network.others}
    for now in stay:
        link = declared.get(now.name)
        for address in now.addresses:
            if address.partition("/")[0] not in others and (link is None or address not in link.addresses):
                yield ip("address", "delete", address, "dev", now.name)
        for address in now.given:
            # A client that is gone renews nothing, and must not leave its last address behind.
            if link is None or ("6" if ":" in address else "4") not in link.dhcp:
                yield ip("address", "delete", address, "dev", now.name)


def _routes(network: Network, live: Live, stay: list[LiveLink], names: dict[str, str]) -> Iterator[Command]:
    at = {now.name for now in stay}
    for now in live.routes:
        if now.protocol in OURS and now.link in at and not any(is_same(one, now, names) for one in network.routes):
            yield ip(*_family(now.to), "route", "delete", *way(now))


def way(now: LiveRoute) -> tuple[str, ...]:
    """A route in the words of ip(8)."""
    to = "default" if now.to.startswith("default") else now.to
    via = ("via", now.via) if now.via else ()
    metric = ("metric", str(now.metric)) if now.metric else ()
    return (to, *via, "dev", now.link, *metric)


def _family(to: str) -> tuple[str, ...]:
    return ("-6",) if to == "default6" or ":" in to else ("-4",)


def family(now: LiveRoute) -> tuple[str, ...]:
    """The option of ip(8) that says which family a route is of."""
    return _family(now.to)
