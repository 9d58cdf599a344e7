"""The whole way of a network over the NICs that carry SSH: a bond, LACP, a VLAN, jumbo frames, another address, back.

The switch lets a host through that speaks no LACP yet, or no more, as one with LACP fallback does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hakit.lab.qemu.switch import BRIDGE
from tests.lab.qemu.pulling import assert_it_outlives_pulled_cables
from tests.lab.qemu.rungs import (
    HOSTS,
    MANAGEMENT_GATEWAY,
    RUNGS,
    SWITCH,
    SWITCH_ON_VLAN,
    Rung,
    assert_it_outlives_pulled_plugs,
    assert_it_stands,
    climb,
    inventory,
)

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]
"""Emulated machines on a busy computer boot in minutes."""
REDUNDANT = tuple(rung for rung in RUNGS if rung.name in ("active-backup", "802.3ad"))


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    """Two bare hosts, and a switch that routes to VLAN 20: this computer may know no VLANs."""
    handle = lab_factory(json.dumps(inventory(lags=True)))
    vlan = f"{BRIDGE}.20"
    for words in (
        f"ip link add link {BRIDGE} name {vlan} type vlan id 20",
        f"ip address add {SWITCH_ON_VLAN}/24 dev {vlan}",
        f"ip address add {MANAGEMENT_GATEWAY}/28 dev {vlan}",
        f"ip link set {vlan} up",
        f"ip address add {SWITCH}/24 dev {BRIDGE}",
        "sysctl -q -w net.ipv4.ip_forward=1",
    ):
        handle.lab.exec("switch", words.split(), check=True)
    for number, _ in HOSTS.values():
        handle.lab.run(["ip", "route", "add", f"10.79.0.2{number}", "via", SWITCH], check=True)
    return handle


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_each_rung_is_one_apply_and_outlives_a_pulled_plug(lab: LabHandle, rung: Rung) -> None:
    climb(lab, rung, lags=True)
    assert_it_stands(lab, rung)
    assert_it_outlives_pulled_plugs(lab, rung)
    if rung in REDUNDANT:
        for host in HOSTS:
            assert_it_outlives_pulled_cables(lab, rung, host)
