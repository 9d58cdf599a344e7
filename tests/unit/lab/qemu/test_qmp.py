from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import LabError
from hakit.lab.qemu.qmp import Monitor
from tests.unit.lab.qemu.fakes import line, same_file, serving

if TYPE_CHECKING:
    from pathlib import Path

GREETING = line({"QMP": {"version": {}, "capabilities": []}})


def ok(request: dict[str, Any], _: list[int]) -> list[bytes]:
    return [line({"return": {"did": request["execute"]}})]


def test_events_and_split_lines_do_not_confuse_answers(tmp_path: Path) -> None:
    def answer(request: dict[str, Any], _: list[int]) -> list[bytes]:
        event = line({"event": "STOP", "timestamp": {}})
        return [event, line({"return": {"did": request["execute"]}})]

    with serving(tmp_path / "qmp", GREETING, answer) as asked, Monitor(tmp_path / "qmp", lambda: True, "db1") as one:
        assert one.execute("stop") == {"did": "stop"}
        assert one.execute("cont", {"a-b": 1}) == {"did": "cont"}
    assert [request["execute"] for request in asked] == ["qmp_capabilities", "stop", "cont"]
    assert asked[-1]["arguments"] == {"a-b": 1}


def test_a_descriptor_goes_along(tmp_path: Path) -> None:
    got: list[int] = []

    def answer(request: dict[str, Any], handles: list[int]) -> list[bytes]:
        got.extend(handles)
        return ok(request, handles)

    with (
        tempfile.TemporaryFile() as file,
        serving(tmp_path / "qmp", GREETING, answer),
        Monitor(tmp_path / "qmp", lambda: True, "db1") as one,
    ):
        one.execute("getfd", {"fdname": "tap0"}, handle=file.fileno())
        assert same_file(got[0], file.fileno())


def test_a_refusal_names_the_machine_and_the_reason(tmp_path: Path) -> None:
    def answer(request: dict[str, Any], handles: list[int]) -> list[bytes]:
        if request["execute"] == "device_add":
            return [line({"error": {"class": "GenericError", "desc": "slot 7 is taken"}})]
        return ok(request, handles)

    with serving(tmp_path / "qmp", GREETING, answer), Monitor(tmp_path / "qmp", lambda: True, "db1") as one:
        with pytest.raises(LabError) as caught:
            one.execute("device_add", {})
        assert caught.value.message == "db1: QEMU refuses device_add"
        assert caught.value.why == "slot 7 is taken"
        assert one.execute("cont") == {"did": "cont"}


def test_a_qemu_that_dies_is_an_error_and_no_wait(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does not answer"):
        Monitor(tmp_path / "qmp", lambda: False, "db1")

    def answer(request: dict[str, Any], handles: list[int]) -> list[bytes]:
        return [] if request["execute"] == "cont" else ok(request, handles)

    with (
        serving(tmp_path / "qmp", GREETING, answer),
        Monitor(tmp_path / "qmp", lambda: True, "db1") as one,
        pytest.raises(LabError, match="does not answer cont"),
    ):
        one.execute("cont")


def test_states_are_waited_for(tmp_path: Path) -> None:
    states = iter(["inmigrate", "inmigrate", "paused"])
    migrations = iter([{}, {"status": "active"}, {"status": "completed"}, {"status": "failed", "error-desc": "full"}])

    def answer(request: dict[str, Any], handles: list[int]) -> list[bytes]:
        match request["execute"]:
            case "query-status":
                return [line({"return": {"status": next(states, "paused")}})]
            case "query-migrate":
                return [line({"return": next(migrations)})]
        return ok(request, handles)

    with serving(tmp_path / "qmp", GREETING, answer), Monitor(tmp_path / "qmp", lambda: True, "db1") as one:
        one.await_status("paused", 5)
        assert next(states, None) is None
        one.await_migration(5)
        with pytest.raises(LabError) as caught:
            one.await_migration(5)
        assert caught.value.why == "full"
        with pytest.raises(LabError, match="is paused and not running"):
            one.await_status("running", 0.1)
