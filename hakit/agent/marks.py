"""Marks on disk: which hosts are out of service as far as this one helped, a file each in `withdrawn` of the state."""

from __future__ import annotations

import os

from hakit.agent import disk, jsonlite
from hakit.agent.actions import Mark
from hakit.agent.errors import Failure, FrameError
from hakit.agent.state import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

PLACE = f"{FOLDER}/withdrawn"
SUFFIX = ".json"
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
LONGEST = 200  # characters of a host's name: below the 255 bytes of a file's, with room for what comes after
MOST = 4096  # marks that an answer may bring: more than any site has hosts


def check_host(name: str) -> None:
    """See that a host's name can be a file's. Raises FrameError."""
    if not name or len(name) > LONGEST or name.startswith(".") or not LETTERS.issuperset(name):
        raise FrameError(f"no host can have the name {name[:LONGEST]!r}")


def write(mark: Mark, work: Work) -> None:
    """Remember durably that a host is out of service. Raises Failure, FrameError."""
    check_host(mark.host)
    text = jsonlite.dumps({name: getattr(mark, name) for name in Mark._fields}) + "\n"
    try:
        disk.make_folder(work.at(PLACE))
        work.state.replace(f"{PLACE}/{mark.host}{SUFFIX}", text.encode(), 0o600)
    except OSError as error:
        raise Failure(f"hakit can't remember that {mark.host} is out of service: {error.strerror}") from None


def remove(host: str, work: Work) -> None:
    """Forget a host's mark, where there is one. Raises Failure, FrameError."""
    check_host(host)
    try:
        disk.delete(work.at(f"{PLACE}/{host}{SUFFIX}"))
    except OSError as error:
        raise Failure(f"hakit can't forget that {host} was out of service: {error.strerror}") from None


def read(work: Work) -> list[dict[str, str]]:
    """All marks, by host; damaged ones are told of and left out."""
    found = []
    for entry in sorted(os.listdir(work.at(PLACE)))[:MOST]:
        if entry.startswith(disk.TEMPORARY):
            continue
        try:
            found.append(_read(entry, work))
        except (OSError, ValueError) as error:
            work.say(f"{PLACE}/{entry} is damaged and ignored: {error}")
    return found


def _read(entry: str, work: Work) -> dict[str, str]:
    """One mark. Raises OSError, ValueError."""
    data: Any = jsonlite.loads(disk.read(work.at(f"{PLACE}/{entry}")).decode("utf-8").strip())
    fields = {name: data.get(name) for name in Mark._fields} if isinstance(data, dict) else {"host": None}
    if not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("not the expected structure")
    if entry != f"{fields['host']}{SUFFIX}":
        raise ValueError("it is named for another host")
    return fields  # type: ignore[return-value]  # all of them are text, as just checked
