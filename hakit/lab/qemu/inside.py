"""Runs a command inside a virtual machine as if it were a child of this process: stdin, stdout, stderr, exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from hakit.errors import LabError
from hakit.lab.qemu.guest import LOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.lab.qemu.guest import Guest, Result, Talk

CONNECT_TIMEOUT = 60.0
"""Seconds for a guest agent that is up to answer; a machine that hangs must not keep a terminal waiting for ever."""
SHARE = 1.0
"""Seconds for which a command keeps the agent to itself; then others may talk between two looks."""


class _EndedError(Exception):
    """This process is to end, and the command with it."""


def run(guest: Guest, command: Sequence[str]) -> int:
    """Run a command as root and pass on what it says when it has ended; its exit code. Raises LabError.

    All of stdin is read first, unless it is a terminal. When this process is ended, the command is ended too.
    """
    given = None if sys.stdin.isatty() else sys.stdin.buffer.read()
    signal.signal(signal.SIGTERM, _end)
    pid = None
    try:
        with guest.talk(CONNECT_TIMEOUT) as talk:
            pid = talk.begin(command, given or None)
            result = _await(talk, pid, SHARE)
        pause = LOOKS[1]
        while result is None:
            time.sleep(pause)
            with guest.talk(CONNECT_TIMEOUT) as talk:
                result = talk.look(pid)
    except (KeyboardInterrupt, _EndedError):
        if pid is not None:
            with suppress(LabError), guest.talk(CONNECT_TIMEOUT) as talk:
                talk.run(["kill", "-s", "TERM", str(pid)])
        return 128 + signal.SIGTERM
    _tell(result)
    return result.code


def _await(talk: Talk, pid: int, timeout: float) -> Result | None:
    deadline, pause = time.monotonic() + timeout, LOOKS[0]
    while (result := talk.look(pid)) is None and time.monotonic() < deadline:
        time.sleep(pause)
        pause *= 2
    return result


def _tell(result: Result) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(result.out)
        sys.stdout.buffer.flush()
        sys.stderr.buffer.write(result.err)
        sys.stderr.buffer.flush()
        if result.cut:
            os.write(2, b"hakit lab: what the command printed was too much for the guest agent, and was cut\n")


def _end(*_: object) -> NoReturn:
    raise _EndedError
