"""`hakit doctor` on real hosts: well before the first apply, then broken in every way that a container can be.

All is broken at once and examined once; each row then looks for its own trouble. A container has no clock of its own,
so clocks are left to the unit tests.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  children:
    balancers:
      hosts:
        lb1: {ansible_host: 10.77.0.11}
        lb2: {ansible_host: 10.77.0.12}
      vars:
        hakit:
          keepalived:
            instances:
              front:
                interface: eth0
                virtual_router_id: 51
                addresses: [10.77.0.100/24, 10.77.0.101/24, "fd77::100/64"]
                unicast: false
          system:
            packages: [rsync]
  hosts:
    other: {ansible_host: 10.77.0.31}
    gone: {ansible_host: 10.77.0.41}
"""
STRANGER = """
vrrp_instance mine {
    interface eth0
    state MASTER
    virtual_router_id 51
    priority 50
    advert_int 1
    virtual_ipaddress { 10.77.0.201/24 }
}
"""
FOREIGN_ROUTER = f"""
apt-get -qq install --no-install-recommends keepalived >/dev/null 2>&1 && systemctl disable --now -q keepalived
printf '{STRANGER}' > /run/stranger.conf && keepalived -f /run/stranger.conf
"""
BROKEN_PACKAGE = """
mkdir -p /run/broken/DEBIAN && cd /run/broken
printf 'Package: broken\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' > DEBIAN/control
printf '#!/bin/sh\nexit 1\n' > DEBIAN/postinst; chmod 755 DEBIAN/postinst
dpkg-deb -b /run/broken /run/broken.deb >/dev/null && ! dpkg -i /run/broken.deb
"""
LOCK = """systemd-run -q --unit=holder python3 -c "
import fcntl, time
file = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(file, fcntl.LOCK_EX); time.sleep(600)"
for i in $(seq 100); do grep -q POSIX /proc/locks && break; sleep 0.05; done
"""
FULL = """
mount -t tmpfs -o size=500m none /mnt && cp -a /var/. /mnt && mount --bind /mnt /var
! dd if=/dev/zero of=/var/full bs=1M 2>/dev/null
"""
NO_PROXY = "echo 'Acquire::http::Proxy \"http://127.0.0.1:9\";' > /etc/apt/apt.conf.d/zz"
CLONE = "echo 0123456789abcdef0123456789abcdef > /etc/machine-id"
FAILED = "systemd-run -q --unit=sick false; until systemctl is-failed -q sick; do sleep 0.05; done"


@dataclass(frozen=True)
class Row:
    """A way to break a host (or, with no host, the network), the trouble that doctor must find, and its words."""

    name: str
    host: str
    script: str
    trouble: str
    says: tuple[str, ...]

    def is_told(self, one: dict[str, Any]) -> bool:
        text = " ".join((one["what"], one["why"], one["do"]))
        return self.trouble == short(one) and bool(one["do"]) and all(word in text for word in self.says)


def short(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['severity']} {','.join(one['hosts'])}"


ROWS = [
    Row("hostname", "lb1", "hostname wrong", "hostname warning lb1", ("wrong",)),
    Row("no inodes", "lb1", "mount -t tmpfs -o nr_inodes=9 none /boot", "inodes error lb1", ("/boot", "of 9")),
    Row("masked", "lb1", "systemctl mask -q keepalived.service", "masked warning lb1", ("keepalived.service",)),
    Row("failed unit", "lb1", FAILED, "failed-unit warning lb1", ("sick.service",)),
    Row("peer", "lb1", "ip route add unreachable 10.77.0.12", "unreachable-peer error lb1", ("lb2 at 10.77.0.12",)),
    Row("half-configured", "lb2", BROKEN_PACKAGE, "dpkg error lb2", ("broken", "dpkg --configure -a")),
    Row("no network for apt", "lb2", NO_PROXY, "source error lb2", ("bookworm/InRelease", "can't be installed")),
    Row("locked", "lb2", LOCK, "apt-lock warning lb2", ("lock-frontend", "python3")),
    Row("cloned", "lb2", CLONE, "same-id error lb2,other", ("0123456789abcdef",)),
    Row("cloned, too", "other", CLONE, "same-id error lb2,other", ("cloned",)),
    Row("foreign router", "other", FOREIGN_ROUTER, "foreign-router error lb1,lb2", ("other 10.77.0.31", "id 51")),
    Row("full /var", "other", FULL, "space error other", ("/var has 0 MiB",)),
    Row(
        "read-only",
        "other",
        "mount --bind /usr /usr && mount -o remount,bind,ro /usr",
        "readonly error other",
        ("/usr",),
    ),
    Row(
        "address on a host",
        "other",
        "ip addr add 10.77.0.100/24 dev eth0",
        "address-taken error lb1,lb2,other",
        ("other",),
    ),
    Row(
        "address on a stranger",
        "",
        "ip addr add 10.77.0.101/24 dev br0",
        "address-taken error lb1,lb2",
        ("10.77.0.101",),
    ),
    Row("IPv6 stranger", "", "ip addr add fd77::100/64 dev br0 nodad", "address-taken error lb1,lb2", ("fd77::100",)),
]


def doctor(lab: LabHandle, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = lab.hakit("doctor", "--json", *arguments)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def troubles(data: dict[str, Any]) -> list[str]:
    return [f"{one['kind']} {','.join(one['hosts'])}: {one['what']}" for one in data["troubles"]]


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    handle = lab_factory(INVENTORY)
    for place, host in enumerate(("lb1", "lb2", "other", "gone"), 1):
        handle.lab.exec(host, ["ip", "addr", "add", f"fd77::{place}/64", "dev", "eth0", "nodad"], check=True)
    return handle


@pytest.fixture(scope="module")
def well(lab: LabHandle) -> tuple[int, dict[str, Any], str, float]:
    """Exit code, findings and what was written on the host, of hosts that nobody has touched."""
    lab.lab.exec("lb1", ["touch", "/run/before"], check=True)
    began = time.monotonic()
    code, data = doctor(lab)
    seconds = time.monotonic() - began
    look = "find /etc /usr /var /boot /root /home -xdev -newer /run/before ! -type d"
    written = lab.lab.exec("lb1", ["sh", "-c", look], capture_output=True, check=True).stdout
    return code, data, written, seconds


@pytest.fixture(scope="module")
def sick(lab: LabHandle, well: object) -> tuple[int, dict[str, Any], float]:
    """Exit code, findings and seconds, of hosts that are broken in every way at once."""
    del well
    for row in ROWS:
        words = ["sh", "-c", row.script]
        done = (
            lab.lab.exec(row.host, words, capture_output=True, check=False)
            if row.host
            else lab.lab.run(words, capture_output=True, text=True, check=False)
        )
        assert done.returncode == 0, (row.name, done.stdout, done.stderr)
    lab.lab.power("gone", "off")
    began = time.monotonic()
    code, data = doctor(lab)
    return code, data, time.monotonic() - began


def test_hosts_that_are_well_are_told_so_before_the_first_apply(well: tuple[int, dict[str, Any], str, float]) -> None:
    code, data, _, seconds = well
    assert troubles(data) == []
    assert code == 0
    assert all(host["examined"] for host in data["hosts"].values())
    assert seconds < 40


def test_nothing_is_changed(well: tuple[int, dict[str, Any], str, float]) -> None:
    ours = (
        "/var/lib/hakit/",
        "/var/cache/apt/pkgcache.bin",
        "/var/cache/apt/srcpkgcache.bin",
        "/var/log/",
        "/var/lib/systemd/",
    )
    assert [path for path in well[2].splitlines() if not path.startswith(ours)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_broken_is_found(sick: tuple[int, dict[str, Any], float], row: Row) -> None:
    assert len([one for one in sick[1]["troubles"] if row.is_told(one)]) == 1, troubles(sick[1])


def test_nothing_else_is_found(sick: tuple[int, dict[str, Any], float]) -> None:
    found = {short(one) for one in sick[1]["troubles"]}
    # lb1 has no route to lb2, so lb2 gets no answers either.
    extra = {"unusable error gone", "unreachable-peer warning lb2"}
    assert found - {row.trouble for row in ROWS} == extra, troubles(sick[1])


def test_a_host_that_is_off_holds_nobody_up(sick: tuple[int, dict[str, Any], float]) -> None:
    code, data, seconds = sick
    assert code == 1
    assert [name for name, host in data["hosts"].items() if not host["examined"]] == ["gone"]
    assert seconds < 60


def test_the_screen_groups_explains_and_says_what_to_do_next(lab: LabHandle, sick: object) -> None:
    del sick
    done = lab.hakit("doctor", "--limit", "lb2,other")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("lb2, other  error"))
    assert lines[place + 1].startswith("    they were cloned")
    assert any(line.startswith("    → rm /etc/machine-id") for line in lines[place + 2 : place + 4])
    assert "2 hosts examined" in lines[-2]
    assert lines[-1].startswith("Mend that, then run  hakit doctor -i ")
