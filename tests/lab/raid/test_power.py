"""Power that fails in the middle of what is done to an array: the next command goes on, and nothing is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hakit.lab.plan import NewDisk
from tests.lab.qemu.running import Running
from tests.lab.raid.machine import BAKED, FILLED, HOST, PATIENCE, QUICK, SLOW, Machine, inventory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.conftest import LabFactory

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]
"""Emulated machines on a busy computer boot in minutes."""

STRIKE = """#!/bin/sh
# The power fails once when hakit runs {real} with such arguments: the agent looks here for its programs first.
if [ -e /root/armed ]; then case "$*" in {pattern})
    rm /root/armed; sync /root
    {strike}
    sleep 600;;
esac; fi
exec {real} "$@"
"""
RESET = "echo b >/proc/sysrq-trigger"
"""The machine begins anew at once: nothing that it has not written gets to a disk (kernel's sysrq documentation)."""
MOMENTS = {
    "before": RESET,
    "while": '{real} "$@" & sleep {some}; ' + RESET,
    "after": '{real} "$@"; ' + RESET,
}


@dataclass(frozen=True)
class Cut:
    """The power fails when a program is run with arguments that match a shell pattern; `some` are seconds."""

    name: str
    program: str
    pattern: str
    moment: str
    some: float = 0.0

    @property
    def script(self) -> str:
        """Shell: have it fail the next time."""
        folder, name = self.program.rsplit("/", 1)
        assert folder in ("/usr/sbin", "/usr/bin")
        strike = MOMENTS[self.moment].format(real=self.program, some=self.some)
        text = STRIKE.format(pattern=self.pattern, strike=strike, real=self.program)
        stand_in = f"/usr/local/sbin/{name}"
        return f"cat >{stand_in} <<'END'\n{text}END\nchmod 755 {stand_in}; touch /root/armed; sync"


CUTS = (
    Cut("before the array", "/usr/sbin/mdadm", "*--create*", "before"),
    Cut("in the array's making", "/usr/sbin/mdadm", "*--create*", "while", 0.15),
    Cut("after the array", "/usr/sbin/mdadm", "*--create*", "after"),
    Cut("before the file system", "/usr/sbin/mkfs.ext4", "*/dev/md*", "before"),
    Cut("in the file system's making", "/usr/sbin/mkfs.ext4", "*/dev/md*", "while", 0.4),
    Cut("after the file system", "/usr/sbin/mkfs.ext4", "*/dev/md*", "after"),
    Cut("before the first mount", "/usr/bin/systemctl", "*start*srv-*", "before"),
    Cut("after the first mount", "/usr/bin/systemctl", "*start*srv-*", "after"),
)
BEGUN = "true"
PAST = "[ $(cat {md}/reshape_position) -gt 65536 ]"
"""Shell: how far a reshape has come."""
SIZE = 128 << 20
DISKS = {"k1": "128MiB", "k2": "128MiB"}


def array(name: str, *disks: str, **more: Any) -> dict[str, Any]:
    """RAID 1 with ext4 unless said otherwise."""
    made = {"level": 1, "devices": [f"serial:{disk}" for disk in disks], "filesystem": "ext4", "mount": f"/srv/{name}"}
    return {name: {**made, **more}}


@pytest.fixture(scope="module")
def machine(lab_factory: LabFactory) -> Machine:
    """A host with one array, so that all that arrays need is there."""
    one = Machine(lab_factory(inventory(disks=DISKS, packages=BAKED)))
    one.sh(QUICK)
    declare(one)
    one.apply()
    one.idle("kept")
    one.sh(FILLED.format(mount="/srv/kept"))
    return one


def declare(machine: Machine, more: dict[str, Any] | None = None) -> None:
    """The array that is kept, and more."""
    raid = {"arrays": {**array("kept", "k1", "k2"), **(more or {})}}
    machine.declare(inventory(raid, DISKS, BAKED))


def boot_id(machine: Machine) -> str:
    """Names the machine's present boot."""
    return machine.sh("cat /proc/sys/kernel/random/boot_id")


def booted(machine: Machine, before: str) -> None:
    """Wait until a machine that has lost its power by itself is up again."""
    machine.eventually(f"[ $(cat /proc/sys/kernel/random/boot_id) != {before.strip()} ]", "it boots anew")
    machine.lab.eventually(lambda: machine.lab.lab.status()[0].ssh, "sshd answers", timeout=PATIENCE)


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.name)
def test_the_next_apply_goes_on_with_an_array_that_was_half_made(machine: Machine, cut: Cut) -> None:
    name = f"n{CUTS.index(cut)}"
    disks = (f"{name}a", f"{name}b")
    for disk in disks:
        machine.lab.lab.plug(HOST, disk, new=NewDisk(size=SIZE))
    machine.await_disks(disks)
    declare(machine, array(name, *disks))
    machine.sh(cut.script)
    before = boot_id(machine)
    broken = machine.lab.hakit("apply", "--yes", timeout=2 * PATIENCE)
    booted(machine, before)
    assert broken.returncode != 0, broken.stdout + broken.stderr
    assert not machine.true("test -e /root/armed"), f"the power never failed\n{broken.stdout}{broken.stderr}"
    machine.sh(f"rm /usr/local/sbin/{cut.program.rpartition('/')[2]}")
    machine.apply()
    assert machine.true(f"mountpoint -q /srv/{name} && echo new >/srv/{name}/new && sync /srv/{name}/new")
    assert machine.members(name) == set(disks) or machine.state(name, "sync_action") == "resync"
    machine.settled()
    assert kept(machine)


def kept(machine: Machine) -> bool:
    """Whether the first array holds what was written when it was made."""
    return machine.holds("/srv/kept")


@pytest.mark.parametrize(
    ("name", "level", "shape", "moment"),
    [
        ("early", 5, {}, BEGUN),
        ("later", 5, {}, PAST),
        ("tight", 5, {"size": "120MiB", "chunk": "1MiB"}, PAST),
        ("mirrors", 10, {}, BEGUN),
        ("copies", 10, {}, PAST),
    ],
    ids=[
        "right at its beginning",
        "in its midst",
        "without room on the disks",
        "a RAID 10 right at its beginning",
        "a RAID 10 in its midst",
    ],
)
def test_a_reshape_goes_on_after_the_power_fails(  # noqa: PLR0917 - what is reshaped, and when
    machine: Machine, tmp_path: Path, name: str, level: int, shape: dict[str, str], moment: str
) -> None:
    lab = machine.lab.lab
    disks = tuple(f"{name}{number}" for number in range(4))
    for disk in disks:
        lab.plug(HOST, disk, new=NewDisk(size=SIZE))
    machine.await_disks(disks)
    declare(machine, array(name, *disks[:3], level=level, consistency="bitmap", **shape))
    machine.apply()
    machine.idle(name)
    machine.sh(FILLED.format(mount=f"/srv/{name}"))
    declare(machine, array(name, *disks, level=level, consistency="bitmap", **shape))
    machine.sh(SLOW)
    running = Running(machine.lab.inventory, tmp_path / "grow", "raid", "grow", HOST, name, "--yes")
    running.wait_for(lambda: machine.state(name, "sync_action") == "reshape", "the reshape begins", PATIENCE)
    there = moment.format(md=f"/sys/class/block/{machine.md(name)}/md")
    running.wait_for(lambda: machine.true(there), "it has come so far", PATIENCE)
    lab.power(HOST, "pull")
    assert running.end(PATIENCE) != 0, running.said
    lab.power(HOST, "on")
    if not shape:
        assert machine.holds(f"/srv/{name}"), "the boot starts it, and the kernel goes on"
    done = machine.lab.hakit("raid", "grow", HOST, name, "--yes", timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    machine.idle(name)
    assert machine.members(name) == set(disks)
    assert machine.holds(f"/srv/{name}")
    machine.settled()


def test_a_rebuild_goes_on_after_the_power_fails(machine: Machine, tmp_path: Path) -> None:
    lab = machine.lab.lab
    machine.idle("kept")
    lab.unplug(HOST, "k1")
    machine.eventually(
        "grep -qx 1 /sys/class/block/$(basename $(readlink -f /dev/md/kept))/md/degraded", "the disk is missed"
    )
    machine.sh(SLOW)
    lab.plug(HOST, "k3", new=NewDisk(size=SIZE))
    replaced = {"arrays": array("kept", "k3", "k2")}
    machine.declare(inventory(replaced, DISKS, BAKED))
    words = ("raid", "replace", HOST, "kept", "serial:k1", "serial:k3", "--yes")
    running = Running(machine.lab.inventory, tmp_path / "replace", *words)
    running.wait_for(lambda: machine.state("kept", "sync_action") == "recover", "the rebuild begins", PATIENCE)
    lab.power(HOST, "pull")
    assert running.end(PATIENCE) != 0, running.said
    lab.power(HOST, "on")
    assert kept(machine)
    # The kernel goes on by itself, and may be done by now: then the same command finds nothing left to do.
    done = machine.lab.hakit(*words, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    machine.idle("kept")
    assert machine.members("kept") == {"k2", "k3"}
    assert kept(machine)


def test_status_tells_it_all(machine: Machine) -> None:
    seen = machine.lab.hakit("raid", "status", "--json", timeout=PATIENCE)
    found = json.loads(seen.stdout)["hosts"][HOST]
    assert {one["state"] for one in found.values()} <= {"clean", "resync", "check"}
