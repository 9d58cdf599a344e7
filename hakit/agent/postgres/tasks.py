"""The verbs of `Task(kind="postgres")`: what the controller can ask of one member.

Read-only (no lock): `look`. Under the host's lock: `decide`, `hold`, `release`, `halt`, `follow`, `checkpoint`,
`stop`, `start`, `demote`, `slots`, `promote`, `rewind`, `reinit`, `resume`. Each is safe to repeat; a verb whose
outcome is there already answers at once.
"""

from __future__ import annotations

import sys

from hakit.agent.errors import Failure

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
    if do not in VERBS:
        raise Failure(f"PostgreSQL has no verb {do!r} on this host")
    module, needed, others = VERBS[do]
    missing = [name for name in needed if name not in arguments]
    unknown = [name for name in arguments if name not in (*needed, *others)]
    if missing or unknown:
        words = [f"needs {name}" for name in missing] + [f"knows no {name}" for name in unknown]
        raise Failure(f"the verb {do} {', '.join(words)}")
    name = f"hakit.agent.postgres.{module}"
    __import__(name)
    verb = getattr(sys.modules[name], do)
    if do == "look":
        found: dict[str, Any] = verb(place, work)
    else:
        found = verb(place, arguments, work, timeout)
    return found
