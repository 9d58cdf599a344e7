from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.lab import state
from hakit.lab.drivers import driver
from hakit.lab.plan import HostPlan, Nic
from hakit.lab.requirements import DRIVERS
from hakit.lab.state import Place

if TYPE_CHECKING:
    from pathlib import Path

HOST = HostPlan("db1", "10.77.0.31", "root", 22, (Nic("eth0", "10.77.0.31/24"), Nic("eth1", None)), 12)


@pytest.fixture(params=DRIVERS)
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    monkeypatch.setattr(state, "NAMESPACES", tmp_path / "netns")
    name: str = request.param
    return name


def test_a_host_that_is_not_there_is_off(made: str) -> None:
    machine = driver(made).machine(Place("0123abcd"), HOST)
    assert not machine.exists
    assert not machine.running
    assert not machine.started
    assert machine.console_tail() == ""
    assert "db1 is not running" in machine.off().message


def test_the_end_of_a_console_is_shown_without_its_colours(made: str) -> None:
    machine = driver(made).machine(Place("0123abcd"), HOST)
    machine.folder.mkdir(parents=True)
    lines = [f"line {number}" for number in range(20)]
    machine.console.write_text("\n".join([*lines, "\x1b[K[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh\x1b[0m.\n"]))
    assert machine.console_tail(3) == "line 18\n  line 19\n  [  OK  ] Started ssh."


def test_a_pulled_cable_is_remembered_while_the_host_is_off(made: str) -> None:
    machine = driver(made).machine(Place("0123abcd"), HOST)
    (machine.folder / "unplugged").mkdir(parents=True)
    machine.plug("eth1", up=False)
    assert machine.unplugged("eth1").exists()
    assert not machine.unplugged("eth0").exists()
    machine.plug("eth1", up=True)
    machine.plug("eth1", up=True)
    assert not machine.unplugged("eth1").exists()


def test_every_driver_of_the_inventory_is_there() -> None:
    from hakit.inventory.core import Lab  # noqa: PLC0415 - only here

    allowed = Lab.model_json_schema()["properties"]["driver"]["enum"]
    assert sorted(allowed) == sorted(DRIVERS)
    with pytest.raises(KeyError):
        driver("docker")
