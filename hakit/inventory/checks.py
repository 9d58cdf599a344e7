"""What must hold between hosts, and of their names.

Hosts that hakit does not manage are left as Ansible takes them.
"""

from __future__ import annotations

import ipaddress
import re
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Final

from hakit.inventory import logins
from hakit.inventory.origin import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.inventory.core import Hardware
    from hakit.inventory.groups import Graph
    from hakit.inventory.model import Host, Site

_MANAGED_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,252}")


def all_problems(site: Site, graph: Graph, managed: set[str], *, whole: bool) -> Iterator[Problem]:
    """Everything that is wrong between hosts and groups; `whole`: also of hosts without hakit's settings."""
    for name in managed:
        host, node = site.hosts[name], graph.hosts[name]
        if not _MANAGED_NAME.fullmatch(name):
            message = "a host that hakit manages is named with letters, digits, '.', '_' and '-' only"
            yield Problem(message, node.mark, name)
        yield from logins.problems(host)
    yield from _hardware(site, managed)
    yield from _same_address(site, graph, {*filter(partial(_by_ssh, site), graph.hosts)} if whole else managed)
    if managed or whole:
        yield from _undefined_groups(graph)


def _hardware(site: Site, managed: set[str]) -> Iterator[Problem]:
    """Hardware is said of virtual machines alone, and only what such a machine can have."""
    for host in (site.hosts[name] for name in managed):
        if host.hardware is None:
            continue
        if site.lab is None or site.lab.driver == "nspawn":
            message = "is for the virtual machines of a lab (lab: {driver: qemu, …}); all other hosts bring their own"
            yield Problem(message, host.mark("hardware"), "hakit.hardware")
            continue
        yield from _cards(host, host.hardware, (site.lab.interface, *host.nics))
        serials: dict[str, str] = {}
        for name, disk in host.hardware.disks.items():
            serial = disk.serial or name
            if serials.setdefault(serial, name) != name:
                message = f"has the serial {serial} of {serials[serial]}; every disk of a host needs its own"
                yield Problem(message, host.mark("hardware", "disks", name), f"hakit.hardware.disks.{name}")


def _cards(host: Host, hardware: Hardware, known: tuple[str, ...]) -> Iterator[Problem]:
    """NICs that the host does not have, or that are plugged in twice."""
    group: dict[str, str] = {}
    named = [("macs", tuple(hardware.macs)), *((f"lags.{name}", nics) for name, nics in hardware.lags.items())]
    for where, nics in named:
        for nic in nics:
            mark, key = host.mark("hardware", *where.split(".", 1)), f"hakit.hardware.{where}"
            if nic not in known:
                yield Problem(f"{host.name} has no NIC {nic}; it has {', '.join(known)}", mark, key)
            elif where != "macs" and (nic in group or nics.count(nic) > 1):
                yield Problem(f"{nic} is plugged in already, in {group.get(nic, where)}", mark, key)
            if where != "macs":
                group.setdefault(nic, where)


def _by_ssh(site: Site, name: str) -> bool:
    """Whether a host is reached over the network at all; many names of the machine itself are no mistake."""
    return site.hosts[name].vars.get("ansible_connection", "ssh") in logins.CONNECTIONS


def _same_address(site: Site, graph: Graph, managed: set[str]) -> Iterator[Problem]:
    first: dict[str, Host] = {}
    for name in (name for name in graph.hosts if name in managed):
        host = site.hosts[name]
        other = first.setdefault(_canonical(host.address), host)
        if other is not host:
            mark = host.marks.get(("address",)) or logins.place(host.layers, "ansible_host") or graph.hosts[name].mark
            key = "hakit.address" if ("address",) in host.marks else "ansible_host"
            yield Problem(f"{name} has the address {host.address} of {other.name}; every host needs its own", mark, key)


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower()


def _undefined_groups(graph: Graph) -> Iterator[Problem]:
    """Groups that are only ever named: Ansible makes them silently, empty; here it is a typing error until said so."""
    defined = [name for name, group in graph.groups.items() if not group.empty]
    for name, group in graph.groups.items():
        if group.empty and name not in ("all", "ungrouped") and not group.files:
            near = get_close_matches(name, defined, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"write  {name}: {{hosts: {{}}}}  if it is empty on purpose"
            yield Problem(f"{name} is named here but defined nowhere ({hint})", group.mark, f"children.{name}")
