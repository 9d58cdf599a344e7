"""Ctrl-C while a host that says nothing is waited for: the command ends at once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = """
all:
  vars:
    hakit: {postgresql: {cluster: main, primary: db1, replication: {password: {secret: replication}}}}
  hosts:
    db1: {ansible_host: 127.0.0.1, ansible_port: PORT, hakit: {address: 127.0.0.1}}
    db2: {ansible_host: 127.0.0.1, ansible_port: PORT, hakit: {address: 127.0.0.2}}
"""
SOON = 5.0
"""Seconds; a host that says nothing is given up after 10."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status",), "Interrupted."),
        (("plan",), "Interrupted."),
        (("postgres", "status"), "Interrupted."),
        (("postgres", "switchover", "main", "--yes"), "Where things stand says  hakit postgres status"),
    ],
    ids=" ".join,
)
def test_an_interrupt_is_not_kept_waiting(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAKIT_SECRET_REPLICATION", "secret-1")
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        inventory = tmp_path / "hosts.yml"
        inventory.write_text(HOSTS.replace("PORT", str(silent.getsockname()[1])))
        command = [sys.executable, "-m", "hakit", *words, "-i", str(inventory)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            connection, _ = silent.accept()
            began = time.monotonic()
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
            connection.close()
    assert time.monotonic() - began < SOON
    assert running.returncode == 130, out + err
    assert said in err
    assert "Traceback" not in err
