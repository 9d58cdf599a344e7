"""A program on a host with the user's own terminal, or in the user's own pipe."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import paramiko

from hakit.errors import ConnectError, UsageError
from hakit.ssh.connection import lost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.ssh.connection import Connection

_CHUNK = 64 * 1024
_LOOK = 0.2  # seconds until a stream is looked at although nothing rang


def interact(connection: Connection, command: str) -> int:
    """Run a command with this terminal until it ends; its exit code, 1 where a signal ended it.

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
    return status if status >= 0 else 1


def relay(connection: Connection, command: str, source: bytes | BinaryIO) -> int:
    """Run a command that reads `source`, and pass on both of its streams; its exit code, 1 where a signal ended it.

    Raises ConnectError when the connection is lost, BrokenPipeError when nobody reads what it says.
    """
    name = connection.target.name
    try:
        channel = connection.session()
        channel.exec_command(command)
        threading.Thread(target=_feed, args=(channel, source), daemon=True).start()
        _pass_on(channel)
        status = channel.recv_exit_status()
    except (EOFError, paramiko.SSHException) as error:
        raise ConnectError(f"{name}: the command was lost", why=str(error) or None) from error
    if status < 0 and not connection.alive:
        raise lost(name, connection.transport)
    return status if status >= 0 else 1


def _feed(channel: paramiko.Channel, source: bytes | BinaryIO) -> None:
    """In a thread of its own: a source may be slower than the command, and wait for what it says."""
    with suppress(OSError, EOFError, ValueError, paramiko.SSHException):  # it has ended, or we have
        if isinstance(source, bytes):
            channel.sendall(source)
        else:
            while data := os.read(source.fileno(), _CHUNK):
                channel.sendall(data)
        channel.shutdown_write()


def _pass_on(channel: paramiko.Channel) -> None:
    """Both streams, until both have ended."""
    open_ = {sys.stdout.fileno(): (channel.recv_ready, channel.recv)}
    open_[sys.stderr.fileno()] = (channel.recv_stderr_ready, channel.recv_stderr)
    while True:
        ended = channel.eof_received or channel.closed
        waiting = [(screen, take) for screen, (ready, take) in open_.items() if ready()]
        for screen, take in waiting:
            _write(screen, take(_CHUNK))
        if not waiting and ended:
            return
        if not waiting:
            select.select([channel], [], [], _LOOK)


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
