"""All rules of an installation: those that span components, and each component's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.lint.site import RULES, UPHELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.components.base import Component
    from hakit.lint.rule import Rule, Upheld


def rules(components: Mapping[str, Component]) -> dict[str, Rule]:
    """Every rule that is checked, by id, in the order of the ids."""
    found = [*RULES, *(rule for component in components.values() for rule in component.rules)]
    return {rule.id: rule for rule in sorted(found, key=lambda rule: rule.id)}


def upheld(components: Mapping[str, Component]) -> dict[str, Upheld]:
    """Every rule that no settings can break, by id, in the order of the ids."""
    found = [*UPHELD, *(rule for component in components.values() for rule in component.upheld)]
    return {rule.id: rule for rule in sorted(found, key=lambda rule: rule.id)}
