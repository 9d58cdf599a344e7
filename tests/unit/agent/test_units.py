"""What is to be done with a unit, and what its invocation has loaded: the rules alone, by data."""

from __future__ import annotations

from typing import Any

import pytest

from hakit.agent.handlers.unit import decide
from hakit.agent.loaded import RELOAD, RESTART, content, note_of
from hakit.agent.resources.unit import Unit

UP = {"ActiveState": "active", "UnitFileState": "enabled", "InvocationID": "1", "CanReload": "yes", "Type": "notify"}
DOWN = UP | {"ActiveState": "inactive", "InvocationID": ""}
MASKED = DOWN | {"LoadState": "masked", "UnitFileState": "masked"}
ONESHOT = DOWN | {"Type": "oneshot", "RemainAfterExit": "no", "Result": "success"}


@pytest.mark.parametrize(
    ("declared", "state", "reloads", "restarts", "actions"),
    [
        ({}, UP, (), (), []),
        ({}, DOWN, (), (), ["start"]),
        ({}, DOWN | {"ActiveState": "failed"}, (), (), ["start"]),
        ({}, DOWN | {"UnitFileState": "disabled"}, (), (), ["enable", "start"]),
        ({}, DOWN | {"UnitFileState": ""}, (), (), ["enable", "start"]),
        ({}, UP | {"UnitFileState": "static"}, (), (), []),
        ({}, UP, ("a.conf",), (), ["reload"]),
        ({}, UP, ("a.conf",), ("b.conf",), ["restart"]),
        ({}, UP | {"CanReload": "no"}, ("a.conf",), (), ["restart"]),
        ({}, DOWN, ("a.conf",), ("b.conf",), ["start"]),
        ({}, MASKED, (), (), ["unmask", "enable", "start"]),
        ({"running": None, "enabled": False}, MASKED, (), (), []),
        ({"running": False, "enabled": False}, MASKED, (), (), []),
        ({"running": False}, UP, ("a.conf",), (), ["stop"]),
        ({"running": False}, DOWN, (), (), []),
        ({"running": False, "enabled": False}, UP, (), (), ["disable", "stop"]),
        ({"running": None}, DOWN, ("a.conf",), (), []),
        ({"running": None}, UP, ("a.conf",), (), ["reload"]),
        ({"enabled": None}, DOWN | {"UnitFileState": "disabled"}, (), (), ["start"]),
        ({"enabled": False, "running": None}, DOWN | {"UnitFileState": "disabled"}, (), (), []),
        ({}, ONESHOT, (), (), ["start"]),
        ({}, ONESHOT | {"InvocationID": "1"}, (), (), []),
    ],
)
def test_decide(
    declared: dict[str, Any], state: dict[str, str], reloads: Any, restarts: Any, actions: list[str]
) -> None:
    steps = decide(Unit(unit="x.service", **declared), state, {RELOAD: reloads, RESTART: restarts})
    assert [action for action, _ in steps] == actions


def note(
    during: str, before: str | None = "old", after: str = "new", *, unconfirmed: bool = False, stamp: str = ""
) -> dict[str, Any]:
    about = {"during": during, "stamp": stamp, "before": before, "after": after, "open": unconfirmed}
    return {"written": {"/p": about}}


KNOWN = {"invocation": "1", "files": {"/p": "seen"}}
DROPIN = "/etc/systemd/system/x.service.d/a.conf"


@pytest.mark.parametrize(
    ("record", "current", "on_disk", "loaded"),
    [
        pytest.param({}, "1", "disk", "disk", id="first sight: what is there counts as loaded"),
        pytest.param(KNOWN, "1", "disk", "seen", id="recorded for this very invocation"),
        pytest.param(KNOWN, "2", "disk", "disk", id="started anew, nothing written by us since"),
        pytest.param(KNOWN | note("1"), "1", "new", "seen", id="written, not reloaded"),
        pytest.param(note("1"), "1", "new", "old", id="written while it ran, never recorded"),
        pytest.param(note("1"), "2", "new", "new", id="started anew after our write"),
        pytest.param(note("1"), "2", "other", None, id="started anew, and others wrote as well"),
        pytest.param(note("1", unconfirmed=True), "2", "new", None, id="it started around our rename, we can't tell"),
        pytest.param(note("1", unconfirmed=True), "1", "new", "old", id="it ran all the time"),
        pytest.param(note("1", before=None), "1", "new", None, id="unknown before, unknown now"),
    ],
)
def test_content(record: dict[str, Any], current: str, on_disk: str, loaded: str | None) -> None:
    assert content(record, "/p", current, on_disk) == loaded


@pytest.mark.parametrize(
    ("record", "stamp", "on_disk", "loaded"),
    [
        pytest.param(KNOWN | {"stamp": "5"}, "5", "drift", "seen", id="changed on disk, not reloaded"),
        pytest.param(KNOWN | {"stamp": "5"}, "6", "drift", "drift", id="others changed it and reloaded"),
        pytest.param(KNOWN, "6", "drift", "seen", id="recorded before moments were"),
        pytest.param(KNOWN | {"stamp": "5"} | note("1", stamp="6"), "6", "new", "old", id="we wrote after that"),
        pytest.param(note("1", stamp="6"), "7", "new", "old", id="reloaded after our write, well or not"),
        pytest.param(note("1", stamp="6"), "7", "drift", None, id="others wrote and reloaded after our write"),
    ],
)
def test_content_after_a_reload_by_others(record: dict[str, Any], stamp: str, on_disk: str, loaded: str | None) -> None:
    assert content(record, "/p", "1", on_disk, stamp=stamp) == loaded


def test_a_drop_in_is_not_loaded_before_systemd_has_read_it() -> None:
    record = {"written": {DROPIN: note("1")["written"]["/p"]}}
    assert content(record, DROPIN, "2", "new", stale=True) is None
    assert content(record, DROPIN, "2", "new", stale=False) == "new"


@pytest.mark.parametrize(
    ("record", "current", "before"),
    [
        pytest.param({}, "1", "disk", id="first write"),
        pytest.param(note("1"), "1", "old", id="the second write of one invocation keeps what it started with"),
        pytest.param(note("1"), "2", None, id="others wrote in between"),
        pytest.param(KNOWN, "1", "seen", id="what is recorded counts more than the disk"),
    ],
)
def test_note_of(record: dict[str, Any], current: str, before: str | None) -> None:
    assert note_of(record, "/p", current, "disk", "new", stamp="9") == {
        "during": current,
        "stamp": "9",
        "before": before,
        "after": "new",
        "open": True,
    }
