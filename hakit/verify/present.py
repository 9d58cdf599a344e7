"""How a verification looks: a line per host and component, the reason of each failure below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.present.terminal import count, duration, paint, printable
from hakit.verify.report import SITE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hakit.errors import ConnectError
    from hakit.verify.report import Outcome, Report, Status

SIGNS: dict[Status, tuple[str, str | None]] = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", None)}


class Lines:
    """Prints the lines of a host and component as soon as its last test has ended.

    `verbose` 1 names every test, 2 adds the tracebacks of failures.
    """

    def __init__(self, say: Callable[[str], None], wide: int, verbose: int = 0) -> None:
        self._say = say
        self._wide = wide
        self._verbose = verbose
        self._group: list[Outcome] = []

    def hear(self, outcome: Outcome) -> None:
        """Take the next outcome; those of a host and component come one after the other."""
        if self._group and _key(self._group[0]) != _key(outcome):
            self.end()
        self._group.append(outcome)

    def end(self) -> None:
        """Print what has not been printed."""
        if self._group:
            self._say(self._text(self._group))
        self._group = []

    def _text(self, group: Sequence[Outcome]) -> str:
        first = group[0]
        counts = [
            paint(f"{number} {word}", colour)
            for status, word, colour in (
                ("passed", "passed", None),
                ("failed", "FAILED", "red"),
                ("skipped", "skipped", None),
            )
            if (number := sum(one.status == status for one in group))
        ]
        seconds = duration(sum(one.seconds for one in group))
        lines = [f"{first.host:{self._wide}}  {first.component:12}  {', '.join(counts)}  {paint(seconds, dim=True)}"]
        for one in group:
            if one.status == "failed" or self._verbose:
                lines += self._test(one)
        return "\n".join(lines)

    def _test(self, one: Outcome) -> list[str]:
        sign, colour = SIGNS[one.status]
        lines = [f"    {paint(sign, colour)} {one.title}"]
        if one.message and (one.status == "failed" or self._verbose):
            lines += [f"        {line}" for line in printable(one.message).splitlines()]
        if one.details and self._verbose > 1:
            lines += [f"        | {line}" for line in printable(one.details).splitlines()]
        return lines


def ending(report: Report, seconds: float) -> str:
    """What could not be verified, and the total."""
    lines = [_trouble(name, error.text()) for name, error in report.unreachable.items()]
    lines += [_trouble(name, reason) for name, reason in report.broken.items()]
    total = " ".join(_counts(report))
    return "\n".join(
        [*lines, *([""] if lines else []), f"{paint(total, None if report.ok else 'red')}  {duration(seconds)}"]
    )


def _counts(report: Report) -> Iterator[str]:
    """`4 checks on 2 hosts: 3 passed, 1 failed.`, `1 host was not reached.`."""
    if report.outcomes:
        hosts = count(len({one.host for one in report.outcomes} - {SITE}), "host")
        numbers = [f"{number} {status}" for status in SIGNS if (number := report.count(status))]
        yield f"{count(len(report.outcomes), 'check')} on {hosts}: {', '.join(numbers)}."
    else:
        yield "Nothing was verified."
    if report.unreachable:
        yield f"{count(len(report.unreachable), 'host')} not reached."
    if report.broken:
        yield f"{count(len(report.broken), 'test file')} not read."


def as_data(report: Report) -> dict[str, Any]:
    """The same for programs."""
    return {
        "ok": report.ok,
        "passed": report.count("passed"),
        "failed": report.count("failed"),
        "skipped": report.count("skipped"),
        "checks": [
            {
                "host": one.host,
                "component": one.component,
                "test": one.test,
                "title": one.title,
                "status": one.status,
                "seconds": one.seconds,
                **({"message": one.message} if one.message else {}),
            }
            for one in report.outcomes
        ],
        "unreachable": _reasons(report.unreachable),
        "broken": dict(report.broken),
    }


def _reasons(failures: Mapping[str, ConnectError]) -> dict[str, str]:
    return {name: error.text() for name, error in failures.items()}


def _trouble(name: str, text: str) -> str:
    first, *rest = printable(text).splitlines()
    return "\n".join(
        [
            f"{paint('✗', 'red')} {first if first.startswith(name) else f'{name}: {first}'}",
            *(f"    {line}" for line in rest),
        ]
    )


def _key(outcome: Outcome) -> tuple[str, str]:
    return outcome.host, outcome.component
