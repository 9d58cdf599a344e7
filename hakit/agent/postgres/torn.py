"""That a data directory was left half rewritten: such a one looks whole and is not, so nobody may start it."""

from __future__ import annotations

import os

from hakit.agent import disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work


def read(place: Place, work: Work) -> str:
    """Why the data directory can't be used; empty when it can. Raises OSError."""
    try:
        found = disk.read(work.at(place.torn)).decode("utf-8", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return found or "a rewind in it did not end"


def write(place: Place, why: str, work: Work) -> None:
    """Remember it durably, before the first byte is changed. Raises OSError."""
    disk.write(work.at(place.torn), f"{why}\n".encode(), 0o644)


def forget(place: Place, work: Work) -> None:
    """The data directory is whole, or another one comes in its place. Raises OSError."""
    if os.path.lexists(work.at(place.torn)):
        disk.delete(work.at(place.torn))
