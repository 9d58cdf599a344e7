"""A host taken out of service by an operator, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.engine import events
from hakit.engine.duty import MAINTENANCE, Duty, mark_of
from hakit.engine.gate import Gate
from hakit.engine.leaving import spare
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from hakit.engine.handover import Handover
    from hakit.engine.rolling import Limits
    from hakit.engine.run import Run


class Maintenance:
    """What can be done with one host of a run whose sessions are open."""

    def __init__(self, run: Run, host: str) -> None:
        self._run = run
        self._host = host
        self.leaving = False
        self._gate = Gate(run.scope.groups(), run.sessions)
        self._duty = Duty(run.scope.site, run.scope.components, run.sessions, self._gate, self._note)

    @property
    def duties(self) -> tuple[str, ...]:
        """What the host is taken out of, in words."""
        return tuple(dict.fromkeys(one.what for one in self._duty.of(self._host)))

    def begin(self, why: str, limits: Limits) -> tuple[Handover, ...]:
        """Take the host out; what remains must serve, and takes over what it holds. Returns what was handed over.

        From when it is told to leave its duties on it is `leaving`. Raises RefusedError, LockedError, AgentError,
        ConnectError.
        """
        handed = spare(self._run, self._gate, self._host, limits)
        scope = self._run.scope
        self.leaving = True
        self._duty.withdraw(self._host, mark_of(self._host, MAINTENANCE, scope.who, scope.run_id, why), limits.drain)
        return handed

    @property
    def unknown(self) -> tuple[str, ...]:
        """Those that would remember that the host is out, and can't be asked."""
        return tuple(name for name in self._duty.helpers(self._host) if not self._run.usable(name))

    def end(self, limits: Limits) -> None:
        """Take the host back, once it can serve.

        Raises RefusedError, also where the host serves and one that helps could not be told; AgentError, ConnectError.
        """
        groups = self._gate.groups_of(self._host)
        blind = self._duty.blind(self._host)
        reason = self._gate.await_ready(self._host, [group for group in groups if group.component not in blind])
        if reason and not limits.overrule(self._run, self._host, reason):
            raise RefusedError(f"{self._host} stays in maintenance: it {reason}", hint="mend it with  hakit apply")
        untold = self._duty.back(self._host)
        reason = "" if reason else self._gate.await_serving(self._host, groups)
        if reason:
            raise RefusedError(f"{self._host} is out of maintenance, but {reason}", hint="see  hakit status")
        if untold:
            raise RefusedError(
                f"{self._host} is back in service, but not for {', '.join(untold)}, which could not be told",
                why="What remembers it there would have the next run take it for a host that is out.",
                hint=f"once that is mended, repeat  hakit maintenance off {self._host}",
            )

    def _note(self, host: str, text: str) -> None:
        self._run.sink(events.Noted(host, text))
