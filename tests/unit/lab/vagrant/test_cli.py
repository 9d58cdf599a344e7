"""`hakit lab --driver`, and `hakit lab plan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hakit.cli.lab import lab
from hakit.errors import LabError
from hakit.inventory import load
from hakit.lab import state
from hakit.lab.lab import Lab
from hakit.lab.qemu import accelerator
from hakit.lab.state import Place, Record, boot_id
from tests.unit.lab.vagrant.plans import INVENTORY

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

CONTAINERS = "all: {vars: {hakit: {lab: {network: 10.79.0.0/24}}}, hosts: {one: {ansible_host: 10.79.0.11}}}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    monkeypatch.setattr(accelerator, "choose", lambda *_: "tcg")
    made = tmp_path / "inventory"
    made.mkdir()
    (made / "hosts.yml").write_text(CONTAINERS)
    return made


def site(folder: Path) -> Site:
    return load(folder, {})


def brought_up(folder: Path, driver: str | None) -> None:
    made = Lab.of(site(folder), driver)
    place = Place(made.plan.id)
    place.folder.mkdir(parents=True)
    Record(made.plan, boot_id(), (0, 0), complete=True).write(place)


def test_a_driver_that_was_named_once_need_not_be_named_again(folder: Path) -> None:
    assert Lab.of(site(folder)).plan.driver == "nspawn"
    brought_up(folder, "vagrant")
    plan = Lab.of(site(folder)).plan
    assert (plan.driver, plan.chosen) == ("vagrant", True)
    assert Lab.of(site(folder), "qemu").plan.driver == "qemu", "what is named now counts"


def test_a_lab_of_the_inventorys_own_driver_follows_the_inventory(folder: Path) -> None:
    brought_up(folder, "nspawn")
    (folder / "hosts.yml").write_text(CONTAINERS.replace("{network", "{driver: qemu, network"))
    assert Lab.of(site(folder)).plan.driver == "qemu", "and `up` refuses it then"


def test_containers_have_no_hardware_of_their_own(folder: Path) -> None:
    (folder / "hosts.yml").write_text(INVENTORY)
    with pytest.raises(LabError, match="hardware"):
        Lab.of(site(folder), "nspawn")
    assert Lab.of(site(folder), "qemu").plan.hosts[0].disks


def test_the_plan_is_shown_and_given_to_programs(folder: Path) -> None:
    (folder / "hosts.yml").write_text(INVENTORY)
    shown = CliRunner().invoke(lab, ["plan", "-i", str(folder)], catch_exceptions=False).output.splitlines()
    disks = "disk data of 2048 MiB, disk spare of 64 MiB"
    assert shown == [
        f"one  10.79.0.11       Debian 12, eth0, eth1, eth2, 512 MiB of memory, {disks}",
        "two  10.79.0.12       Debian 13, eth0, 384 MiB of memory",
        f"Make them with  hakit lab up -i {folder}",
    ]
    value = json.loads(CliRunner().invoke(lab, ["plan", "--json", "-i", str(folder)], catch_exceptions=False).output)
    assert [host["name"] for host in value["hosts"]] == ["one", "two"]


def test_a_driver_of_the_command_line_is_the_commands(folder: Path) -> None:
    words = ["--driver", "vagrant", "plan", "-i", str(folder)]
    assert "MiB of memory" in CliRunner().invoke(lab, words, catch_exceptions=False).output
    assert "MiB of memory" not in CliRunner().invoke(lab, words[2:], catch_exceptions=False).output
    refused = CliRunner().invoke(lab, ["--driver", "docker", "plan", "-i", str(folder)])
    assert refused.exit_code == 2


def test_hosts_that_vagrant_cant_make_are_named(folder: Path) -> None:
    (folder / "hosts.yml").write_text(INVENTORY.replace("macs:", "lags: {trunk: [eth1, eth2]}\n          macs:"))
    with pytest.raises(LabError, match=r"one: .*LACP"):
        CliRunner().invoke(lab, ["plan", "--json", "-i", str(folder)], catch_exceptions=False)
