"""The verbs of `Task(kind="network")`: how the controller changes a host's network.

Read-only (no lock): `look`, `check`. Under the host's lock: `begin`, `confirm`, `giveup`. With `begin` the lock is let
go, for the connection may end unseen: the armed change itself keeps other runs off. For the same reason who looks
whether the new network works has no lock: a session that is cut off would keep it for as long as sshd does not notice.
"""

from __future__ import annotations

from hakit.agent.tasks import verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work

READING = frozenset({"look", "check"})
"""Verbs that change nothing and need no lock."""
LETTING_GO = frozenset({"begin"})
"""Verbs that keep others off by themselves, so that the host's lock is given back."""
VERBS = {
    "look": ("looking", (), ()),
    "check": ("looking", ("id",), ()),
    "begin": ("beginning", ("run", "who", "library"), ("timeout",)),
    "confirm": ("settling", ("id",), ()),
    "giveup": ("settling", ("id",), ("why",)),
}
"""Module, arguments that are needed, and those that can be left out, by verb."""


def carry_out(
    do: str, network: Network, arguments: dict[str, str], work: Work, timeout: float = 60.0
) -> dict[str, Any]:
    """Carry a verb out. Raises Failure, OSError."""
    call = verb(do, VERBS, arguments, "hakit.agent.network", "a network")
    found: dict[str, Any] = call(network, arguments, work, timeout)
    return found
