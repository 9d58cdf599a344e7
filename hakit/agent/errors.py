"""What goes wrong on a host, as values that reach the user."""

from __future__ import annotations

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


class FrameError(Exception):
    """The other end speaks nonsense: not a frame, too large, not the JSON that was agreed on."""


def from_os(error: OSError, doing: str = "") -> Failure:
    """The failure that a refused system call means: `doing: reason: file`."""
    name = error.filename if isinstance(error.filename, str) else None
    words = [doing, error.strerror or str(error), name or ""]
    return Failure(": ".join(word for word in words if word), path=name)
