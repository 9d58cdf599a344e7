"""The network of one host as links that stand on each other: derived once, rendered for whatever brings it up.

Total on whatever passes the settings' own checks: names that lead nowhere and links that stand on themselves are told
by `check`, and are no reason to fail here.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.components.bonding.options import options
from hakit.components.bonding.settings import Bond, BondingSettings, Bridge, Nic, Vlan
from hakit.components.once import once_per_site
from hakit.lint.rule import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hakit.components.bonding.settings import Dns, LinkSettings
    from hakit.inventory.model import Site
    from hakit.inventory.origin import Path

NAME = "bonding"
KINDS: Mapping[type[LinkSettings], str] = {Nic: "physical", Bond: "bond", Vlan: "vlan", Bridge: "bridge"}
DEFAULT4, DEFAULT6 = "default", "default6"
EVERYWHERE = ("default", "0.0.0.0/0", "::/0")
"""How a route to everywhere may be written."""
STANDARD_MTU = 1500
"""RFC 894."""
LISTENING = 15
"""Seconds: IEEE 802.1D's default forward delay, and the kernel's."""


@dataclass(frozen=True, slots=True)
class Way:
    """A route: `to` is a network, `default` or `default6`; `path` is the setting that says so."""

    to: str
    via: str | None
    metric: int | None
    path: Path

    @property
    def version(self) -> int:
        """4 or 6."""
        if self.to in (DEFAULT4, DEFAULT6):
            return 4 if self.to == DEFAULT4 else 6
        return ipaddress.ip_network(self.to).version


@dataclass(frozen=True, slots=True)
class Link:
    """One link. `declared` is its name in the inventory, `name` the kernel's; they differ for a card found by `match`.

    `match` is `mac:…` or `path:…`. `master` is the bond or bridge that it is a port of, `on` a VLAN's parent, `members`
    a bond's or bridge's ports, `vlans` what stands on it: all by the kernel's names. `mtu` and `mac` are None where the
    kernel's own hold. `path` is the setting (below `hakit`) that declares it.
    """

    declared: str
    name: str
    kind: str
    settings: LinkSettings
    path: Path
    match: str = ""
    master: str = ""
    on: str = ""
    id: int = 0
    members: tuple[str, ...] = ()
    vlans: tuple[str, ...] = ()
    mtu: int | None = None
    mac: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @property
    def bond(self) -> Bond:
        """The settings of a bond. Raises TypeError for another link."""
        if not isinstance(self.settings, Bond):
            raise TypeError(self.name)
        return self.settings

    @property
    def bridge(self) -> Bridge:
        """The settings of a bridge. Raises TypeError for another link."""
        if not isinstance(self.settings, Bridge):
            raise TypeError(self.name)
        return self.settings

    @property
    def ra(self) -> bool:
        """Whether router advertisements are taken."""
        return self.settings.dhcp6 if self.settings.accept_ra is None else self.settings.accept_ra

    @property
    def configured(self) -> bool:
        """Whether it has addresses, or asks for some: otherwise it only carries what stands on it."""
        return bool(self.settings.addresses or self.settings.dhcp4 or self.settings.dhcp6 or self.ra)

    def addresses(self, version: int) -> tuple[str, ...]:
        """Its static addresses of a family."""
        return tuple(one for one in self.settings.addresses if ipaddress.ip_interface(one).version == version)

    def ways(self) -> Iterator[Way]:
        """Its gateways, then its other routes."""
        settings = self.settings
        if settings.gateway is not None:
            yield Way(DEFAULT4, settings.gateway, None, (*self.path, "gateway"))
        if settings.gateway6 is not None:
            yield Way(DEFAULT6, settings.gateway6, None, (*self.path, "gateway6"))
        for place, route in enumerate(settings.routes):
            to: str = route.to
            if to in EVERYWHERE:
                to = DEFAULT6 if ":" in (to if "/" in to else route.via or "") else DEFAULT4
            yield Way(to, route.via, route.metric, (*self.path, "routes", place))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a host's cards, by their names in the inventory: the kernel's names, the MAC addresses."""

    names: Mapping[str, str] = field(default_factory=dict)
    macs: Mapping[str, str] = field(default_factory=dict)


NOTHING = Known()


@dataclass(frozen=True, slots=True)
class Net:
    """All links of a host by their names in the inventory, each after what it stands on."""

    links: tuple[Link, ...]
    dns: Dns | None

    def __iter__(self) -> Iterator[Link]:
        """Its links, in the order in which they come up."""
        return iter(self.links)

    def told_mtu(self, link: Link) -> int | None:
        """What files say of a link's MTU: of a bond's member nothing.

        The driver gives it the bond's, and when it leaves the one that it had: a manager's would be taken for its own.
        """
        master = self.link(link.master)
        return None if master is not None and master.kind == "bond" else link.mtu

    def link(self, name: str) -> Link | None:
        """A link by its kernel's name."""
        return next((link for link in self.links if link.name == name), None)

    @property
    def resolving(self) -> Link | None:
        """The link that the name servers are told with: that of the default route, or the first with an address."""
        ranked = sorted(
            (link for link in self.links if link.configured),
            key=lambda link: not any(way.to in (DEFAULT4, DEFAULT6) for way in link.ways()),
        )
        return ranked[0] if ranked else None


def vlan_parent(name: str, vlan: Vlan) -> str | None:
    """The link that a VLAN is on: as it says, or as its name says."""
    if vlan.parent is not None:
        return vlan.parent
    parent, dot, tag = name.rpartition(".")
    return parent if dot and tag.isdecimal() else None


def vlan_id(name: str, vlan: Vlan) -> int | None:
    """A VLAN's tag: as it says, or as its name says."""
    if vlan.id is not None:
        return vlan.id
    _, dot, tag = name.rpartition(".")
    return int(tag) if dot and tag.isascii() and tag.isdecimal() else None


def stands_on(name: str, settings: LinkSettings) -> tuple[str, ...]:
    """The links that one needs before it can be there."""
    if isinstance(settings, Bond | Bridge):
        return tuple(settings.members)
    if isinstance(settings, Vlan):
        parent = vlan_parent(name, settings)
        return (parent,) if parent else ()
    return ()


def declared(settings: BondingSettings) -> Iterator[tuple[str, LinkSettings, Path]]:
    """Every link that is declared: its name, its settings, the path of the setting below `hakit`."""
    sections: tuple[tuple[str, Mapping[str, LinkSettings]], ...] = (
        ("nics", settings.nics),
        ("bonds", settings.bonds),
        ("vlans", settings.vlans),
        ("bridges", settings.bridges),
    )
    for section, links in sections:
        for name, link in links.items():
            yield name, link, (NAME, section, name)


def match_of(nic: LinkSettings) -> str:
    """`mac:…` or `path:…` for a card that is not found by its name."""
    if isinstance(nic, Nic):
        if nic.mac is not None:
            return f"mac:{nic.mac}"
        if nic.path is not None:
            return f"path:{nic.path}"
    return ""


@once_per_site
def networks(site: Site) -> Mapping[str, Net]:
    """The network of each host that declares one, as far as the inventory alone tells."""
    return {host.name: derive(settings) for host, settings in configured(site, NAME, BondingSettings)}


def derive(settings: BondingSettings, known: Known = NOTHING) -> Net:
    """The network that the settings describe, with what is known of the host's cards."""
    found = {name: (link, path) for name, link, path in declared(settings)}
    for name, link, path in list(declared(settings)):
        for key, one in _references(name, link):
            # A NIC that nothing more is said of than who uses it.
            found.setdefault(one, (Nic(), (*path, *key)))
    above: dict[str, list[str]] = {}
    for name, (link, _) in found.items():
        if isinstance(link, Vlan) and (parent := vlan_parent(name, link)):
            above.setdefault(parent, []).append(name)
    masters = {member: name for name, (link, _) in found.items() for member in _members(link) if member != name}
    return Net(
        tuple(_link(name, found, masters, above.get(name, ()), known) for name in _ordered(found)),
        settings.dns,
    )


def _members(link: LinkSettings) -> tuple[str, ...]:
    return tuple(link.members) if isinstance(link, Bond | Bridge) else ()


def _references(name: str, link: LinkSettings) -> Iterator[tuple[Path, str]]:
    for place, member in enumerate(_members(link)):
        yield ("members", place), member
    if isinstance(link, Vlan) and (parent := vlan_parent(name, link)):
        yield ("parent",), parent


def _ordered(found: Mapping[str, tuple[LinkSettings, Path]]) -> list[str]:
    """Each link after those that it stands on; a circle is cut where it closes."""
    order: list[str] = []
    seen: set[str] = set()
    for start in (name for kind in KINDS for name, (link, _) in found.items() if isinstance(link, kind)):
        # A stack of its own: an inventory may pile up more links than Python's has room for.
        stack = [] if start in seen else [(start, iter(stands_on(start, found[start][0])))]
        seen.add(start)
        while stack:
            name, below = stack[-1]
            other = next(below, None)
            if other is None:
                order.append(name)
                stack.pop()
            elif other not in seen:
                seen.add(other)
                stack.append((other, iter(stands_on(other, found[other][0]))))
    return order


def _link(
    name: str,
    found: Mapping[str, tuple[LinkSettings, Path]],
    masters: Mapping[str, str],
    above: Sequence[str],
    known: Known,
) -> Link:
    settings, path = found[name]
    parent = vlan_parent(name, settings) or "" if isinstance(settings, Vlan) else ""
    return Link(
        declared=name,
        name=known.names.get(name, name),
        kind=KINDS[type(settings)],
        settings=settings,
        path=path,
        match=match_of(settings),
        master=masters.get(name, ""),
        on=known.names.get(parent, parent),
        id=(vlan_id(name, settings) or 0) if isinstance(settings, Vlan) else 0,
        members=tuple(known.names.get(one, one) for one in _members(settings)),
        vlans=tuple(above),
        mtu=_mtu(name, found, masters),
        mac=_mac(settings, found, known),
        options=_kernel_options(settings, known.names),
    )


def _mac(settings: LinkSettings, found: Mapping[str, tuple[LinkSettings, Path]], known: Known) -> str | None:
    """The MAC address that a link is given: its own, or for a bond that of its first member where it is known.

    The driver takes that of whoever comes up first. Neighbours and DHCP servers know a host by it, from the day when
    the first member was all that it had.
    """
    if isinstance(settings, Nic):
        return None
    own = settings.mac if isinstance(settings, Bond | Bridge | Vlan) else None
    if own is not None or not isinstance(settings, Bond) or not settings.members:
        return own
    if settings.fail_over_mac in ("active", "follow"):
        return None
    first = settings.members[0]
    card = found[first][0]
    return card.mac if isinstance(card, Nic) and card.mac is not None else known.macs.get(first)


def _mtu(name: str, found: Mapping[str, tuple[LinkSettings, Path]], masters: Mapping[str, str]) -> int | None:
    """Its own, or that of the bond that it is a member of, whose members the driver gives it, or of a VLAN's parent.

    The kernel gives a VLAN its parent's when it is made, and leaves it there when the parent's grows.
    """
    link = found[name][0]
    if link.mtu is not None:
        return link.mtu
    above = found[masters[name]][0] if name in masters and masters[name] in found else None
    if isinstance(above, Bond):
        return above.mtu
    parent = found.get(vlan_parent(name, link) or "") if isinstance(link, Vlan) else None
    return parent[0].mtu if parent is not None else None


def _kernel_options(settings: LinkSettings, names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if isinstance(settings, Bond):
        return options(settings, names)
    if isinstance(settings, Bridge):
        # sysfs shows hundredths of a second (USER_HZ).
        return (("stp_state", str(int(settings.stp))), ("forward_delay", str(forward_delay(settings) * 100)))
    return ()


def forward_delay(bridge: Bridge) -> int:
    """Seconds that a port listens before it forwards: none where no loop is looked for (IEEE 802.1D's 15 otherwise)."""
    if bridge.forward_delay is not None:
        return round(bridge.forward_delay)
    return LISTENING if bridge.stp else 0


def sizes(net: Net) -> Mapping[str, int]:
    """The MTU that each link will have: its own, its parent's for a VLAN, its smallest port's for a bridge, or 1500."""
    found: dict[str, int] = {}
    for link in net:
        below = {"vlan": (link.on,), "bridge": link.members}.get(link.kind, ())
        known = [found[one] for one in below if one in found]
        found[link.name] = link.mtu if link.mtu is not None else min(known, default=STANDARD_MTU)
    return found
