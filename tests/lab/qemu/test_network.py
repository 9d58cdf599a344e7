"""Networks of whole machines, changed over the very NIC that carries SSH."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.qemu.test_qemu import addresses, boot_id

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = pytest.mark.timeout(1800)
"""Emulated machines on a busy computer boot in minutes."""

PLAIN = """
all:
  vars:
    hakit:
      lab: {driver: qemu, network: 10.79.0.0/24}
  hosts:
    one: {ansible_host: 10.79.0.11, hakit: {nics: {eth1: null}}}
    two: {ansible_host: 10.79.0.12, hakit: {nics: {eth1: null}}}
"""
HOSTS = {"one": ("10.79.0.11", "systemd-networkd"), "two": ("10.79.0.12", "ifupdown")}
PATIENCE = ("--confirm-timeout", "300")
"""Seconds: an emulated machine on a busy computer takes a minute and a half to move to another manager."""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return lab_factory(PLAIN)


def declare(handle: LabHandle, gateway: str = "10.79.0.1") -> None:
    """Declare a bond over both NICs of each host, each by a manager of its own."""
    bonding = {
        name: {
            "manager": manager,
            "bonds": {
                "bond0": {
                    "mode": "active-backup",
                    "members": ["eth0", "eth1"],
                    "addresses": [f"{address}/24"],
                    "gateway": gateway,
                }
            },
        }
        for name, (address, manager) in HOSTS.items()
    }
    hosts = {
        name: {"ansible_host": address, "hakit": {"nics": {"eth1": None}, "bonding": bonding[name]}}
        for name, (address, _) in HOSTS.items()
    }
    site = {"all": {"vars": {"hakit": {"lab": {"driver": "qemu", "network": "10.79.0.0/24"}}}, "hosts": hosts}}
    # JSON is YAML.
    (handle.inventory / "hosts.yml").write_text(json.dumps(site), encoding="utf-8")


def gateway_of(handle: LabHandle, host: str) -> str:
    routes = json.loads(handle.lab.exec(host, ["ip", "-json", "route", "show", "default"]).stdout)
    return " ".join(one["gateway"] for one in routes)


def assert_bonded(handle: LabHandle, host: str) -> None:
    found = addresses(handle, host)
    assert found["bond0"] == [f"{HOSTS[host][0]}/24"]
    assert (found["eth0"], found["eth1"]) == ([], [])
    slaves = handle.lab.exec(host, ["cat", "/sys/class/net/bond0/bonding/slaves"]).stdout.split()
    assert sorted(slaves) == ["eth0", "eth1"]
    assert gateway_of(handle, host) == "10.79.0.1"


@pytest.mark.parametrize("host", HOSTS)
def test_a_bond_takes_over_the_nic_that_carries_ssh_and_outlives_a_pulled_plug(lab: LabHandle, host: str) -> None:
    declare(lab)
    done = lab.hakit("apply", "--yes", "--limit", host, *PATIENCE, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{host}  network confirmed over a new connection to {HOSTS[host][0]}" in done.stdout
    assert_bonded(lab, host)
    again = lab.hakit("apply", "--yes", "--limit", host, timeout=300)
    assert "0 hosts changed, 1 unchanged" in again.stdout, again.stdout + again.stderr
    before = boot_id(lab, host)
    lab.lab.power(host, "pull")
    lab.lab.power(host, "on")
    assert boot_id(lab, host) != before
    assert_bonded(lab, host)
    plan = lab.hakit("plan", "--limit", host, timeout=300)
    assert "nothing to do" in plan.stdout, plan.stdout + plan.stderr


@pytest.mark.parametrize("host", HOSTS)
def test_a_gateway_that_answers_nobody_is_given_up(lab: LabHandle, host: str) -> None:
    declare(lab, gateway="10.79.0.99")
    done = lab.hakit("apply", "--yes", "--limit", host, "--confirm-timeout", "60", timeout=900)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the old network is back" in done.stdout
    assert "10.79.0.99" in done.stdout
    assert "That is the host's own log" in done.stdout
    assert_bonded(lab, host)
    declare(lab)
    plan = lab.hakit("plan", "--limit", host, timeout=300)
    assert "nothing to do" in plan.stdout, plan.stdout + plan.stderr
