"""A change with a step that takes a while, so that something can happen in its middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.lab.faults.stage import AGENT, ONE

if TYPE_CHECKING:
    from tests.lab.faults.stage import Stage

BEGAN, MADE = "/run/slow-began", "/srv/demo/slow"
SECONDS = 2
"""Time enough to strike in the middle, but not to run hakit."""


def slow(system: dict[str, Any], seconds: int = SECONDS) -> None:
    """Have the step among the settings."""
    system["commands"]["slow"] = {"run": ["/bin/sh", "-c", script(seconds)], "creates": MADE, "timeout": "30s"}


def script(seconds: int = SECONDS) -> str:
    """What the step does."""
    return f"touch {BEGAN}; sleep {seconds}; touch {MADE}"


def begun(stage: Stage, host: str = ONE) -> bool:
    """Whether the step has begun."""
    return stage.sh(f"test -e {BEGAN} && echo yes", host, check=False) == "yes\n"


def agents(stage: Stage, host: str = ONE) -> int:
    """How many agents run on a host."""
    return int(stage.sh(f"pgrep -cf '{AGENT}'; true", host))
