"""What is wrong between hosts: a pure judgement of what they saw of each other.

Two machines with one address, two inventory hosts on one machine, strangers who speak VRRP under our number, peers that
can't reach each other: none of that can be seen on one host alone.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

from hakit.engine.diagnosis import CLOCK_WARN, Trouble, span
from hakit.engine.errands import claims, literal, wires
from hakit.engine.examination import Clock, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hakit.components.base import Component, Wire
    from hakit.engine.diagnosis import Exam
    from hakit.engine.errands import Claim, Seen
    from hakit.engine.examination import Advert
    from hakit.inventory.model import Site

    Components = Mapping[str, Component]
    Exams = Mapping[str, Exam]

VIRTUAL = ("00:00:5e:00:01:", "00:00:5e:00:02:")
"""MACs of VRRP's virtual routers over IPv4 and IPv6 (RFC 5798, 7.3): they belong to whoever is master."""
NO_MAC = ("", "00:00:00:00:00:00")
ANSWERED = ("open", "refused")


def judge(site: Site, components: Components, exams: Exams, seen: Mapping[str, Seen]) -> Iterator[Trouble]:
    """Everything that is wrong between hosts."""
    yield from _same_machine(exams)
    yield from _clocks(exams)
    yield from _networks(site, components, exams)
    yield from _Addresses(site, components, exams, seen).judge()
    yield from _routers(site, components, exams, seen)
    yield from _peers(seen)


def _machines(exams: Exams) -> dict[str, Machine]:
    return {name: exam.machine for name, exam in exams.items() if isinstance(exam.machine, Machine)}


def _same_machine(exams: Exams) -> Iterator[Trouble]:
    machines = _machines(exams)
    told: set[frozenset[str]] = set()
    boots = {name: exam.hello.boot for name, exam in exams.items() if exam.hello is not None}
    for one, other in combinations(machines, 2):
        a, b = machines[one], machines[other]
        macs = {nic.mac for nic in a.nics} - set(NO_MAC)
        same = (
            a.id == b.id
            and boots[one] == boots[other]
            and boots[one]
            and macs == {nic.mac for nic in b.nics} - set(NO_MAC)
        )
        if same:
            told.add(frozenset((one, other)))
            what = "they are one and the same machine"
            do = "give each its own ansible_host, or take one of them out of the inventory"
            yield Trouble("same-machine", "error", (one, other), what, "it can't stand in for itself", do)
    yield from _shared(
        {name: [one.id] for name, one in machines.items()},
        told,
        (
            "same-id",
            "they have the same machine id {}",
            "they were cloned: DHCP leases, journals and systemd take them for one machine",
            "rm /etc/machine-id && systemd-machine-id-setup  on all but one, then reboot it",
        ),
    )
    yield from _shared(
        {name: list(one.keys) for name, one in machines.items()},
        told,
        (
            "same-key",
            "they have the same SSH host key",
            "whoever breaks into one can pose as the others",
            "rm /etc/ssh/ssh_host_* && dpkg-reconfigure openssh-server  on all but one, then  hakit trust",
        ),
    )
    yield from _shared(
        {name: [nic.mac for nic in one.nics if nic.mac not in NO_MAC] for name, one in machines.items()},
        told,
        (
            "same-mac",
            "they have the same MAC address {}",
            "a switch sends what is meant for one to the other",
            "give the cloned machine's NIC a MAC of its own",
        ),
    )


def _shared(
    values: Mapping[str, Sequence[str]], told: set[frozenset[str]], words: tuple[str, str, str, str]
) -> Iterator[Trouble]:
    """Values that more than one host has; pairs that were told of already are left out."""
    kind, what, why, do = words
    owners: dict[str, list[str]] = defaultdict(list)
    for name, found in values.items():
        for value in dict.fromkeys(found):
            if value:
                owners[value].append(name)
    done: set[tuple[str, ...]] = set()
    for value, hosts in owners.items():
        if len(hosts) > 1 and tuple(hosts) not in done and frozenset(hosts) not in told:
            done.add(tuple(hosts))
            yield Trouble(kind, "error", tuple(hosts), what.format(value), why, do)


def _clocks(exams: Exams) -> Iterator[Trouble]:
    clocks = {name: exam.clock for name, exam in exams.items() if isinstance(exam.clock, Clock)}
    # Who is off by itself has been told of already.
    right = {name: one for name, one in clocks.items() if abs(one.ahead) - one.doubt <= CLOCK_WARN}
    if len(right) > 1:
        first, last = min(right, key=lambda name: right[name].ahead), max(right, key=lambda name: right[name].ahead)
        apart = right[last].ahead - right[first].ahead - right[last].doubt - right[first].doubt
        if apart > CLOCK_WARN:
            what = f"their clocks are {span(apart)} apart"
            yield Trouble(
                "clock", "warning", (first, last), what, "their logs can't be put in order", "run an NTP client on both"
            )


def _networks(site: Site, components: Components, exams: Exams) -> Iterator[Trouble]:
    """NICs that components name and hosts lack; hosts that peers are sent to at an address that they don't have."""
    for name, machine in _machines(exams).items():
        nics = {nic.name: nic for nic in machine.nics}
        for nic in dict.fromkeys(wire.interface for wire in wires(site, components, name)):
            if nic not in nics:
                what = f"it has no NIC {nic}; it has {', '.join(nics) or 'none at all'}"
                yield Trouble(
                    "no-nic",
                    "error",
                    (name,),
                    what,
                    "the inventory puts addresses on it",
                    "correct the interface in the inventory",
                )
            elif not nics[nic].up:
                yield Trouble(
                    "nic-down",
                    "error",
                    (name,),
                    f"its NIC {nic} is down",
                    "the inventory puts addresses on it",
                    f"ip link set {nic} up  there, and see why it is down",
                )
        address = literal(site.hosts[name].address)
        has = {literal(text) for nic in machine.nics for text in nic.addresses}
        if address and has and address not in has:
            what = f"peers are told to reach it at {address}, which is on none of its NICs"
            do = "set hakit.address to an address of its own"
            yield Trouble("no-address", "warning", (name,), what, "daemons that bind it or send from it fail", do)


class _Addresses:
    """Who answers for which address, and whether that is who should."""

    def __init__(self, site: Site, components: Components, exams: Exams, seen: Mapping[str, Seen]) -> None:
        self.claims = claims(site, components)
        self.machines = _machines(exams)
        self.answers: dict[str, dict[str, str]] = defaultdict(dict)
        for asker, found in seen.items():
            for _, address, mac in found.wires.answers if found.wires else ():
                self.answers[address].setdefault(mac, asker)
        self.owners = {
            nic.mac: name for name, one in self.machines.items() for nic in one.nics if nic.mac not in NO_MAC
        }
        self._assume()

    def _assume(self) -> None:
        """Take a host that was not examined for the one that answers at its address: nobody knows better."""
        for address, claim in self.claims.items():
            unknown = [mac for mac in self.answers[address] if mac not in self.owners]
            absent = [name for name in claim.hosts if name not in self.machines]
            if not claim.floating and len(unknown) == len(absent) == 1:
                self.owners[unknown[0]] = absent[0]

    def judge(self) -> Iterator[Trouble]:
        """Addresses that strangers have, or two."""
        for address, claim in self.claims.items():
            owners: dict[str, str] = {}
            for mac, asker in self.answers[address].items():
                if mac in self.owners:
                    owners[self.owners[mac]] = mac
                elif not (claim.floating and mac.startswith(VIRTUAL)):
                    yield self._taken(address, claim, mac, asker)
            for name, machine in self.machines.items():
                if any(literal(text) == address for nic in machine.nics for text in nic.addresses):
                    owners.setdefault(name, "")
            strangers = [name for name in owners if name not in claim.hosts]
            if strangers:
                yield self._misplaced(address, claim, strangers, owners)
            elif len(owners) > 1:
                yield self._split(address, claim, list(owners))

    def _taken(self, address: str, claim: Claim, mac: str, asker: str) -> Trouble:
        whose = "the address that moves between them" if claim.floating else "its address"
        return Trouble(
            "address-taken",
            "error",
            claim.hosts,
            f"{address}, {whose}, is answered for by {mac or 'another machine'}, no NIC of this site (seen by {asker})",
            "two machines with one address: clients reach now one, now the other",
            "find it by its MAC in the switch, take the address from it, or choose another one",
        )

    def _misplaced(self, address: str, claim: Claim, strangers: list[str], owners: Mapping[str, str]) -> Trouble:
        macs = ", ".join(f"{name}{f' ({owners[name]})' if owners[name] else ''}" for name in strangers)
        return Trouble(
            "address-taken",
            "error",
            tuple(dict.fromkeys((*claim.hosts, *strangers))),
            f"{address} belongs to {', '.join(claim.hosts)} and is on {macs}",
            "clients and peers reach the wrong host",
            f"ip address del {address}/…  on {', '.join(strangers)}, or correct the inventory",
        )

    def _split(self, address: str, claim: Claim, owners: list[str]) -> Trouble:
        why = "each takes itself for the master: they don't hear each other" if claim.floating else "they clash"
        return Trouble(
            "two-holders",
            "error",
            tuple(owners),
            f"{address} is on both",
            why,
            "see that VRRP (IP protocol 112) passes between them and that both run the same configuration: hakit plan",
        )


def _routers(site: Site, components: Components, exams: Exams, seen: Mapping[str, Seen]) -> Iterator[Trouble]:
    """Routers that speak under a number of ours, or for an address of ours, and are not ours."""
    ours = {name: [w for w in wires(site, components, name) if w.protocol == "vrrp"] for name in site.hosts}
    owners = {
        literal(text): name for name, one in _machines(exams).items() for nic in one.nics for text in nic.addresses
    }
    floating = {address for address, claim in claims(site, components).items() if claim.floating}
    told: set[tuple[str, int]] = set()
    for name, one in seen.items():
        macs = {address: mac for _, address, mac in one.wires.answers} if one.wires else {}
        for advert in one.wires.adverts if one.wires else ():
            key = (advert.source, advert.id)
            stolen = sorted(floating & set(advert.addresses))
            near = [wire for wire in ours[name] if wire.interface == advert.nic]
            clashing = [wire for wire in near if wire.id == advert.id] or (near if stolen else [])
            if key in told or not clashing or _is_ours(advert, ours, owners):
                continue
            told.add(key)
            wire = clashing[0]
            members = tuple(host for host, known in ours.items() if any(_alike(wire, other) for other in known))
            named = [owners.get(advert.source, ""), advert.source, macs.get(advert.source, "")]
            yield _foreign(members, wire, advert, " ".join(part for part in named if part), stolen)


def _is_ours(advert: Advert, ours: Mapping[str, Sequence[Wire]], owners: Mapping[str, str]) -> bool:
    """Whether a member sent it: from its address, or from another one of the same host."""
    return any(
        wire.id == advert.id
        and (owners.get(advert.source) == host or advert.source in {literal(source) for source in wire.sources})
        for host, known in ours.items()
        for wire in known
    )


def _alike(one: Wire, other: Wire) -> bool:
    return (one.protocol, one.id, one.path) == (other.protocol, other.id, other.path)


def _foreign(members: tuple[str, ...], wire: Wire, advert: Advert, who: str, stolen: list[str]) -> Trouble:
    what = f"{who} sends VRRPv{advert.version} adverts with router id {advert.id}, priority {advert.priority}"
    name = str(wire.path[-1])
    if stolen:
        what += f", for {', '.join(stolen)}"
        why = "it takes this site's addresses for its own: there will be two holders"
    elif wire.multicast:
        why = f"{name} uses that id by multicast: its members take the stranger for one of them"
    else:
        why = f"{name} uses that id by unicast and does not listen to it, but a virtual MAC would clash"
    do = f"choose another virtual_router_id for {name}, or find that router and give it one of its own"
    severe = bool(stolen) or wire.multicast
    return Trouble("foreign-router", "error" if severe else "warning", members, what, why, do)


def _peers(seen: Mapping[str, Seen]) -> Iterator[Trouble]:
    for name, one in seen.items():
        for peer, word in zip(one.errand.peers, one.reached, strict=False):
            if word in ANSWERED:
                continue
            silent = word == "silent"
            reason = f"no answer on port {peer.port}" if silent else word
            yield Trouble(
                "unreachable-peer",
                "warning" if silent else "error",
                (name,),
                f"it can't reach {peer.name} at {peer.address}: {reason}",
                "one of them has to know whether the other one lives",
                "see the firewalls of both hosts" if silent else "see cables, VLANs and routes between them",
            )
