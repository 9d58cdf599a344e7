from __future__ import annotations

import io
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hakit.lab.qemu import guest as module
from hakit.lab.qemu import inside
from hakit.lab.qemu.guest import Guest
from tests.unit.lab.qemu.fakes import Agent, coded, line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "LOOKS", (0.01, 0.02))
    monkeypatch.setattr(inside, "LOOKS", (0.01, 0.02))
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_what_goes_in_and_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    given(monkeypatch, b"\xff\0in")
    agent = Agent({"exitcode": 4, "out-data": coded("out"), "err-data": coded("err"), "out-truncated": True})
    with serving(tmp_path / "qga", b"", agent) as asked:
        assert inside.run(Guest(tmp_path, lambda: True, "db1"), ["env", "-i", "cat"]) == 4
    told = capfdbinary.readouterr()
    assert told.out == b"out"
    assert told.err.startswith(b"err")
    assert b"was cut" in told.err
    started = next(request["arguments"] for request in asked if request["execute"] == "guest-exec")
    assert (started["path"], started["arg"], started["input-data"]) == ("env", ["-i", "cat"], "/wBpbg==")


def test_a_long_command_leaves_the_agent_to_others_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, b"")
    monkeypatch.setattr(inside, "SHARE", 0.0)
    with serving(tmp_path / "qga", b"", Agent({"exitcode": 0})) as asked:
        assert inside.run(Guest(tmp_path, lambda: True, "db1"), ["sleep", "1"]) == 0
    words = [request["execute"] for request in asked]
    assert words.count("guest-sync-delimited") > 1, "each look is a conversation of its own"
    assert "input-data" not in next(one["arguments"] for one in asked if one["execute"] == "guest-exec")


def test_who_is_ended_ends_the_command_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"")
    agent = Agent({"exitcode": 0})
    killed: list[list[str]] = []

    def answer(request: dict[str, Any], handles: list[int]) -> list[bytes]:
        if request["execute"] == "guest-exec-status" and not killed:
            signal.raise_signal(signal.SIGTERM)
            return [line({"return": {"exited": False}})]
        if request["execute"] == "guest-exec" and request["arguments"]["path"] == "kill":
            killed.append(request["arguments"]["arg"])
        return agent(request, handles)

    with serving(tmp_path / "qga", b"", answer):
        assert inside.run(Guest(tmp_path, lambda: True, "db1"), ["sleep", "600"]) == 143
    assert killed == [["-s", "TERM", "7"]]
