"""Networks of whole machines, changed over the very NIC that carries SSH: the first step of what test_ladder climbs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.qemu.rungs import RUNGS, assert_it_outlives_pulled_plugs, assert_it_stands, climb, inventory

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = pytest.mark.timeout(1800)
"""Emulated machines on a busy computer boot in minutes."""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    """Two hosts that have nothing of hakit yet, both NICs plugged into the lab's bridge."""
    return lab_factory(json.dumps(inventory()))


def test_a_bond_takes_over_the_nic_that_carries_ssh_and_outlives_a_pulled_plug(lab: LabHandle) -> None:
    bond = RUNGS[0]
    climb(lab, bond)
    assert_it_stands(lab, bond)
    assert_it_outlives_pulled_plugs(lab, bond)
