"""The verbs of `Task(kind="postgres")`: what the controller can ask of one member.

Read-only (no lock): `look`. Under the host's lock: `decide`, `hold`, `release`, `halt`, `follow`, `checkpoint`,
`stop`, `start`, `demote`, `slots`, `promote`, `rewind`, `reinit`, `resume`. Each is safe to repeat; a verb whose
outcome is there already answers at once.
"""

from __future__ import annotations

from hakit.agent.tasks import verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

READING = frozenset({"look"})
"""Verbs that change nothing and need no lock."""
VERBS = {
    "look": ("look", (), ()),
    "decide": ("steps", ("record",), ()),
    "hold": ("steps", ("why",), ()),
    "release": ("steps", (), ()),
    "halt": ("steps", (), ()),
    "follow": ("steps", ("upstream",), ("wait",)),
    "slots": ("steps", ("hosts",), ()),
    "checkpoint": ("steps", (), ()),
    "demote": ("steps", (), ()),
    "resume": ("steps", (), ()),
    "promote": ("steps", (), ()),
    "stop": ("power", (), ("mode",)),
    "start": ("power", (), ()),
    "rewind": ("rewinding", ("upstream",), ()),
    "reinit": ("rewinding", ("upstream",), ("rate", "system")),
}
"""Module, arguments that are needed, and those that can be left out, by verb."""


def carry_out(do: str, place: Place, arguments: dict[str, str], work: Work, timeout: float = 60.0) -> dict[str, Any]:
    """Carry a verb out; it waits at most about `timeout` seconds, copies excepted. Raises Failure, Stopped, OSError."""
    call = verb(do, VERBS, arguments, "hakit.agent.postgres", "PostgreSQL")
    found: dict[str, Any] = call(place, work) if do == "look" else call(place, arguments, work, timeout)
    return found
