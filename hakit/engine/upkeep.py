"""Rolling upkeep of a site: packages brought up to date, hosts booted again; one at a time through the gate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.engine import events
from hakit.engine.outcome import HostResult, Outcome
from hakit.engine.rolling import Limits, Rolling
from hakit.engine.schedule import one_at_a_time
from hakit.engine.sound import unsound
from hakit.engine.steps import Step, ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hakit.agent.answers import AgentEvent, Upgrade, Upkeep
    from hakit.engine.handover import Foreseen
    from hakit.engine.run import Run
    from hakit.engine.session import HostSession
    from hakit.errors import HakitError

BOOT = 300.0
"""Seconds that a host has to boot: firmware and disks of a server take minutes."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the hosts of a run wait for, by host, and which of them could not be asked."""

    hosts: Mapping[str, Upkeep]
    failed: Mapping[str, HakitError]


def needs(run: Run, *, refresh: bool, packages: Sequence[str] = ()) -> Needs:
    """Ask all hosts what they wait for, and the versions of some packages; `refresh`: the package sources first."""
    failed = run.open()

    def ask(session: HostSession) -> Upkeep:
        return session.upkeep(_relay(run, session.host.name), refresh=refresh, packages=packages)

    answers, lost = run.each(ask)
    own = run.scope.hosts
    return Needs(
        {name: answers[name] for name in own if name in answers},
        {name: error for name, error in {**failed, **lost}.items() if name in own},
    )


class Round:
    """One round over hosts: `execute` disrupts them one at a time and sees each of them serve again."""

    def __init__(self, run: Run, limits: Limits) -> None:
        self._run = run
        self._limits = limits
        self._rolling = Rolling(run, limits, run.resting())
        self._steps: dict[tuple[str, ...], tuple[Step, ...]] = {}

    @property
    def outcome(self) -> Outcome:
        """How the hosts ended so far."""
        return self._rolling.outcome

    def steps(self, hosts: Sequence[str]) -> tuple[Step, ...]:
        """What will be carried out on these hosts; to know it they are asked how they stand, once."""
        found = self._steps.get(tuple(hosts))
        if found is None:
            standing = self._rolling.standing(hosts)
            rank = ranking(hosts, self._rolling.groups, standing)
            steps = [Step(host, gated=True, disrupts=True, whole=True) for host in hosts]
            found = self._steps[tuple(hosts)] = one_at_a_time(steps, self._rolling.groups, rank, standing)
        return found

    def foreseen(self, hosts: Sequence[str]) -> Foreseen:
        """What will be handed over before these hosts are disrupted, in that order."""
        return self._rolling.handovers.foreseen(step.host for step in self.steps(hosts))

    def reboot(self, hosts: Sequence[str], known: Mapping[str, HostResult]) -> Outcome:
        """Boot these hosts again."""
        return self._execute(hosts, lambda step: self._boot(self._run.sessions[step.host], 0.0), known)

    def upgrade(
        self, upgrades: Mapping[str, Sequence[Upgrade]], known: Mapping[str, HostResult], *, reboot: bool
    ) -> Outcome:
        """Bring packages to new versions; with `reboot` a host that wants to boot afterwards is booted."""
        return self._execute(
            list(upgrades), lambda step: self._upgrade(step.host, upgrades[step.host], reboot=reboot), known
        )

    def _execute(
        self, hosts: Sequence[str], work: Callable[[Step], HostResult], known: Mapping[str, HostResult]
    ) -> Outcome:
        return self._rolling.execute(self.steps(hosts), work, known)

    def _boot(self, session: HostSession, began: float) -> HostResult:
        name = session.host.name
        why = unsound(session)
        if why and not self._limits.overrule(self._run, name, f"it may not survive the next failure: {why}"):
            text = f"not booted, it may not survive the next failure: {why}"
            self._run.sink(events.Noted(name, text))
            return HostResult("failed", why=text)
        if not began:
            began = time.monotonic()
            self._run.sink(events.Started(name, 0))
        self._run.sink(events.Noted(name, f"boots; waiting for it up to {BOOT / 60:.0f} min"))
        took = session.reboot(BOOT, self._rolling.aborted)
        self._run.sink(events.Noted(name, f"is back {took:.0f} s after it was told to boot"))
        seconds = time.monotonic() - began
        self._run.sink(events.Finished(name, 1, 0, seconds))
        return HostResult("changed", 1, seconds)

    def _upgrade(self, name: str, upgrades: Sequence[Upgrade], *, reboot: bool) -> HostResult:
        began = time.monotonic()
        session = self._run.sessions[name]
        self._run.sink(events.Started(name, len(upgrades)))
        done, error = session.upgrade([(one.package, one.new) for one in upgrades], _relay(self._run, name))
        for line in done:
            self._run.sink(events.Noted(name, line))
        if error is not None:
            text = f"{error.message}\n{error.output}".strip()
            self._run.sink(events.Noted(name, text))
            self._run.sink(events.Finished(name, 0, 1, time.monotonic() - began))
            return HostResult("failed", 0, time.monotonic() - began, error.message)
        if reboot and session.upkeep(_relay(self._run, name), refresh=False).reboot:
            return self._boot(session, began)
        seconds = time.monotonic() - began
        self._run.sink(events.Finished(name, len(upgrades), 0, seconds))
        return HostResult("changed", len(upgrades), seconds)


def _relay(run: Run, host: str) -> Callable[[AgentEvent], None]:
    def relay(event: AgentEvent) -> None:
        if event.text:
            run.sink(events.Noted(host, event.text))

    return relay
