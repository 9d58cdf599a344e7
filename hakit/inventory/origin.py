"""Where a value comes from: marks in files, values that remember them, problems with their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

Path = tuple[str | int, ...]
Severity = Literal["error", "warning"]


def printable(text: str) -> str:
    """The text with everything that could drive a terminal made visible: escapes, line breaks, direction changes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def dotted(path: Path) -> str:
    """The path as people write it: `keepalived.instances.front.addresses[0]`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file: 1-based line and column; `file` as the user would type it. Line 0 is the file as a whole."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        file = printable(self.file)
        return f"{file}:{self.line}:{self.column}" if self.line else file


@dataclass(frozen=True, slots=True)
class Origin:
    """The inventory value that something stems from: its path below `hakit` and its place."""

    path: Path
    mark: Mark

    def __str__(self) -> str:
        return printable(f"{self.mark.file}:{self.mark.line} {dotted(self.path)}")


class Text(str):
    """A string of the inventory that remembers its origin; otherwise an ordinary string."""

    __slots__ = ("origin",)
    origin: Origin

    @classmethod
    def at(cls, value: str, origin: Origin) -> Self:
        """`value`, remembering `origin`."""
        text = cls(value)
        text.origin = origin
        return text


class Number(int):
    """An integer of the inventory that remembers its origin; otherwise an ordinary integer."""

    origin: Origin

    @classmethod
    def at(cls, value: int, origin: Origin) -> Self:
        """`value`, remembering `origin`."""
        number = cls(value)
        number.origin = origin
        return number


class Real(float):
    """A float of the inventory (a duration in seconds, say) that remembers its origin; otherwise an ordinary float."""

    origin: Origin

    @classmethod
    def at(cls, value: float, origin: Origin) -> Self:
        """`value`, remembering `origin`."""
        real = cls(value)
        real.origin = origin
        return real


def origin_of(value: object) -> Origin | None:
    """The origin that a value remembers, or None (derived values have none)."""
    return getattr(value, "origin", None)


LONGEST = 2000
"""Characters of one text of a problem: the beginning and the end of a longer one say enough."""


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 100]} … {text[-97:]}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with its place.

    `key` is the dotted path in the inventory, `message` says what is wrong and what is allowed; a finding of lint has
    its rule's id; `write` is what to write instead. An inventory's keys and values may hold anything, so all texts are
    made printable and cut where they are endless: none of it reaches a terminal as a control sequence.
    """

    message: str
    mark: Mark | None = None
    key: str = ""
    severity: Severity = "error"
    rule: str | None = None
    write: str | None = None

    def __post_init__(self) -> None:
        """Make the texts printable."""
        for name in ("message", "key", "write"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, _shortened(printable(text)))

    def text(self) -> str:
        """`file:line:column: key: message` on one printable line, without the parts that are not known."""
        place = f"{self.mark}: " if self.mark else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{key}{self.message}"
