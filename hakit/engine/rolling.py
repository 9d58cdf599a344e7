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
from hakit.agent.probes import Probe
from hakit.engine import events
from hakit.engine.duty import ROLLING, Duty, mark_of
from hakit.engine.gate import Gate
from hakit.engine.handover import Handovers
from hakit.engine.interrupts import heard
from hakit.engine.outcome import HostResult, Outcome
from hakit.engine.steps import Standing, Step, mates
from hakit.engine.threads import LISTEN
from hakit.errors import HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hakit.engine.handover import Due
    from hakit.engine.run import Run

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
    taken back. `abandoned` are those that a dead run has left out of service: they are. `leaving` are other hosts that
    nothing is handed over to, and why.
    """

    def __init__(
        self,
        run: Run,
        limits: Limits,
        idle: Mapping[str, str] | None = None,
        abandoned: Collection[str] = (),
        leaving: Mapping[str, str] | None = None,
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
        self.handovers = Handovers(run, {**self._idle, **(leaving or {})})
        self._abandoned = frozenset(abandoned)
        self._ended: SimpleQueue[tuple[Step, HostResult] | None] = SimpleQueue()  # None: the operator interrupts
        self._steps: dict[str, Step] = {}
        self._waiting: dict[str, Step] = {}
        self._running: dict[str, Step] = {}
        self._silent: dict[str, str] = {}
        self._moving: dict[str, Due] = {}
        self._reached = frozenset(name for name, session in run.sessions.items() if session.usable)
        self._touched: set[str] = set()  # steps whose work may have changed something

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
        self._steps = {step.name: step for step in steps}
        self._waiting = dict(self._steps)
        for host, result in (known or {}).items():
            self.outcome.add(host, result)
            if result.state == "failed":
                self._leave_with(host, result)
        self._leave_if_enough()
        with ThreadPoolExecutor(self._run.scope.forks, thread_name_prefix="hakit") as pool:
            with heard(lambda: self._ended.put(None)):
                self._turn(pool, work)
            if self._aborted.is_set():
                raise KeyboardInterrupt
        return self.outcome

    def _turn(self, pool: ThreadPoolExecutor, work: Work) -> None:
        """Begin what may begin and take what ends, until nothing is left or the operator has it all stopped."""
        while self._waiting or self._running:
            self._speak_again()
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
        self._speak_again()

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
        for helper in result.untold:
            why = f"it could not be told, and may go on counting {step.host} as out of service until the next apply"
            self.outcome.add(helper, HostResult("failed", why=why))
        if result.state in {"failed", "not started"}:
            self._leave_with(step.host, result, step)
        self._leave_if_enough()

    def _leave_if_enough(self) -> None:
        """Begin nothing more once as many hosts have failed, or were not reached, as may."""
        allowed = self.limits.max_fail
        failed = self.outcome.count("failed", "unreachable")
        if allowed is not None and failed >= allowed:
            self._leave(list(self._waiting), f"--max-fail {allowed} is reached")

    def _leave_with(self, host: str, result: HostResult, ended: Step | None = None) -> None:
        """Leave alone who stands in for a host that did not end well, and who waits for it.

        Who fails in a first half does not serve yet, and nobody noticed: the others need not be spared for it.
        """
        how = "failed" if result.state == "failed" else "was not touched"
        early = ended is not None and ended.half == "first"
        partners = frozenset() if early else mates(host, self.groups) | {host}
        left = [step.name for step in self._waiting.values() if step.host in partners]
        self._leave(left, f"{host} {how}, and they stand in for each other")
        left = [step.name for step in self._waiting.values() if ended is not None and ended.name in step.after]
        self._leave(left, f"it waits for {host}, which {how}")

    def _leave(self, names: Sequence[str], why: str) -> None:
        """Leave steps alone, and those that wait for them."""
        for name in names:
            step = self._waiting.pop(name, None)
            if step is None:
                continue
            known = self.outcome.hosts.get(step.host)
            said = f"{step.keys[0]} and what stands on it: {why}" if step.half == "second" else why
            if known is None or known.state not in {"failed", "not started"}:
                self._run.sink(events.NotStarted(step.host, said))
            self.outcome.add(step.host, HostResult("not started", why=said))
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
            if left:
                why = f"left in the middle of a change of its network: {left}"
                self._note(host, f"{why}; see then  hakit plan")
            else:
                looks = ", ".join(one.look for _, one in self._moving.get(host, ()))
                how = f" of a handover; where things stand says  {looks}" if looks else "; the next apply completes it"
                why = f"stopped in the middle{how}"
            self.outcome.add(host, HostResult("failed", why=why))

    def _guarded(self, step: Step, work: Work) -> None:
        """One step, in a worker; whatever happens, its end is put in the queue."""
        result = HostResult("failed", why="the worker ended unexpectedly")
        try:
            result = self._carry_out(step, work)
        except HakitError as error:
            self._run.sink(events.Broken(step.host, error))
            result = HostResult("failed", why=error.message)
        finally:
            self._ended.put((step, result))

    def _carry_out(self, step: Step, work: Work) -> HostResult:
        if step.act == "stop":
            return self._fall_silent(step)
        if step.host in self._idle:
            return self._work(step, work)
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
        result = self._work(step, work) if step.act == "work" else HostResult("same")
        noticed = out or (step.gated and result.state != "failed")
        return self._return(step, result, out=out) if noticed else result

    def _work(self, step: Step, work: Work) -> HostResult:
        """Carry out a batch; a follower that was stopped for it speaks again with it, or not at all."""
        silent = self._silent.pop(step.host, "")
        self._touched.add(step.name)
        ended = False
        try:
            result = work(step)
            ended = result.state != "failed"
        finally:
            if silent and not ended:
                self._note(step.host, f"{silent} stays stopped until it agrees with its partners")
        if not result.changed:
            self._touched.discard(step.name)
        return result

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
        self._moving[step.host] = due
        self.handovers.carry_out(step.host, due)
        del self._moving[step.host]
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
                lost = tuple(name for name in self.duty.back(host) if name in self._reached)
                result = replace(result, untold=lost)
                self._run.sink(events.Returned(host))
        why = why or self.gate.await_serving(host, groups)
        if not why or result.state == "failed":
            return result
        self._note(host, why)
        return replace(result, state="failed", why=why)

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

    def _speak_again(self) -> None:
        """Start what was stopped for a change that does not come, as far as nobody speaks otherwise by now."""
        for host, unit in list(self._silent.items()):
            names = {Step(host, "stop").name, Step(host, atomic=True).name}
            leaders = [step for step in self._partners(host, unit) if step.name not in self._waiting]
            if not (names | {step.name for step in leaders}).isdisjoint({*self._waiting, *self._running}):
                continue
            del self._silent[host]
            changed = next((step.host for step in leaders if self._differs(step, unit)), "")
            if changed:
                self._note(
                    host,
                    f"{unit} stays stopped, for {changed} may have changed: the next apply goes on. "
                    f"If {changed} is off, start it by hand:  systemctl start {unit}",
                )
            else:
                self._start(host, unit)

    def _partners(self, host: str, unit: str) -> list[Step]:
        """The steps of those with whom a host that was stopped has to agree."""
        others = mates(host, [group for group in self.groups if group.unit == unit])
        return [step for step in self._steps.values() if step.atomic and step.act == "work" and step.host in others]

    def _differs(self, step: Step, unit: str) -> bool:
        """Whether a member may speak as a step has it, which its partners do not; not where its unit does not run."""
        if step.name not in self._touched:
            return False
        try:
            (answer,) = self._run.sessions[step.host].probe([Probe(kind="unit", target=unit)])
        except HakitError:
            return True
        return answer.ok

    def _start(self, host: str, unit: str) -> None:
        try:
            (result,) = self._run.sessions[host].act([Action(kind="start", target=unit, timeout=90.0)])
        except HakitError as error:
            self._note(host, f"{unit} could not be started again: {error.message}")
            return
        self._note(host, f"started {unit} again" if result.ok else f"{unit} does not start: {result.detail}")

    def _note(self, host: str, text: str) -> None:
        self._run.sink(events.Noted(host, text))
