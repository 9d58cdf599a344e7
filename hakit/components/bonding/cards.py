"""The rules about cards: how fast they are, how large their packets, what fails together with them.

What the inventory does not say is taken from what is known of the host, where something is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hakit.components.bonding.model import NAME, derive, sizes
from hakit.components.bonding.options import LACP
from hakit.components.bonding.seen import known as known_cards
from hakit.components.bonding.seen import nic_of
from hakit.components.bonding.settings import BondingSettings, Nic
from hakit.components.bonding.values import megabits, speed_text
from hakit.lint.rule import Finding, configured, informed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component, Facts
    from hakit.components.bonding.model import Link, Net
    from hakit.inventory.model import Host, Site

    Components = Mapping[str, Component]
    Known = Mapping[str, Facts]

KERNEL = "https://docs.kernel.org/networking/bonding.html"
_FUNCTION = re.compile(r"(.*[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2})\.[0-7]")
_PORT = re.compile(r"(en(?:P\d+)?(?:p\d+)?s\d+)(?:f\d+)?(?:d\d+|np\d+)?")
"""Predictable names (systemd.net-naming-scheme(7)): slot, then function and port of one card."""


def _bonds(site: Site, known: Known) -> Iterator[tuple[Host, Net, Link, tuple[Link, ...]]]:
    """Every bond with its members, on every host."""
    for host, settings in configured(site, NAME, BondingSettings):
        facts = known.get(host.name)
        net = derive(settings, known_cards(settings, facts))
        for bond in net:
            if bond.kind == "bond":
                found = (net.link(one) for one in bond.members)
                yield host, net, bond, tuple(one for one in found if one is not None and one.kind == "physical")


def _speed(host: Host, link: Link, known: Known) -> int | None:
    """Mbit/s that a card has, as the inventory says or as was last seen."""
    if isinstance(link.settings, Nic) and link.settings.speed is not None:
        return megabits(link.settings.speed)
    nic = nic_of(link, known.get(host.name))
    return nic.speed if nic is not None else None


def _card(host: Host, link: Link, known: Known) -> str | None:
    """What tells the card that a port is on; None where nothing does."""
    nic = nic_of(link, known.get(host.name))
    for text in (nic.device if nic is not None else "", link.match.partition(":")[2]):
        if found := _FUNCTION.fullmatch(text):
            return found[1].removeprefix("pci-")
    if not link.match and (found := _PORT.fullmatch(link.name)):
        return found[1]
    return None


@informed(
    "BD006",
    "warning",
    reason="Without min_links a bond stays up with one member of many, and what it is relied on for does not fit.",
    source=f"{KERNEL}, 2 (min_links: 0 and 1 mean the same)",
)
def bandwidth(site: Site, components: Components, known: Known) -> Iterator[Finding]:
    """802.3ad bonds that stay up with fewer members than the bandwidth needs, and bonds that never have it."""
    del components
    for host, _, link, members in _bonds(site, known):
        bond = link.bond
        speeds = [speed for one in members if (speed := _speed(host, one, known))]
        if bond.bandwidth is None or not speeds or len(speeds) < len(members):
            continue
        wanted, slowest = megabits(bond.bandwidth), min(speeds)
        need = -(-wanted // slowest)
        usable = sum(speeds) if bond.mode == LACP else max(speeds)
        if wanted > usable:
            message = f"{bond.bandwidth} never fit: the members carry {speed_text(usable)}"
            yield Finding(host, (*link.path, "bandwidth"), message, write="more members, or faster ones")
        elif bond.mode == LACP and max(1, bond.min_links or 0) < need:
            message = (
                f"{bond.bandwidth} need {need} members of {speed_text(slowest)}, and the bond stays up with "
                f"{max(1, bond.min_links or 0)}: whoever relies on it learns nothing"
            )
            where = (*link.path, "min_links" if bond.min_links is not None else "bandwidth")
            yield Finding(host, where, message, write=f"min_links: {need}")


@informed(
    "BD012",
    "warning",
    reason="Members that differ in speed or packet size make a bond whose behaviour depends on which one works.",
    source=f"{KERNEL}, 2 (802.3ad: all members of an aggregate have the same speed and duplex)",
)
def unequal(site: Site, components: Components, known: Known) -> Iterator[Finding]:
    """Members of different speeds, and members with an MTU of their own."""
    del components
    for host, net, link, members in _bonds(site, known):
        speeds = {one.declared: speed for one in members if (speed := _speed(host, one, known))}
        if len(set(speeds.values())) > 1:
            told = ", ".join(f"{name} {speed_text(speed)}" for name, speed in speeds.items())
            what = "one aggregate takes one speed, the others idle" if link.bond.mode == LACP else "a failover slows it"
            yield Finding(
                host, (*link.path, "members"), f"members differ in speed ({told}): {what}", write="equal NICs"
            )
        size = sizes(net)[link.name]
        for one in members:
            if one.settings.mtu is not None and one.settings.mtu != size:
                message = f"{one.declared} has an MTU of {one.settings.mtu}, {link.declared} of {size}"
                yield Finding(
                    host,
                    (*one.path, "mtu"),
                    f"{message}: the driver gives all members the bond's",
                    write=f"mtu: {one.settings.mtu}  for {link.declared} alone",
                )


@informed(
    "BD013",
    "warning",
    reason="Members that share a card fail together, and a single member is no bond at all.",
    source="https://systemd.io/PREDICTABLE_INTERFACE_NAMES/ (what of a name is the card, what the port)",
)
def same_card(site: Site, components: Components, known: Known) -> Iterator[Finding]:
    """Bonds of one member, and bonds whose members are all on one card."""
    del components
    for host, _, link, members in _bonds(site, known):
        if len(link.members) == 1:
            message = f"{link.members[0]} is the only member: the bond survives nothing"
            yield Finding(host, (*link.path, "members"), message, write="a second NIC, on another card")
            continue
        cards = [_card(host, one, known) for one in members]
        if len(cards) > 1 and None not in cards and len(set(cards)) == 1:
            told = " and ".join(one.declared for one in members)
            message = f"{told} are ports of one card ({cards[0]}): they fail together"
            yield Finding(host, (*link.path, "members"), message, write="members on two cards")


CARD_RULES = (bandwidth, unequal, same_card)
