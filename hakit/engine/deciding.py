"""What components decide from what is observed on all their hosts: who is asked, and what that means for each host.

Most components observe nothing; then nobody is asked and no host waits for another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hakit.components.base import Component
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.agent.tasks import Task
    from hakit.components.base import Decision, Facts
    from hakit.engine.run import Scope
    from hakit.inventory.model import Site

    Observed = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Deciding:
    """The components of a run that observe before they declare.

    A component is among them where a host to be changed runs it; then all hosts of the run that run it are asked, also
    those that are only watched.
    """

    site: Site
    components: Mapping[str, Component]

    @classmethod
    def of(cls, scope: Scope) -> Deciding:
        """Those that a run needs: none that `--component` leaves out."""
        return cls(
            scope.site,
            {
                name: component
                for name, component in scope.components.items()
                if type(component).observe is not Component.observe
                and (scope.only is None or name in scope.only)
                and any(name in scope.site.hosts[host].settings for host in scope.hosts)
            },
        )

    def concern(self, host: str) -> bool:
        """Whether a host runs any of them."""
        return not self.components.keys().isdisjoint(self.site.hosts[host].settings)

    def tasks(self, host: str, facts: Facts) -> dict[str, Task]:
        """What to ask a host, by component."""
        known = self.site.hosts[host]
        asked = (
            (name, component.observe(self.site, known, facts))
            for name, component in self.components.items()
            if name in known.settings
        )
        return {name: task for name, task in asked if task is not None}

    def decide(self, facts: Mapping[str, Facts], observed: Observed) -> Decisions:
        """Each component's decisions, from the answers by host and component."""
        found: dict[str, Mapping[str, Decision]] = {}
        refused: dict[str, RefusedError] = {}
        for name, component in self.components.items():
            answers = {host: own[name] for host, own in observed.items() if name in own}
            try:
                found[name] = component.decide(self.site, facts, answers)
            except RefusedError as error:
                refused[name] = error
        return Decisions(found, refused)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided, by component and host; and which components refuse to have anything done."""

    found: Mapping[str, Mapping[str, Decision]]
    refused: Mapping[str, RefusedError]

    def of(self, host: str, components: Iterable[str]) -> dict[str, Decision]:
        """The decisions for a host that runs these components. Raises RefusedError where one of them refuses."""
        own = frozenset(components)
        for name, error in self.refused.items():
            if name in own:
                raise error
        return {name: hosts[host] for name, hosts in self.found.items() if name in own and host in hosts}

    def notes(self, hosts: Iterable[str]) -> Iterator[tuple[str, str]]:
        """What the operator should know of these hosts."""
        for host in hosts:
            for decided in self.found.values():
                for note in decided[host].notes if host in decided else ():
                    yield host, note
