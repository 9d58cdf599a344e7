"""What a bond's kernel is told: what the inventory says, and what suits the mode where it is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.bonding.ifupdown import stanzas
from hakit.components.bonding.model import derive
from hakit.components.bonding.options import options
from hakit.components.bonding.settings import Bond, BondingSettings
from tests.unit.components.sites import found, site

if TYPE_CHECKING:
    from pathlib import Path

WATCHED = {"miimon": "100", "updelay": "0", "downdelay": "0"}
CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "active-backup": ({"mode": "active-backup"}, WATCHED),
    "a primary comes back in need alone": (
        {"mode": "active-backup", "primary": "lan1"},
        {**WATCHED, "primary": "eno1", "primary_reselect": "failure"},
    ),
    "802.3ad": ({"mode": "802.3ad"}, {**WATCHED, "lacp_rate": "fast", "xmit_hash_policy": "layer2+3"}),
    "802.3ad as it is told": (
        {"mode": "802.3ad", "lacp_rate": "slow", "xmit_hash_policy": "layer3+4", "min_links": 2, "ad_select": "count"},
        {**WATCHED, "lacp_rate": "slow", "xmit_hash_policy": "layer3+4", "min_links": "2", "ad_select": "count"},
    ),
    "balance-xor": ({"mode": "balance-xor"}, {**WATCHED, "xmit_hash_policy": "layer2+3"}),
    "balance-tlb": ({"mode": "balance-tlb"}, WATCHED),
    "balance-rr": ({"mode": "balance-rr"}, WATCHED),
    "no mode": ({}, WATCHED),
    "delays are rounded down to looks at the carrier": (
        {"mode": "active-backup", "miimon": "50ms", "updelay": "220ms", "downdelay": "49ms"},
        {"miimon": "50", "updelay": "200", "downdelay": "0"},
    ),
    "ARP": (
        {"mode": "active-backup", "arp": {"interval": "1500ms", "targets": ["10.0.0.1", "10.0.0.2"]}},
        {
            "miimon": "0",
            "arp_interval": "1500",
            "arp_ip_target": "10.0.0.1 10.0.0.2",
            "arp_validate": "none",
            "arp_all_targets": "any",
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_options_of_a_bond(case: str) -> None:
    settings, expected = CASES[case]
    told = options(Bond.model_validate(settings), {"lan1": "eno1"})
    assert dict(told) == {"mode": settings.get("mode", "balance-rr"), **expected}
    assert len(dict(told)) == len(told)


def test_a_vlan_with_a_name_of_its_own_goes_last() -> None:
    """ifdown takes the stanzas in the order of ifup: the link must be there until the last of them."""
    vlan = {"parent": "eno1", "id": 5, "addresses": ["10.0.0.1/24", "fd00::1/64", "fd00::2/64"]}
    net = derive(BondingSettings.model_validate({"vlans": {"storage": vlan}}))
    link = net.link("storage")
    assert link is not None
    first, *others, last = stanzas(link, ())
    made = ("pre-up", ("ip", "link", "add", "link", "eno1", "name", "storage", "type", "vlan", "id", 5))
    gone = ("post-down", ("ip", "link", "del", "storage"))
    assert made in first.lines
    assert gone in last.lines
    assert not any(line[0] in ("pre-up", "post-down") for one in others for line in one.lines)


def test_a_vlan_has_its_parents_mtu_unless_it_has_its_own() -> None:
    """The kernel's depends on which of them was there first."""
    settings = {
        "bonds": {"bond0": {"mode": "active-backup", "members": ["eno1", "eno2"], "mtu": 9000}},
        "vlans": {"bond0.20": {}, "bond0.30": {"mtu": 1500}, "eno3.40": {}},
    }
    net = derive(BondingSettings.model_validate(settings))
    assert {link.name: link.mtu for link in net if link.kind == "vlan"} == {
        "bond0.20": 9000,
        "bond0.30": 1500,
        "eno3.40": None,
    }


def test_a_pile_of_links_is_told_and_no_traceback(tmp_path: Path) -> None:
    bridges: dict[str, Any] = {f"b{place}": {"members": [f"b{place + 1}"]} for place in range(1500)}
    bridges["b0"]["addresses"] = ["10.1.0.1/24"]
    problems = found(site(tmp_path, {"a": {"bonding": {"bridges": bridges}}}))
    assert "b1 is a bridge" in problems["bonding.bridges.b0.members[0]"]
