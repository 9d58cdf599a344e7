"""The way into a virtual machine that needs no network: QEMU's guest agent, on a serial line of its own.

One conversation at a time: a lock in the machine's folder keeps processes from talking at once, and each starts with
the agent's own synchronization, which throws away what a killed one has left on the line.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hakit.errors import LabError
from hakit.lab.qemu.qmp import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SYNC: Final = (2.0, 30.0)
"""Seconds for the agent to answer its synchronization before it is asked anew, and the most of them: twice as many each
time. Emulated it takes 0.1, on a busy machine some."""
ANSWER: Final = 60.0
"""Seconds for the answer to any other request."""
LOOKS: Final = (0.02, 1.0)
"""Seconds between two looks at a command that runs: the first, and the longest."""
DELIMITER: Final = b"\xff"
"""Flushes the agent's parser, and begins its answer (guest-sync-delimited)."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended: exit code (128 + signal where one ended it), what it printed, whether that is all."""

    code: int
    out: bytes
    err: bytes
    cut: bool = False


class Talk:
    """A conversation with a guest agent. All methods raise LabError."""

    def __init__(self, lines: Lines, who: str) -> None:
        self._lines = lines
        self._who = who

    def request(self, command: str, **arguments: object) -> Any:
        """Send a request and return what it returns; `_` in names of arguments stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            self._lines.patience(ANSWER)
            self._lines.send({"execute": command, "arguments": named})
            value = json.loads(self._lines.receive().lstrip(DELIMITER))
        except (OSError, ValueError) as error:
            raise LabError(f"{self._who}: its guest agent does not answer {command}", why=str(error)) from error
        if "error" in value:
            raise LabError(f"{self._who}: its guest agent refuses {command}", why=str(value["error"].get("desc")))
        return value["return"]

    def begin(self, command: Sequence[str], given: bytes | None = None) -> int:
        """Start a command as root, `given` on its stdin (else /dev/null); returns its process id."""
        words: dict[str, object] = {"path": command[0], "arg": list(command[1:]), "capture_output": True}
        if given is not None:
            words["input_data"] = base64.b64encode(given).decode("ascii")
        pid: int = self.request("guest-exec", **words)["pid"]
        return pid

    def look(self, pid: int) -> Result | None:
        """How a command has ended; None while it runs. Can be asked once."""
        found = self.request("guest-exec-status", pid=pid)
        if not found["exited"]:
            return None
        out, err = (base64.b64decode(found.get(name, "")) for name in ("out-data", "err-data"))
        code = found["exitcode"] if "exitcode" in found else 128 + found.get("signal", 0)
        return Result(code, out, err, bool(found.get("out-truncated") or found.get("err-truncated")))

    def run(self, command: Sequence[str], given: bytes | None = None, timeout: float = 300.0) -> Result:
        """Run a command as root to its end."""
        pid = self.begin(command, given)
        deadline, pause = time.monotonic() + timeout, LOOKS[0]
        while (result := self.look(pid)) is None:
            if time.monotonic() > deadline:
                raise LabError(f"{self._who}: {command[0]} has not ended after {timeout:.0f} s")
            time.sleep(pause)
            pause = min(pause * 2, LOOKS[1])
        return result

    def must(self, command: Sequence[str], given: bytes | None = None, timeout: float = 300.0) -> Result:
        """`run`, and a LabError when it ends badly."""
        result = self.run(command, given, timeout)
        if result.code:
            said = (result.err or result.out).decode("utf-8", "replace").strip()
            raise LabError(f"{self._who}: a step of its setup failed (exit {result.code})", why=said[-2000:])
        return result


@dataclass(frozen=True, slots=True)
class Guest:
    """The guest agent of a machine: the folder with its socket, whether it runs still, its name for errors."""

    folder: Path
    alive: Callable[[], bool]
    who: str

    @contextmanager
    def talk(self, timeout: float) -> Iterator[Talk]:
        """A conversation, as soon as the agent answers. Raises LabError when it does not within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        handle = os.open(self.folder / "qga.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            lines = self._connect(deadline)
            try:
                yield Talk(lines, self.who)
            finally:
                lines.close()
        finally:
            os.close(handle)

    def _connect(self, deadline: float) -> Lines:
        patience = SYNC[0]
        while True:
            lines = None
            with suppress(OSError, ValueError):
                lines = Lines(self.folder / "qga", patience)
                if _in_step(lines, patience):
                    return lines
            if lines:
                lines.close()
                patience = min(2 * patience, SYNC[1])
            if not self.alive():
                raise LabError(f"{self.who} went off", hint="hakit lab status  shows who is on.")
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.who}: its guest agent does not answer",
                    why="The machine boots still, hangs, or has no qemu-guest-agent running.",
                    hint=f"Its console: {self.folder / 'console.log'}",
                )
            time.sleep(LOOKS[0])


def _in_step(lines: Lines, patience: float) -> bool:
    """Ask for a sign of life and skip whatever was meant for others. Raises OSError, ValueError."""
    number = secrets.randbelow(1 << 31)
    lines.send({"execute": "guest-sync-delimited", "arguments": {"id": number}}, prefix=DELIMITER)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        _, found, answer = lines.receive().rpartition(DELIMITER)
        if found and json.loads(answer).get("return") == number:
            return True
    return False
