"""The verbs of `Task(kind="raid")`: what the controller can ask about one array, which is described as declared.

Read-only (no lock): `status`, `growth`. Under the host's lock: `fail`, `remove`, `add` (`device`: a word of the
inventory, or `serial:…`), `scrub` (`action`: check, repair or stop), `grow` (`backup`: a file that is not on the array;
it takes the first of the steps that `growth` tells), `resume` (starts an array whose reshape was cut off). None waits
for a rebuild or a reshape: `status` tells of it.
"""

from __future__ import annotations

from hakit.agent.tasks import verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

READING = frozenset({"status", "growth"})
"""Verbs that change nothing and need no lock."""
ALONE = READING | {"resume"}
"""Verbs that have no arguments, and end at once."""
VERBS = {
    "status": ("status", (), ()),
    "growth": ("growing", (), ()),
    "grow": ("growing", (), ("backup",)),
    "resume": ("growing", (), ()),
    "fail": ("acts", ("device",), ()),
    "remove": ("acts", ("device",), ()),
    "add": ("acts", ("device",), ()),
    "scrub": ("acts", ("action",), ()),
}
"""Module, arguments that are needed, and those that can be left out, by verb."""


def carry_out(do: str, array: Array, arguments: dict[str, str], work: Work, timeout: float = 60.0) -> dict[str, Any]:
    """Carry a verb out. Raises Failure, OSError."""
    call = verb(do, VERBS, arguments, "hakit.agent.raid", "an array")
    if do in ALONE:
        found: dict[str, Any] = call(array, work)
    else:
        found = call(array, arguments, work, timeout)
    return found
