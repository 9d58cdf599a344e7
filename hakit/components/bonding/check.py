"""Links that can't be: names that lead nowhere, links that stand on themselves, options that the kernel refuses."""

from __future__ import annotations

import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from hakit.components.bonding import addressing
from hakit.components.bonding.model import (
    NAME,
    declared,
    networks,
    sizes,
    stands_on,
    vlan_id,
    vlan_parent,
)
from hakit.components.bonding.options import ONLY_IN
from hakit.components.bonding.settings import Bond, BondingSettings, Bridge, Nic, Vlan
from hakit.lint.rule import configured
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.bonding.model import Net
    from hakit.components.bonding.settings import LinkSettings
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Wrong = tuple[Path, str]
    Links = Mapping[str, LinkSettings]

MADE = re.compile(r"(?:bond|team|br|vlan|virbr|dummy)[0-9_-].*|.*\..*")
"""Names that no card has: what is called so is made by somebody."""
SHORTEST_IPV6 = 1280
"""RFC 8200, 5: IPv6 wants so many octets of every link."""
SHORTEST_DELAY = 2
"""Seconds of a bridge's forward delay with STP (net/bridge/br_stp.c, BR_MIN_FORWARD_DELAY)."""
WORDS: Mapping[type[LinkSettings], str] = {Nic: "a NIC", Bond: "a bond", Vlan: "a VLAN", Bridge: "a bridge"}


def problems(site: Site) -> Iterator[tuple[Host, Path, str]]:
    """Host, path below `hakit`, message."""
    nets = networks(site)
    for host, settings in configured(site, NAME, BondingSettings):
        links = {name: link for name, link, _ in declared(settings)}
        doubled = list(_names(settings))
        # With two links of one name nobody knows which one the other settings speak of.
        for path, message in doubled or (
            *_cards(settings),
            *_bonds(settings, links),
            *_bridges(settings, links),
            *_vlans(settings, links),
            *_circles(settings, links),
            *_sizes(nets[host.name]),
            *addressing.problems(settings, nets[host.name]),
        ):
            yield host, path, message
    yield from addressing.across(site, nets)


def _names(settings: BondingSettings) -> Iterator[Wrong]:
    """One name for two links."""
    taken: dict[str, Path] = {}
    for name, _, path in declared(settings):
        before = taken.setdefault(name, path)
        if before != path:
            yield path, f"{name} stands under {before[1]} already — each link needs a name of its own"


def _cards(settings: BondingSettings) -> Iterator[Wrong]:
    """Cards that are told in two ways, or twice."""
    taken: dict[str, str] = {}
    for name, nic in settings.nics.items():
        if nic.mac is not None and nic.path is not None:
            yield (NAME, "nics", name, "path"), "mac says already which card it is — keep one of the two"
        for key, value in (("mac", nic.mac), ("path", nic.path)):
            if value is None:
                continue
            other = taken.setdefault(value, name)
            if other != name:
                yield (NAME, "nics", name, key), f"{value} is {other} already — one card, one name"


def _bonds(settings: BondingSettings, links: Links) -> Iterator[Wrong]:
    for name, bond in settings.bonds.items():
        path: Path = (NAME, "bonds", name)
        if not bond.members:
            yield path, "a bond without members carries nothing — members: [NIC, NIC]"
        yield from _twice((*path, "members"), bond.members)
        for place, member in enumerate(bond.members):
            where = (*path, "members", place)
            if member == name:
                yield where, f"{name} can't be a member of itself"
            elif member in links and not isinstance(links[member], Nic):
                yield where, f"{member} is {WORDS[type(links[member])]} — the members of a bond are NICs"
            else:
                yield from _nowhere(where, member, links)
        if bond.min_links is not None and bond.min_links > len(bond.members) > 0:
            message = f"the bond would never be up: it has {len(bond.members)} members, {bond.min_links} must work"
            yield (*path, "min_links"), f"{message} — at most {len(bond.members)}"
        yield from _out_of_mode(path, bond)


def _out_of_mode(path: Path, bond: Bond) -> Iterator[Wrong]:
    """Options that the driver refuses, or does not look at, in the bond's mode."""
    for key, modes in ONLY_IN.items():
        if bond.mode is not None and getattr(bond, key) is not None and bond.mode not in modes:
            yield (*path, key), f"{key} means nothing in {bond.mode} — it is for {', '.join(modes)}; leave it out"


def _bridges(settings: BondingSettings, links: Links) -> Iterator[Wrong]:
    for name, bridge in settings.bridges.items():
        path: Path = (NAME, "bridges", name)
        yield from _twice((*path, "members"), bridge.members)
        for place, member in enumerate(bridge.members):
            where = (*path, "members", place)
            if member == name:
                yield where, f"{name} can't be a member of itself"
            elif isinstance(links.get(member), Bridge):
                yield where, f"{member} is a bridge — the members of a bridge are NICs, bonds and VLANs"
            else:
                yield from _nowhere(where, member, links)
        if bridge.stp and bridge.forward_delay is not None and bridge.forward_delay < SHORTEST_DELAY:
            yield (*path, "forward_delay"), f"with stp the kernel wants at least {SHORTEST_DELAY}s"


def _twice(path: Path, members: tuple[str, ...]) -> Iterator[Wrong]:
    for member, count in Counter(members).items():
        if count > 1:
            yield (*path, members.index(member, members.index(member) + 1)), f"{member} is listed twice"


def _nowhere(path: Path, name: str, links: Links) -> Iterator[Wrong]:
    """A link that is neither declared nor called as a card may be."""
    if name not in links and MADE.fullmatch(name):
        yield path, f"no such link: {name} — declared are {', '.join(links)}{did_you_mean(name, links)}"


def _vlans(settings: BondingSettings, links: Links) -> Iterator[Wrong]:
    tags: dict[tuple[str, int], str] = {}
    # A bridge's port may carry VLANs: the kernel takes their packets out before the bridge sees them.
    bonded = {member: name for name, bond in settings.bonds.items() for member in bond.members}
    for name, vlan in settings.vlans.items():
        path: Path = (NAME, "vlans", name)
        parent, tag = vlan_parent(name, vlan), vlan_id(name, vlan)
        if parent is None:
            yield path, "a VLAN is on another link — parent: LINK, or a name such as bond0.20"
            continue
        yield from _parent(path, name, parent, links, bonded)
        yield from _tag(path, name, vlan, tag)
        if tag is not None and tags.setdefault((parent, tag), name) != name:
            yield (*path, "id"), f"VLAN {tag} on {parent} is {tags[parent, tag]} already"


def _parent(path: Path, name: str, parent: str, links: Links, bonded: Mapping[str, str]) -> Iterator[Wrong]:
    where = (*path, "parent")
    if parent == name:
        yield where, f"{name} can't be on itself"
    elif isinstance(links.get(parent), Vlan):
        yield where, f"{parent} is a VLAN itself — a VLAN is on a NIC, a bond or a bridge"
    elif parent in bonded:
        yield where, f"{parent} is a member of {bonded[parent]}, which takes all its packets — parent: {bonded[parent]}"
    else:
        yield from _nowhere(where, parent, links)


def _tag(path: Path, name: str, vlan: Vlan, tag: int | None) -> Iterator[Wrong]:
    told = vlan_id(name, Vlan())
    if tag is None:
        yield path, "a VLAN needs a tag — id: 1 to 4094"
    elif vlan.id is not None and told is not None and told != vlan.id:
        yield (*path, "id"), f"the name says VLAN {told}, the id says {vlan.id}: whoever reads it is misled"
    elif not 1 <= tag <= 4094:  # noqa: PLR2004 - IEEE 802.1Q, and the message says it
        yield path, f"there is no VLAN {tag} — 1 to 4094"


def _circles(settings: BondingSettings, links: Links) -> Iterator[Wrong]:
    """Links that stand on each other."""
    needs = {name: [one for one in stands_on(name, link) if one != name] for name, link in links.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        paths = {name: path for name, _, path in declared(settings)}
        first = next(name for name in paths if name in circle)
        yield paths[first], f"links stand on each other: {' on '.join(circle)} — take one of them out"


def _sizes(net: Net) -> Iterator[Wrong]:
    """Packets that are too large for what is below, or too small for IPv6."""
    has = sizes(net)
    for link in net:
        own = link.settings.mtu
        below = {"vlan": (link.on,), "bridge": link.members}.get(link.kind, ())
        for other in below if own is not None else ():
            if own is not None and own > has.get(other, own):
                message = f"packets of {own} don't fit through {other}, which takes {has[other]}"
                yield (*link.path, "mtu"), f"{message} — mtu: {own}  for {other}, or less here"
        if has[link.name] < SHORTEST_IPV6 and (link.addresses(6) or link.settings.dhcp6 or link.ra):
            yield (*link.path, "mtu"), f"IPv6 needs packets of {SHORTEST_IPV6} octets at least (RFC 8200)"
