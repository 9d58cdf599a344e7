"""paramiko's transport with what it lacks: no waiting for ever, no noise, no timers, a host that died is noticed."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.common import cMSG_GLOBAL_REQUEST
from paramiko.packet import Packetizer

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL = 0.5  # seconds; paramiko's own 0.1 costs 10 wake-ups per host and second
_LOG = logging.getLogger("paramiko")


class Wire(socket.socket):
    """A TCP socket that knows when its peer was last heard, and asks for a sign of life after a quiet while.

    paramiko's keepalive asks for no answer and never gives up; this one does both. `lost` is what broke the connection.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected socket; the one given is of no use afterwards."""
        super().__init__(connected.family, connected.type, connected.proto, fileno=connected.detach())
        self.lost: str | None = None
        self._ask: Callable[[], None] | None = None
        self._interval = 0.0
        self._limit = 0
        self._heard = time.monotonic()
        self._asked = 0

    def watch(self, interval: float, limit: int, ask: Callable[[], None]) -> None:
        """Call `ask` after each `interval` quiet seconds; after `limit` unanswered calls break the connection."""
        self._interval, self._limit, self._ask = interval, limit, ask
        self._heard, self._asked = time.monotonic(), 0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As a socket does. Raises ConnectionAbortedError when the peer answers no more."""
        try:
            data = super().recv(bufsize, flags)
        except TimeoutError:
            self._quiet()
            raise
        self._heard, self._asked = time.monotonic(), 0
        return data

    def _quiet(self) -> None:
        if self._ask is None or time.monotonic() < self._heard + self._interval * (self._asked + 1):
            return
        if self._asked >= self._limit:
            self.lost = f"no sign of life for {time.monotonic() - self._heard:.0f} s"
            raise ConnectionAbortedError(errno.ECONNABORTED, self.lost)  # a TimeoutError would be waited out
        self._asked += 1
        self._ask()

    def hang_up(self) -> None:
        """Break the connection off, so that whoever reads it wakes at once."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class _Packetizer(Packetizer):
    """Without paramiko's handshake timer: a thread that would outlive a failed handshake and keep the program alive."""

    def start_handshake(self, timeout: float) -> None:
        """Do nothing: the connection has a deadline of its own."""


class Transport(paramiko.Transport):
    """An SSH transport over a Wire."""

    _active_check_timeout = _POLL

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, packetizer_class=_Packetizer)
        self.wire = wire

    def prefer(self, types: tuple[str, ...]) -> None:
        """Ask for host keys of these types first, as OpenSSH does for a host it knows."""
        wanted = [name for known in types for name in signature_algorithms(known)]
        options = self.get_security_options()
        usual = options.key_types
        options.key_types = tuple(dict.fromkeys([*(name for name in wanted if name in usual), *usual]))

    def only(self, key_type: str) -> None:
        """Accept host keys of one type alone."""
        options = self.get_security_options()
        options.key_types = tuple(name for name in signature_algorithms(key_type) if name in options.key_types)

    def watch(self, interval: float, limit: int) -> None:
        """Notice a dead peer after about `interval` × (`limit` + 1) seconds."""
        self.wire.watch(interval, limit, self._ask_for_life)

    def _ask_for_life(self) -> None:
        """Send a request that every server must answer (RFC 4254, 4), unless that would block the reading thread."""
        if not self.clear_to_send.is_set() or self.clear_to_send_lock.locked():
            return
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)  # noqa: FBT003 - "want reply", positional in paramiko
        self._send_user_message(message)  # type: ignore[attr-defined] # the stubs leave private methods out

    def hang_up(self) -> None:
        """Close the connection without waiting for anyone."""
        self.active, was_active = False, self.active
        self.wire.hang_up()
        if not self.is_alive():
            # A running thread closes its socket itself: closed under it, the descriptor may be another connection's
            # by the time the thread waits on it.
            self.packetizer.close()
        if was_active:
            for channel in list(self._channels.values()):  # type: ignore[attr-defined] # not in the stubs
                channel._unlink()  # noqa: SLF001 - what paramiko's own close() does after joining the thread


def signature_algorithms(key_type: str) -> tuple[str, ...]:
    """The signature algorithms of a type of host key; RSA with SHA-1 is never asked for (RFC 8332)."""
    return ("rsa-sha2-512", "rsa-sha2-256") if key_type == "ssh-rsa" else (key_type,)


def tune(connection: socket.socket, patience: float) -> None:
    """Send small frames at once, and let the kernel give up on data unacknowledged for `patience` seconds."""
    options: list[tuple[int, int, Any]] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience * 1000)),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
    ]
    for level, option, value in options:
        with contextlib.suppress(OSError):  # a dialer may hand over a Unix socket
            connection.setsockopt(level, option, value)


def silence() -> None:
    """Keep paramiko's threads from writing tracebacks to the terminal; its errors come back as exceptions."""
    _LOG.setLevel(logging.CRITICAL + 1)
    _LOG.propagate = False
