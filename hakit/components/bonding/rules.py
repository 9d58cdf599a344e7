"""The rules of bonding: what the driver refuses, what the switch must know, what is lost with a single failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.bonding import options
from hakit.components.bonding.addressing import literal
from hakit.components.bonding.cards import CARD_RULES
from hakit.components.bonding.model import NAME, networks
from hakit.components.bonding.settings import BondingSettings
from hakit.lint.rule import Finding, Upheld, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.components.bonding.model import Link
    from hakit.components.bonding.settings import Bond, Bridge
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

KERNEL = "https://docs.kernel.org/networking/bonding.html"
NEEDS_LAG = ("balance-rr", "balance-xor")
"""Modes whose members' ports the switch must know as one, without LACP (the kernel's document, 5 and 12)."""
SEPARATE = ("active-backup", "balance-tlb", "balance-alb")
"""Modes whose members' ports the switch must take for separate ones."""


def bonds(site: Site) -> Iterator[tuple[Host, Path, Bond]]:
    """Every bond of every host with its path below `hakit`."""
    for host, settings in configured(site, NAME, BondingSettings):
        for name, bond in settings.bonds.items():
            yield host, (NAME, "bonds", name), bond


@rule(
    "BD001",
    "error",
    reason="A bond that watches its members in no way never leaves a dead one; in two ways it follows neither.",
    source=f"{KERNEL}, 7 (link monitoring); the driver refuses both together",
)
def monitoring(site: Site, components: Components) -> Iterator[Finding]:
    """Bonds with neither miimon nor ARP monitoring, or with both."""
    del components
    for host, path, bond in bonds(site):
        if bond.arp is not None and bond.miimon:
            message = "members are watched by carrier and by ARP: the driver takes one of the two"
            yield Finding(host, (*path, "miimon"), message, write="leave miimon out, or arp", waivable=False)
        elif bond.arp is not None and not options.milliseconds(bond.arp.interval):
            message = "an interval of 0 turns ARP monitoring off: a dead member would never be left"
            yield Finding(host, (*path, "arp", "interval"), message, write="interval: 1s")
        elif bond.arp is None and not options.miimon(bond):
            message = "nothing watches the members: a dead one would never be left"
            yield Finding(host, (*path, "miimon"), message, write="miimon: 100ms")


@rule(
    "BD002",
    "error",
    reason="Without a mode the kernel takes balance-rr, which reorders packets and needs a LAG on the switch.",
    source=f"{KERNEL}, 2 (mode)",
)
def no_mode(site: Site, components: Components) -> Iterator[Finding]:
    """Bonds without a mode."""
    del components
    for host, path, bond in bonds(site):
        if bond.mode is None:
            message = "the bond has no mode, and the kernel would make it balance-rr"
            yield Finding(host, path, message, write="mode: active-backup  (any switch), or  mode: 802.3ad  (LACP)")


@rule(
    "BD003",
    "error",
    reason="The driver watches members by ARP only where it knows which one an answer comes by.",
    source=f"{KERNEL}, 2 (arp_interval)",
)
def arp_in_wrong_mode(site: Site, components: Components) -> Iterator[Finding]:
    """ARP monitoring in 802.3ad, balance-tlb and balance-alb."""
    del components
    for host, path, bond in bonds(site):
        if bond.arp is not None and bond.mode in options.WITHOUT_ARP:
            message = f"the driver refuses ARP monitoring in {bond.mode}"
            yield Finding(host, (*path, "arp"), message, write="miimon: 100ms  in its place", waivable=False)


@rule(
    "BD004",
    "error",
    reason="A switch that does not know the ports as one LAG drops, floods or flaps what a bond sends over them.",
    source=f"{KERNEL}, 5 (switch configuration); IEEE 802.1AX",
)
def switch_side(site: Site, components: Components) -> Iterator[Finding]:
    """802.3ad and its static kin without a LAG on the switch, and a LAG below modes that want separate ports."""
    del components
    for host, path, bond in bonds(site):
        if bond.mode == options.LACP and not bond.lag:
            message = "802.3ad needs the ports as one LACP LAG on the switch, and nothing here says that they are"
            yield Finding(host, path, message, write="lag: true, or where it is:  lag: sw1 port-channel 12")
        elif bond.mode in NEEDS_LAG and not bond.lag:
            message = f"{bond.mode} needs the ports as one static LAG on the switch, or addresses flap between them"
            yield Finding(
                host, path, message, write="lag: true  once the switch has it, or  mode: 802.3ad", severity="warning"
            )
        elif bond.mode in SEPARATE and bond.lag:
            message = f"{bond.mode} wants separate ports: a LAG would send packets to members that drop them"
            yield Finding(host, (*path, "lag"), message, write="mode: 802.3ad, or no LAG on the switch and none here")


@rule(
    "BD005",
    "warning",
    reason="A slow LACP notices a silent partner after 90 s; a poor hash leaves members idle or reorders packets.",
    source=f"{KERNEL}, 2 (lacp_rate, xmit_hash_policy); IEEE 802.1AX, 5.2.4",
)
def slow_or_uneven(site: Site, components: Components) -> Iterator[Finding]:
    """`lacp_rate: slow`, `xmit_hash_policy: layer2`, and layer3+4 on 802.3ad."""
    del components
    for host, path, bond in bonds(site):
        if bond.lacp_rate == "slow":
            message = "a partner that falls silent is noticed after 90 s (three times 30), with fast after 3 s"
            yield Finding(host, (*path, "lacp_rate"), message, write="lacp_rate: fast")
        if bond.mode not in options.HASHING:
            continue
        where = (*path, "xmit_hash_policy")
        if bond.xmit_hash_policy == "layer2":
            message = "layer2 sends everything to one neighbour over one member: all that a gateway passes on, say"
            yield Finding(host, where, message, write="xmit_hash_policy: layer2+3")
        elif bond.xmit_hash_policy in ("layer3+4", "encap3+4") and bond.mode == options.LACP:
            message = f"{bond.xmit_hash_policy} tears fragments from their conversation: not quite 802.3ad"
            yield Finding(host, where, message, write="xmit_hash_policy: layer2+3, or waive this where flows are few")


@rule(
    "BD007",
    "error",
    reason="A primary means something where one member is preferred; one that always comes back costs packets twice.",
    source=f"{KERNEL}, 2 (primary, primary_reselect)",
)
def primary(site: Site, components: Components) -> Iterator[Finding]:
    """A primary outside its modes or its bond, and one that always comes back."""
    del components
    for host, path, bond in bonds(site):
        where = (*path, "primary")
        if bond.primary is not None and bond.mode is not None and bond.mode not in options.WITH_PRIMARY:
            message = f"{bond.mode} has no primary: the driver refuses it"
            yield Finding(host, where, message, write="leave primary out, or  mode: active-backup", waivable=False)
        elif bond.primary is not None and bond.primary not in bond.members:
            message = f"{bond.primary} is no member of the bond ({', '.join(bond.members) or 'it has none'})"
            yield Finding(host, where, message, write=f"primary: {next(iter(bond.members), 'NIC')}", waivable=False)
        if bond.primary_reselect is not None and bond.primary is None:
            message = "there is no primary that could come back"
            yield Finding(host, (*path, "primary_reselect"), message, write="primary: NIC, or leave this out")
        elif bond.primary_reselect == "always":
            message = "a primary whose link comes and goes takes the traffic with it each time"
            yield Finding(
                host, (*path, "primary_reselect"), message, write="primary_reselect: failure", severity="warning"
            )


@rule(
    "BD008",
    "warning",
    reason="A port forwards later than its link is up; and the driver counts delays in looks at the carrier.",
    source=f"{KERNEL}, 2 (updelay, downdelay)",
)
def delays(site: Site, components: Components) -> Iterator[Finding]:
    """Delays that the driver rounds or ignores, and an updelay below the switch's forwarding delay."""
    del components
    for host, path, bond in bonds(site):
        beat = options.miimon(bond)
        for key in ("updelay", "downdelay"):
            delay = options.milliseconds(getattr(bond, key))
            if delay and not beat:
                message = f"{key} needs miimon: without it the driver refuses the delay"
                yield Finding(host, (*path, key), message, write="leave it out", severity="error", waivable=False)
            elif beat and delay % beat:
                message = (
                    f"{delay} ms is no multiple of miimon ({beat} ms): the driver makes it {delay // beat * beat} ms"
                )
                yield Finding(host, (*path, key), message, write=f"{key}: {-(-delay // beat) * beat}ms")
        if bond.updelay < bond.forward_delay:
            message = (
                f"the switch forwards {bond.forward_delay:g}s after a link came up, the member is used after "
                f"{bond.updelay:g}s: what is sent in between is lost"
            )
            where = (*path, "updelay") if bond.updelay else (*path, "forward_delay")
            yield Finding(
                host, where, message, write=f"updelay: {bond.forward_delay:g}s, or an edge port on the switch"
            )


@rule(
    "BD009",
    "error",
    reason="fail_over_mac active means that the bond has its active member's address: a given one contradicts it.",
    source=f"{KERNEL}, 2 (fail_over_mac)",
)
def given_mac(site: Site, components: Components) -> Iterator[Finding]:
    """A MAC address of its own with `fail_over_mac: active`."""
    del components
    for host, path, bond in bonds(site):
        if bond.mac is not None and bond.fail_over_mac == "active":
            message = f"with fail_over_mac active the bond has its member's MAC address, never {bond.mac}"
            yield Finding(host, (*path, "mac"), message, write="leave mac out, or fail_over_mac")


@rule(
    "BD010",
    "error",
    reason="A NIC serves one master, and what it receives is the bond's: an address on a member is never heard of.",
    source=f"{KERNEL}, 3 and 4 (members carry no addresses)",
)
def members(site: Site, components: Components) -> Iterator[Finding]:
    """NICs with two masters, and members that keep addresses or routes."""
    del components
    nets = networks(site)
    for host, settings in configured(site, NAME, BondingSettings):
        masters: dict[str, str] = {}
        for path, name, member in _memberships(settings):
            other = masters.setdefault(member, name)
            if other != name:
                message = f"{member} is a member of {other} already: a link has one master"
                yield Finding(host, path, message, write=f"another NIC for {name}", waivable=False)
        for link in nets[host.name]:
            if link.declared in masters:
                yield from _kept(host, link, masters[link.declared])


def _memberships(settings: BondingSettings) -> Iterator[tuple[Path, str, str]]:
    """Every member that is listed: the path of the setting, the master, the member."""
    sections: tuple[tuple[str, Mapping[str, Bond | Bridge]], ...] = (
        ("bonds", settings.bonds),
        ("bridges", settings.bridges),
    )
    for section, made in sections:
        for name, link in made.items():
            for place, member in enumerate(link.members):
                if member != name:
                    yield (NAME, section, name, "members", place), name, member


def _kept(host: Host, link: Link, master: str) -> Iterator[Finding]:
    """What a member keeps of what its master must have."""
    for key in ("addresses", "gateway", "gateway6", "routes", "dhcp4", "dhcp6", "accept_ra"):
        if getattr(link.settings, key):
            message = f"{link.declared} is a member of {master}, which takes all it receives: {key} would be dead"
            yield Finding(host, (*link.path, key), message, write=f"{key}  for {master}", waivable=False)


@rule(
    "BD011",
    "error",
    reason="A host whose network is changed must be found afterwards: hakit confirms the change over a new connection.",
    source="https://github.com/linux-system-roles/network/issues/33; https://github.com/cockpit-project/cockpit/issues/5530",
)
def lost_hosts(site: Site, components: Components) -> Iterator[Finding]:
    """Hosts whose own address, or the one that SSH goes to, is on none of their links."""
    del components
    for host, net in ((site.hosts[name], net) for name, net in networks(site).items()):
        told = {host.address: "hakit.address", str(host.login.host): "ansible_host"}
        mine = {literal(text.partition("/")[0]) for link in net for text in link.settings.addresses}
        for address, key in told.items():
            ip = literal(address)
            given = any(link.settings.dhcp4 if ":" not in address else link.settings.dhcp6 or link.ra for link in net)
            if ip is None or ip in mine or given or not mine:
                continue
            message = f"{address} ({key}) is on none of {host.name}'s links: nobody would reach it there any more"
            where: Path = ("address",) if key == "hakit.address" else (NAME,)
            yield Finding(host, where, message, write="the address on a link, or the new one here as well")


RULES = (
    monitoring,
    no_mode,
    arp_in_wrong_mode,
    switch_side,
    slow_or_uneven,
    primary,
    delays,
    given_mac,
    members,
    lost_hosts,
    *CARD_RULES,
)
UPHELD: tuple[Upheld, ...] = ()
