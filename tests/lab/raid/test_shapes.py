"""Arrays of all other shapes, on Debian 12 and 13: parity, spare, PPL, journal, volumes; scrubbed, verified, grown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hakit.lab.plan import NewDisk
from tests.lab.raid.machine import BAKED, FILLED, HOST, PATIENCE, QUICK, Machine, inventory

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]
"""Emulated machines on a busy computer boot in minutes."""

SIZE = 128 << 20
SIX, FIVE, FOUR, NIL, TWO = ("s1", "s2", "s3", "s4"), ("p1", "p2", "p3"), ("q1", "q2", "q3"), ("z1", "z2"), ("m1", "m2")
DISKS = dict.fromkeys((*SIX, "s5", *FIVE, *FOUR, "journal", *NIL, *TWO), "128MiB")
KEPT = ("/srv/images", "/srv/five", "/srv/four", "/srv/nil", "/srv/two")
"""Mounts that hold something from the beginning."""
TOLD = """cat >/usr/local/sbin/told <<'END'
#!/bin/sh
echo "$1 $2" >>/var/tmp/told
END
chmod 755 /usr/local/sbin/told"""
"""Shell: a program for the monitor, that writes down what it is told."""


def devices(names: tuple[str, ...]) -> list[str]:
    """Disks by their serials."""
    return [f"serial:{name}" for name in names]


def arrays(**changes: dict[str, Any]) -> dict[str, Any]:
    """All of them; `changes` by array."""
    volumes = {
        "images": {"size": "100MiB", "filesystem": "ext4", "mount": "/srv/images"},
        "rest": {"filesystem": "ext4", "mount": "/srv/rest"},
    }
    made: dict[str, dict[str, Any]] = {
        "six": {
            "level": 6,
            "devices": devices(SIX),
            "spares": ["serial:s5"],
            "chunk": "64KiB",
            "consistency": "bitmap",
            "lvm": {"group": "vg-six", "volumes": volumes},
        },
        "five": {"level": 5, "devices": devices(FIVE), "consistency": "ppl", "partition": True},
        "four": {"level": 4, "devices": devices(FOUR), "journal": "serial:journal"},
        "nil": {"level": 0, "devices": devices(NIL)},
        "two": {"level": 1, "devices": devices(TWO), "consistency": "resync"},
    }
    mounted = {name: {"filesystem": "ext4", "mount": f"/srv/{name}"} for name in made if name != "six"}
    return {name: {**one, **mounted.get(name, {}), **changes.get(name, {})} for name, one in made.items()}


def declare(machine: Machine, release: int, **changes: dict[str, Any]) -> None:
    """The arrays, with changes."""
    raid = {"monitor": {"program": "/usr/local/sbin/told"}, "arrays": arrays(**changes)}
    machine.declare(inventory(raid, DISKS, BAKED, release))


@pytest.fixture(scope="module", params=[12, 13], ids=["Debian 12", "Debian 13"])
def release(request: pytest.FixtureRequest) -> int:
    """Debian's release."""
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def machine(release: int, lab_factory: LabFactory) -> Machine:
    """A host with all the arrays, which hold something."""
    one = Machine(lab_factory(inventory(disks=DISKS, packages=BAKED, release=release)))
    one.sh(f"{QUICK}; {TOLD}")
    declare(one, release)
    one.apply()
    for mount in KEPT:
        one.sh(FILLED.format(mount=mount))
    return one


def intact(machine: Machine) -> bool:
    """Whether all mounts hold what was written."""
    return all(machine.holds(mount) for mount in KEPT)


def status(machine: Machine) -> dict[str, Any]:
    """What `hakit raid status` says of each array."""
    seen = machine.lab.hakit("raid", "status", "--json", timeout=PATIENCE)
    found: dict[str, Any] = json.loads(seen.stdout)["hosts"][HOST]
    return found


def test_arrays_are_as_declared(machine: Machine) -> None:
    machine.settled()
    for array, level, policy, members in (
        ("six", "raid6", "bitmap", SIX),
        ("five", "raid5", "ppl", FIVE),
        ("four", "raid4", "journal", FOUR),
        ("two", "raid1", "resync", TWO),
    ):
        machine.idle(array)
        assert machine.state(array, "level") == level
        assert machine.state(array, "consistency_policy") == policy
        assert machine.members(array) - {"journal"} == set(members)
    assert machine.state("nil", "level") == "raid0"
    assert machine.state("six", "chunk_size") == "65536"
    assert {one["state"] for one in status(machine).values()} == {"clean"}
    told = machine.sh("lvs --noheadings --options vg_name,lv_name").split()
    assert told == ["vg-six", "images", "vg-six", "rest"]
    assert machine.true("mountpoint -q /srv/rest")


def test_verify_finds_all_in_order_and_the_monitor_heard(machine: Machine) -> None:
    done = machine.lab.hakit("verify", timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    told = set(machine.sh("grep TestMessage /var/tmp/told").split("\n"))
    assert {f"TestMessage /dev/md/{array}" for array in ("six", "five", "four", "two")} <= told


def test_a_cold_boot_brings_them_all_back(machine: Machine) -> None:
    machine.power_cycle()
    assert intact(machine)
    machine.settled()


def test_a_scrub_finds_sectors_that_differ(machine: Machine) -> None:
    # The last MiB of the second member: nothing of the file system is there but free space.
    machine.sh(
        "disk=$(readlink -f /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_m2);"
        " sync; dd if=/dev/urandom of=$disk bs=1M seek=126 count=1 oflag=direct status=none"
    )
    done = machine.lab.hakit("raid", "scrub", HOST, "two", timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    machine.idle("two")
    assert status(machine)["two"]["mismatches"] > 0
    seen = machine.lab.hakit("verify", timeout=PATIENCE)
    assert seen.returncode == 1, seen.stdout + seen.stderr
    assert "sectors of /dev/md/two differ" in seen.stdout
    for action in ("repair", "check"):
        machine.sh(f"echo {action} >/sys/class/block/{machine.md('two')}/md/sync_action")
        machine.idle("two")
    assert status(machine)["two"]["mismatches"] == 0
    assert machine.lab.hakit("verify", timeout=PATIENCE).returncode == 0
    assert machine.holds("/srv/two")


def test_a_spare_steps_in(machine: Machine, release: int) -> None:
    machine.lab.lab.unplug(HOST, "s2")
    machine.lab.eventually(
        lambda: machine.members("six") == {"s1", "s3", "s4", "s5"}, "the spare is in step", timeout=PATIENCE
    )
    machine.idle("six")
    machine.lab.lab.plug(HOST, "s6", new=NewDisk(size=SIZE))
    machine.await_disks(("s6",))
    done = machine.lab.hakit("raid", "replace", HOST, "six", "serial:s2", "serial:s6", "--yes", timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    declare(machine, release, six={"devices": devices(("s1", "s5", "s3", "s4")), "spares": ["serial:s6"]})
    machine.settled()
    assert status(machine)["six"]["state"] == "clean"
    assert intact(machine)


def test_arrays_grow_as_declared(machine: Machine, release: int) -> None:
    """A third copy; PPL and a fourth member, which do not go together while it is reshaped."""
    changes: dict[str, dict[str, Any]] = {
        "six": {"devices": devices(("s1", "s5", "s3", "s4")), "spares": ["serial:s6"]},
        "two": {"devices": devices((*TWO, "m3")), "consistency": "bitmap"},
        "five": {"devices": devices((*FIVE, "p4"))},
    }
    declare(machine, release, **changes)
    for disk in ("m3", "p4"):
        machine.lab.lab.plug(HOST, disk, new=NewDisk(size=SIZE))
    machine.await_disks(("m3", "p4"))
    for array in ("two", "five"):
        done = machine.lab.hakit("raid", "grow", HOST, array, "--yes", timeout=2 * PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        machine.idle(array)
    assert machine.members("two") == {*TWO, "m3"}
    assert machine.state("two", "consistency_policy") == "bitmap"
    assert machine.members("five") == {*FIVE, "p4"}
    assert machine.state("five", "consistency_policy") == "ppl"
    machine.settled()
    assert intact(machine)
    machine.power_cycle()
    assert intact(machine)
    machine.settled()
