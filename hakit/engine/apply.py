"""Carries the steps of a plan out: as many hosts at once as may, a failure stops its redundancy group and no other."""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hakit.engine import events
from hakit.engine.gate import await_serving
from hakit.engine.plan import reject
from hakit.engine.schedule import gated, mates, schedule
from hakit.errors import HakitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hakit.agent.client import AgentEvent
    from hakit.engine.plan import HostPlan, SitePlan
    from hakit.engine.run import Run
    from hakit.engine.schedule import Step

State = Literal["changed", "same", "failed", "not started", "unreachable"]


@dataclass(frozen=True, slots=True)
class HostResult:
    """How a host ended: `changed` counts resources, `why` tells why it failed or was left alone."""

    state: State
    changed: int = 0
    seconds: float = 0.0
    why: str = ""


@dataclass(slots=True)
class Outcome:
    """How every host of a run ended; `stopped` when the operator ended it early."""

    hosts: dict[str, HostResult] = field(default_factory=dict)
    stopped: bool = False

    def count(self, *states: State) -> int:
        """How many hosts ended in one of these states."""
        return sum(result.state in states for result in self.hosts.values())

    @property
    def good(self) -> bool:
        """Whether every host is as declared now."""
        return not self.stopped and self.count("failed", "not started", "unreachable") == 0


class Apply:
    """One carrying-out of a plan: `execute` runs in the calling thread and hands steps to a pool of workers."""

    def __init__(self, run: Run, plan: SitePlan) -> None:
        self.outcome = Outcome()
        self._run = run
        self._plan = plan
        self._sink = run.sink
        self._groups = run.scope.groups()
        self._ended: queue.Queue[tuple[Step, HostResult]] = queue.Queue()
        self._waiting: dict[str, Step] = {}
        self._running: set[str] = set()

    def execute(self) -> Outcome:
        """Carry everything out. Ctrl-C: what runs ends its batch, what has not begun is left; a second one raises."""
        holding = self._run.roles(self._hosts_of(gated), self._groups)
        steps = schedule(self._plan.changing, self._groups, holding)
        self._waiting = {step.host: step for step in steps}
        self._settle_known()
        with ThreadPoolExecutor(self._run.scope.forks, thread_name_prefix="hakit") as pool:
            while self._waiting or self._running:
                for step in self._ready():
                    del self._waiting[step.host]
                    self._running.add(step.host)
                    pool.submit(self._work, step)
                try:
                    step, result = self._ended.get()
                except KeyboardInterrupt:
                    if self.outcome.stopped:
                        self._run.hang_up()
                        raise
                    self._stop()
                    continue
                self._running.discard(step.host)
                self._settle(step.host, result)
        return self.outcome

    def _hosts_of(self, test: Callable[[HostPlan], bool]) -> list[str]:
        return [plan.host for plan in self._plan.changing if test(plan)]

    def _ready(self) -> list[Step]:
        return [step for step in self._waiting.values() if not step.after & {*self._waiting, *self._running}]

    def _settle_known(self) -> None:
        """Hosts whose end is known before anything is done: nothing to do, refused, not reached."""
        for name, error in self._plan.failed.items():
            self._settle(name, HostResult("unreachable", why=error.message))
        for plan in self._plan.hosts.values():
            if plan.refused:
                self._settle(plan.host, HostResult("failed", why=f"refused {plan.refused[0].key}"))
            elif not plan.changes:
                self._settle(plan.host, HostResult("same"))

    def _settle(self, host: str, result: HostResult) -> None:
        self.outcome.hosts[host] = result
        if result.state == "failed":
            for mate in sorted(mates(host, self._groups) & self._waiting.keys()):
                self._leave([mate], f"{host} failed, and they stand in for each other")

    def _leave(self, hosts: Iterable[str], why: str) -> None:
        for host in hosts:
            self._waiting.pop(host, None)
            self.outcome.hosts[host] = HostResult("not started", why=why)
            self._sink(events.NotStarted(host, why))

    def _stop(self) -> None:
        self.outcome.stopped = True
        self._leave(list(self._waiting), "interrupted")
        for host in self._running:
            self._sink(events.Noted(host, "interrupted: finishing what has begun; Ctrl-C again leaves it alone"))

    def _work(self, step: Step) -> None:
        """One step, in a worker; whatever happens, its end is put in the queue."""
        result = HostResult("failed", why="the worker ended unexpectedly")
        try:
            result = self._carry_out(step)
        except HakitError as error:
            self._sink(events.Unreachable(step.host, error))
            result = HostResult("failed", why=error.message)
        finally:
            self._ended.put((step, result))

    def _carry_out(self, step: Step) -> HostResult:
        started = time.monotonic()
        session = self._run.sessions[step.host]
        self._sink(events.Started(step.host, len(step.keys) + len(step.remove)))
        batch = session.apply(step.keys, step.remove, lambda event: self._relay(step.host, event))
        why = f"{batch.failed} of {len(step.keys) + len(step.remove)} failed" if batch.failed else ""
        if not batch.failed and gated(self._plan.hosts[step.host]):
            why = await_serving(step.host, self._groups, self._run.sessions)
            if why:
                self._sink(events.Noted(step.host, why))
        seconds = time.monotonic() - started
        self._sink(events.Finished(step.host, batch.changed, batch.failed, seconds))
        return HostResult("failed" if why else "changed" if batch.changed else "same", batch.changed, seconds, why)

    def _relay(self, host: str, event: AgentEvent) -> None:
        match event.ev:
            case "begin":
                self._sink(events.Begun(host, event.key))
            case "note":
                self._sink(events.Noted(host, event.text, event.key))
            case "done":
                self._sink(events.Done(host, event.key, event.changed, event.summary))
            case "skipped":
                self._sink(events.Skipped(host, event.key, event.because))
            case "failed" if event.error is not None:
                declared = self._run.sessions[host].declared
                contents = declared.contents() if declared else {}
                error = event.error
                rejection = reject(error.message, error.output, error.path, error.line, contents)
                self._sink(events.Failed(host, event.key, rejection))
