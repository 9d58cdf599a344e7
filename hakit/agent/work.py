"""What all resource types share while a host is planned or changed."""

from __future__ import annotations

import os

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure
from hakit.agent.state import FOLDER, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from hakit.agent.process import Result
    from hakit.agent.resources.base import Resource

    class Handler(Protocol):
        """The module of a resource type."""

        def read(self, resources: list[Any], work: Work) -> dict[str, Any]:
            """The actual state of several resources, by key. Raises Failure."""

        def diff(self, resource: Any, state: Any, work: Work) -> Change:
            """What differs, in a form that `apply` carries out. Raises Failure where it is refused."""

        def apply(self, resource: Any, change: Change, work: Work) -> tuple[str, ...]:
            """Carry a change out; what was done in short lines. Raises Failure."""

        def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
            """What removal of an owned thing would do."""

        def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
            """Remove an owned thing; what was done in short lines. Raises Failure."""


SAME, CHANGE, UNKNOWN, REFUSED, REMOVE = "same", "change", "unknown", "refused", "remove"


class FileDiff(Declaration):
    """What a plan shows of one file: the old text, or why it is not shown; `mode` is None for a new file."""

    path: str
    old: str | None = None
    old_masked: str | None = None
    why_hidden: str | None = None
    binary: bool = False
    mode: int | None = None

    def wire(self) -> dict[str, Any]:
        """As a frame carries it."""
        return {name: getattr(self, name) for name in self._fields}


class Change(Declaration):
    """The difference between what is declared and what is: empty `summary` means none.

    `steps` are the type's own, in the order in which `apply` takes them. `after` tells what must be done before the
    rest is known. `new` when nothing of it is there yet. `seen` are path and hash of each content that would go.
    `memory` when nothing changes but what hakit remembers: nobody has to restart for it.
    """

    summary: tuple[str, ...] = ()
    impact: str = "none"
    steps: tuple[Any, ...] = ()
    files: tuple[FileDiff, ...] = ()
    after: str = ""
    unknown: bool = False
    new: bool = False
    seen: tuple[tuple[str, str], ...] = ()
    memory: bool = False

    @property
    def status(self) -> str:
        """The word of the plan."""
        return UNKNOWN if self.unknown else CHANGE if self.summary else SAME


class Work:
    """One session's view of its host: where things are, what is declared, what was changed, whom to tell.

    `root` stands before every path; it is empty on a host and a folder in tests.
    """

    def __init__(self, root: str, say: Callable[[str], None]) -> None:
        self.root = root.rstrip("/")
        self.say = say
        self.state = State(self.root + FOLDER, say)
        self.declared: dict[str, Resource] = {}
        self.elsewhere: frozenset[str] = frozenset()
        self.status: dict[str, str] = {}
        self.changed: set[str] = set()
        self.removing: dict[str, tuple[str, ...]] = {}
        self.started: dict[str, str] = {}  # unit → the invocation that this batch started and that has yet to live
        self.seen: dict[str, dict[str, str]] = {}  # key → path → hash of what the plan found there
        self.decided: dict[str, tuple[str, ...]] = {}  # key → what the plan came to, which a change must come to again
        self.gone: Callable[[], bool] = lambda: False
        self.versions: dict[str, str] | None = None
        self._names: dict[str, tuple[float, list[list[str]]]] = {}

    def at(self, path: str) -> str:
        """Where a path of the host is for us."""
        return self.root + path

    def declare(self, resources: Iterable[Resource], elsewhere: Iterable[str] = ()) -> None:
        """Take what is declared for this host, in an order that respects `after`.

        `elsewhere` are the keys, paths and kernel parameters of what is declared, but no business of this plan.
        """
        self.declared = {resource.key: resource for resource in resources}
        self.elsewhere = frozenset(elsewhere)
        self.status = {}
        self._names = {}

    def pending(self, resource: Resource) -> str | None:
        """A resource that this one stands on and that is not in place yet, packages first; None when all are."""
        seen: set[str] = set()
        found: list[str] = []
        queue = list(resource.after)
        while queue:
            key = queue.pop()
            if key in seen:
                continue
            seen.add(key)
            if self.status.get(key, SAME) != SAME and key not in self.changed:
                found.append(key)
            if key in self.declared:
                queue.extend(self.declared[key].after)
        return min(found, key=lambda key: (not key.startswith("package:"), key)) if found else None

    def require(self, resource: Resource, reason: str) -> str:
        """The pending resource that may mend `reason`. Raises Failure with `reason` when there is none."""
        key = self.pending(resource)
        if key is None:
            raise Failure(reason)
        return key

    def run(self, argv: Iterable[str], timeout: float = 60.0, **options: Any) -> Result:
        """Run a command on the host."""
        from hakit.agent import process

        return process.run(tuple(argv), timeout, **options)

    def must(self, argv: Iterable[str], doing: str, timeout: float = 60.0, **options: Any) -> Result:
        """Run a command that has to succeed. Raises Failure."""
        line = tuple(argv)
        result = self.run(line, timeout, **options)
        if result.late:
            raise Failure(f"{doing}: {line[0]} did not end within {timeout:g} s", output=result.tail())
        if result.code:
            raise Failure(f"{doing}: {line[0]} failed with exit {result.code}", output=result.tail())
        return result

    def told(self, failure: Failure) -> Failure:
        """The failure as it may be shown: a daemon's last words may quote what it was given to read."""
        from hakit.agent.handlers.validate import mask

        message, output = failure.message, failure.output
        for text, masked in self._secrets():
            message, output = mask(message, text, masked), mask(output, text, masked)
        return Failure(message, output=output, path=failure.path, line=failure.line)

    def _secrets(self) -> list[tuple[str, str]]:
        """Each declared content that holds a secret: as it lands, and masked."""
        contents = [file.content for one in self.declared.values() for file in getattr(one, "files", ())]
        names = ("password_hash", "password")
        contents += [getattr(one, name, None) for one in self.declared.values() for name in names]
        return [(one.reveal(), one.masked()) for one in contents if one is not None and one.secret]

    def rows(self, path: str) -> list[list[str]]:
        """The rows of `/etc/passwd`, `/etc/group` or `/etc/shadow` by field; empty when the file is missing."""
        name = self.at(path)
        try:
            stamp = os.stat(name).st_mtime_ns
            if path not in self._names or self._names[path][0] != stamp:
                with open(name, encoding="utf-8", errors="surrogateescape") as file:
                    self._names[path] = (stamp, [line.rstrip("\n").split(":") for line in file if ":" in line])
        except FileNotFoundError:
            return []
        return self._names[path][1]

    def uid(self, name: str) -> int:
        """The number of a user. Raises Failure when there is none."""
        return self._number("/etc/passwd", name, "user")

    def gid(self, name: str) -> int:
        """The number of a group. Raises Failure when there is none."""
        return self._number("/etc/group", name, "group")

    def _number(self, path: str, name: str, what: str) -> int:
        if name == "root":
            return 0
        for row in self.rows(path):
            if row[0] == name:
                return int(row[2])
        if not self.root:
            number = _directory_service(name, what)
            if number is not None:
                return number
        raise Failure(f"no such {what} on this host: {name}")

    def user_name(self, uid: int) -> str:
        """The name of a user, or the number where it has none."""
        return next((row[0] for row in self.rows("/etc/passwd") if row[2:3] == [str(uid)]), str(uid))

    def group_name(self, gid: int) -> str:
        """The name of a group, or the number where it has none."""
        return next((row[0] for row in self.rows("/etc/group") if row[2:3] == [str(gid)]), str(gid))


def _directory_service(name: str, what: str) -> int | None:
    """A user or group that no file of the host has, asked of NSS (LDAP and the like)."""
    try:
        if what == "user":
            import pwd

            return pwd.getpwnam(name).pw_uid
        import grp

        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
