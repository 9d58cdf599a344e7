"""Waiting for the locks of apt: for whom, how long at most, and no longer than somebody is there to be told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.handlers import package
from hakit.agent.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def work(tmp_path: Path, notes: list[str]) -> Work:
    for path in package.LOCKS:
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
    return Work(str(tmp_path), notes.append)


@contextmanager
def held(work: Work, path: str) -> Iterator[int]:
    """A process that holds the lock on a file, by its number."""
    command = [sys.executable, "-c", HOLD, work.at(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_free_locks_are_not_waited_for(work: Work, notes: list[str]) -> None:
    package.wait_for_lock(work)
    assert notes == []


@pytest.mark.parametrize("path", package.LOCKS)
def test_a_lock_that_is_never_given_back_is_given_up(
    work: Work, notes: list[str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "PATIENCE", 0.5)
    with held(work, path) as pid, pytest.raises(Failure, match=rf"locked by process {pid} \(.*\) for \d s: {path}"):
        package.wait_for_lock(work)
    assert f"held by process {pid} " in notes[0]


def test_nobody_waits_for_an_operator_who_has_gone(work: Work) -> None:
    work.gone = lambda: True
    with held(work, package.LOCKS[0]), pytest.raises(Failure, match="locked by process"):
        package.wait_for_lock(work)


def test_a_lock_that_is_given_back_is_waited_for(work: Work) -> None:
    with held(work, package.LOCKS[2]) as pid:
        work.say = lambda _: os.kill(pid, signal.SIGKILL)
        package.wait_for_lock(work)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hit:1 http://x y InRelease\nReading package lists...\n", ""),
        (
            "W: Failed to fetch http://x/  Connection refused\nW: Some index files failed\n",
            "W: Failed to fetch http://x/",
        ),
        ("Err:1 x\nE: The repository 'x' is not signed.\n", "E: The repository 'x' is not signed."),
    ],
)
def test_what_apt_complains_of_is_told_apart_from_what_it_chats(text: str, expected: str) -> None:
    assert package.complaints(text).startswith(expected)
    assert bool(package.complaints(text)) == bool(expected)
