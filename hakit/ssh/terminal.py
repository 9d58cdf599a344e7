"""A program on a host with the user's own terminal."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import paramiko

from hakit.errors import ConnectError, UsageError
from hakit.ssh.connection import lost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.ssh.connection import Connection

_CHUNK = 64 * 1024


def interact(connection: Connection, command: str) -> int:
    """Run a command with this terminal until it ends; its exit code.

    Raises UsageError without a terminal, ConnectError when the connection is lost.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("there is no terminal to work on", hint="give the SQL with  -c SQL")
    name = connection.target.name
    try:
        channel = connection.session()
        size = shutil.get_terminal_size()
        channel.get_pty(os.environ.get("TERM", "xterm"), size.columns, size.lines)
        channel.exec_command(command)
        with _raw(), _resizing(channel):
            _relay(channel)
        status = channel.recv_exit_status()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise ConnectError(f"{name}: the terminal was lost", why=str(error) or None) from error
    if status < 0 and not connection.alive:
        raise lost(name, connection.transport)
    return max(status, 0)


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the host as it is."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setraw(handle)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


@contextmanager
def _resizing(channel: paramiko.Channel) -> Iterator[None]:
    """The host's terminal is as large as this one."""

    def resize(number: int, frame: object) -> None:
        del number, frame
        size = shutil.get_terminal_size()
        with suppress(OSError, paramiko.SSHException):
            channel.resize_pty(size.columns, size.lines)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _relay(channel: paramiko.Channel) -> None:
    """Bytes to and fro until the program ends."""
    keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
    listening = [channel, keys]
    while True:
        ready, _, _ = select.select(listening, [], [])
        if channel in ready:
            data = channel.recv(_CHUNK)
            if not data:
                return
            _write(screen, data)
        if keys in ready:
            typed = os.read(keys, _CHUNK)
            if typed:
                channel.sendall(typed)
            else:
                channel.shutdown_write()
                listening = [channel]


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
