"""Carries steps out: as many hosts at once as may, each through the gate; a failure stops its groups and no other."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from hakit.agent.actions import Action
from hakit.engine import events
from hakit.engine.duty import ROLLING, Duty, mark_of
from hakit.engine.gate import Gate
from hakit.engine.handover import Handovers
from hakit.engine.interrupts import heard
from hakit.engine.outcome import HostResult, Outcome
from hakit.engine.steps import Standing, mates
from hakit.engine.threads import LISTEN
from hakit.errors import HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hakit.engine.handover import Due
    from hakit.engine.run import Run
    from hakit.engine.steps import Step

    Work = Callable[[Step], HostResult]


@dataclass(frozen=True, slots=True)
class Limits:
    """How careful a run is.

    Once `max_fail` hosts have failed nothing new is begun. `override` is the operator's reason to go on where the gate
    says no. `drain` are the seconds that a host's sessions get to end, `confirm` those that a new network gets to work
    (None: as the inventory says).
    """

    max_fail: int | None = None
    override: str = ""
    drain: float = 30.0
    confirm: float | None = None

    def overrule(self, run: Run, host: str, why: str) -> bool:
        """Whether the operator overrules what stands against touching a host; that is recorded."""
        if self.override:
            run.sink(events.Overridden(host, why, self.override))
        return bool(self.override)


class Rolling:
    """One carrying-out of steps: `execute` runs in the calling thread and hands steps to a pool of workers.

    `idle` are hosts that an operator has taken out of service, and the words for it: they need no gate and are not
    taken back. `abandoned` are those that a dead run has left out of service: they are.
    """

    def __init__(
        self, run: Run, limits: Limits, idle: Mapping[str, str] | None = None, abandoned: Collection[str] = ()
    ) -> None:
        self.outcome = Outcome()
        self._halted = threading.Event()
        self._aborted = threading.Event()
        self.groups = run.scope.groups()
        self.gate = Gate(self.groups, run.sessions, self._halted.is_set, self._aborted.is_set, self._note)
        self.duty = Duty(run.scope.site, run.scope.components, run.sessions, self.gate, self._note)
        self.limits = limits
        self._run = run
        self._left: dict[str, str] = {}
        self._idle = dict(idle or {})
        self.handovers = Handovers(run, self._idle)
        self._abandoned = frozenset(abandoned)
        self._ended: SimpleQueue[tuple[Step, HostResult] | None] = SimpleQueue()  # None: the operator interrupts
        self._waiting: dict[str, Step] = {}
        self._running: dict[str, Step] = {}
        self._silent: dict[str, str] = {}

    def aborted(self) -> bool:
        """Whether the operator wants everything to stop at once."""
        return self._aborted.is_set()

    def halted(self) -> bool:
        """Whether the operator wants nothing new to begin."""
        return self._halted.is_set()

    def leave(self, host: str, text: str) -> None:
        """Remember what becomes of a host if it is left in the middle of its step; "" once that is as for others."""
        self._left[host] = text

    def standing(self, hosts: Collection[str]) -> Standing:
        """How the hosts that somebody may notice stand in their groups, and who helps them out."""
        if not hosts:
            return Standing()
        helpers = {host: frozenset(self.duty.helpers(host)) for host in hosts}
        return replace(self.gate.standing(hosts), helpers=helpers)

    def execute(self, steps: Iterable[Step], work: Work, known: Mapping[str, HostResult] | None = None) -> Outcome:
        """Carry everything out. Ctrl-C: what runs ends its batch, what has not begun is left; a second one raises.

        `known` is how hosts end for which nothing is to be done; one that failed already stops its mates.
        """
        self._waiting = {step.name: step for step in steps}
        for host, result in (known or {}).items():
            self.outcome.add(host, result)
            if result.state == "failed":
                self._leave_with(host, result)
        with ThreadPoolExecutor(self._run.scope.forks, thread_name_prefix="hakit") as pool:
            with heard(lambda: self._ended.put(None)):
                self._turn(pool, work)
            if self._aborted.is_set():
                raise KeyboardInterrupt
        for host in list(self._silent):
            self._speak_again(host)
        return self.outcome

    def _turn(self, pool: ThreadPoolExecutor, work: Work) -> None:
        """Begin what may begin and take what ends, until nothing is left or the operator has it all stopped."""
        while self._waiting or self._running:
            for step in self._ready():
                del self._waiting[step.name]
                self._running[step.name] = step
                pool.submit(self._guarded, step, work)
            ended = self._next()
            if ended is not None:
                step, result = ended
                del self._running[step.name]
                self._settle(step, result)
            elif not self.outcome.stopped:
                self._stop()
            else:
                self._abort()
                return

    def _next(self) -> tuple[Step, HostResult] | None:
        """What ends next, or None for an interrupt.

        A signal that comes in the moment before the wait, or to another thread, does not end the wait: look about.
        """
        while True:
            with suppress(Empty):
                return self._ended.get(timeout=LISTEN)

    def _ready(self) -> list[Step]:
        """The steps that may begin now; more than there are workers would begin after an interrupt."""
        busy = {*self._waiting, *self._running}
        ready = [step for step in self._waiting.values() if not step.after & busy]
        return ready[: self._run.scope.forks - len(self._running)]

    def _settle(self, step: Step, result: HostResult) -> None:
        self.outcome.add(step.host, result)
        if result.state in {"failed", "not started"}:
            self._leave_with(step.host, result, step.name)
        allowed = self.limits.max_fail
        failed = self.outcome.count("failed", "unreachable")
        if allowed is not None and failed >= allowed:
            self._leave(list(self._waiting), f"--max-fail {allowed} is reached")

    def _leave_with(self, host: str, result: HostResult, name: str = "") -> None:
        """Leave alone who stands in for a host that did not end well, and who waits for it."""
        how = "failed" if result.state == "failed" else "was not touched"
        partners = mates(host, self.groups) | {host}
        left = [step.name for step in self._waiting.values() if step.host in partners]
        self._leave(left, f"{host} {how}, and they stand in for each other")
        left = [step.name for step in self._waiting.values() if name in step.after]
        self._leave(left, f"it waits for {host}, which {how}")

    def _leave(self, names: Sequence[str], why: str) -> None:
        """Leave steps alone, and those that wait for them."""
        for name in names:
            step = self._waiting.pop(name, None)
            if step is None:
                continue
            if step.host in self._silent and step.act == "work":
                self._speak_again(step.host)
            known = self.outcome.hosts.get(step.host)
            if known is None or known.state not in {"failed", "not started"}:
                self._run.sink(events.NotStarted(step.host, why))
            self.outcome.add(step.host, HostResult("not started", why=why))
            self._leave([other.name for other in self._waiting.values() if name in other.after], why)

    def _stop(self) -> None:
        self.outcome.stopped = True
        self._halted.set()
        self._leave(list(self._waiting), "interrupted")
        for step in self._running.values():
            self._note(step.host, "interrupted: finishing what has begun; Ctrl-C again leaves it alone")

    def _abort(self) -> None:
        running = [(step.host, self._left.get(step.host, "")) for step in self._running.values()]
        self._aborted.set()
        self._run.hang_up()
        for host, left in running:
            why = f"left in the middle of a change of its network: {left}" if left else ""
            if why:
                self._note(host, f"{why}; see then  hakit status")
            why = why or "stopped in the middle; the next apply completes it"
            self.outcome.add(host, HostResult("failed", why=why))

    def _guarded(self, step: Step, work: Work) -> None:
        """One step, in a worker; whatever happens, its end is put in the queue."""
        result = HostResult("failed", why="the worker ended unexpectedly")
        try:
            result = self._carry_out(step, work)
        except HakitError as error:
            self._run.sink(events.Unreachable(step.host, error))
            result = HostResult("failed", why=error.message)
        finally:
            self._ended.put((step, result))

    def _carry_out(self, step: Step, work: Work) -> HostResult:
        if step.act == "stop":
            return self._fall_silent(step)
        if step.host in self._idle:
            return work(step)
        out = step.host in self._abandoned
        if step.disrupts:
            why = self._closed(step) or self._hand_over(step)
            out = not why and self._withdraw(step.host)
            if out and self._halted.is_set():
                self.duty.back(step.host)
                why = "interrupted"
            if why:
                self._run.sink(events.NotStarted(step.host, why))
                return HostResult("not started", why=why)
        result = work(step) if step.act == "work" else HostResult("same")
        if self._silent.pop(step.host, "") and result.state == "failed":
            self._note(step.host, "what was stopped stays stopped until it agrees with its partners")
        noticed = out or (step.gated and result.state != "failed")
        return self._return(step, result, out=out) if noticed else result

    def _closed(self, step: Step, gone: Iterable[str] = ()) -> str:
        """Why the gate does not let a step pass, or ""; the operator may overrule it."""
        lack = self.gate.remains(step.host, dict.fromkeys(gone, "stopped for this change") | self._idle)
        if lack and not self._halted.is_set() and self.limits.overrule(self._run, step.host, str(lack)):
            return ""
        return "interrupted" if self._halted.is_set() else f"not touched: {lack}\n{lack.hint}" if lack else ""

    def _hand_over(self, step: Step) -> str:
        """Have another one take over what a host holds that goes as a whole; why the step may not go on, or ""."""
        host = step.host
        if not step.whole:
            return ""
        try:
            due = self.handovers.of(host)
        except RefusedError as error:
            if self.limits.overrule(self._run, host, error.message):
                return ""
            return f"not touched: {error.text()}"
        if not due:
            return ""
        return self.hand_over(step, due)

    def hand_over(self, step: Step, due: Due) -> str:
        """Have others take over what the host of a step holds; why it must not go on then, or "".

        Raises RefusedError, LockedError, AgentError, ConnectError.
        """
        self.handovers.carry_out(step.host, due)
        return self._closed(step)

    def _withdraw(self, host: str) -> bool:
        began = time.monotonic()
        scope = self._run.scope
        out = self.duty.withdraw(host, mark_of(host, ROLLING, scope.who, scope.run_id), self.limits.drain)
        if out:
            what = ", ".join(dict.fromkeys(one.what for one in self.duty.of(host)))
            self._run.sink(events.Withdrawn(host, what, time.monotonic() - began))
        return out

    def _return(self, step: Step, result: HostResult, *, out: bool) -> HostResult:
        """See a member serve after its change and take it back into its duties."""
        host = step.host
        blind = self.duty.blind(host) if out else frozenset()
        groups = self.gate.groups_of(host)
        if result.state == "failed":  # what failed has nothing to catch up with
            groups = tuple(replace(group, patience=0.0) for group in groups)
        why = ""
        if out:
            why = self.gate.await_ready(host, [group for group in groups if group.component not in blind])
            if why:
                self._note(host, "stays out of service; the next apply takes it back once it serves")
            else:
                self.duty.back(host)
                self._run.sink(events.Returned(host))
        why = why or self.gate.await_serving(host, groups)
        if not why or result.state == "failed":
            return result
        self._note(host, why)
        return HostResult("failed", result.changed, result.seconds, why)

    def _fall_silent(self, step: Step) -> HostResult:
        """Stop a follower's unit, so that its leader can change alone; the leader must serve."""
        followers = {s.host for s in (*self._waiting.values(), *self._running.values()) if s.act == "stop"}
        why = self._closed(step, followers | set(self._silent))
        if why:
            self._run.sink(events.NotStarted(step.host, why))
            return HostResult("not started", why=why)
        session = self._run.sessions[step.host]
        self._silent[step.host] = step.unit
        (result,) = session.act([Action(kind="stop", target=step.unit, timeout=90.0)])
        if not result.ok:
            raise RefusedError(f"{step.host}: {step.unit} does not stop: {result.detail}")
        self._note(step.host, f"stopped {step.unit}: its partners change first")
        return HostResult("same")

    def _speak_again(self, host: str) -> None:
        """Start what was stopped for a change that does not come."""
        unit = self._silent.pop(host)
        try:
            (result,) = self._run.sessions[host].act([Action(kind="start", target=unit, timeout=90.0)])
        except HakitError as error:
            self._note(host, f"{unit} could not be started again: {error.message}")
            return
        self._note(host, f"started {unit} again" if result.ok else f"{unit} does not start: {result.detail}")

    def _note(self, host: str, text: str) -> None:
        self._run.sink(events.Noted(host, text))
