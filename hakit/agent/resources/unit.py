"""systemd units."""

from __future__ import annotations

from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Unit(Resource):
    """A unit that is enabled or not, running or not (None: leave as it is).

    `reload_on` and `restart_on` are files whose content the running invocation must have loaded: a difference between
    what it loaded and what is declared reloads or restarts it. Drop-ins and unit files may be among both, systemd's own
    reload is implied. `restart_on` also takes keys of other resources (`package:haproxy`): restart when they change.
    """

    type: ClassVar[str] = "unit"
    unit: str
    enabled: bool | None = True
    running: bool | None = True
    reload_on: tuple[str, ...] = ()
    restart_on: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.unit
