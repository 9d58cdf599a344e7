"""How the commands of a connection become root's: not at all, by sudo, or by sudo with a password."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.agent import sudo
from hakit.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.ssh import Connection

PATIENCE = 30.0
"""Seconds for sudo and what it asks (PAM, a directory)."""


@dataclass(frozen=True, slots=True)
class Root:
    """What stands before a command that root is to run, and the line that sudo reads first from its stdin."""

    words: tuple[str, ...] = ()
    line: bytes = field(default=b"", repr=False)

    def command(self, argv: Sequence[str]) -> str:
        """The command line for any login shell."""
        return shlex.join([*self.words, *argv])


def become(connection: Connection) -> Root:
    """How this connection's login becomes root, tried out. Raises LoginError, and what the connection raises."""
    if connection.root:
        return Root()
    reason = _tried(connection, found := Root(tuple(sudo.words())))
    if reason is None:
        return found
    ask = connection.target.sudo_password
    if reason == sudo.PASSWORD and ask is not None:
        password = ask()
        token = secrets.token_hex(16)
        try:
            found = Root(tuple(sudo.words(token)), sudo.line(password))
        except ValueError as error:
            raise LoginError(f"{connection.target.name}: {error}", hint="Correct the password.") from None
        reason = _tried(connection, found, token)
        if reason is None:
            return found
    raise LoginError(
        f"{connection.target.name}: {connection.user} can't become root: {reason.message}", hint=reason.hint
    )


def _tried(connection: Connection, root: Root, token: str = "") -> sudo.Reason | None:
    done = connection.run(root.command(["true"]), PATIENCE, data=root.line)
    if done.exit == 0:
        return None
    said = done.stderr.decode(errors="replace")
    asked = sudo.asked(token, said) if token else []
    if asked and (len(asked) > 1 or sudo.complaint(said) in (None, sudo.PASSWORD)):
        return sudo.refused(asked[-1])
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit {done.exit}")
    return sudo.complaint(said) or sudo.Reason(last)
