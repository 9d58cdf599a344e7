"""Debian packages."""

from __future__ import annotations

from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Package(Resource):
    """A package that is installed (any version). All packages of a batch go in one apt transaction.

    Removal takes away what hakit installed itself, and only if nothing else would go with it.
    """

    type: ClassVar[str] = "package"
    package: str

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.package
