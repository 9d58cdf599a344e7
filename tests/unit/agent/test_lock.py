"""Whom a run waits for: an agent that lost its controller, and nobody else."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from hakit.agent.lock import Lock, is_orphan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("ancestors", "orphan"),
    [
        pytest.param(["python3", "systemd"], True, id="its session is gone"),
        pytest.param(["python3", "sudo", "sh", "systemd"], True, id="its session is gone, sudo waits for it"),
        pytest.param(["python3", "sshd", "sshd", "systemd"], False, id="a session of root's"),
        pytest.param(["python3", "sudo", "bash", "sshd", "systemd"], False, id="a session of a user's"),
        pytest.param(["python3", "a) 1 (b", "systemd"], False, id="a name that looks like a row of numbers"),
        pytest.param(["python3", "sh"], False, id="cut off: nothing is known of the rest"),
        pytest.param([], False, id="no such process"),
    ],
)
def test_an_agent_is_an_orphan_without_its_session(tmp_path: Path, ancestors: list[str], *, orphan: bool) -> None:
    pids = [900 - place for place in range(len(ancestors))]
    if ancestors and ancestors[-1] == "systemd":
        pids[-1] = 1
    for pid, parent, name in zip(pids, [*pids[1:], 899 - len(pids)], ancestors, strict=False):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} {pid} {pid} 0\n")
    assert is_orphan(900, str(tmp_path)) is orphan


def test_we_are_no_orphan() -> None:
    assert not is_orphan(os.getpid())


def test_who_only_asks_for_the_holder_keeps_no_run_out(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path / "state"))
    assert lock.take("r1", "us") == (None, None)
    lock.release()
    glance = os.open(tmp_path / "state/lock", os.O_RDONLY)
    fcntl.flock(glance, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [glance]).start()
    assert lock.take("r2", "us") == (None, None)
