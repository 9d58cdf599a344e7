"""Hosts that stop in the middle: noticed in bounded time, the others go on, and what thaws works for nobody."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hakit.lab.cgroup import cgroup_root
from tests.lab.faults.slow import BEGAN, MADE, SECONDS, agents, begun, script, slow
from tests.lab.faults.stage import AGENT, CONF, ONE, TWO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.faults.stage import Stage

LOOKS = f"touch {BEGAN}; sleep {SECONDS}; test -e {MADE}"
ALL_BUT_SSHD = (
    "for pid in $(ps -eo pid=,comm= | awk '$1 > 1 && $2 !~ /sshd/ {print $1}'); do "
    "test $pid = $$ || kill -%s $pid 2>/dev/null; done; true"
)
"""A host whose kernel and sshd answer, and nothing else: what a dead disk or no memory looks like from outside."""


def slow_to_look(system: dict[str, Any]) -> None:
    system["commands"]["slow"] = {"run": ["/bin/sh", "-c", script()], "unless": ["/bin/sh", "-c", LOOKS]}


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    """Every process of `one` stands still; the kernel still takes packets for them."""
    lab = stage.lab.lab
    (group,) = (path for path in cgroup_root().glob(f"{lab.namespace}/{ONE}") if path.is_dir())
    freeze: Path = group / "cgroup.freeze"
    freeze.write_text("1")
    stage.lab.eventually(lambda: "frozen 1" in (group / "cgroup.events").read_text(), "the host stands still")
    try:
        yield
    finally:
        freeze.write_text("0")


@contextmanager
def stopped(stage: Stage, script: str) -> Iterator[None]:
    """Some processes of `one` stand still."""
    stage.sh(script % "STOP")
    try:
        yield
    finally:
        stage.sh(script % "CONT")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_host_that_stands_still_is_noticed_and_the_others_are_done(due: Stage, command: str) -> None:
    if command == "plan":
        due.declare(slow_to_look, turn=False)
    with due.running(command, *(["--yes"] if command == "apply" else [])) as process:
        due.lab.eventually(lambda: begun(due), "the slow step begins")
        with frozen(due):
            began = time.monotonic()
            said, _ = process.communicate(timeout=60)
            took = time.monotonic() - began
    assert process.returncode == 1, said
    assert took < 30, said
    assert re.search(r"one\b.*the connection was lost", said), said
    assert re.search(r"two +changed" if command == "apply" else rf"two\b.*{CONF}", said, re.DOTALL), said
    due.lab.eventually(lambda: agents(due) == 0, "the agent that thawed has ended")
    due.declare(slow, turn=False)


@pytest.mark.parametrize("script", [f"pkill -%s -f '{AGENT}'", ALL_BUT_SSHD], ids=["agent", "all-but-sshd"])
def test_a_host_that_hangs_behind_its_sshd_is_noticed(due: Stage, script: str) -> None:
    """And whoever comes next is told; what goes on after all finds nobody to work for."""
    with due.running("apply", "--yes") as process:
        due.lab.eventually(lambda: begun(due), "the slow step begins")
        with stopped(due, script):
            began = time.monotonic()
            said, _ = process.communicate(timeout=90)
            took = time.monotonic() - began
            assert process.returncode == 1, said
            assert 20 < took < 50, said
            assert re.search(r"one +failed.*hangs: nothing was heard from its agent for 30 s", said), said
            assert re.search(r"two +changed", said), said
            if script != ALL_BUT_SSHD:
                second = due.hakit("apply", "--yes", "--limit", ONE)
                told = second.stdout + second.stderr
                assert second.returncode == 1, told
                assert "a run that is gone has left its agent at work" in told, told
                assert re.search(r"kill -KILL \d+", told), told
    due.lab.eventually(lambda: agents(due) == 0, "the agent that goes on has ended")
    assert due.sh(f"cat {CONF}") in {f"token={due.turn}\n", f"token={due.turn - 1}\n"}


def test_a_host_that_hangs_before_the_plan_is_noticed(due: Stage) -> None:
    """Its sshd lets us in and starts what we ask for, which stops in its first words."""
    due.declare(slow_to_look, turn=False)
    with due.running("plan") as process:
        due.lab.eventually(lambda: begun(due), "the plan is asked for")
        with stopped(due, f"pkill -%s -f '{AGENT}'"):
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert re.search(r"one +✗ hangs: nothing was heard from its agent for 30 s, though its sshd answers", said), said
    assert "dmesg" in said, said
    assert CONF in said, said  # the plan of the other one
    due.declare(slow, turn=False)
    due.lab.eventually(lambda: agents(due) == 0, "no agent is left")


def test_an_agent_that_is_busy_for_long_is_left_alone(due: Stage) -> None:
    """A step of more than the 30 s after which silence counts as a hang."""
    began = time.monotonic()
    due.declare(
        lambda system: system["commands"].update(
            slow={"run": ["/bin/sh", "-c", f"sleep 34; touch {MADE}"], "creates": MADE}
        ),
        turn=False,
    )
    assert due.state() == {ONE: "changed", TWO: "changed"}
    assert time.monotonic() - began > 34
    due.declare(slow, turn=False)
