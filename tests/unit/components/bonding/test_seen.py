"""What is known of a host decides what is rendered for it, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.resources.network import Network
from hakit.components.base import Facts, SeenNetwork, SeenNic
from hakit.components.templates import Templates
from hakit.engine import facts as engine_facts
from hakit.engine.compile import declare
from hakit.errors import RefusedError
from hakit.lint import findings
from tests.unit.components.sites import COMPONENTS, site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

NICS = (
    SeenNic("enp3s0", "52:54:00:00:00:01", "pci-0000:03:00.0", "0000:03:00.0", "ixgbe", 10000),
    SeenNic("enp4s0", "52:54:00:00:00:02", "pci-0000:04:00.0", "0000:04:00.0", "ixgbe", 10000),
)
BONDING: dict[str, Any] = {
    "nics": {"lan1": {"mac": "52:54:00:00:00:01"}, "lan2": {"path": "pci-0000:04:00.0"}},
    "bonds": {
        "bond0": {
            "mode": "active-backup",
            "members": ["lan1", "lan2"],
            "primary": "lan2",
            "addresses": ["10.1.0.1/24"],
            "gateway": "10.1.0.254",
        }
    },
    "dns": {"servers": ["10.1.0.53"]},
}


def seen(*managers: str, resolver: str = "file", nics: tuple[SeenNic, ...] = NICS, live: bool = True) -> Facts:
    return Facts(network=SeenNetwork(managers or ("ifupdown",), resolver, nics), live=live)


def a_site(folder: Path, **bonding: Any) -> Site:
    return site(folder, {"a": {"bonding": {**BONDING, **bonding}}})


def network(site: Site, facts: Facts) -> Network:
    found = declare(site, COMPONENTS, site.hosts["a"], facts, Templates(site)).resources["network:network"]
    assert isinstance(found, Network)
    return found


def text(network: Network, path: str) -> str:
    return next(file.content.reveal() for file in network.files if file.path == path)


@pytest.mark.parametrize("manager", ["systemd-networkd", "ifupdown", "netplan"])
def test_the_host_keeps_what_it_uses(tmp_path: Path, manager: str) -> None:
    found = network(a_site(tmp_path), seen(manager))
    assert (found.manager, found.before) == (manager, "")


def test_a_host_moves_when_it_is_asked_to(tmp_path: Path) -> None:
    found = network(a_site(tmp_path, manager="systemd-networkd"), seen("ifupdown"))
    assert (found.manager, found.before) == ("systemd-networkd", "ifupdown")
    both = network(a_site(tmp_path, manager="systemd-networkd"), seen("systemd-networkd", "ifupdown"))
    assert (both.manager, both.before) == ("systemd-networkd", "ifupdown")


def test_two_managers_at_once_must_be_told_who_is_to_stay(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="systemd-networkd and ifupdown both have links") as refused:
        network(a_site(tmp_path), seen("systemd-networkd", "ifupdown"))
    assert "manager: systemd-networkd" in (refused.value.hint or "")


def test_network_manager_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="a: NetworkManager has the network in its hands"):
        network(a_site(tmp_path, manager="ifupdown"), seen("NetworkManager"))


def test_a_record_refuses_nothing(tmp_path: Path) -> None:
    found = network(a_site(tmp_path), seen("NetworkManager", nics=(), live=False))
    assert found.manager == "ifupdown"


def test_cards_go_by_the_kernels_names_where_they_were_seen(tmp_path: Path) -> None:
    found = network(a_site(tmp_path), seen("ifupdown"))
    assert [(link.name, link.nic) for link in found.links if link.kind == "physical"] == [
        ("enp3s0", "mac:52:54:00:00:00:01"),
        ("enp4s0", "path:pci-0000:04:00.0"),
    ]
    interfaces = text(found, "/etc/network/interfaces")
    assert "bond-slaves enp3s0 enp4s0\n" in interfaces
    assert "bond-primary enp4s0\n" in interfaces
    bond = next(link for link in found.links if link.name == "bond0")
    assert ("primary", "enp4s0") in bond.options


@pytest.mark.parametrize("manager", ["systemd-networkd", "ifupdown", "netplan"])
@pytest.mark.parametrize(
    ("bond", "mac"),
    [
        ({}, "52:54:00:00:00:01"),
        ({"members": ["lan2", "lan1"]}, "52:54:00:00:00:02"),
        ({"mac": "02:00:00:00:00:09"}, "02:00:00:00:00:09"),
        ({"fail_over_mac": "active"}, ""),
    ],
    ids=["its first member's", "found by its slot", "its own", "of whoever is active"],
)
def test_a_bond_has_a_mac_address_that_stays(tmp_path: Path, manager: str, bond: dict[str, Any], mac: str) -> None:
    here = a_site(tmp_path, bonds={"bond0": {**BONDING["bonds"]["bond0"], **bond}})
    made = network(here, seen(manager))
    assert next(link.mac for link in made.links if link.name == "bond0") == mac
    path = {
        "systemd-networkd": "/etc/systemd/network/10-hakit-bond0.netdev",
        "ifupdown": "/etc/network/interfaces",
        "netplan": "/etc/netplan/50-hakit.yaml",
    }[manager]
    line = {"systemd-networkd": "MACAddress=", "ifupdown": "hwaddress ", "netplan": "      macaddress: "}[manager]
    said = [one.partition(line)[2].strip('"') for one in text(made, path).splitlines() if line in one]
    assert said == ([mac] if mac else ["none"] if manager == "systemd-networkd" else [])


def test_networkd_finds_cards_by_itself(tmp_path: Path) -> None:
    found = network(a_site(tmp_path), seen("systemd-networkd"))
    first = text(found, "/etc/systemd/network/10-hakit-enp3s0.network")
    second = text(found, "/etc/systemd/network/10-hakit-enp4s0.network")
    assert "PermanentMACAddress=52:54:00:00:00:01\n" in first
    assert "Path=pci-0000:04:00.0\n" in second
    assert ("PrimarySlave" in first, "PrimarySlave=yes\n" in second) == (False, True)


def test_netplan_calls_a_card_by_its_mac_address_as_the_inventory_does(tmp_path: Path) -> None:
    found = text(network(a_site(tmp_path), seen("netplan")), "/etc/netplan/50-hakit.yaml")
    assert "interfaces: [lan1, enp4s0]" in found
    assert 'match: {macaddress: "52:54:00:00:00:01"}' in found
    assert "primary: enp4s0" in found


def test_a_card_that_the_host_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"a has no NIC lan2 \(path pci-0000:04:00.0\)") as refused:
        network(a_site(tmp_path), seen("ifupdown", nics=NICS[:1]))
    assert "It has enp3s0 (52:54:00:00:00:01, pci-0000:03:00.0)." in (refused.value.why or "")


def test_one_card_under_two_names_is_refused(tmp_path: Path) -> None:
    bonds = {"bond0": {**BONDING["bonds"]["bond0"], "members": ["lan1", "enp3s0"], "primary": "lan1"}}
    with pytest.raises(RefusedError, match="a: lan1 and enp3s0 are one NIC, enp3s0"):
        network(a_site(tmp_path, bonds=bonds), seen("ifupdown"))


@pytest.mark.parametrize(
    ("manager", "resolver", "path", "line"),
    [
        ("ifupdown", "file", "/etc/resolv.conf", "nameserver 10.1.0.53"),
        ("ifupdown", "resolvconf", "/etc/network/interfaces", "    dns-nameservers 10.1.0.53"),
        ("ifupdown", "systemd-resolved", "/etc/network/interfaces", "    dns-nameservers 10.1.0.53"),
        ("systemd-networkd", "systemd-resolved", "/etc/systemd/network/10-hakit-bond0.network", "DNS=10.1.0.53"),
        ("systemd-networkd", "resolvconf", "/etc/resolv.conf", "nameserver 10.1.0.53"),
        ("netplan", "systemd-resolved", "/etc/netplan/50-hakit.yaml", '          - "10.1.0.53"'),
        ("netplan", "file", "/etc/resolv.conf", "nameserver 10.1.0.53"),
    ],
)
def test_name_servers_are_told_to_who_writes_them_down(
    tmp_path: Path, manager: str, resolver: str, path: str, line: str
) -> None:
    found = network(a_site(tmp_path), seen(manager, resolver=resolver))
    told = [file.path for file in found.files if "10.1.0.53" in file.content.reveal()]
    assert told == [path]
    assert line in text(found, path).splitlines()


def test_addresses_that_others_bring_are_named(tmp_path: Path) -> None:
    instance = {"interface": "bond0", "virtual_router_id": 7, "addresses": ["10.1.0.100/24"]}
    keepalived = {"startup_delay": "5s", "instances": {"web": instance}}
    pair = {"a": {"bonding": BONDING, "keepalived": keepalived}, "b": {"keepalived": keepalived}}
    assert network(site(tmp_path, pair), seen()).others == ("10.1.0.100",)


@pytest.mark.parametrize(
    ("other", "mate"),
    [
        ({}, "10.1.0.2"),
        ({"nics": {"eth0": {"addresses": ["192.0.2.9/24", "10.1.0.77/24"]}}}, "10.1.0.77"),
    ],
    ids=["where it is known", "where the address is"],
)
def test_who_keeps_an_address_with_the_host_must_be_reached_as_before(
    tmp_path: Path, other: dict[str, Any], mate: str
) -> None:
    instance = {"interface": "bond0", "virtual_router_id": 7, "addresses": ["10.1.0.100/24"]}
    keepalived = {"startup_delay": "5s", "instances": {"web": instance}}
    alone = {"instances": {"api": {**instance, "virtual_router_id": 8, "addresses": ["10.1.0.101/24"]}}}
    hosts = {
        "a": {"bonding": BONDING, "keepalived": keepalived},
        "b": {"keepalived": keepalived, **({"bonding": other} if other else {})},
        "c": {"keepalived": alone},
    }
    assert network(site(tmp_path, hosts), seen()).mates == (mate,)


def test_what_looks_for_links_comes_after_the_network(tmp_path: Path) -> None:
    instance = {"interface": "bond0", "virtual_router_id": 7, "addresses": ["10.1.0.100/24"]}
    keepalived = {"startup_delay": "5s", "instances": {"web": instance}}
    here = site(tmp_path, {"a": {"bonding": BONDING, "keepalived": keepalived}, "b": {"keepalived": keepalived}})
    resources = declare(here, COMPONENTS, here.hosts["a"], seen(), Templates(here)).resources
    for key in ("files:/etc/keepalived/keepalived.conf", "unit:keepalived.service"):
        assert "network:network" in resources[key].after
    assert list(resources).index("network:network") < list(resources).index("files:/etc/keepalived/keepalived.conf")
    declared = resources["network:network"]
    assert isinstance(declared, Network)
    assert declared.reload == ("keepalived.service",), "it holds on to links as they were"


def test_a_pair_on_a_bond_and_on_a_vlan_of_it_lints_clean(tmp_path: Path) -> None:
    instances = {
        "web": {"interface": "bond0", "virtual_router_id": 7, "addresses": ["10.1.0.100/24"]},
        "api": {
            "interface": "bond0.20",
            "virtual_router_id": 8,
            "addresses": ["10.20.0.100/24"],
            "prefer": "b",
            "track_interfaces": ["bond0"],
        },
    }
    keepalived = {"startup_delay": "5s", "instances": instances}
    hosts = {}
    for place, name in enumerate(("a", "b"), 1):
        bond = {"mode": "active-backup", "members": ["eno1", "eno2"], "addresses": [f"10.1.0.{place}/24"]}
        vlans = {"bond0.20": {"addresses": [f"10.20.0.{place}/24"]}}
        hosts[name] = {"bonding": {"bonds": {"bond0": bond}, "vlans": vlans}, "keepalived": keepalived}
    assert findings(site(tmp_path, hosts), COMPONENTS) == ()


def test_lint_tells_more_where_something_was_recorded(tmp_path: Path) -> None:
    here = a_site(tmp_path)
    assert findings(here, COMPONENTS) == ()
    slower = SeenNic("enp4s0", "52:54:00:00:00:02", "pci-0000:04:00.0", "0000:03:00.1", "ixgbe", 1000)
    engine_facts.remember(here, [("a", seen("ifupdown", nics=(NICS[0], slower)))])
    told = {f"{one.rule} {one.key}": one.message for one in findings(here, COMPONENTS, engine_facts.recorded(here))}
    assert sorted(told) == ["BD012 bonding.bonds.bond0.members", "BD013 bonding.bonds.bond0.members"]
    assert "lan1 10G, lan2 1G" in told["BD012 bonding.bonds.bond0.members"]
    assert "one card (0000:03:00)" in told["BD013 bonding.bonds.bond0.members"]


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    here = a_site(tmp_path)
    engine_facts.remember(here, [("a", seen("netplan", resolver="resolvconf"))])
    assert engine_facts.offline(here, here.hosts["a"]).network == seen("netplan", resolver="resolvconf").network


def test_a_record_of_an_older_hakit_is_still_one(tmp_path: Path) -> None:
    here = a_site(tmp_path)
    folder = tmp_path / ".hakit/facts"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps({"release": 13, "packages": {}, "memory": 1}), encoding="utf-8")
    assert engine_facts.offline(here, here.hosts["a"]) == Facts(release=13, memory=1)
    (folder / "a.json").write_text(json.dumps({"release": 13, "packages": {}, "memory": 1, "network": {}}))
    assert engine_facts.offline(here, here.hosts["a"]) == Facts()


def test_the_network_is_asked_for_where_a_component_wants_it(tmp_path: Path) -> None:
    here = site(tmp_path, {"a": {"bonding": BONDING}, "b": {}})
    assert engine_facts.wants_network(here.hosts["a"], COMPONENTS)
    assert not engine_facts.wants_network(here.hosts["b"], COMPONENTS)
