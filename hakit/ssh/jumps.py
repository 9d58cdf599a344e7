"""The connections to jump hosts: one for all hosts behind it, and the channels through it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import paramiko

from hakit.errors import ConnectError
from hakit.ssh.dial import refused_by_jump, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.ssh.connection import Connection
    from hakit.ssh.options import Target
    from hakit.ssh.route import Route

_RETRY = 30.0
"""Seconds for which a jump host that failed is not tried again: the hosts behind it fail with it at once."""
_PROHIBITED = 1  # RFC 4254, 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED
_UNKNOWN_TYPE = 3


@dataclass(slots=True)
class _Jump:
    """The connection to one jump host, or why there is none; the lock is held while it is opened."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    connection: Connection | None = None
    failure: ConnectError | None = None
    failed: float = 0.0
    behind: str = ""


class Jumps:
    """The jump hosts of a run. Safe for threads: who needs the same one waits for the one who opens it."""

    def __init__(self, connect: Callable[[Target, str], Connection]) -> None:
        """`connect` logs in on a jump host; its second argument is the host behind it, for messages."""
        self._connect = connect
        self._lock = threading.Lock()
        self._jumps: dict[tuple[object, ...], _Jump] = {}

    def channel(self, hop: Target, target: Target, route: Route, behind: str, timeout: float) -> paramiko.Channel:
        """A channel through the jump host `hop` to a target within a timeout (seconds) once the jump host is reached.

        `behind` is the host for whose sake. Raises ConnectError: of the jump host, which is then named as such, or of
        the target.
        """
        connection = self.reach(hop, behind)
        try:
            return connection.forward(route.host, route.port, timeout)
        except paramiko.ChannelException as error:
            if error.code in (_PROHIBITED, _UNKNOWN_TYPE):
                raise ConnectError(
                    f"{hop.name} (jump to {behind}): does not forward connections",
                    why=str(error.text) or None,
                    hint=f"Set AllowTcpForwarding yes (and look at PermitOpen) in the sshd_config of {hop.name}.",
                ) from error
            raise refused_by_jump(target.name, route.host, route.port, str(error.text), hop.name) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if connection.alive:
                raise unreachable(target.name, route.host, route.port, TimeoutError(), timeout) from error
            raise ConnectError(
                f"{hop.name} (jump to {behind}): the connection was lost", why=connection.lost_because
            ) from error

    def reach(self, hop: Target, behind: str) -> Connection:
        """The connection to a jump host, opened by the first who needs it. Raises ConnectError, naming it as a jump."""
        key = (hop.host, hop.user, hop.port, hop.key_file, hop.jump, hop.proxy_command)
        with self._lock:
            one = self._jumps.setdefault(key, _Jump())
        with one.lock:
            if one.connection and one.connection.alive:
                return one.connection
            if one.failure and time.monotonic() < one.failed + _RETRY:
                raise _told(one.failure, hop.name, one.behind, behind)
            try:
                one.connection = self._connect(hop, behind)
            except ConnectError as error:
                one.connection, one.failure, one.failed, one.behind = None, error, time.monotonic(), behind
                raise _told(error, hop.name, behind, behind) from error
            one.failure = None
            return one.connection


def _told(error: ConnectError, hop: str, first: str, behind: str) -> ConnectError:
    """The failure of a jump host, met by the host `first`, as another one behind it tells it."""
    message = error.message.replace(f" (jump to {first}): ", f" (jump to {behind}): ", 1)
    if message.startswith(f"{hop}: "):
        message = f"{hop} (jump to {behind}){message.removeprefix(hop)}"
    return type(error)(message, why=error.why, hint=error.hint)
