"""inventories/lab-vm: the balancers' SSH and virtual addresses go to bonds, one balancer after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.qemu.transits import assert_one_in_transit_at_a_time

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
"""Emulated machines on a busy computer boot in minutes."""

INVENTORY = Path(__file__).parents[3] / "inventories" / "lab-vm"


def test_the_pair_is_as_declared_and_verified(lab_factory: LabFactory) -> None:
    lab = lab_factory(INVENTORY)
    done = lab.hakit("apply", "--yes", "--confirm-timeout", "300", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_one_in_transit_at_a_time(done.stderr, ("lb1", "lb2"))
    again = lab.hakit("apply", "--yes", timeout=600)
    assert "0 hosts changed, 4 unchanged" in again.stdout, again.stdout + again.stderr
    verified = lab.hakit("verify", timeout=900)
    assert verified.returncode == 0, verified.stdout + verified.stderr
