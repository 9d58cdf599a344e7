"""The lab itself: what it promises to everything that is tested in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from hakit.lab import dialer, privilege
from hakit.lab.cgroup import cgroup_root, lab_cgroup, populated
from hakit.lab.control import PROXY_PORT
from hakit.lab.state import Place

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    one: {ansible_host: 10.77.0.11}
    two:
      ansible_host: 10.77.0.12
      ansible_user: admin
      hakit: {nics: {eth1: 10.78.0.12/24, eth2: null}}
"""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return lab_factory(INVENTORY)


def traces(handle: LabHandle) -> list[str]:
    """Everything of a lab that is on this machine."""
    place = Place(handle.lab.plan.id)
    mounts = [line for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines() if place.id in line]
    groups = [str(path) for path in cgroup_root().glob(f"{place.namespace}*")]
    files = [str(path) for path in (place.folder, place.namespace_file) if path.exists()]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if place.id.encode() in words:
            processes.append(words.decode().replace("\0", " "))
    return mounts + groups + files + processes


def as_root(*command: str, given: str = "") -> None:
    subprocess.run([*privilege.sudo(), *command], input=given, text=True, stdout=subprocess.DEVNULL, check=True)


def ssh(handle: LabHandle, host: str, *command: str, timeout: float = 60) -> str:
    done = handle.hakit("lab", "ssh", host, *command, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_user_logs_in_on_every_host_with_known_keys(lab: LabHandle) -> None:
    assert ssh(lab, "one", "hostname; id -un").split() == ["one", "root"]
    assert ssh(lab, "two", "hostname; id -un; sudo -n id -un").split() == ["two", "admin", "root"]


def test_the_exit_code_of_a_command_comes_back(lab: LabHandle) -> None:
    assert lab.hakit("lab", "ssh", "one", "exit 7").returncode == 7


def test_hosts_are_complete_machines(lab: LabHandle) -> None:
    # "running" says that systemd has started everything and that no unit failed.
    assert ssh(lab, "one", "systemctl is-system-running --wait").strip() == "running"
    assert "Accepted publickey" in ssh(lab, "one", "journalctl -u ssh -o cat")
    assert "loglevel VERBOSE" in ssh(lab, "one", "sshd -T")


def test_nics_carry_what_the_inventory_says(lab: LabHandle) -> None:
    links = json.loads(ssh(lab, "two", "ip -json address"))
    found = {
        link["ifname"]: [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["family"] == "inet"]
        for link in links
    }
    assert found == {"lo": ["127.0.0.1/8"], "eth0": ["10.77.0.12/24"], "eth1": ["10.78.0.12/24"], "eth2": []}
    assert "one" not in ssh(lab, "two", "cat /etc/hosts")


def test_hosts_reach_each_other_and_nothing_else(lab: LabHandle) -> None:
    ssh(lab, "one", "ping -c1 -W2 10.77.0.12")
    assert lab.hakit("lab", "ssh", "one", "ping -c1 -W1 192.0.2.1").returncode != 0


def test_packages_can_be_installed(lab: LabHandle) -> None:
    assert lab.hakit("lab", "ssh", "one", "command -v haproxy").returncode != 0
    ssh(lab, "one", "apt-get install -y -q --no-install-recommends haproxy", timeout=180)
    assert "HAProxy" in ssh(lab, "one", "haproxy -v")
    # apt says so, and exits 0, when it can't reach the mirror.
    assert "Failed to fetch" not in ssh(lab, "one", "apt-get update 2>&1", timeout=180)


def started(lab: LabHandle, host: str) -> str:
    """The host's boot and when its init was started (field 22 of proc(5)'s stat: ticks since the kernel's boot)."""
    boot, stat = lab.lab.exec(host, ["cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat"]).stdout.splitlines()
    return f"{boot} {stat.rsplit(')', 1)[1].split()[19]}"


def test_a_second_up_changes_nothing(lab: LabHandle) -> None:
    before = started(lab, "one")
    done = lab.hakit("lab", "up")
    assert done.returncode == 0
    assert "already up" in done.stderr
    assert started(lab, "one") == before


def test_a_pulled_host_is_dead_at_once_and_keeps_its_disk(lab: LabHandle) -> None:
    assert lab.lab.exec("one", ["touch", "/root/kept"]).returncode == 0
    machine = lab.lab.exec("one", ["cat", "/etc/machine-id"]).stdout
    start = time.monotonic()
    lab.lab.power("one", "pull")
    assert time.monotonic() - start < 1
    with pytest.raises(OSError):  # noqa: PT011 - refused, unreachable or timed out: all are dead
        lab.lab.dial("10.77.0.11", 22, 0.3)
    assert [host.power for host in lab.lab.status()] == ["off", "on"]
    lab.lab.power("one", "on")
    assert lab.lab.exec("one", ["test", "-e", "/root/kept"]).returncode == 0
    assert lab.lab.exec("one", ["cat", "/etc/machine-id"]).stdout == machine
    assert ssh(lab, "one", "hostname").strip() == "one"


def test_an_orderly_shutdown_ends_services_first(lab: LabHandle) -> None:
    lab.lab.power("one", "off")
    assert lab.lab.status()[0].power == "off"
    lab.lab.power("one", "on")
    assert "Reached target poweroff.target" in ssh(lab, "one", "journalctl -b -1 -o cat")


def test_a_host_reboots_by_itself(lab: LabHandle) -> None:
    before = ssh(lab, "one", "stat -c %Y /proc/1")
    lab.hakit("lab", "ssh", "one", "systemctl reboot", timeout=30)

    def back() -> bool:
        done = lab.hakit("lab", "ssh", "one", "stat -c %Y /proc/1", timeout=30)
        return done.returncode == 0 and done.stdout != before

    lab.eventually(back, "the host is back from its reboot")


def test_a_pulled_cable_cuts_the_host_off_until_it_is_plugged_in(lab: LabHandle) -> None:
    assert lab.lab.link("two", "eth0", up=False) == ("eth0",)
    assert "NO-CARRIER" in lab.lab.exec("two", ["ip", "link", "show", "eth0"]).stdout
    assert lab.lab.status()[1].nics == (("eth0", False), ("eth1", True), ("eth2", True))
    with pytest.raises(OSError):  # noqa: PT011 - unreachable or timed out
        lab.lab.dial("10.77.0.12", 22, 0.3)
    lab.lab.power("two", "pull")
    lab.lab.power("two", "on")

    # Nobody waits for the sshd of a host that can't be reached: look from inside when it has booted.
    def booted() -> bool:
        try:
            return lab.lab.exec("two", ["systemctl", "is-active", "ssh"]).returncode == 0
        except LabError:
            return False

    lab.eventually(booted, "the host has booted without its cable")
    assert lab.lab.status()[1].nics[0] == ("eth0", False), "a cable stays pulled while the host is off"
    assert "NO-CARRIER" in lab.lab.exec("two", ["ip", "link", "show", "eth0"]).stdout
    lab.lab.link("two", None, up=True)
    assert ssh(lab, "two", "hostname").strip() == "two"


def test_the_lab_is_reached_only_for_its_own_inventory(lab: LabHandle, lab_factory: LabFactory) -> None:
    # The same addresses in another folder: another lab, in which host one is another machine.
    other = lab_factory(INVENTORY)
    assert other.lab.namespace != lab.lab.namespace
    mine = lab.lab.exec("one", ["cat", "/etc/machine-id"]).stdout
    assert ssh(other, "one", "cat /etc/machine-id") != mine
    dial = dialer(other.site)
    assert dial is not None
    dial("10.77.0.11", 22, 5).close()
    other.lab.down()
    with pytest.raises(LabError, match="down") as caught:
        dialer(other.site)
    assert "hakit lab up" in str(caught.value.hint)
    assert dialer(lab.site) is not None
    assert traces(other) == []


def test_many_threads_dial_at_once(lab: LabHandle) -> None:
    namespace = Path("/proc/self/ns/net").readlink()

    def peer(_: int) -> tuple[str, int]:
        with lab.lab.dial("10.77.0.1", PROXY_PORT, 10) as line:
            name: tuple[str, int] = line.getpeername()
            return name

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(peer, range(64))) == {("10.77.0.1", PROXY_PORT)}
    assert Path("/proc/self/ns/net").readlink() == namespace


def test_nothing_is_added_to_this_machines_network(lab: LabHandle) -> None:
    del lab
    shown = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout
    assert "10.77.0." not in shown
    assert "veth" not in shown


def test_two_commands_at_once_take_turns(lab: LabHandle) -> None:
    lab.lab.down()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: lab.hakit("lab", "up"), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert sorted("already up" in done.stderr for done in (first, second)) == [False, True]


def test_up_recovers_from_a_killed_up(lab: LabHandle) -> None:
    lab.lab.down()
    environment = {**os.environ, "HAKIT_INVENTORY": str(lab.inventory)}
    process = subprocess.Popen([sys.executable, "-m", "hakit", "lab", "up"], env=environment)
    place = Place(lab.lab.plan.id)
    lab.eventually(lambda: place.host("one").exists() or process.poll() is not None, "the first disk is made")
    process.kill()
    process.wait()
    assert not lab.lab.is_up()
    assert lab.hakit("lab", "up").returncode == 0
    assert ssh(lab, "one", "hostname").strip() == "one"


def test_up_recovers_from_what_a_restart_of_the_machine_leaves(lab: LabHandle) -> None:
    place = Place(lab.lab.plan.id)
    assert lab.lab.exec("one", ["touch", "/root/survives"]).returncode == 0
    group = lab_cgroup(place)
    as_root("tee", str(group / "cgroup.kill"), given="1")
    lab.eventually(lambda: not populated(group), "every host is without power")
    as_root("ip", "netns", "delete", place.namespace)
    record = json.loads(place.record.read_text(encoding="utf-8"))
    as_root("tee", str(place.record), given=json.dumps(record | {"boot": "another"}))
    assert not lab.lab.is_up()
    lab.lab.up()
    assert lab.lab.exec("one", ["test", "-e", "/root/survives"]).returncode == 0
    lab.lab.power("two", "pull")
    as_root("tee", str(place.record), given="{ damaged")
    lab.lab.up()
    assert [host.power for host in lab.lab.status()] == ["on", "on"]


def test_down_leaves_nothing_behind_whatever_was_there(lab: LabHandle) -> None:
    as_root("rm", str(Place(lab.lab.plan.id).record))
    lab.lab.down()
    lab.eventually(lambda: traces(lab) == [], f"nothing is left of the lab: {traces(lab)}", timeout=5)
    assert lab.hakit("lab", "down").returncode == 0
    lab.lab.up()


def test_a_changed_address_is_refused_with_what_to_do(lab: LabHandle) -> None:
    hosts = lab.inventory / "hosts.yml"
    hosts.write_text(INVENTORY.replace("10.77.0.11", "10.77.0.31"), encoding="utf-8")
    done = lab.hakit("lab", "up")
    hosts.write_text(INVENTORY, encoding="utf-8")
    assert done.returncode == 1
    assert "one" in done.stderr
    assert "hakit lab down" in done.stderr


def test_a_host_that_leaves_the_inventory_leaves_the_lab(lab: LabHandle) -> None:
    hosts = lab.inventory / "hosts.yml"
    hosts.write_text(
        INVENTORY.split("    two:", maxsplit=1)[0] + "    three: {ansible_host: 10.77.0.13}\n", encoding="utf-8"
    )
    done = lab.hakit("lab", "up")
    assert done.returncode == 0, done.stderr
    assert "removed two" in done.stderr
    assert ssh(lab, "three", "ping -c1 -W2 10.77.0.11 >/dev/null; hostname").strip() == "three"
    assert [host.name for host in type(lab.lab).of(lab.site).status()] == ["one", "three"]


def test_status_for_programs(lab: LabHandle) -> None:
    value = json.loads(lab.hakit("lab", "status", "--json").stdout)
    assert value["up"] is True
    assert value["hosts"][0] == {
        "name": "one",
        "address": "10.77.0.11",
        "power": "on",
        "ssh": True,
        "nics": {"eth0": True},
        "disks": [],
    }
