"""What was decided of a cluster, kept on each member: who is primary, and since which decision."""

from __future__ import annotations

import os
from time import gmtime, monotonic, sleep, strftime

from hakit.agent import disk, jsonlite
from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

MADE, SWITCHOVER, FAILOVER, STARTED = "made", "switchover", "failover", "started"
KINDS = (MADE, SWITCHOVER, FAILOVER, STARTED)
MODE = 0o640
PATIENCE = 5.0  # seconds for who else is writing: that takes milliseconds
_POLL = 0.01


class Decision(Declaration):
    """Who is primary. The higher `epoch` counts; 0, and nobody named, where nothing was decided yet.

    `before` was primary then, `kind` is one of KINDS, `since` is UTC (`2026-11-22T16:03:11Z`), `run` and `who` are of
    the command that decided. The guard needs no answer of those `excused`: never joined yet, or declared dead by name.
    """

    epoch: int = 0
    primary: str = ""
    before: str = ""
    kind: str = ""
    since: str = ""
    run: str = ""
    who: str = ""
    excused: tuple[str, ...] = ()

    def wire(self) -> dict[str, Any]:
        """As a JSON object."""
        return {name: list(self.excused) if name == "excused" else getattr(self, name) for name in self._fields}

    def is_same(self, other: Decision) -> bool:
        """Whether both are one decision; who is excused becomes fewer in time."""
        return self.replace(excused=()) == other.replace(excused=())


def from_wire(data: object) -> Decision:
    """The decision of a JSON object; what newer versions may have added is left out. Raises ValueError."""
    if not isinstance(data, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - of text that someone wrote
    epoch, excused = data.get("epoch", 0), data.get("excused", [])
    words = {name: data.get(name, "") for name in Decision._fields if name not in {"epoch", "excused"}}
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
        raise ValueError(f"epoch: {epoch!r} is no count")
    if not isinstance(excused, (list, tuple)):
        raise ValueError(f"excused: {excused!r} is no list")  # noqa: TRY004 - of text that someone wrote
    strange = [value for value in (*words.values(), *excused) if not isinstance(value, str)]
    if strange:
        raise ValueError(f"{strange[0]!r} is no text")
    if bool(words["primary"]) != (epoch > 0) or (epoch > 0 and words["kind"] not in KINDS):
        raise ValueError(f"epoch {epoch} and kind {words['kind']!r} don't go with the primary {words['primary']!r}")
    return Decision(epoch=epoch, excused=tuple(excused), **words)


def read(path: str) -> Decision:
    """The decision kept in a file; none was made where there is no file. Raises Failure for anything else."""
    try:
        data = disk.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return Decision()
    except OSError as error:
        raise from_os(error, "reading the last decision", (path,)) from None
    try:
        return from_wire(jsonlite.loads(data.decode("utf-8").strip()))
    except ValueError as error:
        raise Failure(f"{path} is no record of a decision: {error}", path=path) from None


def decide(place: Place, text: str, work: Work) -> dict[str, Any]:
    """Keep a decision (JSON), durably, when it is newer than the one known here; which one is known now.

    The same again is no failure. Raises Failure for an older one, and for another one of the same epoch.
    """
    try:
        new = from_wire(jsonlite.loads(text.strip()))
    except ValueError as error:
        raise Failure(f"no record of a decision: {error}") from None
    if new.epoch == 0:
        raise Failure("no record of a decision: it names nobody")
    path = work.at(place.decision)
    with _Writing(path):
        known = read(path)
        if new.is_same(known):
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
    disk.write(path, f"{jsonlite.dumps(decision.wire())}\n".encode(), MODE, owner)


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
