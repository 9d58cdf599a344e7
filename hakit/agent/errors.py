"""What goes wrong on a host, as values that reach the user."""

from __future__ import annotations

from hakit.agent import disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Failure(Exception):  # noqa: N818 - it fails one resource, it is no error of the program
    """A resource can't be brought to its declared state.

    `output` is the tail of what a command said, `path` and `line` (1-based) the place it complains of.
    """

    def __init__(self, message: str, *, output: str = "", path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.output = output
        self.path = path
        self.line = line

    def wire(self) -> dict[str, Any]:
        """As a frame carries it."""
        return {"message": self.message, "output": self.output, "path": self.path, "line": self.line}


class Stopped(Exception):  # noqa: N818 - no error: the run was told to end
    """The controller is gone or we were told to stop; the step that was begun is complete."""


class FrameError(Exception):
    """The other end speaks nonsense: not a frame, too large, not the JSON that was agreed on."""


def from_os(error: OSError, doing: str = "", paths: tuple[str, ...] = ()) -> Failure:
    """The failure that a refused system call means: `doing: reason: file (what to look at)`.

    `paths` are those that were worked on, for an error that names none or one relative to a directory.
    """
    name = _path(error, paths)
    words = [doing, error.strerror or str(error), name or ""]
    why = disk.reason(error.errno or 0, name) if name else ""
    return Failure(": ".join(word for word in words if word) + (f" ({why})" if why else ""), path=name)


def _path(error: OSError, paths: tuple[str, ...]) -> str | None:
    names = [disk.final(name) for name in (error.filename2, error.filename) if isinstance(name, str)]
    for name in names:
        if name.startswith("/"):
            return name
    for path in paths:
        if path.rpartition("/")[2] in names:
            return path
    return paths[0] if paths and not names else None
