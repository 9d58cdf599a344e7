"""Logging in on lab hosts as users do, with passwords typed or given, and putting hosts in a state for that."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from typing import TYPE_CHECKING

from tests.lab.conftest import ROOT

if TYPE_CHECKING:
    from tests.lab.conftest import LabHandle

PASSWORD = "a pässword, quoted '\"$(id)"  # noqa: S105 - of a host that lives for a minute
NO_OPS = "userdel -rf ops; rm -f /etc/sudoers.d/*ops*; true"


def on(lab: LabHandle, host: str, script: str, given: str | None = None) -> str:
    """Run a shell script on a host as root, past SSH."""
    done = lab.lab.exec(host, ["sh", "-c", script], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.strip()


def with_own_test(lab: LabHandle) -> LabHandle:
    """The lab, with a test beside its inventory that fails for whoever is not root or hears more than was asked for."""
    (lab.inventory / "tests").mkdir()
    own = "def test_root(host):\n    done = host.run('id -u')\n    assert (done.stdout, done.stderr) == ('0\\n', '')\n"
    (lab.inventory / "tests/test_own.py").write_text(own)
    return lab


def typed(lab: LabHandle, words: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run hakit on a terminal and answer its prompts; the exit code and all that the terminal showed."""
    environment = {**os.environ, "HAKIT_INVENTORY": str(lab.inventory), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "hakit", *words], environment)  # noqa: S606 - no shell wanted
    shown = ""
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # how Linux says that the other end of a terminal is closed
                break
            if answers and answers[0][0] in shown:
                os.write(terminal, f"{answers.pop(0)[1]}\n".encode())
    finally:
        os.close(terminal)
    assert not answers, shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
