"""QEMU's control socket, by the QEMU Machine Protocol: a JSON value per line."""

from __future__ import annotations

import array
import json
import socket
import time
from typing import TYPE_CHECKING, Any, Self

from hakit.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATIENCE = 60.0
"""Seconds for an answer; QEMU answers at once, unless the machine it runs on is very busy."""
LOOK = 0.02
"""Seconds between two looks at something that ends in a second."""


class Lines:
    """JSON values over a Unix socket, one a line. All raise OSError and ValueError."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise
        self._read = b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def patience(self, seconds: float) -> None:
        """How long every read and write may take from now on."""
        self._socket.settimeout(max(seconds, 0.001))

    def send(self, value: object, *, prefix: bytes = b"", handle: int | None = None) -> None:
        """Send a value; `handle` is a file descriptor that goes along."""
        data = prefix + json.dumps(value).encode() + b"\n"
        if handle is None:
            self._socket.sendall(data)
        else:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]).tobytes())
            self._socket.sendmsg([data], [rights])

    def receive(self) -> bytes:
        """The next line as it came, without its end."""
        while b"\n" not in self._read:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the other end has hung up")
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line


class Monitor:
    """The control socket of one running QEMU. All methods raise LabError."""

    def __init__(self, path: Path, alive: Callable[[], bool], who: str) -> None:
        """Connect as soon as QEMU listens; `alive` says whether it runs still, `who` names it in errors."""
        self._who = who
        self._events: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._lines = Lines(path, PATIENCE)
                break
            except OSError as error:
                if not alive() or time.monotonic() > deadline:
                    raise LabError(f"{who}: QEMU does not answer on its control socket", why=str(error)) from error
            time.sleep(LOOK)
        self._answer("greeting")
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; QEMU goes on."""
        self._lines.close()

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None, *, handle: int | None = None) -> Any:
        """Give a command and return what it returns; `handle` is a file descriptor that goes along."""
        try:
            self._lines.send({"execute": command, "arguments": dict(arguments or {})}, handle=handle)
        except OSError as error:
            raise LabError(f"{self._who}: QEMU is gone", why=str(error)) from error
        return self._answer(command)

    def _answer(self, command: str) -> Any:
        while True:
            value = self._next(command)
            if "error" in value:
                raise LabError(f"{self._who}: QEMU refuses {command}", why=str(value["error"].get("desc")))
            if "QMP" in value:
                return value["QMP"]
            if "return" in value:
                return value["return"]
            self._events.append(value)

    def _next(self, command: str) -> Any:
        try:
            return json.loads(self._lines.receive())
        except (OSError, ValueError) as error:
            raise LabError(f"{self._who}: QEMU does not answer {command}", why=str(error)) from error

    def await_event(self, event: str, device: str) -> None:
        """Wait until QEMU has told an event of a device since this connection began, or tells it now."""
        while not any(one.get("event") == event and one["data"].get("device") == device for one in self._events):
            self._events.append(self._next(f"with {event} of {device}"))

    def await_status(self, wanted: str, timeout: float) -> None:
        """Wait until the virtual machine is in a state: `paused` after a restore, say."""
        deadline = time.monotonic() + timeout
        while (status := self.execute("query-status")["status"]) != wanted:
            if time.monotonic() > deadline:
                raise LabError(f"{self._who}: QEMU is {status} and not {wanted} after {timeout:.0f} s")
            time.sleep(LOOK)

    def await_migration(self, timeout: float) -> None:
        """Wait until the state of the machine is written out."""
        deadline = time.monotonic() + timeout
        while (found := self.execute("query-migrate")).get("status") != "completed":
            if found.get("status") in ("failed", "cancelled") or time.monotonic() > deadline:
                why = found.get("error-desc") or f"It is {found.get('status')} after {timeout:.0f} s."
                raise LabError(f"{self._who}: the state of the machine can't be written", why=why)
            time.sleep(LOOK)
