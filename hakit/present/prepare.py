"""How `hakit bootstrap` shows what it will do, what happens, and how it ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hakit.present.terminal import count, duration, paint, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hakit.engine.manageable import Step
    from hakit.errors import HakitError

Ending = Literal["manageable", "lacking", "prepared", "failed"]
_NAME = 34
"""Columns for what a step is."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """How it stands with one host: who manages it, who was logged in, what it lacked, what went wrong."""

    ending: Ending
    user: str
    login: str = ""
    steps: tuple[Step, ...] = ()
    error: HakitError | None = None


def plan_text(found: Mapping[str, Prepared]) -> str:
    """What every host lacks; one that lacks nothing, or failed, in one line."""
    lines: list[str] = []
    for name, one in found.items():
        if one.ending == "manageable":
            lines.append(f"{name}  already manageable as {one.user}")
        elif one.ending == "lacking":
            lines.append(f"{name}  {one.login} logs in")
            steps = [printable(f"{step.what:<{_NAME}} {step.about}".rstrip()) for step in one.steps]
            lines += [f"  {paint('+', 'green')} {text}" for text in steps]
    return "\n".join([*lines, *failures(found)])


def failures(found: Mapping[str, Prepared]) -> list[str]:
    """Why hosts failed."""
    return [paint("✗ ", "red") + printable(one.error.text()) for one in found.values() if one.error is not None]


def line(name: str, kind: str, text: str) -> str:
    """What happens on a host."""
    return f"{name}  {paint(printable(text), 'yellow' if kind == 'wait' else None, dim=kind == 'begin')}"


def ending(found: Mapping[str, Prepared], seconds: float, inventory: Path, *, stopped: bool = False) -> str:
    """The counts, and what to do next; where it was `stopped` who was left, too."""
    number = Counter(one.ending for one in found.values())
    parts = [
        f"{count(number['prepared'], 'host')} prepared",
        *([f"{number['manageable']} already manageable"] if number["manageable"] else []),
        *([f"{number['lacking']} left as before"] if number["lacking"] else []),
        f"{number['failed']} failed",
    ]
    again = number["failed"] or number["lacking"]
    step = f"Run again  hakit bootstrap -i {inventory}" if again else f"Next:  hakit plan -i {inventory}"
    head = "Stopped" if stopped else "Failed" if number["failed"] else "Done"
    left = [f"{name}  not begun" for name, one in found.items() if stopped and one.ending == "lacking"]
    return "\n".join([*left, f"{head}: {', '.join(parts)}.  {duration(seconds)}", step])


def as_data(found: Mapping[str, Prepared]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "ok": all(one.ending in {"manageable", "prepared"} for one in found.values()),
        "hosts": {name: _host(one) for name, one in found.items()},
    }


def _host(one: Prepared) -> dict[str, Any]:
    steps: Iterable[Step] = one.steps
    error = None if one.error is None else {"message": one.error.message, "why": one.error.why, "hint": one.error.hint}
    what = [{"what": step.what, "about": step.about} for step in steps]
    return {"state": one.ending, "user": one.user, "login": one.login, "steps": what, "error": error}
