"""The verbs of `Task(kind="raid")`: what the controller can ask about one array, which is described as declared.

Read-only (no lock): `status`, `growth`. Under the host's lock: `fail`, `remove`, `add` (`device`: a word of the
inventory, or `serial:…`), `scrub` (`action`: check, repair or stop), `grow` (`backup`: a file that is not on the array;
it takes the first of the steps that `growth` tells). None waits for a rebuild or a reshape: `status` tells of it.
"""

from __future__ import annotations

import sys

from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

READING = frozenset({"status", "growth"})
"""Verbs that change nothing and need no lock."""
VERBS = {
    "status": ("status", (), ()),
    "growth": ("growing", (), ()),
    "grow": ("growing", (), ("backup",)),
    "fail": ("acts", ("device",), ()),
    "remove": ("acts", ("device",), ()),
    "add": ("acts", ("device",), ()),
    "scrub": ("acts", ("action",), ()),
}
"""Module, arguments that are needed, and those that can be left out, by verb."""


def carry_out(do: str, array: Array, arguments: dict[str, str], work: Work, timeout: float = 60.0) -> dict[str, Any]:
    """Carry a verb out. Raises Failure, OSError."""
    if do not in VERBS:
        raise Failure(f"an array has no verb {do!r} on this host")
    module, needed, others = VERBS[do]
    missing = [name for name in needed if name not in arguments]
    unknown = [name for name in arguments if name not in (*needed, *others)]
    if missing or unknown:
        words = [f"needs {name}" for name in missing] + [f"knows no {name}" for name in unknown]
        raise Failure(f"the verb {do} {', '.join(words)}")
    name = f"hakit.agent.raid.{module}"
    __import__(name)
    verb = getattr(sys.modules[name], do)
    if do in READING:
        found: dict[str, Any] = verb(array, work)
    else:
        found = verb(array, arguments, work, timeout)
    return found
