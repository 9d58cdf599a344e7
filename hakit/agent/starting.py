"""The controller's side of an agent's start: run it over a channel, send its code, see it speak.

Not part of the bundle: it never runs on a host.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from hakit.agent import sudo as sudoing
from hakit.agent.bootstrap import broken_python, bundle, command, explain, too_old

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.sudo import Reason

NOISE = 64 << 10  # bytes that a login shell may print before the agent speaks
START = 30.0  # seconds until the agent says its first word
EXIT = 2.0  # seconds that an exit code may come after the end of the output
CHUNK = 1 << 16
GLANCE = 0.02  # seconds between two looks at stderr while sudo may ask there
ENDLESS = "its agent lives and does not answer in time"
SYSTEM = 5.0  # seconds for a look at what system a host has, once it is known to be no use


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
    """The agent did not start, failed, or ended before it answered; `hint` says what to do.

    `system` is the host's os-release(5) where Python there is to blame and it could still be read. `refused` says that
    sudo did not take the password.
    """

    refused = False

    def __init__(self, message: str, hint: str | None = None, trace: str = "", *, python: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.trace = trace
        self.python = python
        self.system = ""

    @classmethod
    def because(cls, reason: Reason) -> Self:
        """The error for a reason."""
        error = cls(reason.message, reason.hint, python=reason.python)
        error.refused = reason.refused
        return error


@dataclass(frozen=True, slots=True)
class Started:
    """An agent that speaks: its channel, what it said after its first word, whether its code had to be sent."""

    channel: Channel
    rest: bytes
    sent_code: bool


def start(execute: Callable[[str], Channel], *, sudo: bool, password: Callable[[], str] | None = None) -> Started:
    """Run the agent through `execute`, which starts a command line on the host; send its code where needed.

    `password` is asked when sudo on the host wants one; without it sudo never asks. Raises AgentGone, and what the
    channel and `password` raise.
    """
    token = secrets.token_hex(16)
    asks = sudo and password is not None
    channel = execute(command(token, sudo=sudo, asks=asks))
    try:
        seen = _become_root(channel, token, password) if asks and password else b""
        return _greet(channel, token, seen)
    except AgentGone as error:
        channel.close()
        if error.python:
            error.system = _system(execute)
        raise
    except BaseException:
        channel.close()
        raise


def _become_root(channel: Channel, token: str, password: Callable[[], str]) -> bytes:
    """Give sudo the password if it asks for it; what came after Python said that it runs as root."""
    mark = f"\n{token} root\n".encode()
    deadline = time.monotonic() + START
    seen = b""
    given = False
    while mark not in seen:
        try:
            data = channel.recv(CHUNK, GLANCE)
        except TimeoutError:
            data = None
        if data == b"":
            raise _not_started(channel, seen)
        seen += data or b""
        _check_noise(seen)
        said = channel.stderr_tail()
        asked = sudoing.asked(token, said)
        if len(asked) > 1:
            raise AgentGone.because(sudoing.refused(asked[-1]))
        if asked and not given:
            try:
                line = sudoing.line(password())
            except ValueError as error:
                raise AgentGone(str(error), "correct the password") from None
            send(channel, line)
            given = True
            deadline = time.monotonic() + START  # who was asked for it may have taken his time
        if reason := sudoing.expired(said):
            raise AgentGone.because(reason)
        if time.monotonic() > deadline:
            last = _last(said)
            raise AgentGone(
                f"sudo did not make the login root within {START:.0f} s{': ' + last if last else ''}",
                "hakit can answer sudo's prompt for a password and no other (passprompt_override in sudoers helps)",
            )
    return seen.partition(mark)[2]


def _greet(channel: Channel, token: str, seen: bytes) -> Started:
    with suppress(OSError):  # when nobody takes it, what the host prints tells why
        channel.send(bundle().loader)
    mark = b"\n" + token.encode() + b" "
    deadline = time.monotonic() + START
    while True:
        before, found, after = seen.partition(mark)
        if found and b"\n" in after:
            break
        _check_noise(before)
        data = _first_words(channel, deadline)
        if not data:
            raise _not_started(channel, seen)
        seen += data
    word, _, rest = after.partition(b"\n")
    if word.startswith(b"old "):
        raise AgentGone.because(too_old(word[4:].decode("ascii", "replace")))
    if word == b"need":
        send(channel, bundle().compressed)
    return Started(channel, rest, word == b"need")


def _first_words(channel: Channel, deadline: float) -> bytes:
    """What the host prints before the agent speaks; b"" at the end."""
    try:
        return channel.recv(CHUNK, max(0.001, deadline - time.monotonic()))
    except TimeoutError:
        last = _last(channel.stderr_tail())
        raise AgentGone(
            f"the agent did not start within {START:.0f} s{': ' + last if last else ''}",
            "its sshd answers; see whether the login's shell hangs:  ssh HOST true  (.bashrc, .profile), or the host "
            "itself: memory, load, disk",
        ) from None


def _check_noise(seen: bytes) -> None:
    if len(seen) > NOISE:
        raise AgentGone(
            "the login shell prints without end before the agent can speak",
            "keep the login's shell files silent for commands without a terminal",
        )


def _not_started(channel: Channel, seen: bytes) -> AgentGone:
    code = channel.exit_status(EXIT)
    return AgentGone.because(explain(channel.stderr_tail() or seen.decode("utf-8", "replace"), code))


def _system(execute: Callable[[str], Channel]) -> str:
    """The host's os-release(5), "" when it can't be had."""
    seen = b""
    deadline = time.monotonic() + SYSTEM
    with suppress(Exception):  # why there is no agent is known already; this only adds to it
        channel = execute("cat /etc/os-release")
        try:
            while len(seen) < NOISE and (data := channel.recv(CHUNK, max(0.001, deadline - time.monotonic()))):
                seen += data
        finally:
            channel.close()
    return seen.decode("utf-8", "replace")


def _last(text: str) -> str:
    return next((line.strip()[-200:] for line in reversed(text.splitlines()) if line.strip()), "")


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


def receive(channel: Channel, deadline: float, hang: float) -> bytes:
    """What comes next, b"" at the end. Raises AgentGone after the deadline (monotonic), or `hang` silent seconds."""
    left = max(0.001, deadline - time.monotonic())
    try:
        return channel.recv(CHUNK, min(left, hang))
    except TimeoutError:
        if left <= hang:
            raise AgentGone(ENDLESS) from None
        raise AgentGone(
            f"hangs: nothing was heard from its agent for {hang:.0f} s, though its sshd answers",
            "see what holds the host up: memory, load, a disk or a server of files that does not answer (dmesg, ps); "
            "what its agent has begun is completed by the next apply",
        ) from None


def gone(channel: Channel, code: int | None) -> AgentGone:
    """The error for an agent that ended with this exit code (None: no code came)."""
    tail = channel.stderr_tail().strip()[-2000:]
    if code and (broken := broken_python(tail)):
        return AgentGone.because(broken)
    ended = "it was killed, or its connection was" if code is None else f"it ended with exit {code}"
    return AgentGone(f"the agent is gone: {ended}{': ' + tail if tail else ''}")
