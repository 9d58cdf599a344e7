"""Kernel parameters."""

from __future__ import annotations

from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Sysctl(Resource):
    """Kernel parameters, live and in `/etc/sysctl.d/60-hakit-<label>.conf`.

    Removal takes the file away and puts back the live values that were there before hakit.
    """

    type: ClassVar[str] = "sysctl"
    label: str
    values: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.label
