"""The balancers of inventories/lab-vm: VRRP on bonds, whose cables are pulled and whose network is changed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
"""Emulated machines on a busy computer boot in minutes."""

INVENTORY = Path(__file__).parents[3] / "inventories" / "lab-vm"
BALANCERS = ("lb1", "lb2")
ADDRESSES = {"10.77.0.100": "lb1", "10.77.0.101": "lb2"}
"""Each address and the host that prefers it."""
RTO = 3.0
"""Seconds: what the inventory promises for each address."""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    handle = lab_factory(INVENTORY)
    done = handle.hakit("apply", "--yes", "--confirm-timeout", "300", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_one_in_transit_at_a_time(done.stderr)
    return handle


def assert_one_in_transit_at_a_time(output: str) -> None:
    told = [
        line.split()[:3]
        for line in output.splitlines()
        if line.split()[1:3] in (["network", "changed;"], ["network", "confirmed"])
    ]
    assert len(told) == 2 * len(BALANCERS), output
    for begun, ended in zip(told[::2], told[1::2], strict=True):
        assert (begun[0], begun[2], ended[2]) == (ended[0], "changed;", "confirmed"), output


def cursor(lab: LabHandle, host: str) -> str:
    """Where keepalived's journal ends now."""
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


def moved(lab: LabHandle, host: str, nic: str) -> bool:
    """Whether another member carries the bond."""
    return active(lab, host) not in ("", nic)


def up(lab: LabHandle, host: str, nic: str) -> bool:
    """Whether a member is in use again."""
    return lab.lab.exec(host, ["cat", f"/sys/class/net/{nic}/bonding_slave/mii_status"]).stdout.strip() == "up"


def test_the_pair_is_as_declared_and_verified(lab: LabHandle) -> None:
    again = lab.hakit("apply", "--yes", timeout=600)
    assert "0 hosts changed, 4 unchanged" in again.stdout, again.stdout + again.stderr
    verified = lab.hakit("verify", timeout=900)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(("address", "host"), ADDRESSES.items())
def test_vrrp_does_not_notice_a_pulled_cable(lab: LabHandle, address: str, host: str) -> None:
    before = {name: cursor(lab, name) for name in BALANCERS}
    with lab.prober(address) as prober:
        for _ in range(2):
            nic = active(lab, host)
            lab.lab.link(host, nic, up=False)
            lab.eventually(partial(moved, lab, host, nic), "the other member carries the bond", 60)
            prober.run_for(3.0)
            lab.lab.link(host, nic, up=True)
            lab.eventually(partial(up, lab, host, nic), "the member is up again", 60)
        seen = prober.stop()
    assert seen.ended_well
    assert seen.longest_gap < 1.0, seen.longest_gap
    assert {name: transitions(lab, name, since) for name, since in before.items()} == {"lb1": [], "lb2": []}


def test_the_network_of_both_is_changed_while_clients_are_answered(lab: LabHandle) -> None:
    path = lab.inventory / "group_vars" / "balancers.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("gateway: 10.77.0.1}", "gateway: 10.77.0.1, mtu: 9000}"), encoding="utf-8")
    with lab.prober("10.77.0.100") as web, lab.prober("10.77.0.101") as api:
        done = lab.hakit("apply", "--yes", "--confirm-timeout", "300", timeout=1800)
        seen = web.stop(), api.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert_one_in_transit_at_a_time(done.stderr)
    for one in seen:
        assert one.ended_well
        assert one.longest_gap < RTO, one.longest_gap
    for host in BALANCERS:
        links = json.loads(lab.lab.exec(host, ["ip", "-json", "link"]).stdout)
        assert {link["ifname"]: link["mtu"] for link in links if link["ifname"] != "lo"} == dict.fromkeys(
            ("eth0", "eth1", "bond0"), 9000
        )
    assert "0 hosts changed" in lab.hakit("apply", "--yes", timeout=600).stdout
