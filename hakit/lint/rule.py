"""What a rule is: an id, a severity, a reason, a source, and a check that yields findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule on one host: where (path below `hakit`), what and why it hurts, what to write instead."""

    host: Host
    path: Path
    message: str
    write: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the domain.

    `check` gets the whole site and the components by name. `waivable` is False for rules that protect data.
    `severity` holds for its findings unless a finding says otherwise.
    """

    id: str
    severity: Severity
    reason: str
    source: str
    check: Callable[[Site, Mapping[str, Component]], Iterable[Finding]]
    waivable: bool = True
