"""A logged-in connection to one host, and the commands that run over it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from hakit.errors import ConnectError
from hakit.ssh.options import Completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.ssh.options import Target
    from hakit.ssh.wire import Transport

_STDERR_KEPT = 64 * 1024
_OUTPUT_KEPT = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_STALLED = 60.0  # seconds in which a host must take at least one byte of what is sent to it
_STARTING = 30.0
"""Seconds until sshd has started a command; pam_systemd waits 25 s for a bus that does not answer."""
_EARLY_KEPT = 16 * 1024 * 1024  # bytes that a command may print while it is being sent its input
_ENDING = 0.2  # seconds: paramiko closes the channels of a lost connection first, then says that it is lost
_SEND_SLICE = 0.2  # seconds to wait for room to send before what has come is taken in, lest both sides wait


class _Doorbell(threading.Event):
    """Rings when either output stream of a channel has news; only its owner silences it.

    A pipe of paramiko clears its event as soon as it is empty, which would swallow the other stream's ring.
    """

    def clear(self) -> None:
        """Do nothing."""

    def silence(self) -> None:
        """Wait for the next ring."""
        super().clear()


class ExecChannel:
    """A running command: bytes to its stdin, bytes from its stdout, the end of its stderr.

    For one thread at a time; `close` may come from any.
    """

    def __init__(self, name: str, channel: paramiko.Channel, transport: Transport) -> None:
        self._name = name
        self._channel = channel
        self._transport = transport
        self._early = bytearray()
        self._stderr = bytearray()
        self._stderr_dropped = False
        self._bell = _Doorbell()
        channel.settimeout(_SEND_SLICE)
        channel.in_buffer.set_event(self._bell)
        channel.in_stderr_buffer.set_event(self._bell)

    def send(self, data: bytes) -> None:
        """Send all bytes to the command's stdin.

        Raises BrokenPipeError when the command has ended, ConnectError when the host takes nothing for a minute or
        the connection is lost.
        """
        view = memoryview(data)
        moved = time.monotonic()
        while view:
            try:
                sent = self._channel.send(view[:_CHUNK].tobytes())
                moved = time.monotonic()
            except TimeoutError as error:
                if self._take_in():
                    moved = time.monotonic()
                elif time.monotonic() > moved + _STALLED:
                    raise ConnectError(f"{self._name}: takes no data for {_STALLED:.0f} s") from error
                continue
            except (OSError, EOFError, paramiko.SSHException) as error:
                self._raise_if_lost()
                raise BrokenPipeError(f"{self._name}: the command has ended and takes no more data") from error
            view = view[sent:]

    def finish(self) -> None:
        """Close the command's stdin."""
        try:
            self._channel.shutdown_write()
        except (OSError, EOFError, paramiko.SSHException):
            self._raise_if_lost()

    def recv(self, size: int, timeout: float | None = None) -> bytes:
        """Up to `size` bytes of stdout, b"" at its end.

        Raises TimeoutError when nothing comes within the timeout (seconds), ConnectError when the connection is lost.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._bell.silence()
            self._drain()
            if self._early:
                part, self._early = bytes(self._early[:size]), self._early[size:]
                return part
            if self._channel.recv_ready():
                return self._channel.recv(size)
            if self._channel.eof_received or self._channel.closed:
                if not self._channel.eof_received:
                    self._raise_if_lost()
                return b""
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not self._bell.wait(left):
                raise TimeoutError  # also while stderr is flooded, which rings without end

    def stderr(self) -> bytes:
        """What came on stderr so far: its last 64 KiB."""
        self._drain()
        return bytes(self._stderr)

    def stderr_tail(self) -> str:
        """The last 64 KiB of stderr as text."""
        return self.stderr().decode(errors="replace")

    def exit_status(self, timeout: float | None = None) -> int | None:
        """How the command ended; None when it did not within the timeout (seconds), or was ended by a signal."""
        if not self._channel.status_event.wait(timeout) or self._channel.exit_status < 0:
            return None
        return self._channel.exit_status

    def close(self) -> None:
        """End the channel; sshd closes the command's pipes. Never waits for the host."""
        try:
            if self._transport.is_active():
                self._channel.close()
        except (OSError, EOFError, paramiko.SSHException):
            self._transport.hang_up()

    @property
    def overflowed(self) -> bool:
        """Whether early parts of stderr were dropped."""
        return self._stderr_dropped

    def _take_in(self) -> bool:
        """Keep what has come on stdout for `recv`, so that a command that prints before it reads goes on."""
        before = len(self._early)
        while self._channel.recv_ready():
            self._early += self._channel.recv(_CHUNK)
            if len(self._early) > _EARLY_KEPT:
                self.close()
                raise ConnectError(
                    f"{self._name}: floods its output before it takes its input",
                    why=f"More than {_EARLY_KEPT >> 20} MiB came.",
                    hint="Keep the login's shell files (.bashrc, .profile) silent for commands without a terminal.",
                )
        return self._drain() or len(self._early) > before

    def _drain(self) -> bool:
        came = False
        while self._channel.recv_stderr_ready():
            came = True
            self._stderr += self._channel.recv_stderr(_CHUNK)
            if len(self._stderr) > _STDERR_KEPT:
                del self._stderr[:-_STDERR_KEPT]
                self._stderr_dropped = True
        return came

    def _raise_if_lost(self) -> None:
        if not self._transport.is_active():
            raise lost(self._name, self._transport)


class Connection:
    """A logged-in SSH connection. Safe for threads, each with a channel of its own."""

    def __init__(
        self,
        target: Target,
        user: str,
        transport: Transport,
        on_close: Callable[[Connection], None],
        pin: Callable[[], None] = lambda: None,
    ) -> None:
        self.target = target
        self.user = user
        self._transport = transport
        self._on_close = on_close
        self._pin = pin

    @property
    def root(self) -> bool:
        """Whether the login itself is root's, so that no sudo is needed."""
        return self.user == "root"

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return self._transport.is_active()

    @property
    def lost_because(self) -> str | None:
        """What broke the connection, as far as is known."""
        return self._transport.wire.lost

    def forward(self, host: str, port: int, timeout: float) -> paramiko.Channel:
        """A channel to a port as the host reaches it, within a timeout (seconds). Raises what paramiko raises."""
        return self._transport.open("direct-tcpip", (host, port), timeout)

    @property
    def transport(self) -> Transport:
        """What the connection goes over."""
        return self._transport

    def session(self) -> paramiko.Channel:
        """A channel on which nothing was started. Raises what paramiko raises."""
        return self._transport.open("session", None, _STARTING)

    def exec(self, command: str) -> ExecChannel:
        """Start a command (one exec on the host, without a terminal). Raises ConnectError."""
        name = self.target.name
        deadline = time.monotonic() + _STARTING
        try:
            channel = self._transport.open("session", None, _STARTING)
            running = ExecChannel(name, channel, self._transport)
            self._start(channel, command, deadline)
        except (OSError, EOFError, paramiko.SSHException) as error:
            if not self._transport.is_active():
                raise lost(name, self._transport) from error
            if time.monotonic() >= deadline:
                raise ConnectError(
                    f"{name}: sshd lets {self.user} in and then starts no command within {_STARTING:.0f} s",
                    why="It opens a session, which PAM, systemd-logind or a full disk can hold up.",
                    hint="Log in on the host's console and look at  journalctl -u ssh -u systemd-logind",
                ) from error
            raise ConnectError(
                f"{name}: sshd does not start a command",
                why=str(error),
                hint="Look for ForceCommand, MaxSessions or a restricted shell in the host's sshd_config.",
            ) from error
        return running

    def _start(self, channel: paramiko.Channel, command: str, deadline: float) -> None:
        """As paramiko's `exec_command`, which would wait for ever. Raises SSHException."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("exec")
        message.add_boolean(True)  # noqa: FBT003 - "want reply", positional in paramiko
        message.add_string(command)
        channel._event_pending()  # type: ignore[attr-defined] # noqa: SLF001 - the parts of exec_command
        self._transport._send_user_message(message)  # type: ignore[attr-defined] # noqa: SLF001 - as above
        if not channel.event.wait(max(0.0, deadline - time.monotonic())):
            raise paramiko.SSHException("no answer")
        channel._wait_for_event()  # type: ignore[attr-defined] # noqa: SLF001 - as above

    def run(self, command: str, timeout: float, data: bytes | None = None, limit: int = _OUTPUT_KEPT) -> Completed:
        """Run a command to its end and collect what it prints, up to `limit` bytes of stdout and 64 KiB of stderr.

        Raises ConnectError when it does not end within the timeout (seconds) or the connection is lost.
        """
        deadline = time.monotonic() + timeout
        channel = self.exec(command)
        stdout = bytearray()
        truncated = False
        try:
            if data:
                with suppress(BrokenPipeError):  # a command need not read all of its input; how it ended comes below
                    channel.send(data)
            channel.finish()
            while part := channel.recv(_CHUNK, max(0.0, deadline - time.monotonic())):
                if time.monotonic() >= deadline:
                    raise TimeoutError  # noqa: TRY301 - as when nothing comes: output without end is no answer either
                room = limit - len(stdout)
                truncated = truncated or len(part) > room
                stdout += part[: max(0, room)]
            status = channel.exit_status(max(0.0, deadline - time.monotonic()))
            if status is None:
                self._transport.join(_ENDING)
                if not self.alive:
                    raise lost(self.target.name, self._transport)
        except TimeoutError as error:
            raise ConnectError(
                f"{self.target.name}: a command did not end within {timeout:.3g} s", why=_shown(command)
            ) from error
        finally:
            channel.close()
        return Completed(
            -1 if status is None else status, bytes(stdout), channel.stderr(), truncated or channel.overflowed
        )

    def pin(self) -> None:
        """Have the host known at this address from now on, where it was let in by the key of another one of its own.

        Raises ConnectError.
        """
        self._pin()

    def close(self) -> None:
        """Hang up. Never waits, may be called twice."""
        self._transport.hang_up()
        self._on_close(self)


def lost(name: str, transport: Transport) -> ConnectError:
    """The ConnectError for a connection that broke."""
    return ConnectError(
        f"{name}: the connection was lost",
        why=transport.wire.lost or "The host, or something on the way, closed it.",
        hint="What the host was doing is finished or undone by its own next run; start again when it is back.",
    )


def _shown(command: str, width: int = 120) -> str:
    line = " ".join(command.split())
    return line if len(line) <= width else line[: width - 1] + "…"
