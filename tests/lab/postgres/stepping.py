"""hakit in a process that ends at a counted step of a command on a cluster; nothing in hakit knows of it.

    python -m tests.lab.postgres.stepping [--steps FILE] [--kill STEP] -- postgres switchover …

A step is a verb that changes a member, by its number among those of its name: `promote-1`. `--kill promote-1-sent` ends
this process as soon as the verb is on its way to the host, `--kill promote-1-done` as soon as its answer is here.
`--steps` writes how many there were of each verb (JSON) when hakit has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hakit.agent import starting
from hakit.agent.postgres.tasks import READING
from hakit.cli.main import main as hakit
from hakit.engine.session import HostSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.answers import AgentEvent
    from hakit.agent.starting import Channel
    from hakit.agent.tasks import Task


class Steps:
    """Counts the steps, and ends this process at one of them."""

    def __init__(self, kill: str) -> None:
        self.counts: Counter[str] = Counter()
        self._kill = kill
        self._lock = threading.Lock()
        self._here = threading.local()

    def watch(self) -> None:
        """Count what every session is told from now on; each talks in the thread that asks it."""
        ask, send = HostSession.task, starting.send

        def asking(
            session: HostSession, task: Task, on_event: Callable[[AgentEvent], None] | None = None
        ) -> dict[str, Any]:
            if task.do in READING:
                return ask(session, task, on_event)
            with self._lock:
                self.counts[task.do] += 1
                step = f"{task.do}-{self.counts[task.do]}"
            self._here.step = step
            try:
                return ask(session, task, on_event)
            finally:
                self._end(f"{step}-done")

        def sending(channel: Channel, data: bytes) -> None:
            send(channel, data)
            step = getattr(self._here, "step", "")
            self._here.step = ""
            self._end(f"{step}-sent")

        HostSession.task = asking  # type: ignore[method-assign, assignment]  # named otherwise
        starting.send = sending

    def _end(self, at: str) -> None:
        if at == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Run hakit so; ends with its exit code."""
    parser = argparse.ArgumentParser(prog="tests.lab.postgres.stepping")
    parser.add_argument("--steps", type=Path)
    parser.add_argument("--kill", default="")
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args(arguments)
    steps = Steps(asked.kill)
    steps.watch()
    try:
        hakit(asked.words)
    finally:
        if asked.steps:
            asked.steps.write_text(json.dumps(steps.counts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
