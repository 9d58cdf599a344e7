"""A database whose data are on an array: a disk dies under load, and nobody notices but who watches the array."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hakit.lab.plan import NewDisk
from tests.lab.raid.machine import FAST, HOST, PATIENCE, QUICK, SLOW, Machine

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]
"""Emulated machines on a busy computer boot in minutes."""

MOUNT = "/srv/pg"
SIZE = "512MiB"
DISKS = ("d1", "d2")
WRITER = (
    "i=0; while [ -e /run/writing ]; do i=$((i+1)); psql -qAtX -d orders -c"
    ' "INSERT INTO paid VALUES ($i) RETURNING n" >>/var/tmp/acknowledged || break; done'
)
"""Shell: each number that it keeps was acknowledged by the server."""


def inventory(*disks: str) -> str:
    """One server with its data on RAID 1."""
    array = {"level": 1, "devices": [f"serial:{disk}" for disk in disks], "filesystem": "ext4", "mount": MOUNT}
    database = {
        "cluster": "main",
        "primary": HOST,
        "data": {"directory": f"{MOUNT}/main", "mount": MOUNT},
        "parameters": {"shared_buffers": "64MB"},
        "databases": {"orders": {}},
        "replication": {"password": {"secret": "replication"}},
    }
    own = {
        "hardware": {"memory": "768MiB", "disks": {disk: {"size": SIZE} for disk in DISKS}},
        "raid": {"arrays": {"pg": array}, "monitor": {"mail": "root"}},
        "postgresql": database,
    }
    site = {
        "lab": {"driver": "qemu", "network": "10.79.0.0/24"},
        "secrets": {"command": ["echo", "{name} of a lab"]},
    }
    hosts = {HOST: {"ansible_host": "10.79.0.11", "hakit": own}}
    return json.dumps({"all": {"vars": {"hakit": site}, "hosts": hosts}}, indent=1)


@pytest.fixture(scope="module")
def machine(lab_factory: LabFactory) -> Machine:
    """A host with the database, and nothing in it."""
    one = Machine(lab_factory(inventory(*DISKS)))
    one.sh(QUICK)
    one.apply()
    one.idle("pg")
    return one


def sql(machine: Machine, text: str) -> str:
    """What a statement returns."""
    return machine.sh(f"cd / && runuser -u postgres -- psql -AtX -d orders -c '{text}'").strip()


def state(machine: Machine) -> str:
    """What `hakit raid status` calls the array."""
    seen = machine.lab.hakit("raid", "status", "--json", timeout=PATIENCE)
    found: str = json.loads(seen.stdout)["hosts"][HOST]["pg"]["state"]
    return found


def test_a_disk_dies_under_load_and_nothing_is_lost(machine: Machine) -> None:
    sql(machine, "CREATE TABLE paid (n integer)")
    machine.sh("touch /run/writing && chmod 1777 /var/tmp")
    machine.sh(f"cd / && setsid -f runuser -u postgres -- sh -c '{WRITER}' >/dev/null 2>&1")
    machine.eventually("[ $(wc -l </var/tmp/acknowledged) -ge 5 ]", "rows are written")
    machine.lab.lab.unplug(HOST, "d1")
    machine.eventually(
        "grep -qx 1 /sys/class/block/$(basename $(readlink -f /dev/md/pg))/md/degraded", "the disk is missed"
    )
    before = int(machine.sh("wc -l </var/tmp/acknowledged"))
    machine.eventually(f"[ $(wc -l </var/tmp/acknowledged) -ge {before + 5} ]", "writing goes on")
    assert state(machine) == "degraded"
    seen = machine.lab.hakit("status", timeout=PATIENCE)
    assert "degraded" in seen.stdout, seen.stdout + seen.stderr
    machine.sh(SLOW)
    machine.declare(inventory("d3", "d2"))
    machine.lab.lab.plug(HOST, "d3", new=NewDisk(size=512 << 20))
    machine.await_disks(("d3",))
    machine.sh(FAST)
    done = machine.lab.hakit("raid", "replace", HOST, "pg", "serial:d1", "--yes", timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(machine) == "clean"
    machine.sh("rm /run/writing")
    machine.eventually("! pgrep -f '[R]ETURNING n'", "the writer has ended")
    acknowledged = machine.sh("cat /var/tmp/acknowledged").split()
    assert sql(machine, "SELECT n FROM paid ORDER BY n").split() == acknowledged
    assert len(acknowledged) > before


def test_a_boot_without_the_array_starts_no_server_on_an_empty_folder(machine: Machine) -> None:
    lab = machine.lab.lab
    inside = [disk.name for disk in lab.status()[0].disks if disk.plugged]
    machine.power_cycle(lambda: lab.arrange(HOST, []))
    assert not machine.true("mountpoint -q /srv/pg")
    assert machine.sh("pg_lsclusters -h | wc -l").strip() == "1"
    assert not machine.true("pgrep -x postgres")
    assert machine.sh(f"ls -A {MOUNT}") == ""
    machine.power_cycle(lambda: lab.arrange(HOST, inside))
    machine.eventually("pgrep -x postgres", "the server runs on its array")
    assert int(sql(machine, "SELECT count(*) FROM paid")) > 0
