"""A testinfra backend over hakit's SSH connections: always root, one connection per host."""

from __future__ import annotations

import shlex
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult

from hakit.errors import RefusedError
from hakit.ssh.connection import as_root, sudo_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.ssh import Connection

TIMEOUT = 60.0
"""Seconds that one command of a test may take."""


class Backend(BaseBackend):  # type: ignore[misc] # testinfra has no py.typed
    """Runs a test's commands on one host of the site, as root."""

    NAME = "hakit"

    def __init__(self, name: str, connection: Connection) -> None:
        super().__init__(name)
        self.connection = connection

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a command. Raises ConnectError when the host is lost or the command does not end, LoginError for sudo."""
        del kwargs
        line = self.get_command(command, *args)
        root = self.connection.root
        done = self.connection.run(line if root else as_root(line), TIMEOUT)
        if not root and done.exit != 0:
            failure = sudo_failure(self.hostname, self.connection.user, done.stderr.decode(errors="replace"))
            if failure:
                raise failure
        return self.result(done.exit, line.encode(), done.stdout, done.stderr)

    def run_local(self, command: str, *args: str) -> CommandResult:
        """Refuse to run a command on this machine. Raises RefusedError."""
        raise RefusedError(f"a test wants to run a command on this machine: {self.quote(command, *args)}")

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        """The command as another user; root needs no sudo for that."""
        shell = f"/bin/sh -c {shlex.quote(command)}"
        return shell if sudo_user is None else f"runuser -u {shlex.quote(sudo_user)} -- {shell}"

    def get_encoding(self) -> str:
        """Debian's; asking the host would cost an exec."""
        return "utf-8"


def host(name: str, connection: Connection) -> testinfra.host.Host:
    """The host as testinfra sees it."""
    backend = Backend(name, connection)
    found = testinfra.host.Host(backend)
    backend.set_host(found)
    return found


class Elsewhere:
    """Notices commands that tests run through any other backend, which is how they pass against the wrong machine."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._lock = threading.Lock()

    def take(self) -> tuple[str, ...]:
        """Where commands ran since the last call, each place once."""
        with self._lock:
            seen, self._seen = tuple(dict.fromkeys(self._seen)), []
        return seen

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch all backends: each makes its results with `BaseBackend.result`."""
        original: Callable[..., CommandResult] = BaseBackend.result

        def result(backend: BaseBackend, *args: Any, **kwargs: Any) -> CommandResult:
            if not isinstance(backend, Backend):
                with self._lock:
                    self._seen.append(_place(backend))
            return original(backend, *args, **kwargs)

        BaseBackend.result = result
        try:
            yield
        finally:
            BaseBackend.result = original


def _place(backend: BaseBackend) -> str:
    local = backend.get_connection_type() == "local"
    return (
        "this machine (testinfra's local backend)" if local else f"{backend.get_pytest_id()} (not hakit's connection)"
    )
