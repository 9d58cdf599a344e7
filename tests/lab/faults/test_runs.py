"""Runs that are cut short, or meet another one: what is said, and that the next apply completes everything."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.faults.slow import MADE, agents, begun, slow
from tests.lab.faults.stage import AGENT, CONF, ONE, TWO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.faults.stage import Stage


@contextmanager
def in_the_middle(stage: Stage, *arguments: str, **popen: Any) -> Iterator[subprocess.Popen[str]]:
    """An apply whose slow step has begun on `one`."""
    with stage.running("apply", "--yes", *arguments, **popen) as process:
        stage.lab.eventually(lambda: begun(stage) or process.poll() is not None, "the slow step begins")
        assert process.poll() is None, process.communicate()
        yield process


def end(process: subprocess.Popen[str], timeout: float = 30.0) -> str:
    """What it said until its end; never a traceback."""
    said, _ = process.communicate(timeout=timeout)
    assert "Traceback" not in said
    return said


def until(process: subprocess.Popen[str], text: str) -> str:
    """What it says up to a text."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    pytest.fail(said)


def test_a_second_operator_is_told_who_works_and_changes_nothing(due: Stage) -> None:
    due.declare(lambda system: slow(system, 6), turn=False)
    with in_the_middle(due) as first:
        second = due.hakit("apply", "--yes", "--limit", ONE)
        assert second.returncode == 1, second.stdout
        said = second.stdout + second.stderr
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        since = r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
        assert re.search(rf"another run works on this host: {user}@\S+ \(pid {first.pid}\) {since} \(run 20", said), (
            said
        )
        end(first)
        assert first.returncode == 0


def test_a_plan_does_not_wait_for_a_run_and_disturbs_none(due: Stage) -> None:
    due.declare(lambda system: slow(system, 6), turn=False)
    with in_the_middle(due) as first:
        plan = due.hakit("plan", "--limit", ONE)
        assert plan.returncode == 0, plan.stdout + plan.stderr
        assert "command slow" in plan.stdout
        end(first)
        assert first.returncode == 0


def test_the_lock_of_a_dead_run_is_taken_over_with_a_message(due: Stage) -> None:
    """The agent is killed, so that it can't give its lock back."""
    with in_the_middle(due) as first:
        due.sh(f"pkill -KILL -f '{AGENT}'")
        said = end(first)
    assert first.returncode == 1
    assert re.search(r"one +failed.*the agent is gone", said), said
    assert re.search(r"two +changed", said), said
    second = due.hakit("apply", "--yes")
    assert second.returncode == 0
    assert re.search(rf"one +took over the lock of a run that is dead: \S+ \(pid {first.pid}\)", second.stderr)


def test_when_the_controller_is_killed_the_agent_finishes_its_step_and_ends(due: Stage) -> None:
    with in_the_middle(due) as first:
        first.kill()
        first.wait()
        due.lab.eventually(lambda: agents(due) == 0, "no agent is left")
    assert due.sh(f"ls {MADE}") == f"{MADE}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_one_signal_ends_the_batches_that_run_and_says_what_is_left(due: Stage, number: signal.Signals) -> None:
    with in_the_middle(due, "--forks", "1") as first:
        first.send_signal(number)
        said = end(first)
    assert first.returncode == 130, said
    assert re.search(r"one +interrupted: finishing what has begun", said), said
    assert re.search(r"one +changed", said), said
    assert re.search(r"two +not started.*interrupted", said), said
    assert re.search(r"Stopped: 1 host changed, .*1 not started", said), said
    assert due.sh(f"cat {CONF}") == f"token={due.turn}\n"
    assert not begun(due, TWO)


def test_a_second_ctrl_c_stops_now(due: Stage) -> None:
    due.declare(lambda system: slow(system, 20), turn=False)
    with in_the_middle(due, "--forks", "1") as first:
        first.send_signal(signal.SIGINT)
        told = until(first, "interrupted: finishing what has begun")
        began = time.monotonic()
        first.send_signal(signal.SIGINT)
        said = told + end(first)
        took = time.monotonic() - began
    assert first.returncode == 130, said
    assert took < 3, said
    assert re.search(r"one +failed.*stopped in the middle; the next apply completes it", said), said
    due.sh("pkill -f '[s]leep 20'; true")
    due.declare(slow, turn=False)
    due.lab.eventually(lambda: agents(due) == 0, "no agent is left")


def test_a_host_that_is_not_reached_is_listed_in_the_end_and_the_others_are_done(due: Stage) -> None:
    due.lab.lab.link(ONE, None, up=False)
    try:
        done = due.hakit("apply", "--yes")
    finally:
        due.lab.lab.link(ONE, None, up=True)
    said = done.stdout
    assert done.returncode == 1, said
    end_of_it = said[said.rindex("one ") :]
    assert re.search(r"one +unreachable +one: .*no answer within", end_of_it), said
    assert re.search(r"1 unreachable", end_of_it), said
    assert re.search(r"two +changed", said), said


def test_a_connection_that_is_lost_in_the_middle_is_noticed_and_the_others_are_done(due: Stage) -> None:
    due.declare(lambda system: slow(system, 20), turn=False)
    with in_the_middle(due, "--limit", ONE) as first:
        due.lab.lab.link(ONE, None, up=False)
        try:
            began = time.monotonic()
            said = end(first, 60)
            took = time.monotonic() - began
        finally:
            due.lab.lab.link(ONE, None, up=True)
    assert first.returncode == 1, said
    assert took < 20, said
    assert re.search(r"one +failed.*connection", said), said
    due.sh("pkill -f '[s]leep 20'; true")
    due.declare(slow, turn=False)
    due.lab.eventually(lambda: agents(due) == 0, "no agent is left", 60)


def test_what_changed_since_the_plan_was_shown_is_not_overwritten(due: Stage) -> None:
    ours, theirs = pty.openpty()
    with due.running("apply", stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = _read_until(ours, "[y/N]")
        due.sh(f"echo 'token=by hand' > {CONF}")
        os.write(ours, b"y\n")
        said += _read_until(ours, "")
        process.wait(30)
    assert process.returncode == 1, said
    assert re.search(r"one.*changed\s+since", said, re.DOTALL), said
    assert due.sh(f"cat {CONF}") == "token=by hand\n"


def _read_until(terminal: int, text: str) -> str:
    """What is shown until `text` is; with no text until the end."""
    seen = ""
    while not text or text not in seen:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data.decode(errors="replace")
    return seen
