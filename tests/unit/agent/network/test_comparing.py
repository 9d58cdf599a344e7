"""What differs between a declared network and the kernel's, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from hakit.agent.network.comparing import differences, doubts
from hakit.agent.network.live import Live, LiveLink, LiveRoute
from hakit.agent.resources.network import Link, Network, Route
from hakit.components.base import Facts
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from tests.unit.components.bonding.random_networks import networks
from tests.unit.components.sites import COMPONENTS, site

if TYPE_CHECKING:
    from pathlib import Path

BOND = (("mode", "active-backup"), ("miimon", "100"))
DECLARED = Network(
    manager="ifupdown",
    files=(),
    links=(
        Link(name="eno1", nic="mac:52:54:00:00:00:01", master="bond0", mtu=9000),
        Link(name="eno2", master="bond0", mtu=9000),
        Link(name="bond0", kind="bond", options=BOND, addresses=("10.0.0.5/24", "fd00::5/64"), mtu=9000),
        Link(name="bond0.20", kind="vlan", on="bond0", id=20, dhcp=("4",)),
        Link(name="br0", kind="bridge", options=(("stp_state", "0"),), mac="02:00:00:00:00:01"),
        Link(name="eno3", master="br0"),
    ),
    routes=(
        Route(to="default", via="10.0.0.1", link="bond0"),
        Route(to="10.9.0.0/16", via="10.0.0.9", link="bond0", metric=50),
    ),
    others=("10.0.0.100",),
)


def as_declared(network: Network, kinds: dict[str, str] | None = None) -> Live:
    """The kernel's network just as a declaration wants it, as far as it speaks."""
    links = tuple(
        LiveLink(
            name=link.name,
            kind=(kinds or {}).get(link.name, link.kind),
            nics=(link.nic,) if link.nic else (),
            master=link.master,
            on=link.on,
            id=link.id,
            options=link.options,
            addresses=link.addresses,
            given=tuple({"4": "192.0.2.7/24", "6": "2001:db8::7/64"}[family] for family in link.dhcp),
            mac=link.mac or "52:54:00:00:00:77",
            mtu=link.mtu or 1500,
        )
        for link in network.links
    )
    routes = tuple(
        LiveRoute(to=route.to, via=route.via, link=route.link, metric=max(0, route.metric), protocol="static")
        for route in network.routes
    )
    return Live(links=links, routes=routes)


AS_IS = as_declared(DECLARED)


def but(name: str, **changes: Any) -> Live:
    """As declared, but for one link."""
    links = tuple(link.replace(**changes) if link.name == name else link for link in AS_IS.links)
    return AS_IS.replace(links=links)


def without(*names: str) -> Live:
    """As declared, but some links are not there."""
    return AS_IS.replace(links=tuple(link for link in AS_IS.links if link.name not in names))


def beside(*links: LiveLink) -> Live:
    """As declared, with further links."""
    return AS_IS.replace(links=(*AS_IS.links, *links))


def routed(*routes: LiveRoute) -> Live:
    """As declared, with other routes."""
    return AS_IS.replace(routes=routes)


ROUTES = AS_IS.routes
GATEWAY = LiveRoute(to="default", via="10.0.0.254", link="bond0", protocol="static")
CASES: dict[str, tuple[Live, tuple[str, ...]]] = {
    "as declared": (AS_IS, ()),
    "another mode": (
        but("bond0", options=(("mode", "balance-rr"), ("miimon", "100"))),
        ("bond0: mode balance-rr → active-backup",),
    ),
    "an option that the kernel does not show": (but("bond0", options=BOND[:1]), ("bond0: miimon none → 100",)),
    "another MTU": (but("bond0", mtu=1500), ("bond0: MTU 1500 → 9000",)),
    "another MAC address": (
        but("br0", mac="02:00:00:00:00:02"),
        ("br0: MAC address 02:00:00:00:00:02 → 02:00:00:00:00:01",),
    ),
    "down": (but("bond0", up=False), ("bond0: down → up",)),
    "no member": (but("eno2", master=""), ("eno2: becomes a member of bond0",)),
    "a member of another": (but("eno2", master="bond1"), ("eno2: leaves bond1 for bond0",)),
    "a port that shall be free": (but("bond0", master="br9"), ("bond0: leaves br9",)),
    "another VLAN": (but("bond0.20", id=30), ("bond0.20: VLAN 30 on bond0 → VLAN 20 on bond0",)),
    "another kind": (
        but("bond0", kind="bridge", addresses=()),
        ("bond0: bridge → bond", "bond0: + address 10.0.0.5/24", "bond0: + address fd00::5/64"),
    ),
    "a card that is not there": (without("eno2"), ("eno2: there is no such NIC",)),
    "links to be made": (
        without("bond0.20", "br0"),
        ("bond0.20: new, VLAN 20 on bond0", "br0: new bridge"),
    ),
    "an address that moves": (
        AS_IS.replace(
            links=(
                LiveLink(name="eno1", nics=("mac:52:54:00:00:00:01",), addresses=("10.0.0.5/24",), mtu=1500),
                *(link for link in AS_IS.links if link.name not in ("eno1", "bond0")),
            ),
        ),
        (
            "eno1: becomes a member of bond0",
            "eno1: MTU 1500 → 9000",
            "bond0: new bond, active-backup",
            "eno1: address 10.0.0.5/24 goes to bond0",
            "bond0: + address fd00::5/64",
        ),
    ),
    "another prefix": (
        but("bond0", addresses=("10.0.0.5/16", "fd00::5/64")),
        ("bond0: address 10.0.0.5/16 → 10.0.0.5/24",),
    ),
    "an address by DHCP that shall be its own": (
        but("bond0", addresses=("fd00::5/64",), given=("10.0.0.5/24",)),
        ("bond0: address 10.0.0.5/24, given by others, becomes its own",),
    ),
    "an address too many": (
        but("bond0", addresses=("10.0.0.5/24", "fd00::5/64", "10.0.0.6/24")),
        ("bond0: − address 10.0.0.6/24",),
    ),
    "a VIP": (but("bond0", addresses=("10.0.0.5/24", "fd00::5/64", "10.0.0.100/24")), ()),
    "no answer by DHCP": (but("bond0.20", given=()), ("bond0.20: has no IPv4 address given by others",)),
    "an address by DHCP that nobody asks for": (
        but("br0", given=("10.7.0.9/24",)),
        ("br0: − address 10.7.0.9/24, given by others",),
    ),
    "a bond that nobody declares": (beside(LiveLink(name="bond7", kind="bond")), ("bond7: − bond",)),
    "a VLAN that nobody declares": (
        beside(LiveLink(name="bond0.9", kind="vlan", on="bond0", id=9)),
        ("bond0.9: − vlan",),
    ),
    "a card that nobody declares": (
        beside(LiveLink(name="eno9", addresses=("10.5.0.1/24",), given=("10.6.0.1/24",))),
        ("eno9: − address 10.5.0.1/24", "eno9: − address 10.6.0.1/24, given by others"),
    ),
    "a bridge of the host's that nobody declares": (
        beside(LiveLink(name="br9", kind="bridge"), LiveLink(name="eno9", master="br9")),
        ("br9: − bridge", "eno9: leaves br9"),
    ),
    "containers and tunnels": (
        beside(
            LiveLink(name="docker0", kind="bridge", addresses=("172.17.0.1/16",)),
            LiveLink(name="veth1", kind="veth", nics=("mac:02:00:00:00:00:09",), master="docker0"),
            LiveLink(name="wg0", kind="wireguard", addresses=("10.8.0.1/24",)),
        ),
        (),
    ),
    "a card called otherwise": (
        AS_IS.replace(
            links=tuple(link.replace(name="enp7s0") if link.name == "eno1" else link for link in AS_IS.links)
        ),
        (),
    ),
    "a container's cable as a card": (but("eno3", kind="veth"), ()),
    "another gateway": (routed(GATEWAY, ROUTES[1]), ("default route: via 10.0.0.254 (bond0) → via 10.0.0.1 (bond0)",)),
    "no route": (routed(ROUTES[0]), ("route to 10.9.0.0/16: + via 10.0.0.9 (bond0)",)),
    "another metric": (
        routed(ROUTES[0], ROUTES[1].replace(metric=60)),
        ("route to 10.9.0.0/16: + via 10.0.0.9 (bond0)", "route to 10.9.0.0/16: − via 10.0.0.9 (bond0, metric 60)"),
    ),
    "a metric that nobody asks for": (routed(ROUTES[0].replace(metric=1024), ROUTES[1]), ()),
    "a route too many": (
        routed(*ROUTES, LiveRoute(to="default6", via="fe80::1", link="bond0", protocol="boot")),
        ("default route of IPv6: − via fe80::1 (bond0)",),
    ),
    "routes of daemons and of the kernel": (
        routed(
            *ROUTES,
            LiveRoute(to="10.0.0.0/24", link="bond0", protocol="kernel"),
            LiveRoute(to="10.66.0.0/16", via="10.0.0.3", link="bond0", protocol="bird"),
            LiveRoute(to="default", via="192.0.2.1", link="bond0.20", metric=100, protocol="dhcp"),
            LiveRoute(to="10.8.0.0/24", link="wg0", protocol="boot"),
        ),
        (),
    ),
    "a declared route that a daemon set": (routed(ROUTES[0].replace(protocol="dhcp"), ROUTES[1]), ()),
}


@pytest.mark.parametrize("case", CASES)
def test_differences(case: str) -> None:
    live, expected = CASES[case]
    assert differences(DECLARED, live) == expected


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(bonding=networks())
def test_a_network_as_it_is_declared_differs_in_nothing(tmp_path: Path, bonding: dict[str, Any]) -> None:
    loaded = site(tmp_path, {"a": {"bonding": bonding}})
    declared = declare(loaded, COMPONENTS, loaded.hosts["a"], Facts(), Templates(loaded))
    network = declared.resources["network:network"]
    assert isinstance(network, Network)
    assert differences(network, as_declared(network)) == ()
    empty = Live(links=())
    told = differences(network, empty)
    for link in network.links:
        assert any(line.startswith(f"{link.name}: ") for line in told)
        assert all(any(address in line for line in told) for address in link.addresses)


def test_what_no_change_mends_is_told_apart() -> None:
    lacp = DECLARED.replace(lacp=("bond0",))
    live = but("eno2", carrier=False)
    assert differences(lacp, live) == ()
    assert doubts(lacp, live) == ("bond0: no LACP partner answers", "eno2: member of bond0 without a carrier")
    assert doubts(lacp, AS_IS.replace(partners=(("bond0", "00:1b:21:00:00:05"),))) == ()
    assert doubts(lacp, without("bond0")) == ()
    outside = but("eno2", bundled=False).replace(partners=(("bond0", "00:1b:21:00:00:05"),))
    assert doubts(lacp, outside) == ("eno2: member of bond0, but the switch does not bundle it with the others",)
    assert doubts(DECLARED, outside) == (), "its mode does not ask the switch"


def test_targets_of_arp_are_a_set() -> None:
    asked = Network(
        manager="netplan",
        files=(),
        links=(Link(name="b", kind="bond", options=(("arp_ip_target", "10.0.0.1 10.0.0.2"),)),),
    )
    shown = Live(links=(LiveLink(name="b", kind="bond", options=(("arp_ip_target", "10.0.0.2 10.0.0.1"),)),))
    assert differences(asked, shown) == ()
