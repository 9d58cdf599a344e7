"""How the network that the kernel has differs from the one that is declared, in words for people.

What others made stays out of it: links of other kinds (a container's, a tunnel), bridges of virtual machines, addresses
that the declaration names as brought by others, routes that a daemon or the kernel set.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.network.live import Live, LiveLink, LiveRoute
    from hakit.agent.resources.network import Link, Network, Route

OURS = ("static", "boot")
"""Who set the routes that are an administrator's: networkd and netplan write `static`, ifupdown `boot`."""
HARDWARE = ("physical", "bond", "vlan")
MADE = ("bond", "vlan", "bridge")
"""Kinds that somebody makes; a card is physical, or what a container has for one."""


def differences(network: Network, live: Live) -> tuple[str, ...]:
    """What is to change, each in a line that begins with the link's name; empty where nothing is."""
    names = names_of(network, live)
    found = [line for link in network.links for line in _link(link, live.link(names[link.name]), names)]
    found += _addresses(network, live, names)
    found += _superfluous(network, live, names)
    found += _routes(network, live, names)
    return tuple(dict.fromkeys(found))


def doubts(network: Network, live: Live) -> tuple[str, ...]:
    """What is not as it should be, and what no change of the configuration mends: carriers, LACP partners."""
    names = names_of(network, live)
    partners = dict(live.partners)
    found = [f"{name}: no LACP partner answers" for name in network.lacp if live.link(name) and name not in partners]
    for link in network.links:
        now = live.link(names[link.name])
        if now is not None and link.kind == "physical" and now.up and not now.carrier:
            what = f"member of {link.master} without a carrier" if link.master else "no carrier"
            found.append(f"{now.name}: {what}")
        elif now is not None and link.master in partners and link.master in network.lacp and not now.bundled:
            found.append(f"{now.name}: member of {link.master}, but the switch does not bundle it with the others")
    return tuple(found)


def names_of(network: Network, live: Live) -> dict[str, str]:
    """The kernel's name of each declared link: of a card that is declared by address or slot, the name that it has."""
    found = {}
    for link in network.links:
        card = next((one.name for one in live.links if link.nic and link.nic in one.nics), link.name)
        found[link.name] = card
    return found


def _link(link: Link, now: LiveLink | None, names: dict[str, str]) -> Iterator[str]:
    if now is None:
        yield _new(link, names) if link.kind != "physical" else f"{link.name}: there is no such NIC"
        return
    name = now.name
    if now.kind != link.kind and (link.kind in MADE or now.kind in MADE):
        yield f"{name}: {now.kind} → {link.kind}"
        return
    yield from _place(link, now, names)
    yield from _options(link, now)
    if link.mtu and now.mtu != link.mtu:
        yield f"{name}: MTU {now.mtu} → {link.mtu}"
    if link.mac and now.mac.lower() != link.mac.lower():
        yield f"{name}: MAC address {now.mac} → {link.mac}"
    if not now.up:
        yield f"{name}: down → up"
    for version, word in (("4", "IPv4"), ("6", "IPv6")):
        if version in link.dhcp and not any(_version(one) == version for one in now.given):
            yield f"{name}: has no {word} address given by others"


def _new(link: Link, names: dict[str, str]) -> str:
    if link.kind == "vlan":
        return f"{link.name}: new, VLAN {link.id} on {names.get(link.on, link.on)}"
    mode = dict(link.options).get("mode")
    return f"{link.name}: new {link.kind}{f', {mode}' if mode else ''}"


def _place(link: Link, now: LiveLink, names: dict[str, str]) -> Iterator[str]:
    """Whose port it is, and what it is on."""
    if link.kind == "vlan" and (now.id, now.on) != (link.id, names.get(link.on, link.on)):
        yield f"{now.name}: VLAN {now.id} on {now.on} → VLAN {link.id} on {names.get(link.on, link.on)}"
    if now.master != link.master:
        if not link.master:
            yield f"{now.name}: leaves {now.master}"
        elif now.master:
            yield f"{now.name}: leaves {now.master} for {link.master}"
        else:
            yield f"{now.name}: becomes a member of {link.master}"


def _options(link: Link, now: LiveLink) -> Iterator[str]:
    has = dict(now.options)
    for option, value in link.options:
        seen = has.get(option, "")
        if sorted(seen.split()) != sorted(value.split()):
            yield f"{now.name}: {option} {seen or 'none'} → {value}"


def _addresses(network: Network, live: Live, names: dict[str, str]) -> Iterator[str]:
    """Addresses that are missing, and from where they come if the host has them."""
    holders = {_ip(address): (link.name, address) for link in live.links for address in (*link.given, *link.addresses)}
    for link in network.links:
        name = names[link.name]
        now = live.link(name)
        for address in link.addresses:
            if now is not None and address in now.addresses:
                continue
            holder, held = holders.get(_ip(address), ("", ""))
            if holder and holder != name:
                yield f"{holder}: address {held} goes to {name}{'' if held == address else f' as {address}'}"
            elif holder and now is not None and held in now.given:
                yield f"{name}: address {held}, given by others, becomes {'its own' if held == address else address}"
            elif holder:
                yield f"{name}: address {held} → {address}"
            else:
                yield f"{name}: + address {address}"


def _superfluous(network: Network, live: Live, names: dict[str, str]) -> Iterator[str]:
    """Addresses and links that nobody declares."""
    declared = {names[link.name]: link for link in network.links}
    wanted = {_ip(address) for link in network.links for address in link.addresses}
    wanted.update(_ip(address) for address in network.others)
    for now in live.links:
        link = declared.get(now.name)
        if link is None and not is_hardware(now, live):
            continue
        if link is None and now.kind != "physical":
            yield f"{now.name}: − {now.kind}"
        elif link is None and now.master:
            yield f"{now.name}: leaves {now.master}"
        for address in now.addresses:
            if _ip(address) not in wanted:
                yield f"{now.name}: − address {address}"
        for address in now.given:
            if link is None or (_version(address) not in link.dhcp and _ip(address) not in wanted):
                yield f"{now.name}: − address {address}, given by others"


def is_hardware(now: LiveLink, live: Live) -> bool:
    """Whether a link is of the host's own network: a bridge is, where a card, a bond or a VLAN is a port of it."""
    if now.kind == "bridge":
        return any(one.master == now.name and one.kind in HARDWARE for one in live.links)
    return now.kind in HARDWARE


def _routes(network: Network, live: Live, names: dict[str, str]) -> Iterator[str]:
    """Routes that are missing, others, or that nobody declares any more."""
    left = [route for route in live.routes if route.protocol in OURS]
    missing: list[Route] = []
    for route in network.routes:
        same = next((now for now in live.routes if is_same(route, now, names)), None)
        if same is None:
            missing.append(route)
        elif same in left:
            left.remove(same)
    for route in missing:
        what = f"via {route.via} " if route.via else ""
        new = f"{what}({names.get(route.link, route.link)})"
        old = next((now for now in left if now.to == route.to and route.metric in (-1, now.metric)), None)
        if old is not None:
            left.remove(old)
            yield f"{_word(route.to)}: {_way(old)} → {new}"
        else:
            yield f"{_word(route.to)}: + {new}"
    declared = set(names.values())
    for now in left:
        at = live.link(now.link)
        if now.link in declared or (at is not None and is_hardware(at, live)):
            yield f"{_word(now.to)}: − {_way(now)}"


def is_same(route: Route, now: LiveRoute, names: dict[str, str]) -> bool:
    """Whether a route of the kernel's is the declared one."""
    there = (now.to, now.via, now.link) == (route.to, route.via, names.get(route.link, route.link))
    return there and route.metric in (-1, now.metric)


def _way(now: LiveRoute) -> str:
    via = f"via {now.via} " if now.via else ""
    metric = f", metric {now.metric}" if now.metric else ""
    return f"{via}({now.link}{metric})"


def _word(to: str) -> str:
    return {"default": "default route", "default6": "default route of IPv6"}.get(to, f"route to {to}")


def _ip(address: str) -> str:
    return address.partition("/")[0]


def _version(address: str) -> str:
    return "6" if ":" in address else "4"
