"""A unit that a batch started has to live for a while before the batch is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent import living
from hakit.agent.handlers import unit as unit_handler
from hakit.agent.resources.unit import Unit
from tests.unit.agent.agent_support import Agents, apply_with, files, one

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hakit.agent.answers import AgentEvent
    from hakit.agent.resources.base import Resource

# A systemd of units that are alike; what becomes of one after its start, at the second look at it, is in `fate`.
SYSTEMCTL = """#!/bin/sh
cd "${0%/*}/../fake"
verb=$1; shift
for word; do case $word in *.service) units="$units $word" ;; esac; done
for unit in $units; do
cd $unit
case $verb in
show)
    test -e started && echo x >> looks
    if test "$(cat looks 2>/dev/null | wc -l)" = 2; then
        case "$(cat fate)" in
        dies) echo failed > active ;;
        loops) echo again > invocation; echo 1 > restarts ;;
        loops-down) echo activating > active ;;
        bound) echo other > invocation ;;
        esac
    fi
    test "$first" && echo; first=no
    echo LoadState=loaded; echo UnitFileState=enabled; echo Result=success; echo RemainAfterExit=yes
    echo NeedDaemonReload=no; echo CanReload=yes
    echo "Type=$(cat type)"; echo "ActiveState=$(cat active)"; echo "InvocationID=$(cat invocation)"
    echo "NRestarts=$(cat restarts)"; echo "ActiveEnterTimestampMonotonic=$(cat since)" ;;
start|restart)
    touch started; echo active > active; echo new > invocation
    sed 's/ .*/0000/; s/[.]//' /proc/uptime > since ;;
reload) touch started ;;
esac
cd ..
done
"""


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long a unit has to live here."""
    monkeypatch.setattr(living, "LIVES", 0.8)
    monkeypatch.setattr(living, "LOOK", 0.02)
    monkeypatch.setattr(living, "SAID", 0.1)
    monkeypatch.setitem(unit_handler.SETTLE, "notify", 0.0)
    return living.LIVES


def systemd(agents: Agents, *fates: str, kind: str = "notify", active: str = "inactive") -> tuple[Unit, ...]:
    """A systemd with a unit for each fate."""
    program = agents.root / "bin/systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    units = []
    for number, fate in enumerate(fates):
        folder = agents.root / f"fake/d{number}.service"
        folder.mkdir(parents=True)
        start = {"fate": fate, "type": kind, "active": active, "invocation": "old", "restarts": "0", "since": "1000000"}
        for name, text in start.items():
            (folder / name).write_text(text + "\n")
        units.append(Unit(unit=f"d{number}.service", component="test"))
    return tuple(units)


def ends(events: Iterable[AgentEvent]) -> dict[str, str]:
    return {event.key: event.ev for event in events if event.ev in {"done", "failed", "skipped"}}


@pytest.mark.parametrize(
    ("fate", "end", "message"),
    [
        ("lives", "done", ""),
        ("dies", "failed", "d0.service died within 0.8 s after its start: it is failed now"),
        ("loops", "failed", "d0.service died within 0.8 s after its start, and systemd has started it again"),
        ("loops-down", "failed", "d0.service died within 0.8 s after its start: it is activating now"),
        ("bound", "done", ""),
    ],
)
@pytest.mark.usefixtures("patience")
def test_what_becomes_of_a_unit(agents: Agents, fate: str, end: str, message: str) -> None:
    done = agents.apply(*systemd(agents, fate))
    assert ends(done.events) == {"unit:d0.service": end}
    assert (done.result.changed, done.result.failed) == ((1, 0) if end == "done" else (0, 1))
    if message:
        assert done.error("unit:d0.service") == message


def test_all_are_waited_for_together_and_said(agents: Agents, patience: float) -> None:
    units = systemd(agents, "lives", "dies", "lives")
    began = time.monotonic()
    done = agents.apply(*units)
    assert patience < time.monotonic() - began < 3 * patience
    assert list(ends(done.events).values()) == ["done", "failed", "done"]
    (note,) = [event.text for event in done.events if event.ev == "note"]
    assert note.startswith("watching d0.service, d2.service for 1 s")


def test_what_stands_on_the_unit_goes_on_meanwhile(agents: Agents, patience: float) -> None:
    del patience
    (unit,) = systemd(agents, "dies")
    after = files(one("/etc/after", "x\n"), label="after").replace(after=(unit.key,))
    done = agents.apply(unit, after)
    assert list(ends(done.events).items()) == [("files:after", "done"), (unit.key, "failed")]


@pytest.mark.parametrize(("kind", "active"), [("oneshot", "inactive"), ("notify", "active")])
def test_nothing_is_waited_for_without_need(
    agents: Agents, monkeypatch: pytest.MonkeyPatch, kind: str, active: str
) -> None:
    """A oneshot does its work and ends; a unit that only reloads was there before."""
    monkeypatch.setattr(living, "LIVES", 1000.0)
    agents.write("/etc/d.conf", "old\n")
    (unit,) = systemd(agents, "lives", kind=kind, active=active)
    unit = unit.replace(reload_on=("/etc/d.conf",), after=("files:set",))
    done = agents.apply(files(one("/etc/d.conf", "new\n")), unit)
    assert done.item(unit.key).summary == (("reload (d.conf changed)",) if active == "active" else ("start",))
    assert done.result.failed == 0


def test_what_systemd_saw_live_before_is_not_waited_for_again(agents: Agents, patience: float) -> None:
    """A unit that was long active when the batch ended: only systemd's own clock counts."""
    del patience
    (unit,) = systemd(agents, "lives")
    program = agents.root / "bin/systemctl"
    program.write_text(SYSTEMCTL.replace("> since", "> /dev/null"))
    began = time.monotonic()
    assert agents.apply(unit).result.failed == 0
    assert time.monotonic() - began < 0.7


def test_a_later_batch_does_not_wait_for_an_earlier_one(agents: Agents, patience: float) -> None:
    (unit,) = systemd(agents, "lives")
    with agents.client() as client:
        assert apply_with(client, (unit,)).result.changed == 1
        began = time.monotonic()
        both: tuple[Resource, ...] = (unit, files(one("/etc/x", "x\n")))
        assert apply_with(client, both).result.changed == 1
        assert time.monotonic() - began < patience / 2


def test_a_start_that_failed_is_told_at_once(agents: Agents, patience: float) -> None:
    del patience
    (unit,) = systemd(agents, "lives")
    program: Path = agents.root / "bin/systemctl"
    program.write_text(SYSTEMCTL.replace("start|restart)", "start|restart) exit 1;;\nnever)"))
    done = agents.apply(unit)
    assert done.error(unit.key) == "d0.service: start failed"
    assert not [event for event in done.events if event.ev == "note"]


@pytest.mark.parametrize(
    ("stamp", "now", "left"),
    [("1000000", 1.5, 5.5), ("1000000", 100.0, 0.0), ("9000000", 1.0, 6.0), ("0", 1.0, 0.0), ("", 1.0, 0.0)],
)
def test_remaining(stamp: str, now: float, left: float) -> None:
    assert max(0.0, living.remaining({"ActiveEnterTimestampMonotonic": stamp}, now)) == left
