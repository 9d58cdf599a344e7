"""What is found on a disk that must be empty, said so that a person knows which disk, and where on it."""

from __future__ import annotations

TABLE, SIGNATURE, MEMBER, DATA, PARTITION = "table", "signature", "member", "data", "partition"
HELD = "held"
"""Somebody uses it just now: no word on a command line lets it be wiped."""
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SHOWN = 6  # findings of one disk that a message carries


class Finding:
    """`kind` as above, `what` in words, `where` its first byte on the disk (-1: nowhere in particular)."""

    __slots__ = ("kind", "what", "where")

    def __init__(self, kind: str, what: str, where: int = -1) -> None:
        self.kind = kind
        self.what = what
        self.where = where

    def text(self) -> str:
        """In words: `ext4 at 1 MiB`."""
        return self.what if self.where < 0 else f"{self.what} at {place(self.where)}"

    def __repr__(self) -> str:
        return f"Finding({self.kind}: {self.text()})"


def place(offset: int) -> str:
    """An offset in bytes for people: in the largest unit that says it exactly."""
    if not offset:
        return "the beginning"
    for unit, word in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if offset % unit == 0:
            return f"{offset // unit} {word}"
    return f"byte {offset}"


def size(count: int) -> str:
    """A size in bytes for people: three digits and the unit in powers of 1024."""
    number, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1000 or unit == "TiB":  # noqa: PLR2004 - three digits
            break
        number /= 1024
    return f"{number:.3g} {unit}"


def texts(found: list[Finding]) -> list[str]:
    """What is found, in words and without repeating; at most a handful, and how many more."""
    words = list(dict.fromkeys(one.text() for one in found))
    more = len(words) - SHOWN
    return [*words[:SHOWN], f"and {more} more"] if more > 0 else words


def held(found: list[Finding]) -> list[Finding]:
    """Those that say that somebody uses the disk."""
    return [one for one in found if one.kind == HELD]
