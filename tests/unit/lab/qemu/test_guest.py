from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import LabError
from hakit.lab.qemu import guest as module
from hakit.lab.qemu.guest import Guest, Result
from tests.unit.lab.qemu.fakes import Agent, coded, line, serving

if TYPE_CHECKING:
    from pathlib import Path


def test_a_command_is_run_as_it_would_be_by_a_shell(tmp_path: Path) -> None:
    agent = Agent({"exitcode": 3, "out-data": coded("hello\n"), "err-data": coded("oh\n")})
    with serving(tmp_path / "qga", b"", agent) as asked, Guest(tmp_path, lambda: True, "db1").talk(5) as talk:
        assert talk.run(["cat", "-n"], b"given") == Result(3, b"hello\n", b"oh\n")
        with pytest.raises(LabError) as caught:
            talk.must(["cat"])
    assert caught.value.why == "oh"
    started = [request["arguments"] for request in asked if request["execute"] == "guest-exec"]
    assert started[0] == {"path": "cat", "arg": ["-n"], "capture-output": True, "input-data": coded("given")}
    assert "input-data" not in started[1]


@pytest.mark.parametrize(
    ("ended", "result"),
    [
        ({"exitcode": 0}, Result(0, b"", b"")),
        ({"signal": 9}, Result(137, b"", b"")),
        ({"exitcode": 0, "out-data": coded("x"), "out-truncated": True}, Result(0, b"x", b"", cut=True)),
    ],
)
def test_how_commands_end(tmp_path: Path, ended: dict[str, Any], result: Result) -> None:
    with serving(tmp_path / "qga", b"", Agent(ended)), Guest(tmp_path, lambda: True, "db1").talk(5) as talk:
        assert talk.run(["true"]) == result


def test_what_a_killed_process_left_on_the_line_is_thrown_away(tmp_path: Path) -> None:
    stale = line({"return": {"pid": 1}}) + b"\xff" + line({"return": 1}) + b'\xff{"return": {"out-da'
    agent = Agent({"exitcode": 0}, stale)
    with serving(tmp_path / "qga", b"", agent), Guest(tmp_path, lambda: True, "db1").talk(5) as talk:
        assert talk.run(["true"]).code == 0


def test_an_agent_that_comes_up_late_is_waited_for(tmp_path: Path) -> None:
    agent = Agent({"exitcode": 0})
    agent.silent = 3
    with serving(tmp_path / "qga", b"", agent), Guest(tmp_path, lambda: True, "db1").talk(5) as talk:
        assert talk.run(["true"]).code == 0


def test_a_machine_that_is_off_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="db1 went off"), Guest(tmp_path, lambda: False, "db1").talk(60):
        pass


def test_an_agent_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does not answer") as caught, Guest(tmp_path, lambda: True, "db1").talk(0.1):
        pass
    assert "console.log" in str(caught.value.hint)


def test_a_command_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKS", (0.01, 0.01))
    agent = Agent({"exitcode": 0})
    with serving(tmp_path / "qga", b"", agent), Guest(tmp_path, lambda: True, "db1").talk(5) as talk:
        with pytest.raises(LabError, match="has not ended"):
            talk.run(["sleep", "9"], timeout=0)
        with pytest.raises(LabError, match="refuses guest-exec"):
            talk.run(["missing"])


def test_a_conversation_keeps_other_processes_waiting(tmp_path: Path) -> None:
    with serving(tmp_path / "qga", b"", Agent({"exitcode": 0})):
        with Guest(tmp_path, lambda: True, "db1").talk(5):
            assert locked(tmp_path / "qga.lock")
        assert not locked(tmp_path / "qga.lock")


def locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
