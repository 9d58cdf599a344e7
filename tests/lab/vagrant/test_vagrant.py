"""A lab whose machines Vagrant makes, from up to down. Only `make test-vagrant` runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.cli import options
from hakit.drill.prober import Prober
from hakit.lab import Lab
from hakit.lab.cgroup import cgroup_root
from hakit.lab.state import Place
from tests.lab.conftest import ROOT, LabHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(3600)]
"""Emulated machines on a busy computer boot in minutes."""

INVENTORY = Path(__file__).with_name("pair")
ADDRESS = "10.79.0.100"
RTO = 3.0
"""Seconds: what the inventory promises."""


def shown(handle: LabHandle, *arguments: str, timeout: float = 1800) -> str:
    """What a command of hakit says, which is also printed: `make test-vagrant` shows it, as on a terminal."""
    start = time.monotonic()
    done = handle.hakit(*arguments, timeout=timeout)
    took = f"{time.monotonic() - start:.0f} s"
    sys.stdout.write(f"$ hakit {' '.join(arguments)}\n{done.stderr}{done.stdout}[{took}]\n\n")
    assert done.returncode == 0
    return done.stdout


def links() -> str:
    """The NICs, addresses and routes of this machine's own network."""
    commands = (["ip", "-brief", "address"], ["ip", "route", "show", "table", "all"])
    return "".join(subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in commands)


def with_argument(part: str) -> list[str]:
    """The command lines of this machine's processes that name something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if part in line and path.parent.name != str(os.getpid()):
                found.append(line)
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabHandle]:
    folder = tmp_path_factory.mktemp("vagrant")
    shutil.copytree(INVENTORY, folder, dirs_exist_ok=True)
    handle = LabHandle(Lab.of(options.load(folder)[0], "vagrant"), folder)
    try:
        shown(handle, "lab", "--driver", "vagrant", "up")
        yield handle
    finally:
        handle.lab.down(print)


def ssh(handle: LabHandle, host: str, *command: str) -> str:
    done = handle.hakit("lab", "ssh", host, "--", *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_machines_are_the_hosts_of_the_inventory(lab: LabHandle) -> None:
    """Names, logins, addresses, further NICs, disks, memory."""
    assert ssh(lab, "one", "hostname; id -un").split() == ["one", "root"]
    assert ssh(lab, "two", "hostname; id -un; sudo -n id -un").split() == ["two", "admin", "root"]
    found = {
        link["ifname"]: [one["local"] for one in link["addr_info"] if one["family"] == "inet"]
        for link in json.loads(ssh(lab, "one", "ip -json address"))
    }
    vagrants = found.pop("vagrant0")
    assert found == {"lo": ["127.0.0.1"], "eth0": ["10.79.0.11"], "eth1": ["10.80.0.11"], "eth2": []}
    assert len(vagrants) == 1, "Vagrant comes in by a NIC of its own"
    assert ssh(lab, "one", "cat /sys/class/net/eth2/address").strip() == "52:54:00:00:00:02"
    sizes = {
        serial: ssh(lab, "one", f"blockdev --getsize64 /dev/disk/by-id/virtio-{serial}")
        for serial in ("data", "WD-0002")
    }
    assert sizes == {"data": f"{1 << 30}\n", "WD-0002": f"{64 << 20}\n"}
    memory = [int(ssh(lab, host, "grep MemTotal /proc/meminfo").split()[1]) // 1024 for host in ("one", "two")]
    assert 300 < memory[0] < 384 < memory[1] < 448
    status = shown(lab, "lab", "status")
    assert status.count("on, ssh answers") == 2


def test_the_lab_is_known_by_its_record_without_being_named(lab: LabHandle) -> None:
    again = shown(lab, "lab", "up")
    assert "2 hosts answer" in again
    assert lab.hakit("lab", "--driver", "qemu", "up").returncode != 0, "these machines are not that driver's"


def test_hosts_have_no_way_out_of_the_lab(lab: LabHandle) -> None:
    assert "default" not in ssh(lab, "one", "ip route; ip -6 route")
    assert lab.lab.exec("one", ["ping", "-c1", "-W1", "192.0.2.1"]).returncode != 0
    assert lab.lab.exec("one", ["ping", "-c1", "-W20", "10.79.0.12"]).returncode == 0


def test_apply_verify_and_nothing_is_left_to_do(lab: LabHandle) -> None:
    shown(lab, "apply", "--yes", "--no-diff")
    shown(lab, "verify")
    assert "2 unchanged" in shown(lab, "apply", "--yes")


def test_a_pulled_power_moves_the_address_and_a_boot_brings_the_host_back(lab: LabHandle) -> None:
    assert lab.lab.exec("one", ["sh", "-c", "echo kept >/root/kept; sync /root/kept"]).returncode == 0
    with Prober(lab.lab.enter(), ADDRESS) as prober:
        prober.run_for(2)
        shown(lab, "lab", "power", "pull", "one")
        prober.run_for(8)
        seen = prober.stop()
    assert seen.ended_well
    assert seen.longest_gap < RTO + 3, seen.longest_gap
    assert [host.power for host in lab.lab.status()] == ["off", "on"]
    shown(lab, "lab", "power", "on", "one")
    assert ssh(lab, "one", "cat /root/kept") == "kept\n"
    assert "eth1" in ssh(lab, "one", "ip -4 -brief address")
    assert ssh(lab, "one", "systemctl is-system-running --wait") == "running\n"
    shown(lab, "verify")


def test_a_pulled_cable_takes_the_carrier_and_an_orderly_shutdown_ends_services(lab: LabHandle) -> None:
    lab.lab.link("two", "eth0", up=False)
    lab.eventually(
        lambda: "NO-CARRIER" in lab.lab.exec("two", ["ip", "link", "show", "eth0"]).stdout, "no carrier", timeout=60
    )
    lab.lab.link("two", "eth0", up=True)
    lab.eventually(lambda: lab.lab.status()[1].ssh, "ssh answers again", timeout=120)
    lab.lab.power("two", "off")
    assert lab.lab.status()[1].power == "off"


def test_down_leaves_nothing_and_has_changed_nothing_of_this_machine(lab: LabHandle) -> None:
    place = Place(lab.lab.plan.id)
    assert with_argument(place.id), "the lab runs"
    before = links()
    shown(lab, "lab", "down")
    assert links() == before
    assert place.id not in before
    assert with_argument(place.id) == []
    assert not place.folder.exists()
    assert not place.namespace_file.exists()
    assert not (cgroup_root() / place.namespace).exists()
    done = subprocess.run(
        [sys.executable, "-m", "hakit", "lab", "status", "-i", lab.inventory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is down" in done.stdout
