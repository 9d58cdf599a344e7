"""What every resource type has in common.

A type is its declaration, used on both ends, and a handler in `agent/handlers`, used on the host: how to read the
actual state, how to compare, how to apply, how to remove.
"""

from __future__ import annotations

from hakit.agent.declare import Declaration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

NONE, RELOAD, DISRUPTIVE, GROUP_ATOMIC = "none", "reload", "disruptive", "group-atomic"


class Resource(Declaration):
    """A thing declared on a host.

    `component` owns it; `after` are keys of resources on the same host that must be in place first (what a type
    can derive it derives: a file after its directory and owner, a unit after the files it loads). `impact` is what
    changing it does to the service, beyond what the units say that load it.
    """

    type: ClassVar[str] = ""
    component: str = ""
    after: tuple[str, ...] = ()
    impact: str = NONE

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """Its identity on the host: `type:name`."""
        return f"{self.type}:{self.name}"
