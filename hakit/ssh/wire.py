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
_GREETING = 255  # bytes; RFC 4253, 4.2: the longest identification line
_LOG = logging.getLogger("paramiko")


class Wire:
    """What an SSH transport runs over: bytes both ways, when the peer was last heard, how to break it off.

    paramiko's keepalive asks for no answer and never gives up; this one does both. `first` is what the peer said first.
    """

    def __init__(self, carrier: socket.socket | paramiko.Channel, through: str | None = None) -> None:
        """Take over a connected socket, or a channel through the jump host `through`."""
        self.carrier = carrier
        self._through = through
        self._lost: str | None = None
        self.first = b""
        self._ask: Callable[[], None] | None = None
        self._interval = 0.0
        self._limit = 0
        self._heard = time.monotonic()
        self._asked = 0

    def watch(self, interval: float, limit: int, ask: Callable[[], None]) -> None:
        """Call `ask` after each `interval` quiet seconds; after `limit` unanswered calls break the connection."""
        self._interval, self._limit, self._ask = interval, limit, ask
        self._heard, self._asked = time.monotonic(), 0

    def recv(self, size: int) -> bytes:
        """As a socket does. Raises ConnectionAbortedError when the peer answers no more."""
        try:
            data = self.carrier.recv(size)
        except TimeoutError:
            self._quiet()
            raise
        if len(self.first) < _GREETING:
            self.first += data[: _GREETING - len(self.first)]
        self._heard, self._asked = time.monotonic(), 0
        return data

    def said(self) -> str | None:
        """What whatever carries the bytes says of itself; None for a plain connection."""
        return None

    def send(self, data: bytes) -> int:
        """As a socket does."""
        return self.carrier.send(data)

    def settimeout(self, seconds: float | None) -> None:
        """As a socket does."""
        self.carrier.settimeout(seconds)

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.carrier.close()

    @property
    def lost(self) -> str | None:
        """What broke the connection, as far as is known."""
        carrier = self.carrier
        if self._lost is None and isinstance(carrier, paramiko.Channel) and not carrier.get_transport().is_active():
            return f"The connection to the jump host {self._through} was lost."
        return self._lost

    @property
    def _closed(self) -> bool:
        """What paramiko asks of its socket when the program ends."""
        return bool(self.carrier.closed if isinstance(self.carrier, paramiko.Channel) else self.carrier.fileno() < 0)

    def _quiet(self) -> None:
        if self._ask is None or time.monotonic() < self._heard + self._interval * (self._asked + 1):
            return
        if self._asked >= self._limit:
            self._lost = f"no sign of life for {time.monotonic() - self._heard:.0f} s"
            raise ConnectionAbortedError(errno.ECONNABORTED, self._lost)  # a TimeoutError would be waited out
        self._asked += 1
        self._ask()

    def hang_up(self) -> None:
        """Break the connection off, so that whoever reads it wakes at once."""
        if isinstance(self.carrier, paramiko.Channel):
            self.close()
            return
        with contextlib.suppress(OSError):
            self.carrier.shutdown(socket.SHUT_RDWR)


class _Packetizer(Packetizer):
    """Without paramiko's handshake timer: a thread that would outlive a failed handshake and keep the program alive."""

    def start_handshake(self, timeout: float) -> None:
        """Do nothing: the connection has a deadline of its own."""


class Transport(paramiko.Transport):
    """An SSH transport over a Wire."""

    _active_check_timeout = _POLL
    _certified = False

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, packetizer_class=_Packetizer)  # type: ignore[arg-type] # all of a socket that it uses
        self.wire = wire
        self._refusals: dict[int, paramiko.ChannelException] = {}

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms of host keys to ask for; paramiko itself would always ask for certificates too, last."""
        plain = tuple(self.get_security_options().key_types)
        return (*(f"{name}-cert-v01@openssh.com" for name in plain), *plain) if self._certified else plain

    def prefer(self, types: tuple[str, ...], *, certified: bool) -> None:
        """Ask for host keys of these types first, as OpenSSH does for a host it knows; for certificates before all."""
        self._certified = certified
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

    def open(self, kind: str, address: tuple[str, int] | None, timeout: float) -> paramiko.Channel:
        """A channel of a kind, to an address for "direct-tcpip", within a timeout (seconds).

        Raises ChannelException with the server's own words when it refuses, else what paramiko raises.
        """
        channel = self.open_channel(kind, address, ("127.0.0.1", 0), timeout=timeout)
        if refusal := self._refusals.pop(channel.get_id(), None):
            channel._unlink()  # type: ignore[attr-defined] # noqa: SLF001 - paramiko would have done it where the words were dropped
            raise refusal
        return channel

    def _parse_channel_open_failure(self, message: paramiko.Message) -> None:
        """Keep the words for the one who opens this channel: paramiko drops them, and keeps one error for all."""
        number, code, words = message.get_int(), message.get_int(), message.get_text()
        self._refusals[number] = paramiko.ChannelException(code, words)
        event = self.channel_events.pop(number, None)
        if event:
            event.set()

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
