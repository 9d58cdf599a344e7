"""The controller's side of an agent's start: run it over a channel, send its code, see it speak.

Not part of the bundle: it never runs on a host.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hakit.agent.bootstrap import bundle, command, explain

if TYPE_CHECKING:
    from collections.abc import Callable

NOISE = 64 << 10  # bytes that a login shell may print before the agent speaks
START = 30.0  # seconds until the agent says its first word
EXIT = 2.0  # seconds that an exit code may come after the end of the output
CHUNK = 1 << 16


class Channel(Protocol):
    """Bytes to and from a command that runs on a host."""

    def send(self, data: bytes, /) -> object:
        """Send all of it."""

    def recv(self, size: int, timeout: float, /) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises TimeoutError."""

    def stderr_tail(self) -> str:
        """The end of what the command printed on stderr."""

    def exit_status(self, timeout: float, /) -> int | None:
        """The exit code, None when there is none within the timeout."""

    def close(self) -> object:
        """Give it up."""


class AgentGone(Exception):  # noqa: N818 - that it is gone is what the caller has to know
    """The agent did not start, failed, or ended before it answered; `hint` says what to do."""

    def __init__(self, message: str, hint: str | None = None, trace: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.trace = trace


@dataclass(frozen=True, slots=True)
class Started:
    """An agent that speaks: its channel, what it said after its first word, whether its code had to be sent."""

    channel: Channel
    rest: bytes
    sent_code: bool


def start(execute: Callable[[str], Channel], *, sudo: bool, password: Callable[[], str] | None = None) -> Started:
    """Run the agent through `execute`, which starts a command line on the host; send its code where needed.

    `password` is asked when sudo on the host wants one. Raises AgentGone, and what the channel raises.
    """
    del password
    token = secrets.token_hex(16)
    channel = execute(command(token, sudo=sudo))
    try:
        return _greet(channel, token)
    except BaseException:
        channel.close()
        raise


def _greet(channel: Channel, token: str) -> Started:
    with suppress(OSError):  # when nobody takes it, what the host prints tells why
        channel.send(bundle().loader)
    mark = b"\n" + token.encode() + b" "
    deadline = time.monotonic() + START
    seen = b""
    while True:
        before, found, after = seen.partition(mark)
        if found and b"\n" in after:
            break
        if len(before) > NOISE:
            raise AgentGone(
                "the login shell prints without end before the agent can speak",
                "keep the login's shell files silent for commands without a terminal",
            )
        data = receive(channel, deadline, "the agent did not start")
        if not data:
            code = channel.exit_status(EXIT)
            reason = explain(channel.stderr_tail() or seen.decode("utf-8", "replace"), code)
            raise AgentGone(reason.message, reason.hint)
        seen += data
    word, _, rest = after.partition(b"\n")
    if word == b"need":
        send(channel, bundle().compressed)
    return Started(channel, rest, word == b"need")


def send(channel: Channel, data: bytes) -> None:
    """Send all of it. Raises AgentGone when the agent has ended, and what the channel raises for a lost connection."""
    try:
        channel.send(data)
    except Exception as error:
        # A channel has errors of its own for a connection that is lost; an agent that ended is ours to tell.
        code = channel.exit_status(EXIT)
        if code is None and not isinstance(error, OSError):
            raise
        raise gone(channel, code) from error


def receive(channel: Channel, deadline: float, complaint: str) -> bytes:
    """What comes next, b"" at the end. Raises AgentGone with the complaint after the deadline (monotonic)."""
    try:
        return channel.recv(CHUNK, max(0.001, deadline - time.monotonic()))
    except TimeoutError:
        raise AgentGone(f"{complaint} in time") from None


def gone(channel: Channel, code: int | None) -> AgentGone:
    """The error for an agent that ended with this exit code (None: no code came)."""
    tail = channel.stderr_tail().strip()[-2000:]
    ended = "it was killed, or its connection was" if code is None else f"it ended with exit {code}"
    return AgentGone(f"the agent is gone: {ended}{': ' + tail if tail else ''}")
