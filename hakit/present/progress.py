"""Progress of planning and applying: a line per host at work and a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import click

from hakit.engine import events
from hakit.present.commands import pasteable
from hakit.present.plan import failure, rejection_lines
from hakit.present.terminal import colourful, count, duration, fold, paint, printable, width

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

SHOWN = 8
"""Hosts at work that get a line of their own; of more, only the count is shown."""
TICK = 0.1


class Live:
    """A few lines at the bottom of a terminal that are drawn anew while other lines scroll above them.

    A terminal that is gone is written to no more, and the work goes on: nothing here raises for it.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.live = not quiet and sys.stderr.isatty() and colourful(sys.stderr)
        self._drawn = 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def lines(self) -> list[str]:
        """What to draw now."""
        return []

    def __enter__(self) -> Self:
        if self.live:
            self._thread = threading.Thread(target=self._tick, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._erase()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self.quiet:
            return
        with self._lock:
            self._erase()
            with self._silenced():
                click.echo(fold(text, "      ", sys.stderr), err=True)
            self._draw()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question meanwhile."""
        with self._lock:
            self._erase()
            yield

    def _tick(self) -> None:
        while not self._stop.wait(TICK):
            with self._lock:
                self._erase()
                self._draw()

    def _erase(self) -> None:
        if self._drawn:
            with self._silenced():
                sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
                sys.stderr.flush()
            self._drawn = 0

    def _draw(self) -> None:
        if not self.live or self._stop.is_set():
            return
        lines = [line[: width() - 1] for line in self.lines()]
        with self._silenced():
            sys.stderr.write("".join(f"{line}\n" for line in lines))
            sys.stderr.flush()
            self._drawn = len(lines)

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        """Write no more where that fails: a terminal that has hung up answers EIO, a full disk ENOSPC."""
        try:
            yield
        except OSError:
            self.quiet, self.live, self._drawn = True, False, 0


class Asking(Live):
    """Shows that hosts are being asked."""

    def __init__(self, hosts: int, *, quiet: bool = False, verbose: int = 0) -> None:
        super().__init__(quiet=quiet)
        self._hosts = hosts
        self._answered = 0
        self._verbose = verbose
        self._began = time.monotonic()

    def lines(self) -> list[str]:
        """How many hosts have answered; nothing during the first half second."""
        waited = time.monotonic() - self._began
        if waited < 0.5:  # noqa: PLR2004  a quick answer needs no progress
            return []
        return [f"asking hosts  {bar(self._answered, self._hosts)}  {self._answered}/{self._hosts}  {duration(waited)}"]

    def sink(self, event: events.Event) -> None:
        """Take an event of planning."""
        match event:
            case events.Planned() | events.Unreachable():
                self._answered += 1
            case events.Reached(host=host, seconds=seconds, taken_over=taken):
                if taken:
                    self.say(f"{host}  took over the lock of a run that is dead: {printable(taken)}")
                if self._verbose:
                    self.say(paint(f"{host}  answers, {duration(seconds)}", dim=True))
            case events.Noted(host=host, text=text):
                self.say(f"{host}  {printable(text)}")


class Working(Live):
    """Shows work on hosts: what each does now, what has been done, how far all are."""

    def __init__(self, hosts: int, changes: int = 0, *, quiet: bool = False, verbose: int = 0) -> None:
        super().__init__(quiet=quiet)
        self._total = changes
        self._hosts = hosts
        self._ended: set[str] = set()
        self._done = 0
        self._doing: dict[str, str] = {}
        self._notable: dict[str, dict[str, list[str]]] = {}
        self._everything = verbose > 0
        self._briefly = self.live and not verbose

    def lines(self) -> list[str]:
        """The hosts at work, then the whole."""
        doing = list(self._doing.items())
        lines = [f"{host}  {paint(printable(text), dim=True)}" for host, text in doing[:SHOWN]]
        if len(doing) > SHOWN:
            lines.append(paint(f"and {count(len(doing) - SHOWN, 'more host')}", dim=True))
        if self._total:
            parts = f"{self._done}/{self._total} changes, {len(self._ended)}/{self._hosts} hosts"
            return [*lines, f"{bar(self._done, self._total)}  {parts}"]
        ended = len(self._ended)
        return [*lines, f"{bar(ended, self._hosts)}  {ended}/{self._hosts} hosts"] if self._hosts else []

    def sink(self, event: events.Event) -> None:
        """Take an event of applying."""
        with self._lock:
            self._take(event)

    def _take(self, event: events.Event) -> None:
        match event:
            case events.Started(host=host):
                self._doing[host] = "begins"
                self._ended.discard(host)
            case events.Begun(host=host, key=key):
                self._doing[host] = key
            case events.Noted(host=host, text=text) if host in self._doing:
                self._doing[host] = text
            case events.Done(host=host, key=key, changed=True, summary=summary):
                self._done += 1
                self._note(host, key, summary)
            case events.Done() | events.Failed() | events.Skipped():
                self._done += 1
            case events.Finished(host=host) | events.Broken(host=host):
                self._doing.pop(host, None)
                self._ended.add(host)
        line = self._told(event)
        if line:
            self.say(f"{paint(event.host, bold=True)}  {line}")

    def _note(self, host: str, key: str, summary: tuple[str, ...]) -> None:
        """Keep what a reader wants to know of a host in the end: packages and what happened to units."""
        kind, name = key.split(":", 1)
        if kind in ("unit", "package") and summary:
            effect = "; ".join(summary) if kind == "unit" else summary[0].split(" ")[0]
            self._notable.setdefault(host, {}).setdefault(effect, []).append(name.removesuffix(".service"))

    def _told(self, event: events.Event) -> str | None:
        """On a terminal a host's changes are told when it is done, in a pipe as they happen."""
        if isinstance(event, events.Done) and self._briefly:
            return None
        line = told(event, everything=self._everything)
        if isinstance(event, events.Finished) and self._briefly:
            effects = self._notable.pop(event.host, {})
            notable = "; ".join(f"{effect} {', '.join(names)}" for effect, names in effects.items())
            sign = paint("✗", "red") if event.failed else paint("✓", "green")
            line = f"{sign} {line}  {printable(notable)}"
        return line


def told(event: events.Event, *, everything: bool) -> str | None:
    """The line that an event leaves on the screen, without its host; None for what only shows while it lasts."""
    sign, text = _of_resource(event, everything=everything)
    if not text:
        sign, text = _of_host(event)
    return f"{sign} {text}".strip() or None


def _of_resource(event: events.Event, *, everything: bool) -> tuple[str, str]:
    match event:
        case events.Done() if event.changed or everything:
            return paint("✓", "green"), f"{event.key}  {printable('; '.join(event.summary))}".rstrip()
        case events.Failed():
            reasons = "\n      ".join(rejection_lines(event.rejection))
            return paint("✗", "red"), f"{event.key}  {reasons}"
        case events.Skipped():
            return paint("-", "yellow"), f"{event.key}  left alone: it needs {event.because}"
    return "", ""


def _of_host(event: events.Event) -> tuple[str, str]:
    sign, text = "", ""
    match event:
        case events.Noted():
            text = printable(event.text)
        case events.Withdrawn():
            text = f"taken out of {printable(event.what)}, {duration(event.seconds)}"
        case events.Returned():
            text = "back in service"
        case events.Overridden():
            sign, text = paint("!", "yellow"), f"overridden ({printable(event.reason)}): {printable(event.why)}"
        case events.NotStarted():
            sign, text = paint("-", "yellow"), _lines(f"not started: {pasteable(event.why)}")
        case events.Unreachable() | events.Broken():
            text = failure(event.host, event.error)
        case events.Finished():
            text = f"{count(event.changed, 'change')}, {duration(event.seconds)}"
    return sign, text


def _lines(text: str) -> str:
    return printable(text).replace("\n", "\n      ")


def bar(done: int, total: int, cells: int = 20) -> str:
    """A bar of `cells` columns."""
    full = cells * done // total if total else cells
    return "█" * full + "░" * (cells - full)
