"""A site on its way from Debian 12 to 13: a balancer and a web server of each release serve together."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.conftest import DATABASE
from tests.lab.test_failover import ADDRESSES, FAULTS, hurry_home, strike

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import LabFactory, LabHandle
    from tests.lab.test_failover import Fault

INVENTORY = Path(__file__).parents[2] / "inventories" / "lab"
RELEASES = {"lb1": 12, "lb2": 13, "web1": 12, "web2": 13, "web3": 12}
ALWAYS = ("power pulled", "keepalived stopped")
"""The faults that are not left to the long tests."""
COMPLAINTS = re.compile(r"warn|deprecat|obsolete|unknown|insecure|unsafe|ignor|\bline \d+\)", re.IGNORECASE)
"""How Keepalived words what it dislikes of a configuration that it takes nonetheless."""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> LabHandle:
    """The lab's inventory with 13 on the second balancer and the second web server, applied once to empty hosts."""
    copied = tmp_path_factory.mktemp("mixed") / "inventory"
    source = Path(shutil.copytree(INVENTORY, copied, ignore=shutil.ignore_patterns(*DATABASE)))
    data = yaml.safe_load((source / "hosts.yml").read_text())
    for group in data["all"]["children"].values():
        for name, host in group["hosts"].items():
            host["hakit"]["release"] = RELEASES[name]
    (source / "hosts.yml").write_text(yaml.safe_dump(data, sort_keys=False))
    handle = lab_factory(source)
    hurry_home(handle)
    first = handle.hakit("apply", "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    return handle


def said(lab: LabHandle, host: str, *command: str) -> str:
    """What a command that has to succeed prints on a host."""
    done = lab.lab.exec(host, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("host", RELEASES)
def test_each_host_has_the_release_that_its_inventory_says(lab: LabHandle, host: str) -> None:
    assert f'VERSION_ID="{RELEASES[host]}"' in said(lab, host, "cat", "/etc/os-release")


def test_the_second_apply_changes_nothing(lab: LabHandle) -> None:
    done = lab.hakit("apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 hosts changed, 5 unchanged" in done.stdout


def test_the_site_verifies(lab: LabHandle) -> None:
    done = lab.hakit("verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_host_of_another_release_than_stated_is_refused(lab: LabHandle) -> None:
    hosts = lab.inventory / "hosts.yml"
    kept = hosts.read_text()
    hosts.write_text(kept.replace("release: 13", "release: 12"))
    done = lab.hakit("plan")
    hosts.write_text(kept)
    assert done.returncode == 1
    assert "lb2 runs Debian 13, the inventory says 12" in done.stdout + done.stderr


@pytest.mark.parametrize("host", ["lb1", "lb2"])
def test_each_daemon_takes_its_configuration_without_a_warning(lab: LabHandle, host: str) -> None:
    # haproxy(1): with -dW a warning is an error.
    said(lab, host, "haproxy", "-c", "-dW", "-f", "/etc/haproxy/haproxy.cfg")
    lines = said(lab, host, "journalctl", "-q", "-o", "cat", "-t", "Keepalived", "-t", "Keepalived_vrrp").splitlines()
    assert "Startup complete" in lines
    assert [line for line in lines if COMPLAINTS.search(line)] == []


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, id=one.name, marks=() if one.name in ALWAYS else pytest.mark.long) for one in FAULTS],
)
def test_either_release_takes_over_from_the_other(
    lab: LabHandle, fault: Fault, address: str, record_property: Callable[..., None]
) -> None:
    gap = strike(lab, fault, address)
    record_property("gap", round(gap, 3))
    assert gap <= fault.limit
