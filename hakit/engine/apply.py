"""Carries a plan out: who is in the way is known before anything is done, then the steps go through the gate."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from hakit.agent.resources.base import DISRUPTIVE
from hakit.engine import events
from hakit.engine.duty import MAINTENANCE, describe
from hakit.engine.network import NETWORK, Crossing
from hakit.engine.outcome import Carried, HostResult, Outcome
from hakit.engine.plan import reject
from hakit.engine.rolling import Limits, Rolling
from hakit.engine.schedule import blocked, gated, schedule
from hakit.engine.together import torn
from hakit.errors import HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hakit.agent.answers import AgentEvent
    from hakit.engine.handover import Due, Foreseen
    from hakit.engine.plan import SitePlan
    from hakit.engine.run import Run
    from hakit.engine.steps import Step


class Apply:
    """One carrying-out of a plan. `leaving` are hosts that nothing is handed over to, and why."""

    def __init__(
        self, run: Run, plan: SitePlan, limits: Limits | None = None, leaving: Mapping[str, str] | None = None
    ) -> None:
        self._run = run
        self._plan = plan
        self._limits = limits or Limits()
        idle = {host: describe(mark) for host, mark in plan.marks.items() if mark.kind == MAINTENANCE}
        self._rolling = Rolling(run, self._limits, idle, plan.abandoned, leaving)
        self._apart = blocked(plan, torn(plan, self._rolling.groups))

    @property
    def outcome(self) -> Outcome:
        """How the hosts ended so far."""
        return self._rolling.outcome

    def execute(self) -> Outcome:
        """Carry everything out. Ctrl-C: what runs ends its batch, what has not begun is left; a second one raises."""
        steps = self.steps
        left = {host: why for host, why in self._apart.items() if not self._limits.overrule(self._run, host, why)}
        return self._rolling.execute(steps, self._work, self._known(left, {step.host for step in steps}))

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What `execute` will carry out; hosts that must agree with others which this run can't change are left out.

        To know it the hosts are asked how they stand, once.
        """
        apart = () if self._limits.override else self._apart
        noticed = [plan.host for plan in self._plan.changing if gated(plan)]
        standing = self._rolling.standing(noticed)
        plans = [plan for plan in self._plan.changing if plan.host not in apart]
        restore = [host for host in self._plan.abandoned if host not in apart]
        return schedule(plans, self._rolling.groups, standing, restore)

    @cached_property
    def foreseen(self) -> Foreseen:
        """What will be handed over before a server is restarted or cut off that holds a role, as things are."""
        whole = {step.host for step in self.steps if step.whole}
        ending = {step.host for step in self.steps if self._ending(step) and not self._plan.hosts[step.host].first}
        moving = dict.fromkeys(step.host for step in self.steps if step.host in whole | ending)
        found = self._rolling.handovers.foreseen(moving)
        refused = {
            host: error
            if host in whole
            else RefusedError(f"{error.message}, so it is restarted in place", why=error.why)
            for host, error in found.refused.items()
        }
        return replace(found, refused=refused)

    def _ending(self, step: Step) -> tuple[str, ...]:
        """The resources that a step stops, and with them a role, where its host holds it."""
        changes = self._plan.hosts[step.host].changes if step.disrupts else ()
        stops = (change.key for change in changes if change.impact == DISRUPTIVE and change.key in step.keys)
        return self._rolling.handovers.ending(stops)

    def _known(self, apart: Mapping[str, str], working: set[str]) -> dict[str, HostResult]:
        """Hosts whose end is known before anything is done: as declared, refused, not reached, or not alone."""
        known = {name: HostResult("unreachable", why=error.message) for name, error in self._plan.failed.items()}
        for plan in self._plan.hosts.values():
            if plan.refused:
                known[plan.host] = HostResult("failed", why=f"refused {plan.refused[0].key}")
            elif plan.host in apart:
                self._run.sink(events.NotStarted(plan.host, apart[plan.host]))
                known[plan.host] = HostResult("not started", why=apart[plan.host])
            elif plan.host not in working:
                known[plan.host] = HostResult("same")
        return known

    def _work(self, step: Step) -> HostResult:
        started = time.monotonic()
        total = len(step.keys) + len(step.remove)
        self._run.sink(events.Started(step.host, total))
        done = self._carry_out(step)
        seconds = time.monotonic() - started
        self._run.sink(events.Finished(step.host, done.changed, done.failed, seconds))
        if done.failed or done.why:
            why = done.why or f"{done.failed} of {total} failed"
            return HostResult("failed", done.changed, seconds, why, done.network)
        return HostResult("changed" if done.changed else "same", done.changed, seconds, network=done.network)

    def _carry_out(self, step: Step) -> Carried:
        """Carry a step out in one batch, unless a network is changed in it or a role is handed over."""
        if NETWORK not in step.keys:
            return self._in_turn(step, step.keys, step.remove)
        shown = self._plan.hosts[step.host]
        return Crossing(self._run, step, shown, self._rolling, partial(self._in_turn, step)).carry_out()

    def _in_turn(self, step: Step, keys: Sequence[str], remove: Sequence[str]) -> Carried:
        """Carry keys of a step out.

        A server that holds a role gets its new configuration and everything that only its holder can do; then the role
        is handed over, and the server is restarted at last.
        """
        host, ending = step.host, tuple(key for key in self._ending(step) if key in keys)
        due = self._due(host) if ending else ()
        if not due:
            if ending:
                self._rolling.handovers.brace(host)
            return self._batch(step, keys, remove)
        batch = self._batch(step, [key for key in keys if key not in ending], remove)
        if batch.failed:
            return batch
        try:
            why = self._rolling.hand_over(step, due)
        except HakitError as error:  # the server goes on, so its host is to be taken back
            why = error.text()
        if why:
            return Carried(batch.changed, why=why)
        last = self._batch(step, ending, ())
        if last.changed or last.failed:
            return Carried(batch.changed + last.changed, last.failed)
        for key in ending:
            self._run.sink(events.Noted(host, f"{key.partition(':')[2]} was restarted as it handed its role over", key))
        return Carried(batch.changed + len(ending))

    def _due(self, host: str) -> Due:
        """What a host has to hand over; nothing where its server is restarted in place.

        That is where it was decided that it goes first, or where nobody could take over.
        """
        if self._plan.hosts[host].first:
            return ()
        try:
            return self._rolling.handovers.of(host)
        except RefusedError as error:
            self._run.sink(events.Noted(host, f"{error.message}, so it is restarted in place"))
            return ()

    def _batch(self, step: Step, keys: Sequence[str], remove: Sequence[str]) -> Carried:
        session = self._run.sessions[step.host]
        done = session.apply(keys, remove, lambda event: relay(self._run, step.host, event))
        return Carried(done.changed, done.failed)


def relay(run: Run, host: str, event: AgentEvent) -> None:
    """Pass on what an agent tells while it works."""
    match event.ev:
        case "begin":
            run.sink(events.Begun(host, event.key))
        case "note":
            run.sink(events.Noted(host, event.text, event.key))
        case "done":
            run.sink(events.Done(host, event.key, event.changed, event.summary))
        case "skipped":
            run.sink(events.Skipped(host, event.key, event.because))
        case "failed" if event.error is not None:
            declared = run.sessions[host].declared
            contents = declared.contents() if declared else {}
            error = event.error
            rejection = reject(error.message, error.output, error.path, error.line, contents)
            run.sink(events.Failed(host, event.key, rejection))
