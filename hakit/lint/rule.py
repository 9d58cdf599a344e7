"""What a rule is: an id, a severity, a reason, a source, and a check that yields findings.

    @rule("HP003", "error", reason="A server without a check gets traffic when it is dead.", source="https://…")
    def unchecked_server(site, components):
        for host, settings in configured(site, "haproxy", HaproxySettings):
            yield Finding(host, ("haproxy", "backends", "web"), "…", write="check: tcp")

The decorated name is a `Rule`; a component lists its rules in `Component.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic import BaseModel

    from hakit.components.base import Component, Facts
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path, Severity

    Check = Callable[["Site", "Mapping[str, Component]"], "Iterable[Finding]"]
    Informed = Callable[["Site", "Mapping[str, Component]", "Mapping[str, Facts]"], "Iterable[Finding]"]

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule on one host: where (path below `hakit`), what and why it hurts, what to write instead.

    `waivable` is False where the daemon itself would refuse the configuration, whatever anybody waives.
    """

    host: Host
    path: Path
    message: str
    write: str | None = None
    severity: Severity | None = None
    waivable: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the domain.

    `check` gets the whole site and the components by name. `waivable` is False for rules that protect data.
    `severity` holds for its findings unless a finding says otherwise. `informed` is the same check for a rule that can
    tell more where something is known of the hosts (their facts by name).
    """

    id: str
    severity: Severity
    reason: str
    source: str
    check: Check
    waivable: bool = True
    informed: Informed | None = None

    def findings(
        self, site: Site, components: Mapping[str, Component], facts: Mapping[str, Facts]
    ) -> Iterable[Finding]:
        """What breaks it, as far as the inventory and what is known of its hosts tell."""
        return self.check(site, components) if self.informed is None else self.informed(site, components, facts)


@dataclass(frozen=True, slots=True)
class Upheld:
    """A rule that no settings can break: `how` says what upholds it (a derived value, a validator on the host)."""

    id: str
    reason: str
    source: str
    how: str


def rule(id_: str, severity: Severity, *, reason: str, source: str, waivable: bool = True) -> Callable[[Check], Rule]:
    """Turn a check into a `Rule`."""

    def make(check: Check) -> Rule:
        return Rule(id=id_, severity=severity, reason=reason, source=source, check=check, waivable=waivable)

    return make


def informed(id_: str, severity: Severity, *, reason: str, source: str) -> Callable[[Informed], Rule]:
    """Turn a check that also takes what is known of the hosts into a `Rule`."""

    def make(check: Informed) -> Rule:
        @wraps(check)
        def uninformed(site: Site, components: Mapping[str, Component]) -> Iterable[Finding]:
            return check(site, components, {})

        return Rule(id=id_, severity=severity, reason=reason, source=source, check=uninformed, informed=check)

    return make


def configured(site: Site, component: str, model: type[M]) -> Iterator[tuple[Host, M]]:  # noqa: ARG001 - types the result
    """The hosts that run a component, with their settings of it, in inventory order."""
    for host in site.running(component):
        yield host, cast("M", host.settings[component])
