"""A masked unit that shall run: unmasked where something is or will be beneath the mask, else refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.resources.command import Command
from hakit.agent.resources.unit import Unit
from tests.unit.agent.agent_support import Agents, files, one

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource

MASKED = """#!/bin/sh
echo LoadState=masked; echo ActiveState=inactive; echo UnitFileState=masked; echo Type=oneshot
"""
UNMASK = ("unmask", "enable", "start")
FILE = files(one("/etc/x.conf", "x\n"), label="x")
COMMAND = Command(label="fetch", argv=("true",), creates="/nowhere/x", component="test")
UNIT_FILE = files(one("/run/systemd/system/x.service", "[Service]\n"), label="unit")


@pytest.fixture
def host(agents: Agents) -> Agents:
    program = agents.root / "bin/systemctl"
    program.write_text(MASKED)
    program.chmod(0o755)
    return agents


def unit(*before: Resource, name: str = "x.service") -> Unit:
    return Unit(unit=name, component="test", after=tuple(one.key for one in before))


def test_what_is_beneath_the_mask_is_unmasked(host: Agents) -> None:
    host.write("/usr/lib/systemd/system/x.service", "[Service]\n")
    (item,) = host.plan(unit())
    assert (item.status, item.summary, item.after) == ("change", UNMASK, None)


def test_the_template_of_an_instance_is_beneath_its_mask(host: Agents) -> None:
    host.write("/usr/lib/systemd/system/x@.service", "[Service]\n")
    (item,) = host.plan(unit(name="x@1.service"))
    assert (item.status, item.summary) == ("change", UNMASK)


def test_a_declared_file_is_beneath_the_mask(host: Agents) -> None:
    item = host.plan(UNIT_FILE, unit(UNIT_FILE))[-1]
    assert (item.status, item.summary) == ("change", UNMASK)


def test_what_is_to_come_may_be_beneath_the_mask(host: Agents) -> None:
    item = host.plan(COMMAND, unit(COMMAND))[-1]
    assert (item.status, item.summary, item.after) == ("unknown", UNMASK, "known after command:fetch")


@pytest.mark.parametrize("before", [(), (FILE,)], ids=["nothing to come", "a file to come that is no unit's"])
def test_a_mask_over_nothing_is_refused(host: Agents, before: tuple[Resource, ...]) -> None:
    item = host.plan(*before, unit(*before))[-1]
    assert item.status == "refused"
    assert item.error is not None
    assert "systemctl unmask x.service" in item.error.message


def test_a_unit_that_needs_not_run_may_be_masked(host: Agents) -> None:
    (item,) = host.plan(Unit(unit="x.service", enabled=False, running=False, component="test"))
    assert item.status == "same"
