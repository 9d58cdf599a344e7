"""Arrays made by hakit on Debian's own kernel: filled, a disk dies under them, another takes its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hakit.lab.plan import NewDisk
from tests.lab.qemu.running import Running
from tests.lab.raid.machine import BAKED, FAST, FILLED, HOST, PATIENCE, QUICK, SLOW, Machine, inventory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.conftest import LabFactory

pytestmark = pytest.mark.timeout(5400)
"""Emulated machines on a busy computer boot in minutes."""

SIZE = 256 << 20
ONE, TEN = ("a1", "a2"), ("b1", "b2", "b3", "b4")
DISKS = dict.fromkeys((*ONE, *TEN), "256MiB")
MOUNTS = {"one": "/srv/one", "ten": "/srv/ten"}


def arrays(one: tuple[str, ...] = ONE, ten: tuple[str, ...] = TEN) -> dict[str, Any]:
    """RAID 1 of whole disks with ext4, RAID 10 of partitions with xfs."""
    first = {"level": 1, "devices": [f"serial:{disk}" for disk in one], "filesystem": "ext4", "mount": MOUNTS["one"]}
    second = {
        "level": 10,
        "devices": [f"serial:{disk}" for disk in ten],
        "partition": True,
        "size": "240MiB",
        "filesystem": "xfs",
        "mount": MOUNTS["ten"],
        "label": "ten",
    }
    return {"arrays": {"one": first, "ten": second}}


@pytest.fixture(scope="module")
def machine(lab_factory: LabFactory) -> Machine:
    """A host with two arrays that hold something; its early boot from before them is kept in /root/stock."""
    one = Machine(lab_factory(inventory(disks=DISKS, packages=BAKED)))
    one.sh(f"mkdir /root/stock && cp --dereference /initrd.img /root/stock/ && {QUICK}")
    one.declare(inventory(arrays(), DISKS, BAKED))
    one.apply()
    for mount in MOUNTS.values():
        one.sh(FILLED.format(mount=mount))
    return one


def intact(machine: Machine) -> bool:
    """Whether both mounts hold what was written."""
    return all(machine.holds(mount) for mount in MOUNTS.values())


def test_arrays_are_as_declared(machine: Machine) -> None:
    machine.settled()
    for array in MOUNTS:
        machine.idle(array)
    assert machine.members("one") == set(ONE)
    assert machine.members("ten") == set(TEN)
    assert machine.state("one", "metadata_version") == "1.2"
    assert machine.state("ten", "level") == "raid10"
    told = machine.sh(f"findmnt --noheadings --output FSTYPE,LABEL {MOUNTS['ten']}").split()
    assert told == ["xfs", "ten"]
    assert "one:one" in machine.sh("mdadm --detail /dev/md/one")
    assert intact(machine)


@pytest.mark.parametrize(
    ("array", "dead", "new"),
    [
        pytest.param("one", "a1", "a3", id="RAID 1"),
        pytest.param("ten", "b2", "b5", marks=pytest.mark.long, id="RAID 10 of partitions"),
    ],
)
def test_a_disk_that_dies_is_replaced_and_nothing_is_lost(
    machine: Machine, tmp_path: Path, array: str, dead: str, new: str
) -> None:
    lab = machine.lab.lab
    machine.idle(array)
    writer = f"i=0; while :; do i=$((i+1)); echo $i; sync {MOUNTS[array]}/written; done >>{MOUNTS[array]}/written"
    machine.sh(f"touch {MOUNTS[array]}/written; setsid -f sh -c '{writer}' >/dev/null 2>&1")
    lab.unplug(HOST, dead)
    machine.eventually(
        f"grep -qx 1 /sys/class/block/$(basename $(readlink -f /dev/md/{array}))/md/degraded", "the disk is missed"
    )
    seen = machine.lab.hakit("raid", "status", "--json", timeout=PATIENCE)
    assert json.loads(seen.stdout)["hosts"][HOST][array]["state"] == "degraded", seen.stdout + seen.stderr

    now = {name: [new if disk == dead else disk for disk in disks] for name, disks in (("one", ONE), ("ten", TEN))}
    if array == "ten":
        now["one"] = ["a3", "a2"]
    machine.declare(inventory(arrays(tuple(now["one"]), tuple(now["ten"])), DISKS, BAKED))
    machine.sh(SLOW)
    running = Running(
        machine.lab.inventory, tmp_path / "replace", "raid", "replace", HOST, array, f"serial:{dead}", "--yes"
    )
    running.wait_for(lambda: new in running.said, "it says which disk it waits for")
    lab.plug(HOST, new, new=NewDisk(size=SIZE))
    running.wait_for(lambda: machine.state(array, "sync_action") == "recover", "the rebuild begins", PATIENCE)
    assert intact(machine), "while it is rebuilt"
    machine.sh(FAST)
    assert running.end(PATIENCE) == 0, running.said
    machine.idle(array)
    assert new in machine.members(array)
    machine.sh("pkill -f '[w]ritten; done'; sync")
    counted = machine.sh(f"cat {MOUNTS[array]}/written").split()
    assert counted == [str(number) for number in range(1, len(counted) + 1)]
    assert intact(machine)
    machine.settled()


@pytest.mark.long
def test_another_order_of_disks_changes_nothing(machine: Machine) -> None:
    before = machine.sh("lsblk --nodeps --noheadings --output NAME,SERIAL | grep ^sd")
    reorder(machine)
    assert machine.sh("lsblk --nodeps --noheadings --output NAME,SERIAL | grep ^sd") != before
    assert intact(machine)
    machine.settled()


@pytest.mark.long
def test_an_early_boot_that_knows_of_no_array_does_no_harm(machine: Machine) -> None:
    machine.sh("cp --dereference /initrd.img /root/made && cp /root/stock/initrd.img $(readlink -f /initrd.img); sync")
    reorder(machine)
    assert intact(machine)
    for array in MOUNTS:
        assert f"{HOST}:{array}" in machine.sh(f"mdadm --detail /dev/md/{array}"), "under its own name"
    machine.apply()
    machine.settled()


def reorder(machine: Machine) -> None:
    """Power off in order, plug the disks in the other way round, and boot."""
    lab = machine.lab.lab
    inside = [disk.name for disk in sorted(lab.status()[0].disks, key=lambda disk: disk.place) if disk.plugged]
    machine.power_cycle(lambda: lab.arrange(HOST, inside[::-1]))
