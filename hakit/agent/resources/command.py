"""Guarded commands, for what no other type covers."""

from __future__ import annotations

from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Command(Resource):
    """A command that runs only while its guard says so.

    Exactly one guard: `creates` (a path that must exist afterwards) or `unless` (a read-only command; exit 0: nothing
    to do). Neither command sees a shell.
    """

    type: ClassVar[str] = "command"
    label: str
    argv: tuple[str, ...]
    unless: tuple[str, ...] = ()
    creates: str = ""
    timeout: float = 60.0

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.label
