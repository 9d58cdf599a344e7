"""How an examination looks: troubles with their hosts, what they do, what to do; then one line of totals."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, Any

from hakit.engine.diagnosis import span
from hakit.engine.examination import Clock, Machine
from hakit.present.commands import pasteable
from hakit.present.progress import Live, bar
from hakit.present.terminal import count, duration, names, paint, printable, width

if TYPE_CHECKING:
    from hakit.engine.diagnosis import Exam, Trouble
    from hakit.engine.doctor import Findings

COLOURS = {"error": "red", "warning": "yellow"}
SETTLED = 0.5
"""Seconds before progress is shown: a quick answer needs none."""


class Examining(Live):
    """Shows how far an examination is."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._began = time.monotonic()
        self._doing, self._done, self._total = "connecting", 0, 0

    def lines(self) -> list[str]:
        """What is done now, for how many hosts."""
        waited = time.monotonic() - self._began
        if waited < SETTLED or not self._total:
            return []
        return [f"{self._doing}  {bar(self._done, self._total)}  {self._done}/{self._total} hosts  {duration(waited)}"]

    def progress(self, doing: str, done: int, total: int) -> None:
        """Take what the examination tells."""
        self._doing, self._done, self._total = doing, done, total


def doctor_text(found: Findings, seconds: float, *, verbose: int = 0) -> str:
    """All of it for a terminal: errors last, so that they stand where the eye is."""
    blocks = [_host(exam) for exam in found.exams.values()] if verbose else []
    blocks += [_trouble(one) for one in found.troubles]
    return "\n".join([*blocks, totals(found, seconds)])


def totals(found: Findings, seconds: float) -> str:
    """`5 hosts examined: 1 error, 2 warnings.`."""
    examined = sum(exam.examined for exam in found.exams.values())
    left = len(found.exams) - examined
    errors, warnings = found.count("error"), found.count("warning")
    parts = [count(errors, "error")] if errors else []
    parts += [count(warnings, "warning")] if warnings else []
    sign = paint("✗", "red") if errors else paint("✓", "green")
    missed = f", {left} could not be" if left else ""
    return (
        f"{sign} {count(examined, 'host')} examined{missed}: {', '.join(parts) or 'all is well'}.  {duration(seconds)}"
    )


def doctor_json(found: Findings) -> dict[str, Any]:
    """The examination for programs."""
    return {
        "good": not found.count("error"),
        "troubles": [
            {
                "kind": one.kind,
                "severity": one.severity,
                "hosts": list(one.hosts),
                "what": one.what,
                "why": one.why,
                "do": pasteable(one.do),
            }
            for one in found.troubles
        ],
        "hosts": {name: _host_json(exam) for name, exam in found.exams.items()},
    }


def _trouble(one: Trouble) -> str:
    head = f"{paint(names(one.hosts), bold=True)}  {paint(one.severity, COLOURS[one.severity])}  {printable(one.what)}"
    lines = [head.replace("\n", "\n    ")]
    for text in (one.why, pasteable(f"→ {one.do}") if one.do else ""):
        for line in printable(text).splitlines():
            lines += textwrap.wrap(
                line,
                max(width(), 80),
                initial_indent="    ",
                subsequent_indent="      " if text.startswith("→") else "    ",
                break_long_words=False,
                break_on_hyphens=False,
                drop_whitespace=True,
            )
    return "\n".join(lines)


def _host(exam: Exam) -> str:
    """One line of what a host is."""
    parts = []
    if exam.hello is not None:
        parts += [exam.hello.pretty, f"Python {exam.hello.python}", exam.login]
    if isinstance(exam.machine, Machine):
        parts.append(f"up {span(exam.machine.uptime)}")
        parts.append(f"in a container ({exam.machine.container})" if exam.machine.container else "")
    if isinstance(exam.clock, Clock):
        parts.append(f"clock {exam.clock.ahead * 1000:+.0f} ms ± {exam.clock.doubt * 1000:.0f}")
    known = ", ".join(printable(part) for part in parts if part) or "nothing is known"
    return f"{paint(exam.host.name, bold=True)}  {paint(known, dim=True)}"


def _host_json(exam: Exam) -> dict[str, Any]:
    out: dict[str, Any] = {"examined": exam.examined, "error": exam.error.text() if exam.error else None}
    if exam.hello is not None:
        out |= {"system": exam.hello.pretty, "python": exam.hello.python, "login": exam.login}
    if isinstance(exam.machine, Machine):
        out |= {"uptime": exam.machine.uptime, "container": exam.machine.container, "reboot": exam.machine.reboot}
    if isinstance(exam.clock, Clock):
        out["clock"] = {
            "ahead": round(exam.clock.ahead, 4),
            "doubt": round(exam.clock.doubt, 4),
            "synchronized": exam.clock.synchronized,
        }
    return out
