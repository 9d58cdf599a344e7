"""VRRP on bonds and on VLANs of them: it does not notice a pulled cable, and a changed network takes nothing down.

keepalived alone, and pings: haproxy and a client that asks 50 times a second are too much for emulated processors.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.lab.qemu.pinging import INTERVAL
from tests.lab.qemu.pulling import AFTER, BEFORE, LOST, Ping, goes_on, member, pulled
from tests.lab.qemu.transits import assert_one_in_transit_at_a_time

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
"""Emulated machines on a busy computer boot in minutes."""

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: qemu, network: 10.79.0.0/24}
      services:
        web: {address: 10.79.0.100, survives: any-host, rto: 3s}
  children:
    balancers:
      vars:
        hakit:
          nics: {eth1: null}
          bonding:
            bonds: {bond0: {mode: active-backup, members: [eth0, eth1], gateway: 10.79.0.1}}
          keepalived:
            startup_delay: 5s
            instances:
              # An emulated processor may rest for longer than the 0.3 s after which adverts are missed by default.
              web:
                interface: bond0
                virtual_router_id: 51
                addresses: [10.79.0.100/24]
                prefer: lb1
                advert_interval: 500ms
              api:
                interface: bond0.20
                virtual_router_id: 52
                addresses: [10.81.0.100/24]
                prefer: lb2
                unicast: false
                advert_interval: 500ms
      hosts:
        lb1:
          ansible_host: 10.79.0.11
          hakit:
            bonding: {bonds: {bond0: {addresses: [10.79.0.11/24]}}, vlans: {bond0.20: {addresses: [10.81.0.11/24]}}}
            keepalived: {instances: {api: {source: 10.81.0.11}}}
        lb2:
          ansible_host: 10.79.0.12
          hakit:
            bonding: {bonds: {bond0: {addresses: [10.79.0.12/24]}}, vlans: {bond0.20: {addresses: [10.81.0.12/24]}}}
            keepalived: {instances: {api: {source: 10.81.0.12}}}
"""
BALANCERS = ("lb1", "lb2")
WEB = "10.79.0.100"
HOLDERS = {WEB: "lb1", "10.81.0.100": "lb2"}
"""Each address and the host that prefers it."""
RTO = 3.0
"""Seconds: what the inventory promises."""
PATIENCE = 120.0
"""Seconds until each address is where it belongs."""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    handle = lab_factory(INVENTORY)
    done = handle.hakit("apply", "--yes", "--confirm-timeout", "300", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_one_in_transit_at_a_time(done.stderr, BALANCERS)
    return handle


def holders(lab: LabHandle, address: str) -> list[str]:
    """The hosts that have an address."""
    return [host for host in BALANCERS if f" {address}/" in lab.lab.exec(host, ["ip", "-oneline", "address"]).stdout]


def await_home(lab: LabHandle) -> None:
    """Each address is where it belongs."""
    for address, host in HOLDERS.items():
        lab.eventually(
            lambda address=address, host=host: holders(lab, address) == [host],  # type: ignore[misc]
            f"{address} is at {host} alone",
            PATIENCE,
        )


def cursor(lab: LabHandle, host: str) -> str:
    """Where the journal ends now."""
    done = lab.lab.exec(host, ["journalctl", "-n1", "-o", "json"], check=True)
    return str(json.loads(done.stdout)["__CURSOR"])


def transitions(lab: LabHandle, host: str, since: str) -> list[str]:
    """What keepalived says of states since then."""
    argv = ["journalctl", "-u", "keepalived", "-o", "cat", f"--after-cursor={since}"]
    done = lab.lab.exec(host, argv, check=True)
    return [line for line in done.stdout.splitlines() if "STATE" in line]


def active(lab: LabHandle, host: str) -> str:
    """The member that carries the bond now."""
    argv = ["cat", "/sys/class/net/bond0/bonding/active_slave"]
    return lab.lab.exec(host, argv, check=True).stdout.strip()


@pytest.mark.parametrize("host", BALANCERS)
def test_vrrp_does_not_notice_a_pulled_cable(lab: LabHandle, host: str) -> None:
    await_home(lab)
    before = {name: cursor(lab, name) for name in BALANCERS}
    carried = []
    for _ in range(2):
        ping = Ping(lab, WEB)
        goes_on(lab, ping, BEFORE)
        nic = active(lab, host)
        carried.append(nic)
        with pulled(lab, host, nic):
            member(lab, host, nic, "down")
            goes_on(lab, ping, AFTER)
            assert active(lab, host) not in ("", nic)
        member(lab, host, nic, "up")
        goes_on(lab, ping, AFTER)
        lost = ping.lost()
        print(f"{host}, {nic}: lost {lost}")  # noqa: T201 - a measurement
        assert len(lost) <= LOST, lost
    assert sorted(carried) == ["eth0", "eth1"]
    assert {name: transitions(lab, name, since) for name, since in before.items()} == {"lb1": [], "lb2": []}


def test_the_network_of_both_is_changed_while_clients_are_answered(lab: LabHandle) -> None:
    await_home(lab)
    path = lab.inventory / "hosts.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("gateway: 10.79.0.1}", "gateway: 10.79.0.1, mtu: 9000}"), encoding="utf-8")
    ping = Ping(lab, WEB)
    goes_on(lab, ping, BEFORE)
    done = lab.hakit("apply", "--yes", "--confirm-timeout", "300", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_one_in_transit_at_a_time(done.stderr, BALANCERS)
    await_home(lab)
    goes_on(lab, ping, AFTER)
    answered = ping.answered()
    pause = INTERVAL * max(after - earlier for earlier, after in pairwise(answered))
    print(f"the longest pause: {pause:.1f} s")  # noqa: T201 - a measurement
    assert pause < RTO
    for host in BALANCERS:
        links = json.loads(lab.lab.exec(host, ["ip", "-json", "link"], check=True).stdout)
        assert {link["ifname"]: link["mtu"] for link in links if link["ifname"] != "lo"} == dict.fromkeys(
            ("eth0", "eth1", "bond0", "bond0.20"), 9000
        )
    again = lab.hakit("apply", "--yes", timeout=600)
    assert "0 hosts changed, 2 unchanged" in again.stdout, again.stdout + again.stderr
