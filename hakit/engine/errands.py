"""Who is to look at what on which network, so that `segments` can judge what lies between hosts. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.engine.examination import Machine, Wires

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.components.base import Component, Wire
    from hakit.engine.diagnosis import Exam
    from hakit.inventory.model import Site

    Components = Mapping[str, Component]

SSH = 22


@dataclass(frozen=True, slots=True)
class Claim:
    """An address that the site says is its own: which of its hosts may have it. `floating` when it moves."""

    hosts: tuple[str, ...]
    floating: bool


@dataclass(frozen=True, slots=True)
class Peer:
    """A host that another one has to reach, and where."""

    name: str
    address: str
    port: int


@dataclass(slots=True)
class Errand:
    """What a host is sent to look at: who has an address (NIC, address), who speaks on a NIC, which peers answer."""

    ask: list[tuple[str, str]] = field(default_factory=list)
    listen: list[str] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host brought back from its errand; `reached` has a word for each peer."""

    errand: Errand
    wires: Wires | None
    reached: tuple[str, ...]


def claims(site: Site, components: Components) -> dict[str, Claim]:
    """Every address of the site, in its shortest form, with its owners; names are left out."""
    found: dict[str, Claim] = {}
    for host in site.hosts.values():
        stated = [host.address, *(address for address in host.nics.values() if address)]
        for one in components.values():
            if one.name in host.settings:
                stated += [address for address, _ in one.addresses(site, host)]
        for text in stated:
            if address := literal(text):
                known = found.get(address, Claim((), floating=False)).hosts
                found[address] = Claim(tuple(dict.fromkeys((*known, host.name))), floating=False)
    for one in components.values():
        for serving in one.serves(site):
            if address := literal(serving.address):
                found[address] = Claim(serving.hosts, floating=True)
    return found


def literal(text: str) -> str:
    """An address in its shortest form, with or without a prefix length; empty for a name."""
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError:
        return ""


def errands(site: Site, components: Components, exams: Mapping[str, Exam]) -> dict[str, Errand]:
    """Who looks at what; each address is asked for once, by a host on its network, and not by its owner if possible."""
    found: dict[str, Errand] = defaultdict(Errand)
    able = {name: exam.machine for name, exam in exams.items() if isinstance(exam.machine, Machine)}
    for address, claim in claims(site, components).items():
        places = [(name, nic) for name, machine in able.items() if (nic := _on_link(machine, address))]
        if places:
            # The least burdened of those that can't answer themselves; in a site of one host that host.
            name, nic = min(places, key=lambda place: (place[0] in claim.hosts, len(found[place[0]].ask)))
            found[name].ask.append((nic, address))
    for name, machine in able.items():
        present = {nic.name for nic in machine.nics}
        listen = dict.fromkeys(wire.interface for wire in wires(site, components, name) if wire.interface in present)
        if listen:
            found[name].listen.extend(listen)
    for name, other in sorted(pairs(site, components)):
        if name in able and other in able and (address := literal(site.hosts[other].address)):
            found[name].peers.append(Peer(other, address, site.hosts[other].login.port or SSH))
    return dict(found)


def wires(site: Site, components: Components, host: str) -> list[Wire]:
    """What the components of a host say on its networks."""
    known = site.hosts[host]
    return [wire for name, one in components.items() if name in known.settings for wire in one.wire(site, known)]


def pairs(site: Site, components: Components) -> set[tuple[str, str]]:
    """Who has to reach whom: members that share a role among each other, whoever probes those that it probes."""
    found: set[tuple[str, str]] = set()
    for one in components.values():
        for group in one.groups(site):
            if group.holder is not None:
                found |= {(a, b) for a in group.hosts for b in group.hosts if a != b}
            found |= {
                (probe.seen_from, member)
                for member, probes in group.probes.items()
                for probe in probes
                if probe.seen_from in site.hosts and probe.seen_from != member
            }
    return found


def _on_link(machine: Machine, address: str) -> str:
    """The NIC of a machine that is on the network of an address, empty when there is none."""
    wanted = ipaddress.ip_address(address)
    for nic in machine.nics:
        for own in nic.networks():
            if nic.up and own.version == wanted.version and own.network.num_addresses > 1 and wanted in own.network:
                return nic.name
    return ""
