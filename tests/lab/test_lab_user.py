"""The lab as an ordinary user has it: the privileged half behind sudo."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from hakit.lab import privilege
from hakit.lab.control import PROXY_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.conftest import LabHandle


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take this process for a user's; where it is root's, a stand-in for sudo simply goes on as root."""
    if os.geteuid() == 0:
        sudo = tmp_path / "sudo"
        sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift\n[ "$1" = -- ] && shift\nexec "$@"\n', encoding="ascii")
        sudo.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    yield
    for process, line in privilege._broker.values():
        line.close()
        process.wait(10)
    privilege._broker.clear()


@pytest.mark.usefixtures("user")
def test_operations_go_through_sudo(lab: LabHandle) -> None:
    said: list[str] = []
    lab.lab.up(said.append)
    assert said == ["already up: every host is on and answers"]
    assert lab.lab.link("one", "eth0", up=False) == ("eth0",)
    assert lab.lab.status()[0].nics == (("eth0", False),)
    lab.lab.link("one", None, up=True)
    lab.lab.power("one", "pull")
    assert lab.lab.status()[0].power == "off"
    lab.lab.power("one", "on")
    assert lab.lab.exec("one", ["hostname"]).stdout == "one\n"


@pytest.mark.usefixtures("user")
def test_errors_come_back_whole(lab: LabHandle) -> None:
    with pytest.raises(LabError) as caught:
        lab.lab.power("two", "on")
    assert caught.value.message.startswith("two: no such host")
    assert caught.value.hint == "The lab has one."


@pytest.mark.usefixtures("user")
def test_sockets_are_passed_to_many_threads(lab: LabHandle) -> None:
    def peer(_: int) -> tuple[str, int]:
        with lab.lab.dial("10.77.0.1", PROXY_PORT, 10) as line:
            name: tuple[str, int] = line.getpeername()
            return name

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(peer, range(64))) == {("10.77.0.1", PROXY_PORT)}


@pytest.mark.usefixtures("user")
def test_a_sudo_that_refuses_is_named(lab: LabHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "refusing"
    refusing.mkdir()
    (refusing / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n", encoding="ascii")
    (refusing / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing}:{os.environ['PATH']}")
    for attempt in (lab.lab.status, lambda: lab.lab.dial("10.77.0.11", 22, 5)):
        with pytest.raises(LabError) as caught:
            attempt()
        assert "sudo" in caught.value.text()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(LabError, match="no sudo"):
        lab.lab.status()
