"""Who was decided to be the primary of a cluster: the record, as members keep it and tell it."""

from __future__ import annotations

from hakit.agent import jsonlite
from hakit.agent.declare import Declaration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MADE, SWITCHOVER, FAILOVER, STARTED = "made", "switchover", "failover", "started"
KINDS = (MADE, SWITCHOVER, FAILOVER, STARTED)


class Decision(Declaration):
    """Who is primary. The higher `epoch` counts; 0, and nobody named, where nothing was decided yet.

    `before` was primary then, `kind` is one of KINDS, `since` is UTC (`2026-11-22T16:03:11Z`), `run` and `who` are of
    the command that decided. The guard needs no answer of those `excused`: never joined yet, or declared dead by name.
    """

    epoch: int = 0
    primary: str = ""
    before: str = ""
    kind: str = ""
    since: str = ""
    run: str = ""
    who: str = ""
    excused: tuple[str, ...] = ()

    def wire(self) -> dict[str, Any]:
        """As a JSON object."""
        return {name: list(self.excused) if name == "excused" else getattr(self, name) for name in self._fields}

    def text(self) -> str:
        """As JSON on one line."""
        return jsonlite.dumps(self.wire())

    def repeats(self, known: Decision) -> bool:
        """Whether this is the known decision, told again; who is excused becomes fewer in time."""
        return self.replace(excused=()) == known.replace(excused=())


UNDECIDED = Decision()
"""Nobody was named yet."""


def from_wire(data: object) -> Decision:
    """The decision of a JSON object; what newer versions may have added is left out. Raises ValueError."""
    if not isinstance(data, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - of text that someone wrote
    epoch, excused = data.get("epoch", 0), data.get("excused", [])
    words = {name: data.get(name, "") for name in Decision._fields if name not in {"epoch", "excused"}}
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
        raise ValueError(f"epoch: {epoch!r} is no count")
    if not isinstance(excused, (list, tuple)):
        raise ValueError(f"excused: {excused!r} is no list")  # noqa: TRY004 - of text that someone wrote
    strange = [value for value in (*words.values(), *excused) if not isinstance(value, str)]
    if strange:
        raise ValueError(f"{strange[0]!r} is no text")
    if bool(words["primary"]) != (epoch > 0) or (epoch > 0 and words["kind"] not in KINDS):
        raise ValueError(f"epoch {epoch} and kind {words['kind']!r} don't go with the primary {words['primary']!r}")
    return Decision(epoch=epoch, excused=tuple(excused), **words)


def parse(said: str) -> Decision:
    """The decision of a JSON text. Raises ValueError."""
    return from_wire(jsonlite.loads(said.strip()))
