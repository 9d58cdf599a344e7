"""Colours, signs and small words that all output shares; colour is never the only sign."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNS = {"add": "+", "change": "~", "remove": "−", "refused": "!", "unknown": "?"}
COLOURS = {"add": "green", "change": "yellow", "remove": "red", "refused": "red", "unknown": "cyan"}


def colourful(stream: TextIO | None = None) -> bool:
    """Whether to colour: a terminal that did not say NO_COLOR (https://no-color.org), or FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text`, coloured where that makes sense for standard output."""
    if not colourful():
        return text
    return click.style(text, fg=colour, bold=bold or None, dim=dim or None)


def width() -> int:
    """Columns to fill: the terminal's, 80 in a pipe."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def clear() -> str:
    """What empties the screen before it is written anew; nothing where there is none to empty."""
    return "\x1b[H\x1b[2J" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else ""


def fold(text: str, indent: str = "", stream: TextIO | None = None) -> str:
    """`text` with its long lines broken between words on a terminal, and left as they are in a pipe.

    Lines that go on are indented by what their beginning is, and `indent`. A line with a word that does not fit (a
    path, a command) keeps it whole.
    """
    if not (stream or sys.stdout).isatty():
        return text
    return "\n".join(_folded(line, indent, width() - 1) for line in text.split("\n"))


def _folded(line: str, indent: str, columns: int) -> str:
    if len(click.unstyle(line)) <= columns:
        return line
    lead = line[: len(line) - len(line.lstrip())]
    first, *words = line.lstrip().split(" ")
    lines = [lead + first]
    for word in words:
        if word and len(click.unstyle(f"{lines[-1]} {word}")) > columns:
            lines[-1] = lines[-1].rstrip()
            lines.append(f"{lead}{indent}{word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A duration rounded to what matters: 0.3 s, 12 s, 4 min 5 s."""
    if seconds < 10:  # noqa: PLR2004  tenths matter below ten seconds
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(number: int, noun: str) -> str:
    """`1 host`, `2 hosts`, `2 days`, `2 entries`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def sentence(lines: Iterable[str]) -> str:
    """Short lines as one: `make it from A; B`. What is indented belongs to the line before it."""
    found, inside = "", False
    for line in lines:
        detail = line.startswith("  ")
        found += ("" if not found else " " if detail and not inside else "; ") + line.strip()
        inside = detail
    return found


def printable(text: str) -> str:
    """Text from a host with control characters made visible, so that it can't drive the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


def label(key: str) -> str:
    """A resource by its key, as a reader knows it: `package nginx`, but of what has a path the path alone."""
    kind, name = key.split(":", 1)
    if kind == name:  # of a kind of which a host has one
        return kind
    return name if kind in ("files", "directory", "symlink") else f"{kind} {name}"


def names(hosts: tuple[str, ...] | list[str]) -> str:
    """Host names in a list, runs of numbered names shortened: web1–web3."""
    out: list[str] = []
    run: list[str] = []
    for host in [*hosts, ""]:
        if run and _follows(run[-1], host):
            run.append(host)
            continue
        out += [f"{run[0]}–{run[-1]}"] if len(run) > 2 else run  # noqa: PLR2004  two names are short enough
        run = [host]
    return ", ".join(out)


def _follows(first: str, second: str) -> bool:
    stem, number = _split(first)
    other, following = _split(second)
    same_width = len(first) == len(second) or not first[len(stem) :].startswith("0")
    return stem == other and number is not None and following == number + 1 and same_width


def _split(name: str) -> tuple[str, int | None]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :]) if stem != name else None
