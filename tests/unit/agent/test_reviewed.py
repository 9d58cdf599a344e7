"""What a plan has shown is what an apply replaces."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hakit.agent.resources.command import Command
from hakit.agent.resources.files import Validator
from hakit.agent.wire import wire
from tests.unit.agent.agent_support import files, one

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.answers import AgentEvent
    from hakit.agent.resources.base import Resource
    from tests.unit.agent.agent_support import Agents

A = "/etc/a.conf"


def between(
    agents: Agents, resources: tuple[Resource, ...], meanwhile: Callable[[], object], remove: tuple[str, ...] = ()
) -> list[AgentEvent]:
    """The ends of an apply, when something happens after its plan."""
    events: list[AgentEvent] = []
    with agents.client() as client:
        items = client.plan(resources, None)
        meanwhile()
        client.apply([item.key for item in items if item.status in {"change", "unknown"}], remove, events.append)
    return [event for event in events if event.ev in {"done", "failed", "skipped"}]


@pytest.mark.parametrize("before", [None, "old\n"])
@pytest.mark.parametrize("meanwhile", ["by hand\n", None])
def test_a_file_that_changed_since_the_plan_is_left_alone(
    agents: Agents, before: str | None, meanwhile: str | None
) -> None:
    if before is not None:
        agents.write(A, before)

    def change() -> None:
        (agents.root / A[1:]).unlink(missing_ok=True)
        if meanwhile is not None:
            agents.write(A, meanwhile)

    (event,) = between(agents, (files(one(A, "new\n")),), change)
    if before == meanwhile:
        assert event.ev == "done"
        return
    assert event.ev == "failed"
    assert event.error is not None
    assert event.error.message == f"{A} has changed since the plan was made: look at it again with a new plan"
    assert event.error.path == A
    assert (agents.root / A[1:]).exists() == (meanwhile is not None)
    assert agents.apply(files(one(A, "new\n"))).result.changed == 1


def test_a_file_that_became_as_declared_is_fine(agents: Agents) -> None:
    agents.write(A, "old\n")
    (event,) = between(agents, (files(one(A, "new\n")),), lambda: agents.write(A, "new\n"))
    assert (event.ev, event.changed) == ("done", False)


def test_a_file_of_the_set_that_was_right_when_the_plan_was_made_counts_too(agents: Agents) -> None:
    agents.write(A, "old\n")
    agents.write("/etc/b.conf", "right\n")
    wanted = files(one(A, "new\n"), one("/etc/b.conf", "right\n"))
    (event,) = between(agents, (wanted,), lambda: agents.write("/etc/b.conf", "by hand\n"))
    assert event.error is not None
    assert event.error.path == "/etc/b.conf"
    assert (agents.read(A), agents.read("/etc/b.conf")) == ("old\n", "by hand\n")


def test_only_what_changed_fails(agents: Agents) -> None:
    agents.write(A, "old\n")
    both = (files(one(A, "new\n"), label="a"), files(one("/etc/b.conf", "new\n"), label="b"))
    events = between(agents, both, lambda: agents.write(A, "by hand\n"))
    assert [(event.key, event.ev) for event in events] == [("files:a", "failed"), ("files:b", "done")]


@pytest.mark.parametrize(("by_hand", "end"), [(False, "done"), (True, "failed")])
def test_what_this_run_itself_changes_needs_no_new_look(agents: Agents, by_hand: bool, end: str) -> None:
    """As a package does that brings a first configuration: nobody lost anything, unless they wrote it before."""
    script = f"echo default >> {agents.root}{A}; touch {agents.root}/flag"
    brings = Command(label="brings", argv=("sh", "-c", script), creates="/flag", component="t")
    wanted = files(one(A, "new\n")).replace(after=("command:brings",))
    events = between(agents, (brings, wanted), lambda: agents.write(A, "by hand\n") if by_hand else None)
    assert [(event.key, event.ev) for event in events] == [("command:brings", "done"), ("files:set", end)]
    assert agents.read(A) == ("by hand\ndefault\n" if by_hand else "new\n")


def test_a_file_that_changes_while_its_daemon_judges_is_left_alone(agents: Agents) -> None:
    agents.write(A, "old\n")
    # Judged once for the plan and once for the apply: the second time somebody writes.
    script = f'test -e {agents.root}/once && echo "by hand" > {agents.root}{A}; touch {agents.root}/once'
    judged = Validator(argv=("sh", "-c", f"{script}; exit 0"), path=A)
    (event,) = between(agents, (files(one(A, "new\n"), validate=(judged,)),), lambda: None)
    assert event.ev == "failed"
    assert agents.read(A) == "by hand\n"
    assert [path.name for path in (agents.root / "etc").iterdir() if path.name.startswith(".")] == []


def test_a_removal_is_of_what_was_shown(agents: Agents) -> None:
    agents.apply(files(one(A, "ours\n")))
    (event,) = between(agents, (), lambda: agents.write(A, "by hand\n"), ("files:set",))
    assert event.ev == "failed"
    assert agents.read(A) == "by hand\n"
    agents.apply()
    assert not (agents.root / A[1:]).exists()


def test_what_failed_is_held_to_the_same_plan_and_what_is_done_to_none(agents: Agents) -> None:
    agents.write(A, "old\n")
    with agents.client() as client:
        client.plan([files(one(A, "new\n"))], None)
        agents.write(A, "by hand\n")
        assert client.apply(["files:set"], [], lambda _: None).failed == 1
        assert client.apply(["files:set"], [], lambda _: None).failed == 1
        agents.write(A, "old\n")
        assert client.apply(["files:set"], [], lambda _: None).changed == 1
        client.plan([files(one(A, "new\n"))], None)
        assert client.apply(["files:set"], [], lambda _: None).changed == 0


def test_a_run_with_nothing_to_do_loads_nothing_for_it(agents: Agents) -> None:
    """What only changes need is not paid for by a plan and an apply that find everything in place."""
    agents.apply(files(one(A, "ours\n")))
    needless = {"acting", "living", "marks", "reviewed", "stale", "upgrading", "upkeep", "handlers.agreeing"}
    report = Command(label="report", argv=("true",), unless=("true",), component="t")
    declared = [wire(files(one(A, "ours\n"))), wire(report)]
    script = (
        "import sys; from hakit.agent.session import Channel, Session; import os;"
        f"session = Session({str(agents.root)!r}, Channel(os.pipe()[0], os.open('/dev/null', 1)));"
        f"session._hello({{'op': 'hello', 'run': 'r', 'who': 'w', 'lock': True}});"
        f"session._plan({{'op': 'plan', 'resources': {declared!r}}});"
        "session._apply({'op': 'apply', 'keys': ['files:set', 'command:report']});"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.removeprefix("hakit.agent.") for name in done.stdout.split()}
    assert "planning" in loaded
    assert loaded & needless == set()
