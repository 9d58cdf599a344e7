"""What may stand between here and a host: jump hosts by name, or a command that carries the bytes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from hakit.errors import ConnectError
from hakit.jump import parse
from hakit.ssh.options import Target
from hakit.ssh.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAGS = frozenset("46AaCKkNnqTtvxXYy")
"""Options of ssh(1) without a value that change nothing about a forwarded connection."""
_FORWARD = ("%h:%p", "[%h]:%p")
_KEPT = 4096  # bytes of a proxy command's stderr
_ENDING = 1.0  # seconds for a proxy command to end before it is killed


def jump(text: str) -> Target:
    """A jump host written `[user@]host[:port]`. Raises ValueError."""
    user, host, port = parse(text)
    return Target(host, host, user=user, port=port)


def jumps(text: str, place: str) -> tuple[Target, ...]:
    """The value of a ProxyJump, the first host is reached first. Raises ConnectError naming the place."""
    try:
        return tuple(jump(one) for one in text.split(","))
    except ValueError as error:
        raise ConnectError(
            f"{place}: {error.args[0]!r} is no jump host", hint="Write it as  [user@]host[:port], several with commas."
        ) from error


def as_jump(command: str) -> Target | None:
    """The jump host behind a ProxyCommand of the form `ssh -W %h:%p [options] host`; None for any other command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] == ["exec"]:
        del words[0]
    if not words or words.pop(0).rpartition("/")[2] != "ssh":
        return None
    values: dict[str, str] = {}
    hosts: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            hosts.append(word)
        elif word[1:] and set(word[1:]) <= _FLAGS:
            continue
        elif word[1:2] in ("W", "l", "p", "i", "J") and (word[2:] or words):
            values[word[1]] = word[2:] or words.pop(0)
        else:
            return None
    return _target(hosts, values) if values.pop("W", None) in _FORWARD else None


def _target(hosts: Sequence[str], values: dict[str, str]) -> Target | None:
    try:
        (host,) = map(jump, hosts)
        before = tuple(map(jump, values["J"].split(","))) if "J" in values else None
        port = int(values["p"]) if "p" in values else host.port
    except ValueError:
        return None
    return Target(host.name, host.host, values.get("l", host.user), port, values.get("i"), jump=before)


class Command:
    """A running ProxyCommand: its `socket` leads to the host. A thread keeps the end of what it says on stderr."""

    def __init__(self, text: str) -> None:
        """Start it by the user's shell, as ssh does, out of reach of the terminal. Raises OSError."""
        mine, its = socket.socketpair()
        with its:
            try:
                self._process = subprocess.Popen(
                    [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {text}"],
                    stdin=its.fileno(),
                    stdout=its.fileno(),
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # a Ctrl-C is hakit's to answer, and nobody is there for questions
                )
            except OSError:
                mine.close()
                raise
        self.socket = mine
        self._said = bytearray()
        self._listener = threading.Thread(target=self._listen, name="proxy command", daemon=True)
        self._listener.start()

    def said(self) -> str | None:
        """The last line that it printed on stderr, None when there is none."""
        if self._process.poll() is not None:
            self._listener.join(_ENDING)
        lines = self._said.decode(errors="replace").split("\n")
        shown = ["".join(char for char in line if char.isprintable()).strip() for line in lines]
        return next((line for line in reversed(shown) if line), None)

    def close(self) -> None:
        """End it and its children; never waits for long."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGHUP)
        threading.Thread(target=self._reap, name="proxy command's end", daemon=True).start()

    def _reap(self) -> None:
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _listen(self) -> None:
        if self._process.stderr is None:
            return
        with self._process.stderr as stream:
            while part := os.read(stream.fileno(), _KEPT):
                self._said += part
                del self._said[:-_KEPT]


class CommandWire(Wire):
    """A wire through a ProxyCommand, which ends with it."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.socket)
        self._command = command

    def said(self) -> str | None:
        """What the command last said on stderr: why it leads nowhere."""
        return self._command.said()

    def close(self) -> None:
        """Let go of it, and end the command."""
        super().close()
        self._command.close()
