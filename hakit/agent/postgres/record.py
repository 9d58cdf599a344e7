"""The last decision about who is primary, kept on each member: durably, and by one writer at a time."""

from __future__ import annotations

import os
from time import gmtime, monotonic, sleep, strftime

from hakit.agent import disk
from hakit.agent.errors import Failure, from_os
from hakit.agent.postgres.decision import MADE, UNDECIDED, Decision, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

MODE = 0o640
PATIENCE = 5.0  # seconds for who else is writing: that takes milliseconds
_POLL = 0.01


def read(path: str) -> Decision:
    """The decision kept in a file; none was made where there is no file. Raises Failure for anything else."""
    try:
        data = disk.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return UNDECIDED
    except OSError as error:
        raise from_os(error, "reading the last decision", (path,)) from None
    try:
        return parse(data.decode("utf-8"))
    except ValueError as error:
        raise Failure(f"{path} is no record of a decision: {error}", path=path) from None


def decide(place: Place, text: str, work: Work) -> dict[str, Any]:
    """Keep a decision (JSON), durably, when it is newer than the one known here; which one is known now.

    The same again is no failure. Raises Failure for an older one, and for another one of the same epoch.
    """
    try:
        new = parse(text)
    except ValueError as error:
        raise Failure(f"no record of a decision: {error}") from None
    if new.epoch == 0:
        raise Failure("no record of a decision: it names nobody")
    path = work.at(place.decision)
    with _Writing(path):
        known = read(path)
        if new.repeats(known):
            return known.wire()
        if new.epoch <= known.epoch:
            raise Failure(
                f"{place.host} knows a decision of epoch {known.epoch} already: {known.primary} is primary "
                f"since {known.since or 'then'} ({known.who or 'nobody'} decided so)"
            )
        _write(path, new, _owner(work))
    return new.wire()


def write_first(place: Place, work: Work) -> None:
    """Keep that this member is the primary of a cluster that is being made. Raises Failure, OSError."""
    path = work.at(place.decision)
    with _Writing(path):
        known = read(path)
        if known.kind == MADE and known.primary == place.host:
            return
        others = tuple(one.name for one in place.members if one.name != place.host)
        since = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
        made = Decision(epoch=known.epoch + 1, primary=place.host, kind=MADE, since=since, excused=others)
        _write(path, made, _owner(work))


def count_again(path: str, hosts: set[str]) -> bool:
    """Have the voices of `hosts` count again that were excused; whether that changed anything. Raises Failure, OSError.

    For who owns the file.
    """
    if not hosts & set(read(path).excused):
        return False
    with _Writing(path):
        known = read(path)
        left = tuple(one for one in known.excused if one not in hosts)
        if left == known.excused:
            return False
        _write(path, known.replace(excused=left), None)
        return True


def _owner(work: Work) -> tuple[int, int]:
    from hakit.agent.postgres.programs import owner

    return owner(work)


def _write(path: str, decision: Decision, owner: tuple[int, int] | None) -> None:
    disk.write(path, f"{decision.text()}\n".encode(), MODE, owner)


class _Writing:
    """One writer at a time: the agent decides, the endpoint shortens the list of the excused."""

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(path)
        self._fd = -1

    def __enter__(self) -> None:
        import fcntl

        try:
            self._fd = disk.open_folder(self._folder)
        except OSError as error:
            raise from_os(error, "keeping a decision", (self._folder,)) from None
        deadline = monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() > deadline:
                    os.close(self._fd)
                    raise Failure(f"{self._folder} is locked by another process for {PATIENCE:g} s") from None
                sleep(_POLL)
            else:
                return

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
