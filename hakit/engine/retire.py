"""A host that leaves for good: its peers forget it first, then what hakit made on it goes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hakit.agent.actions import Mark
from hakit.engine import events
from hakit.engine.apply import Apply, relay
from hakit.engine.duty import RETIRED, Duty, mark_of
from hakit.engine.gate import Gate
from hakit.engine.handover import Foreseen, Handovers
from hakit.engine.leaving import spare
from hakit.engine.outcome import HostResult, Outcome
from hakit.engine.session import HostSession
from hakit.errors import HakitError, RefusedError

if TYPE_CHECKING:
    from hakit.engine.plan import HostPlan, SitePlan
    from hakit.engine.rolling import Limits
    from hakit.engine.run import Run, Scope


class Retirement:
    """The retirement of one host. `run` is that of its peers over the site without it, `scope` knows the site with it.

    With `dead` the host is not spoken to: it can't keep the mark that it is retired, so each of its peers does.
    """

    def __init__(self, run: Run, scope: Scope, host: str, *, dead: bool) -> None:
        self._run = run
        self._scope = scope
        self._host = host
        self._dead = dead
        self._going: HostPlan | None = None
        self._out = False
        self.outcome = Outcome()

    def plan(self) -> SitePlan:
        """What changes on the peers, and what goes on the host. Raises what reaching the host raises."""
        found = self._run.plan()
        if self._dead:
            return found
        session = HostSession(self._scope, self._scope.site.hosts[self._host])
        self._run.sessions[self._host] = session
        self._going = session.leftovers(session.open(lock=True))
        return replace(found, hosts={**found.hosts, self._host: self._going})

    @property
    def foreseen(self) -> Foreseen:
        """What the host hands over before it leaves, as things are."""
        return Foreseen() if self._dead else Handovers(self._run, self._run.resting()).foreseen([self._host])

    def execute(self, found: SitePlan, limits: Limits) -> Outcome:
        """Out of all groups, then peers, then the host itself. Raises RefusedError, AgentError, ConnectError.

        What an interrupt leaves is in `outcome`, too.
        """
        try:
            self._carry_out(found, limits)
        except KeyboardInterrupt:
            self.outcome.stopped = True
            if not self._dead:
                why = "interrupted after it was taken out; the same command goes on" if self._out else "interrupted"
                self.outcome.add(self._host, HostResult("failed" if self._out else "not started", why=why))
            raise
        return self.outcome

    def _carry_out(self, found: SitePlan, limits: Limits) -> None:
        gate = Gate(self._scope.groups(), self._run.sessions)
        duty = Duty(self._scope.site, self._scope.components, self._run.sessions, gate, self._note)
        if not self._dead:
            spare(self._run, gate, self._host, limits)
            self._out = True
            duty.withdraw(self._host, mark_of(self._host, RETIRED, self._scope.who, self._scope.run_id), limits.drain)
        else:
            self._remember()
        peers = replace(found, hosts={name: one for name, one in found.hosts.items() if name != self._host})
        applying = Apply(self._run, peers, limits, {self._host: "it is being retired"})
        self.outcome = outcome = applying.outcome
        applying.execute()
        if self._going is None or not outcome.good:
            return
        why = self._kept(limits)
        if why:
            self._run.sink(events.NotStarted(self._host, why))
        outcome.add(self._host, HostResult("not started", why=why) if why else self._clear(self._going))
        if outcome.good:
            self._forget()

    def _kept(self, limits: Limits) -> str:
        """Why the host must not stop: it holds something again, or may. Empty where it holds nothing."""
        try:
            due = Handovers(self._run, self._run.resting()).of(self._host)
        except RefusedError as error:
            return "" if limits.overrule(self._run, self._host, error.message) else error.text()
        except HakitError as error:
            return error.text()
        return f"it {due[0][1].what} again; retire it once more" if due else ""

    def _clear(self, going: HostPlan) -> HostResult:
        began = time.monotonic()
        remove = tuple(change.key for change in going.changes)
        self._run.sink(events.Started(self._host, len(remove)))
        session = self._run.sessions[self._host]
        batch = session.apply((), remove, lambda event: relay(self._run, self._host, event))
        seconds = time.monotonic() - began
        self._run.sink(events.Finished(self._host, batch.changed, batch.failed, seconds))
        why = f"{batch.failed} of {len(remove)} failed" if batch.failed else ""
        return HostResult("failed" if why else "changed", batch.changed, seconds, why)

    def _remember(self) -> None:
        """Have the peers keep the mark, before the first of them is changed: any one of them tells a later run."""
        scope = self._scope
        mark = mark_of(self._host, RETIRED, scope.who, scope.run_id, "it was dead")
        for name in self._run.scope.hosts:
            if self._run.usable(name):
                self._run.sessions[name].act([], mark)

    def _forget(self) -> None:
        """Take the marks away where the host was helped out; its own says for good that it is retired."""
        for name, session in self._run.sessions.items():
            if name != self._host and session.usable:
                try:
                    session.act([], Mark(host=self._host, kind=""))
                except HakitError as error:
                    self._note(name, f"still remembers {self._host}: {error.message}")

    def _note(self, host: str, text: str) -> None:
        self._run.sink(events.Noted(host, text))


def take_back(run: Run, host: str) -> bool:
    """Take the marks of a retired host away, and tell its helpers that it may come back; False where there are none.

    The host itself need not answer where its peers say that it is retired. Raises what reaching it raises otherwise,
    ConnectError, AgentError, LockedError; RefusedError where a peer may still say that it is.
    """
    failed = run.open()
    mark = run.marks().get(host)
    if mark is None or mark.kind != RETIRED:
        if host in failed:
            raise failed[host]
        if failed and mark is None:
            raise RefusedError(
                f"nobody who answers says that {host} is retired, and {', '.join(failed)} can't be asked",
                hint=f"repeat it once they answer:  hakit retire --undo {host}",
            )
        return False
    gate = Gate(run.scope.groups(), run.sessions)

    def say(name: str, text: str) -> None:
        run.sink(events.Noted(name, text))

    Duty(run.scope.site, run.scope.components, run.sessions, gate, say).back(host)
    for session in run.sessions.values():
        if session.usable:
            session.ensure_lock()
            session.act([], Mark(host=host, kind=""))
    untold = [name for name in (*run.scope.hosts, *run.scope.watched) if name != host and not run.usable(name)]
    if untold:
        raise RefusedError(
            f"{host} is not retired any more, but {', '.join(untold)} could not be told, and may still say that it is",
            hint=f"repeat it once they answer:  hakit retire --undo {host}",
        )
    return True
