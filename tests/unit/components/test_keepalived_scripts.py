"""The scripts that keepalived and its units call, run for real."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.components.keepalived.resources import TrackedUnit
from hakit.components.keepalived.routers import CHECK_WAIT
from hakit.components.registry import discover
from hakit.components.templates import Templates
from hakit.inventory import load

if TYPE_CHECKING:
    from collections.abc import Iterator

CASE = Path(__file__).parent / "cases" / "keepalived-pair" / "inventory.yml"
COMPONENTS = discover()
ENOUGH = 5.0
"""Seconds in which a check that waits for half a second has ended, on a very busy machine."""


def script(folder: Path, name: str, **values: object) -> Path:
    """A script as it lands on lb1."""
    site = load(CASE, {key: one.Settings for key, one in COMPONENTS.items()})
    path = folder / name
    path.write_text(Templates(site).render("keepalived", name, site.hosts["lb1"], values).reveal())
    path.chmod(0o755)
    return path


def command(folder: Path, name: str, text: str) -> None:
    """A command that stands in for one of the host's, first in PATH."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(path: Path, *args: str, commands: Path | None = None) -> subprocess.CompletedProcess[str]:
    search = f"{commands}:{os.environ['PATH']}" if commands else os.environ["PATH"]
    return subprocess.run(
        [str(path), *args], env={"PATH": search}, capture_output=True, text=True, timeout=10, check=False
    )


# keepalived-http


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server on the loopback that gives one answer to all, or accepts and hangs; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    with connection.makefile("rb") as request:
                        while request.readline().strip():
                            pass
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 500 in 200 ms\r\n\r\n", False),
        (b"", False),
        (None, False),
    ],
    ids=["1.0", "1.1", "unavailable", "another-200", "empty", "hung"],
)
def test_only_a_timely_200_is_healthy(tmp_path: Path, answer: bytes | None, healthy: bool) -> None:
    check = script(tmp_path, "check-http", wait=CHECK_WAIT)
    with answering(answer) as port:
        start = time.monotonic()
        assert (run(check, "127.0.0.1", str(port), "/alive").returncode == 0) is healthy
        assert time.monotonic() - start < ENOUGH


def test_a_closed_port_is_not_healthy(tmp_path: Path) -> None:
    check = script(tmp_path, "check-http", wait=CHECK_WAIT)
    with answering(b"") as port:
        pass
    assert run(check, "127.0.0.1", str(port), "/alive").returncode != 0


# keepalived-track


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def track(tmp_path: Path, state: Path) -> Path:
    unit = TrackedUnit("haproxy", "haproxy.service", "127.0.0.1", 8404, "/")
    return script(tmp_path, "track", units=(unit,), state=str(state))


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def test_up_and_down_are_written(track: Path, state: Path) -> None:
    for action, value in (("up", "0\n"), ("down", "1\n"), ("up", "0\n")):
        assert run(track, action, "haproxy.service").returncode == 0
        assert (state / "haproxy.service").read_text() == value


@pytest.mark.parametrize(
    ("systemd", "before", "after"),
    [
        ("active", None, "0\n"),
        ("active", "1\n", "0\n"),
        ("reloading", "1\n", "0\n"),
        ("inactive", None, "1\n"),
        ("inactive", "0\n", "1\n"),
        ("failed", "0\n", "1\n"),
        # Its own hook is about to write, or has just done so.
        ("activating", "1\n", "1\n"),
        ("activating", "0\n", "0\n"),
        ("activating", None, "0\n"),
        ("deactivating", "0\n", "0\n"),
        ("deactivating", None, "1\n"),
    ],
)
def test_sync_agrees_with_systemd(  # noqa: PLR0917 - pytest passes fixtures and parameters by name
    track: Path, state: Path, commands: Path, systemd: str, before: str | None, after: str
) -> None:
    command(commands, "systemctl", f"echo {systemd}; test {systemd} = active")
    if before is not None:
        state.mkdir()
        (state / "haproxy.service").write_text(before)
    assert run(track, "sync", commands=commands).returncode == 0
    assert (state / "haproxy.service").read_text() == after


def test_an_unchanged_state_is_not_written_again(track: Path, state: Path) -> None:
    run(track, "up", "haproxy.service")
    first = (state / "haproxy.service").stat().st_mtime_ns
    run(track, "up", "haproxy.service")
    assert (state / "haproxy.service").stat().st_mtime_ns == first


def test_nonsense_is_refused(track: Path) -> None:
    assert run(track, "sideways").returncode == 2


# keepalived-release


def test_release_takes_every_address_and_succeeds_whatever_ip_says(tmp_path: Path, commands: Path) -> None:
    case = Path(__file__).parent / "cases" / "keepalived-rich" / "expected" / "r1"
    release = tmp_path / "release"
    release.write_text((case / "usr/local/lib/hakit/keepalived-release").read_text())
    release.chmod(0o755)
    command(commands, "ip", f'echo "$@" >{tmp_path}/args; cat >{tmp_path}/batch; exit 1')
    assert run(release, commands=commands).returncode == 0
    assert (tmp_path / "args").read_text() == "-force -batch -\n"
    assert (tmp_path / "batch").read_text().splitlines() == [
        "address del 10.78.0.1/24 dev bond0.100",
        "address del fd00:78::1/64 dev bond0.100",
        "address del fd00:78::2/64 dev bond0.100",
        "address del fd00:79::1/64 dev bond1",
    ]


# keepalived-notify


@pytest.fixture
def notify(tmp_path: Path) -> Path:
    (tmp_path / "states").mkdir()
    return script(tmp_path, "notify", states=str(tmp_path / "states"))


def test_each_state_is_kept_under_its_instance(notify: Path, tmp_path: Path) -> None:
    for state in ("BACKUP", "MASTER", "FAULT", "STOP"):
        assert run(notify, "INSTANCE", "front", state, "150").returncode == 0
        assert (tmp_path / "states" / "front").read_text() == f"{state}\n"
    run(notify, "INSTANCE", "back", "BACKUP", "150")
    assert (tmp_path / "states" / "front").read_text() == "STOP\n"
    assert (tmp_path / "states" / "back").read_text() == "BACKUP\n"


def test_a_sync_group_is_no_instance(notify: Path, tmp_path: Path) -> None:
    assert run(notify, "GROUP", "front", "MASTER", "150").returncode == 0
    assert list((tmp_path / "states").iterdir()) == []


@pytest.mark.parametrize(
    ("last", "kept"), [(f"{2**62} 1\n", "MASTER\n"), ("1 9999999\n", "BACKUP\n"), ("", "BACKUP\n")]
)
def test_the_process_that_was_started_last_has_the_last_word(
    notify: Path, tmp_path: Path, last: str, kept: str
) -> None:
    states = tmp_path / "states"
    (states / "front").write_text("MASTER\n")
    (states / ".front.last").write_text(last)
    assert run(notify, "INSTANCE", "front", "BACKUP", "150").returncode == 0
    assert (states / "front").read_text() == kept


def test_without_its_folder_it_makes_none(notify: Path, tmp_path: Path) -> None:
    (tmp_path / "states").rmdir()
    assert run(notify, "INSTANCE", "front", "MASTER", "150").returncode != 0
    assert not (tmp_path / "states").exists()
