"""How the commands of a connection become root's: not at all, by sudo, or by sudo with a password."""

from __future__ import annotations

import secrets
import shlex
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.agent import sudo
from hakit.agent.starting import AgentGone
from hakit.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hakit.ssh import Connection
    from hakit.ssh.password import Turn

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
    if reason == sudo.PASSWORD:
        try:
            with sudo_password(connection) as ask:
                if ask is not None:
                    return _with_password(connection, ask)
        except AgentGone as error:
            reason = sudo.Reason(str(error), error.hint)
    raise LoginError(
        f"{connection.target.name}: {connection.user} can't become root: {reason.message}", hint=reason.hint
    )


def _with_password(connection: Connection, ask: Callable[[], str]) -> Root:
    password = ask()
    token = secrets.token_hex(16)
    try:
        found = Root(tuple(sudo.words(token)), sudo.line(password))
    except ValueError as error:
        raise LoginError(f"{connection.target.name}: {error}", hint="Correct the password.") from None
    reason = _tried(connection, found, token)
    if reason is not None:
        raise AgentGone.because(reason)
    return found


@contextmanager
def sudo_password(connection: Connection) -> Iterator[Callable[[], str] | None]:
    """What to call when sudo asks for a password, None when there is none. Left when sudo took it, or by an AgentGone.

    The first host that asks tries it alone: the others wait, and go on only when sudo took it there. Calling it raises
    LoginError when another host's sudo refused it.
    """
    target = connection.target
    shared = target.sudo_password
    if shared is None:
        yield None
        return
    from hakit.ssh.password import Password  # noqa: PLC0415 - a run without passwords need not pay for it

    if not isinstance(shared, Password):
        yield shared
        return
    turns: list[Turn] = []

    def ask() -> str:
        turn = waiting.enter_context(shared.turn(f"{connection.user}, for sudo"))
        if turn.refused_by:
            raise LoginError(
                f"{target.name}: sudo's password of {connection.user} was not tried, {turn.refused_by} refused it "
                "before",
                why="A wrong password that is tried on every host locks the account.",
                hint=shared.hint,
            )
        turns.append(turn)
        return shared()

    with ExitStack() as waiting:
        try:
            yield ask
        except AgentGone as error:
            for turn in turns if error.refused else ():
                turn.refused(target.name)
            raise
        for turn in turns:
            turn.proven()


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
