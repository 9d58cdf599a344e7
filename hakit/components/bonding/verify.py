"""testinfra tests of a host's network, run by `hakit verify`."""

from __future__ import annotations

import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.network.live import IN_USE
from hakit.components.bonding.addressing import literal
from hakit.components.bonding.model import DEFAULT4, DEFAULT6, derive
from hakit.components.bonding.options import LACP
from hakit.components.bonding.values import megabits

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host as Remote

    from hakit.components.bonding.settings import BondingSettings
    from hakit.inventory.model import Site

SETTLED = 10.0
"""Seconds in which a bond must have settled: LACP's fast timeout, three times."""
NO_PARTNER = "00:00:00:00:00:00"


def test_every_address_is_on_its_link(host: Remote, settings: BondingSettings) -> None:
    """Each declared address is where it is declared."""
    has = {one["ifname"]: _addresses(one) for one in _ip(host, "address", "show")}
    missing = [
        f"{address} on {link.declared}"
        for link in derive(settings)
        for address in link.settings.addresses
        if not link.match and address not in has.get(link.name, ())
    ]
    everywhere = {address for found in has.values() for address in found}
    missing += [
        f"{address} of {link.declared}"
        for link in derive(settings)
        for address in link.settings.addresses
        if link.match and address not in everywhere
    ]
    assert not missing, f"missing: {', '.join(missing)}"


def test_every_member_works(host: Remote, settings: BondingSettings) -> None:
    """Each bond has all its members, and each of them a carrier."""
    wrong = _settled(lambda: _idle(host, settings))
    assert not wrong, "; ".join(wrong)


def test_the_switch_speaks_lacp(host: Remote, settings: BondingSettings) -> None:
    """Each 802.3ad bond has a partner, which bundles all its members."""
    bonds = [name for name, bond in settings.bonds.items() if bond.mode == LACP]
    alone = _settled(lambda: _unbundled(host, bonds))
    assert not alone, f"no LACP partner answers on {', '.join(alone)}: are the switch's ports one LAG?"


def test_the_way_out_is_as_declared(host: Remote, settings: BondingSettings) -> None:
    """Each declared default route is there."""
    for link in derive(settings):
        for way in link.ways():
            if way.to in (DEFAULT4, DEFAULT6) and way.via is not None:
                family = "-6" if way.to == DEFAULT6 else "-4"
                routes = json.loads(host.run("ip -json %s route show default", family).stdout or "[]")
                assert way.via in [one.get("gateway") for one in routes], f"no default route by way of {way.via}"


def test_speeds_are_as_promised(host: Remote, settings: BondingSettings) -> None:
    """Each NIC whose speed is declared has it."""
    for name, nic in settings.nics.items():
        if nic.speed is None or nic.mac is not None or nic.path is not None:
            continue
        told = host.run("cat /sys/class/net/%s/speed", name).stdout.strip()
        assert told == str(megabits(nic.speed)), f"{name} has {told or 'no'} Mbit/s, {nic.speed} is declared"


def test_peers_answer(host: Remote, settings: BondingSettings, hakit_site: Site) -> None:
    """The hosts that a change is confirmed by can be reached."""
    if settings.confirm.peers and not host.exists("ping"):
        pytest.skip("there is no ping on the host")
    silent = []
    for peer in settings.confirm.peers:
        address = str(peer) if literal(peer) is not None else hakit_site.hosts[peer].address
        if host.run("ping -c 2 -W 2 %s", address).rc != 0:
            silent.append(f"{peer} ({address})" if peer != address else address)
    assert not silent, f"no answer from {', '.join(silent)}"


def _settled(wrong: Callable[[], list[str]]) -> list[str]:
    """What is still wrong with bonds that had the time to settle."""
    deadline = time.monotonic() + SETTLED
    while (found := wrong()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _idle(host: Remote, settings: BondingSettings) -> list[str]:
    """Members that are missing or have no carrier, in words."""
    links = {one["ifname"]: one for one in _ip(host, "link", "show")}
    found = []
    for name, bond in settings.bonds.items():
        members = [link for link in links.values() if link.get("master") == name]
        if len(members) < len(bond.members):
            found.append(f"{name} has {len(members)} of {len(bond.members)} members")
        found += [f"{one['ifname']} of {name} has no carrier" for one in members if "LOWER_UP" not in one["flags"]]
    return found


def _unbundled(host: Remote, bonds: list[str]) -> list[str]:
    """Bonds without a partner, and members that the partner does not bundle with the others."""
    found = []
    for name in bonds:
        partner = _told(host, f"{name}/bonding/ad_partner_mac")
        members = _told(host, f"{name}/bonding/slaves").split() if partner not in ("", NO_PARTNER) else []
        found += [one for one in members if not _in_use(host, one)] if members else [name]
    return found


def _in_use(host: Remote, member: str) -> bool:
    states = [_told(host, f"{member}/bonding_slave/ad_{end}_oper_port_state") for end in ("actor", "partner")]
    return all(not state.isdigit() or int(state) & IN_USE == IN_USE for state in states)


def _told(host: Remote, path: str) -> str:
    return str(host.run("cat %s", f"/sys/class/net/{path}").stdout).strip()


def _ip(host: Remote, *words: str) -> list[dict[str, Any]]:
    done = host.run(f"ip -json {' '.join(words)}")
    assert done.rc == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def _addresses(link: dict[str, Any]) -> set[str]:
    return {
        str(ipaddress.ip_interface(f"{one['local']}/{one['prefixlen']}"))
        for one in link.get("addr_info", ())
        if "local" in one
    }
