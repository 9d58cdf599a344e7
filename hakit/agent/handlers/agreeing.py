"""Whether a new content contradicts what the other members of a redundancy group say at this moment."""

from __future__ import annotations

import re

from hakit.agent import loaded
from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.resources.files import Agreement
    from hakit.agent.work import Work

ENABLED = ("enabled", "enabled-runtime")


def is_broken(agreement: Agreement, old: str, new: str, work: Work) -> bool:
    """Whether the agreed lines of a section differ, and the unit that speaks them does or will speak. Raises Failure.

    A unit counts while it is enabled or runs; without a unit, always.
    """
    try:
        differ = differs(agreement, old, new)
    except (re.error, IndexError) as error:
        raise Failure(f"what has to agree in {agreement.path} can't be told: {error}") from None
    if not differ or not agreement.unit:
        return differ
    state = loaded.show([agreement.unit], work)[agreement.unit]
    return state.get("UnitFileState") in ENABLED or state.get("ActiveState") in loaded.RUNNING


def differs(agreement: Agreement, old: str, new: str) -> bool:
    """Whether a section that both texts have says something else in its agreed lines. Raises re.error, IndexError."""
    before, after = sections(agreement, old), sections(agreement, new)
    return any(before[name] != after[name] for name in before if name in after)


def sections(agreement: Agreement, text: str) -> dict[str, list[str]]:
    """The agreed lines of each section by its name, stripped and in order. Raises re.error, IndexError."""
    opens, wanted = re.compile(agreement.section), re.compile(agreement.lines)
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.splitlines():
        begin = opens.search(line)
        if begin is not None:
            lines = found.setdefault(begin["name"], [])
        elif lines is not None and wanted.search(line):
            lines.append(line.strip())
    return found
