"""What a host tells of a change of its network, checked: it may be anybody's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hakit.agent.answers import typed
from hakit.agent.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Told:
    """One answer to `look` or `check` (hakit/agent/network/looking.py).

    `missing` is what the new network lacks, in words. `armed` and `run` name the change that waits, empty where none
    does: `left` are the seconds until it returns, 0 once it does, `since` those since the new network is in place (None
    before). `ended` names the last change that ended, with `what` and `why`; `log` are the host's lines of it.
    """

    missing: tuple[str, ...] = ()
    armed: str = ""
    run: str = ""
    left: float = 0.0
    since: float | None = None
    ended: str = ""
    what: str = ""
    why: str = ""
    log: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read an answer. Raises FrameError for what is no proper one."""
        armed, outcome = data.get("armed") or {}, data.get("outcome") or {}
        return cls(
            missing=_texts(data, "missing"),
            armed=typed(armed, "id", str) if armed else "",
            run=typed(armed, "run", str) if armed else "",
            left=float(typed(data, "left", (int, float))) if armed else 0.0,
            since=float(typed(data, "since", (int, float))) if data.get("since") is not None else None,
            ended=typed(outcome, "id", str) if outcome else "",
            what=typed(outcome, "what", str) if outcome else "",
            why=typed(outcome, "why", str) if outcome else "",
            log=_texts(data, "log"),
        )


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = data.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise FrameError(f"the agent's answer has no proper {name!r}")
    return tuple(found)
