"""How guarded commands are judged and run."""

from __future__ import annotations

import os

from hakit.agent.errors import Failure
from hakit.agent.process import find
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.command import Command
    from hakit.agent.work import Work


class Commands:
    """The handler of `Command`."""

    def read(self, resources: list[Command], work: Work) -> dict[str, bool | None]:
        """Whether each guard says that nothing is to be done; None where its program is not installed."""
        return {one.key: self._done(one, work) for one in resources}

    def _done(self, resource: Command, work: Work) -> bool | None:
        if resource.creates:
            return os.path.lexists(work.at(resource.creates))
        if not resource.unless:
            raise Failure("a command needs a guard: creates or unless")
        if find(resource.unless[0]) is None:
            return None
        result = work.run(resource.unless, resource.timeout)
        if result.late:
            raise Failure(f"its guard {resource.unless[0]} did not end within {resource.timeout:g} s")
        return result.code == 0

    def diff(self, resource: Command, state: bool | None, work: Work) -> Change:
        """Whether it has to run. Raises Failure when a program is missing that nothing will install."""
        if state:
            return Change()
        line = ("run " + " ".join(resource.argv),)
        program = resource.argv[0] if state is False else resource.unless[0]
        if find(program) is not None:
            return Change(summary=line, impact=resource.impact)
        after = f"known after {work.require(resource, f'{program} is not installed')}"
        return Change(summary=line, impact=resource.impact, after=after, unknown=state is None)

    def apply(self, resource: Command, change: Change, work: Work) -> tuple[str, ...]:
        """Run it; afterwards its guard has to hold. Raises Failure."""
        result = work.must(resource.argv, resource.label, resource.timeout)
        if not self._done(resource, work):
            guard = f"{resource.creates} is not there" if resource.creates else "its guard still asks for it"
            raise Failure(f"{resource.label}: the command ran, but {guard}", output=result.tail())
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """Nothing: what a command did can't be undone, so it is not remembered."""
        del key, record, work
        return Change()

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Nothing, as `leftover` says."""
        del key, record, work
        return ()
