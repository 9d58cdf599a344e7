"""The rule registry and the rules that span components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.lint.examine import examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.components.base import Component, Facts
    from hakit.inventory.model import Site
    from hakit.inventory.origin import Problem

__all__ = ["examine", "findings"]


def findings(
    site: Site, components: Mapping[str, Component], facts: Mapping[str, Facts] | None = None
) -> tuple[Problem, ...]:
    """Everything wrong with a site that is not waived: warnings first, then errors, each by file and line."""
    return examine(site, components, facts).problems
