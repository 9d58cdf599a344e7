"""The operating system: what every host has, and what no component covers yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.components.base import Component
from hakit.components.system import check, resources
from hakit.components.system.settings import SystemSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

__all__ = ["System"]


class System(Component):
    """Packages, kernel parameters, users, files, units."""

    name = "system"
    Settings: ClassVar[type[BaseModel]] = SystemSettings

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """Everything declared for a host."""
        return resources.resources(ctx)

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """Settings that exclude each other."""
        return check.problems(site)
