"""What was shown is what is replaced: a content that changed since the plan was made is not lost unseen."""

from __future__ import annotations

import stat

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.handlers.files import declared_hashes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.work import Change, Work


def check(key: str, change: Change, work: Work) -> None:
    """See that what is about to go is what the plan found. Raises Failure.

    What became as declared meanwhile is not about to go. A key that the plan had nothing to show for is not checked.
    """
    seen = work.seen.get(key)
    if seen is None:
        return
    for path, found in change.seen:
        if seen.get(path) != found:
            raise changed(path)


def changed(path: str) -> Failure:
    """The refusal to replace what nobody has looked at."""
    return Failure(f"{path} has changed since the plan was made: look at it again with a new plan", path=path)


def now(path: str, work: Work) -> str:
    """The hash of what is at a path now; `absent` for nothing and for what is no file."""
    info = disk.look(work.at(path))
    return disk.hash_of(work.at(path)) if info is not None and stat.S_ISREG(info.st_mode) else disk.ABSENT


class OwnStep:
    """A step of this run that may change files by the way, as a package does: what it changes needs no new look."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._before: dict[tuple[str, str], str] = {}

    def __enter__(self) -> OwnStep:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        self._before = {
            (key, file.path): now(file.path, self._work)
            for key in self._work.seen
            if key in self._work.declared
            for file in self._work.declared[key].files  # type: ignore[attr-defined]  # only file sets are seen
        }
        return self

    def __exit__(self, *_: object) -> None:
        for (key, path), before in self._before.items():
            after = now(path, self._work)
            if after == before:
                continue
            expected = self._work.seen[key].get(path) or declared_hashes([path], self._work)[path]
            if before == expected:
                self._work.seen[key][path] = after
