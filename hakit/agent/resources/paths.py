"""Directories and symbolic links."""

from __future__ import annotations

from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Directory(Resource):
    """A directory with owner, group and mode. Removal takes it away only when hakit made it and it is empty."""

    type: ClassVar[str] = "directory"
    path: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.path


class Symlink(Resource):
    """A symbolic link; never replaces a directory or a file that hakit did not make."""

    type: ClassVar[str] = "symlink"
    path: str
    target: str

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.path
