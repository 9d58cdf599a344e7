"""Finds the installed components through the entry point `hakit.components`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hakit.components.base import Component


def discover() -> dict[str, Component]:
    """All installed components by name, `system` first, the others by name."""
    found: dict[str, Component] = {}
    for entry in sorted(entry_points(group="hakit.components"), key=lambda e: (e.name != "system", e.name)):
        component: Component = entry.load()()
        found[component.name] = component
    return found
