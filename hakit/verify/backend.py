"""A testinfra backend over hakit's SSH connections: always root, one connection per host."""

from __future__ import annotations

import secrets
import shlex
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult

from hakit.agent.sudo import complaint
from hakit.errors import ConnectError, LoginError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.engine.become import Root
    from hakit.ssh import Connection

TIMEOUT = 60.0
"""Seconds that one command of a test may take."""
# On stdin, so that no login shell has to quote it. What stands on either stream before the mark is not the command's: a
# login shell's greeting, sudo's prompt and lecture.
_SCRIPT = """PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
export PATH LC_ALL
printf '\\n%s\\n' {mark}
printf '\\n%s\\n' {mark} >&2
exec /bin/sh -c {line} </dev/null
"""


class Backend(BaseBackend):  # type: ignore[misc] # testinfra has no py.typed
    """Runs a test's commands on one host of the site, as root."""

    NAME = "hakit"

    def __init__(self, name: str, connection: Connection, root: Root) -> None:
        super().__init__(name)
        self.connection = connection
        self.root = root

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a command. Raises ConnectError when the host is lost or the command does not end, LoginError for sudo."""
        del kwargs
        line = self.get_command(command, *args)
        mark = secrets.token_hex(8)
        script = _SCRIPT.format(mark=mark, line=shlex.quote(line)).encode()
        done = self.connection.run(self.root.command(["/bin/sh"]), TIMEOUT, data=self.root.line + script)
        sign = f"\n{mark}\n".encode()
        before, found, stdout = done.stdout.rpartition(sign)  # twice, when a shell file leads one stream to the other
        if not found:
            raise self._failure(before + stdout + done.stderr)
        _, found, stderr = done.stderr.partition(sign)
        return self.result(done.exit, line.encode(), stdout, stderr if found else done.stderr)

    def _failure(self, said: bytes) -> ConnectError:
        """Why a command did not even start."""
        text = said.decode(errors="replace").strip()
        who = f"{self.hostname}: {self.connection.user}"
        reason = complaint(text)
        if reason is not None:
            return LoginError(f"{who} can't become root: {reason.message}", hint=reason.hint)
        return ConnectError(f"{who} can't run a command", why=text[-500:] or None)

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


def host(name: str, connection: Connection, root: Root) -> testinfra.host.Host:
    """The host as testinfra sees it; `root` is how the connection's commands become root's."""
    backend = Backend(name, connection, root)
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
