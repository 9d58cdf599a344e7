"""Virtual machines of a lab: what they promise beyond, and as well as, containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from hakit.lab.cgroup import cgroup_root, pids
from hakit.lab.plan import NewDisk
from hakit.lab.qemu.machine import NICE
from hakit.lab.state import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = pytest.mark.timeout(1800)
"""Emulated machines on a busy computer boot in minutes."""

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: qemu, network: 10.79.0.0/24}
  hosts:
    one:
      ansible_host: 10.79.0.11
      hakit:
        nics: {eth1: 10.80.0.11/24, eth2: null}
        hardware: {disks: {data: {size: 1GiB}, spare: {size: 64MiB, serial: S2}}}
    two:
      ansible_host: 10.79.0.12
      ansible_user: admin
      hakit:
        nics: {eth1: null, eth2: null}
        hardware:
          macs: {eth1: "52:54:00:00:00:02"}
          lags: {trunk: [eth1, eth2]}
"""
BOND = """
set -e
ip link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast
# udev gives a bond a MAC address, and LACP begins anew with another one.
udevadm settle
for nic in eth1 eth2; do ip link set $nic down; ip link set $nic master bond0; done
ip link set bond0 up mtu 9000
ip link add link bond0 name bond0.7 type vlan id 7
ip address add 10.81.0.12/24 dev bond0
ip link set bond0.7 up
"""
PINGS = "for one in $(seq 16); do ping -c1 -W5 -q 10.81.0.1; done"
IN_USE = 0b111111
"""A port that speaks LACP at the fast rate, is in step, and collects and distributes (IEEE 802.1AX, 6.4.2.3)."""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return lab_factory(INVENTORY)


def ssh(handle: LabHandle, host: str, *command: str, timeout: float = 300) -> str:
    done = handle.hakit("lab", "ssh", host, *command, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def addresses(handle: LabHandle, host: str) -> dict[str, list[str]]:
    links = json.loads(handle.lab.exec(host, ["ip", "-json", "address"]).stdout)
    return {
        link["ifname"]: [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["family"] == "inet"]
        for link in links
    }


def commands() -> Iterator[str]:
    """The command lines of all processes of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().decode(errors="replace")


def boot_id(handle: LabHandle, host: str) -> str:
    return handle.lab.exec(host, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout


def test_hosts_are_whole_machines_with_an_identity_of_their_own(lab: LabHandle) -> None:
    assert ssh(lab, "one", "hostname; id -un; systemctl is-system-running --wait").split() == ["one", "root", "running"]
    assert ssh(lab, "two", "hostname; id -un; sudo -n id -un").split() == ["two", "admin", "root"]
    seen = [
        lab.lab.exec(host, ["sh", "-c", "cat /etc/machine-id; od -N8 -An -x /dev/urandom; uname -r; date +%s"])
        for host in ("one", "two")
    ]
    (first, random1, kernel, time1), (second, random2, _, time2) = (done.stdout.split("\n")[:4] for done in seen)
    assert first != second
    assert random1 != random2, "copies of one machine must not have the same random numbers ahead of them"
    assert "cloud" in kernel
    now = float(subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True).stdout)
    assert abs(int(time1) - now) < 60
    assert abs(int(time2) - now) < 60


def test_machines_give_way_to_what_else_runs_here(lab: LabHandle) -> None:
    place = Place(lab.lab.plan.id)
    (process,) = pids(cgroup_root() / place.namespace / "one")
    assert os.getpriority(os.PRIO_PROCESS, process) == NICE
    group = Path(f"/proc/{process}/autogroup")
    assert not group.exists() or group.read_text().split()[1:] == ["nice", f"{NICE}"]


def test_nics_and_disks_are_those_of_the_inventory(lab: LabHandle) -> None:
    assert addresses(lab, "one") == {
        "lo": ["127.0.0.1/8"],
        "eth0": ["10.79.0.11/24"],
        "eth1": ["10.80.0.11/24"],
        "eth2": [],
    }
    assert lab.lab.exec("two", ["cat", "/sys/class/net/eth1/address"]).stdout == "52:54:00:00:00:02\n"
    for serial, size in (("data", 1 << 30), ("S2", 64 << 20)):
        disk = f"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{serial}"
        assert lab.lab.exec("one", ["blockdev", "--getsize64", disk]).stdout == f"{size}\n"


def test_disks_are_pulled_and_others_plugged_in_while_the_host_runs(lab: LabHandle) -> None:
    links = {disk: f"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{disk}" for disk in ("data", "S2")}

    def there(link: str) -> bool:
        return lab.lab.exec("one", ["test", "-b", link]).returncode == 0

    assert lab.lab.exec("one", ["sh", "-c", f"echo mine >{links['data']}; sync"]).returncode == 0
    lab.lab.unplug("one", "data")
    lab.eventually(lambda: not there(links["data"]), "the kernel and udev have missed it", timeout=120)
    held = lab.lab.checksum("one", "data")
    assert lab.lab.plug("one", "new", new=NewDisk(size=32 << 20, serial="N1", wwn="0x5000c500a1b2c3d4")) == 0
    lab.eventually(lambda: there("/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"), "the new one is found", timeout=120)
    told = lab.lab.exec("one", ["lsblk", "-dnbo", "SERIAL,SIZE", "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"]).stdout
    assert told.split() == ["N1", str(32 << 20)]
    assert lab.lab.plug("one", "data") == 2, "the first place that is free"
    lab.eventually(lambda: there(links["data"]), "it is found again", timeout=120)
    assert lab.lab.exec("one", ["head", "-c5", links["data"]]).stdout == "mine\n"
    with pytest.raises(LabError, match="in use"):
        lab.lab.checksum("one", "data")
    lab.lab.unplug("one", "data")
    assert lab.lab.checksum("one", "data") == held
    lab.lab.unplug("one", "new")
    assert lab.lab.plug("one", "data", place=0) == 0
    assert [(disk.name, disk.plugged) for disk in lab.lab.status()[0].disks if disk.name == "new"] == [("new", False)]
    with pytest.raises(LabError, match="no disk data"):
        lab.lab.unplug("two", "data")


def test_commands_without_a_network_come_back_whole(lab: LabHandle) -> None:
    done = lab.lab.exec("one", ["sh", "-c", "cat; echo oh >&2; exit 7"], input="a\nb\n")
    assert (done.stdout, done.stderr, done.returncode) == ("a\nb\n", "oh\n", 7)
    assert lab.lab.exec("one", ["no-such-program"]).returncode == 127
    assert lab.lab.exec("one", ["sh", "-c", "kill -9 $$"]).returncode == 137
    long = lab.lab.exec("one", ["seq", "200000"]).stdout.split()
    assert (len(long), long[-1]) == (200000, "200000")
    with pytest.raises(subprocess.TimeoutExpired):
        lab.lab.exec("one", ["sleep", "600"], timeout=3)
    assert lab.lab.exec("one", ["true"]).returncode == 0, "the next command does not wait for the one before"


def test_hosts_reach_each_other_and_packages_and_nothing_else(lab: LabHandle) -> None:
    ssh(lab, "one", "ping -c1 -W5 10.79.0.12")
    assert lab.hakit("lab", "ssh", "one", "ping -c1 -W1 192.0.2.1").returncode != 0
    ssh(lab, "one", "apt-get install -y -q --no-install-recommends ethtool", timeout=900)
    assert "ethtool version" in ssh(lab, "one", "ethtool --version")


def test_lacp_finds_its_partner_and_a_pulled_cable_leaves_the_other(lab: LabHandle) -> None:
    assert lab.lab.exec("two", ["sh", "-c", BOND]).returncode == 0
    assert lab.lab.exec("switch", ["ip", "address", "add", "10.81.0.1/24", "dev", "br0"]).returncode == 0

    def partner() -> bool:
        shown = lab.lab.exec("two", ["cat", "/proc/net/bonding/bond0"]).stdout
        mac = lab.lab.exec("switch", ["cat", "/sys/class/net/bond1/address"]).stdout.strip()
        return f"Partner Mac Address: {mac}" in shown and shown.count(f"port state: {IN_USE}\n") == 4

    lab.eventually(partner, "both ends of both cables are in use for one aggregate", timeout=120)
    # Either end chooses a cable by what a ping has in it: so all ways are taken, there and back.
    assert lab.lab.exec("two", ["sh", "-ec", PINGS]).returncode == 0
    assert lab.lab.exec("two", ["ping", "-c2", "-W5", "-Mdo", "-s8000", "10.81.0.1"]).returncode == 0, "MTU 9000"
    lab.lab.link("two", "eth1", up=False)

    def alone() -> bool:
        seen = [
            lab.lab.exec(host, ["cat", f"/proc/net/bonding/{bond}"]).stdout
            for host, bond in (("two", "bond0"), ("switch", "bond1"))
        ]
        return all("MII Status: down" in text and "Number of ports: 1" in text for text in seen)

    lab.eventually(alone, "both ends have lost one carrier", timeout=120)
    assert lab.lab.exec("two", ["ping", "-c3", "-W5", "10.81.0.1"]).returncode == 0
    lab.lab.link("two", "eth1", up=True)
    lab.eventually(partner, "the cable is in use again", timeout=120)


def test_a_pulled_cable_cuts_the_host_off_until_it_is_plugged_in(lab: LabHandle) -> None:
    assert lab.lab.link("two", "eth0", up=False) == ("eth0",)
    assert "NO-CARRIER" in lab.lab.exec("two", ["ip", "link", "show", "eth0"]).stdout
    assert lab.lab.status()[1].nics == (("eth0", False), ("eth1", True), ("eth2", True))
    with pytest.raises(OSError):  # noqa: PT011 - unreachable or timed out
        lab.lab.dial("10.79.0.12", 22, 0.5)
    lab.lab.link("two", None, up=True)
    assert ssh(lab, "two", "hostname").strip() == "two"


def test_pulled_power_loses_what_was_not_flushed_and_nothing_else(lab: LabHandle) -> None:
    before = boot_id(lab, "one")
    script = "echo kept >/root/kept; sync /root/kept; echo lost >/root/lost"
    assert lab.lab.exec("one", ["sh", "-c", script]).returncode == 0
    lab.lab.power("one", "pull")
    assert [host.power for host in lab.lab.status()] == ["off", "on"]
    with pytest.raises(LabError, match="not running"):
        lab.lab.exec("one", ["true"])
    with pytest.raises(OSError):  # noqa: PT011 - refused, unreachable or timed out: all are dead
        lab.lab.dial("10.79.0.11", 22, 0.5)
    lab.lab.power("one", "on")
    assert lab.lab.exec("one", ["cat", "/root/kept"]).stdout == "kept\n"
    assert lab.lab.exec("one", ["test", "-s", "/root/lost"]).returncode == 1
    assert boot_id(lab, "one") != before
    assert ssh(lab, "one", "hostname").strip() == "one"
    assert addresses(lab, "one")["eth1"] == ["10.80.0.11/24"]
    assert "scsi-0QEMU_QEMU_HARDDISK_S2" in lab.lab.exec("one", ["ls", "/dev/disk/by-id"]).stdout


def test_an_orderly_shutdown_ends_services_first_and_disks_may_be_in_another_order_then(lab: LabHandle) -> None:
    def order() -> list[str]:
        found = lab.lab.exec("one", ["lsblk", "-dno", "HCTL,SERIAL"]).stdout
        return [line.split()[1] for line in sorted(found.splitlines()) if len(line.split()) == 2]

    assert order() == ["data", "S2"]
    lab.lab.power("one", "off")
    assert lab.lab.status()[0].power == "off"
    lab.lab.arrange("one", ["spare", "data"])
    lab.lab.power("one", "on")
    assert order() == ["S2", "data"]
    assert "Reached target poweroff.target" in ssh(lab, "one", "journalctl -b -1 -o cat")


def test_up_recovers_from_a_killed_up_and_down_leaves_nothing(lab: LabHandle) -> None:
    lab.lab.down()
    place = Place(lab.lab.plan.id)
    environment = {**os.environ, "HAKIT_INVENTORY": str(lab.inventory)}
    process = subprocess.Popen([sys.executable, "-m", "hakit", "lab", "up"], env=environment)
    group = cgroup_root() / place.namespace / "one"
    lab.eventually(lambda: group.exists() or process.poll() is not None, "the first host begins", timeout=300)
    process.kill()
    process.wait()
    assert not lab.lab.is_up()
    lab.lab.up()
    assert ssh(lab, "one", "hostname").strip() == "one"
    lab.lab.down()
    assert not place.folder.exists()
    assert not place.namespace_file.exists()
    assert not (cgroup_root() / place.namespace).exists()
    assert [words for words in commands() if place.id in words] == []
