"""Disks that hold something, or are not what they seem: nothing is created on them, and no byte of them changes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from hakit.lab.plan import NewDisk
from hakit.lab.qemu.drawer import checksum
from tests.lab.conftest import ROOT
from tests.lab.raid import images
from tests.lab.raid.machine import BAKED, HOST, PATIENCE, QUICK, Machine, inventory
from tests.lab.raid.traps import ALL, ASSEMBLED, LATE, OURS, STALE, TRAPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.conftest import LabFactory
    from tests.lab.raid.traps import Trap

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]
"""Emulated machines on a busy computer boot in minutes."""


@dataclass
class Sprung:
    """What came of it: what hakit said of each trap, its exit codes, checksums of disks before and after."""

    machine: Machine
    before: dict[str, str]
    after: dict[str, str] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)


def raid(*traps: Trap) -> str:
    """An inventory with the arrays of traps."""
    return inventory(
        {"arrays": {trap.array: {"level": 1, "devices": list(trap.words)} for trap in traps}}, packages=BAKED
    )


@pytest.fixture(scope="module")
def trapped(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Sprung:
    """A host with mdadm that has booted with the disks of all traps."""
    one = Machine(lab_factory(inventory(packages=BAKED)))
    one.sh(QUICK)
    folder = tmp_path_factory.mktemp("images")
    by_hand = [trap for trap in ALL if trap.made]
    for trap in by_hand:
        plug(one, trap, folder)
    one.await_disks(tuple(disk for trap in by_hand for disk in trap.disks))
    for trap in by_hand:
        one.sh(trap.script(trap.made))
    found = Sprung(one, {})

    def rest() -> None:
        for trap in ALL:
            if trap not in by_hand:
                plug(one, trap, folder)
        found.before.update(checksums(one))

    one.power_cycle(rest)
    one.await_disks(tuple(trap.serial(disk) for trap in ALL for disk in trap.disks))
    return found


@pytest.fixture(scope="module")
def machine(trapped: Sprung) -> Machine:
    """The host."""
    return trapped.machine


@pytest.fixture(scope="module")
def sprung(trapped: Sprung) -> Sprung:
    """hakit has met all traps that it must refuse, in a plan and in an apply."""
    machine, found = trapped.machine, trapped
    for trap in TRAPS:
        if trap.sprung:
            machine.sh(trap.script(trap.sprung))
    together = [trap for trap in TRAPS if not trap.alone]
    machine.declare(raid(*together))
    plan = machine.lab.hakit("plan", "--json", timeout=PATIENCE)
    changes = json.loads(plan.stdout)["hosts"][HOST]["changes"] if plan.stdout else []
    for change in changes:
        if change["type"] == "array":
            found.planned[change["name"]] = change["action"]
            found.said[change["name"]] = "\n".join([*change["summary"], *change.get("refused", ())])
    applied = machine.lab.hakit("apply", "--yes", timeout=PATIENCE)
    for trap in together:
        found.codes[trap.array] = applied.returncode
    for trap in TRAPS:
        if trap.alone:
            machine.declare(raid(trap))
            done = machine.lab.hakit("apply", "--yes", timeout=PATIENCE)
            found.said[trap.array], found.codes[trap.array] = done.stdout + done.stderr, done.returncode
    for trap in TRAPS:
        print(f"{trap.name}: {found.said.get(trap.array, 'nothing')}")  # noqa: T201 - for whoever looks
    machine.lab.lab.power(HOST, "pull")
    found.after = checksums(machine)
    machine.lab.lab.power(HOST, "on")
    return found


def plug(machine: Machine, trap: Trap, folder: Path) -> None:
    """Make the disks of a trap and plug them in; one that is absent, or comes late, stays blank or out."""
    for disk in trap.disks:
        new = NewDisk(size=trap.partner or trap.size if disk.endswith("-p") else trap.size, serial=trap.serial(disk))
        if disk == trap.array and trap.write and trap is not LATE:
            image = folder / disk
            images.make(image, trap.size, trap.write)
            assert images.kind(image) == trap.kind
            new = NewDisk(image=str(image), serial=disk)
        machine.lab.lab.plug(HOST, disk, new=new)


def checksums(machine: Machine) -> dict[str, str]:
    """Of all disks, while the machine is off."""
    status = machine.lab.lab.status()[0]
    return {disk.name: machine.lab.lab.checksum(HOST, disk.name) for disk in status.disks}


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_it_is_refused_with_what_was_found_and_no_byte_changes(sprung: Sprung, trap: Trap) -> None:
    said = sprung.said.get(trap.array, "")
    assert re.search(trap.said, said), said
    assert trap.array in said, f"an operator must know which disk\n{said}"
    assert sprung.codes[trap.array] != 0
    if not trap.alone:
        assert sprung.planned[trap.array] == "refused"
    for disk in trap.disks:
        assert sprung.after[disk] == sprung.before[disk], disk


def test_nothing_else_has_changed_either(sprung: Sprung) -> None:
    assert sprung.after == sprung.before
    assert len(TRAPS) + len(ASSEMBLED) + 1 >= 24


def test_arrays_of_this_host_are_assembled_and_a_stale_member_is_no_copy(sprung: Sprung) -> None:
    machine = sprung.machine
    machine.sh(OURS.script(OURS.sprung))
    machine.declare(raid(*ASSEMBLED))
    said = machine.apply()
    assert machine.sh(f"head -n1 /dev/md/{OURS.array}").strip() == "ours"
    assert machine.members(OURS.array) == set(OURS.disks)
    assert STALE.disks[1] in said, "somebody must hear of a member that is out"
    # A boot that did not know the array may run it by now under another name, which it keeps until the next one.
    machine.power_cycle()
    written = f'[ "$(head -n1 /dev/md/{STALE.array})" = behind ]'
    machine.eventually(written, "what was written last is there, under its name")
    assert machine.members(STALE.array) == {STALE.disks[0]}
    machine.lab.lab.power(HOST, "pull")
    assert machine.lab.lab.checksum(HOST, STALE.disks[1]) == sprung.before[STALE.disks[1]]
    machine.lab.lab.power(HOST, "on")


def test_a_disk_that_comes_after_the_plan_is_looked_at_again(machine: Machine, tmp_path: Path) -> None:
    name = LATE.array
    image = tmp_path / name
    images.make(image, LATE.size, LATE.write)
    machine.declare(raid(LATE))
    lab = machine.lab.lab

    def exchange() -> None:
        lab.unplug(HOST, name)
        machine.eventually(f"! test -e /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{name}", "the blank disk is gone")
        lab.plug(HOST, f"{name}2", new=NewDisk(image=str(image), serial=name))
        machine.await_disks((name,))

    code, said = answered(machine, exchange)
    assert code != 0, said
    assert re.search(LATE.said, said), said
    lab.unplug(HOST, f"{name}2")
    assert lab.checksum(HOST, f"{name}2") == checksum(image)


def answered(machine: Machine, before: Callable[[], None]) -> tuple[int, str]:
    """Apply at a terminal: when it asks, do something, then say yes; the exit code and all that was shown."""
    environment = {**os.environ, "HAKIT_INVENTORY": str(machine.lab.inventory), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "hakit", "apply"], environment)  # noqa: S606 - no shell wanted
    shown, asked = "", False
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # how Linux says that the other end of a terminal is closed
                break
            if not asked and "[y/N]" in shown:
                asked = True
                before()
                os.write(terminal, b"y\n")
    finally:
        os.close(terminal)
    assert asked, shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
