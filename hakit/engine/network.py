"""A host's step whose changes include its network: what the network needs first, then the network, then the rest.

The network is no resource among others: its change breaks the connection, and is only kept when the host is reached
over it. What comes after it goes over the new connection, from a plan made anew there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hakit.agent.resources.network import Network
from hakit.engine import events
from hakit.engine.outcome import Carried
from hakit.engine.plan import Rejection
from hakit.engine.transit import Transit
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hakit.agent.resources.base import Resource
    from hakit.engine.outcome import NetworkEnd
    from hakit.engine.plan import HostPlan
    from hakit.engine.rolling import Rolling
    from hakit.engine.run import Run
    from hakit.engine.steps import Step

    Batch = Callable[[Sequence[str], Sequence[str]], Carried]

NETWORK = "network:network"
MEND = "mend the cable, the switch or the inventory, then apply again"


def needed(keys: Sequence[str], declared: Mapping[str, Resource]) -> tuple[str, ...]:
    """Those of some keys that must be in place before the network is changed: what it is after, at any distance."""
    found: set[str] = set()
    queue = list(declared[NETWORK].after) if NETWORK in declared else []
    while queue:
        key = queue.pop()
        if key not in found:
            found.add(key)
            queue.extend(declared[key].after if key in declared else ())
    return tuple(key for key in keys if key in found)


class Crossing:
    """One such step. `shown` is the plan that the operator saw, `batch` carries out what is no network."""

    def __init__(self, run: Run, step: Step, shown: HostPlan, rolling: Rolling, batch: Batch) -> None:
        self._run = run
        self._step = step
        self._shown = shown
        self._rolling = rolling
        self._batch = batch
        self._session = run.sessions[step.host]
        self._declared = self._session.declared.resources if self._session.declared else {}

    def carry_out(self) -> Carried:
        """Carry it out. What is after the network is left where that is not kept."""
        before = needed(self._step.keys, self._declared)
        first = self._batch(before, ()) if before else Carried()
        if first.failed or first.why:
            self._skip(NETWORK, before[0])
            self._skip_rest({*before, NETWORK})
            return first
        if self._rolling.halted():
            return replace(first, why="interrupted before its network was changed")
        carried = self._cross(first)
        if carried.network is None or carried.network.how != "confirmed":
            self._skip_rest({*before, NETWORK})
            return carried
        return self._rest(carried, {*before, NETWORK})

    def _cross(self, first: Carried) -> Carried:
        """Change the network. Raises LockedError, AgentError."""
        host, resource = self._step.host, self._declared[NETWORK]
        if not isinstance(resource, Network):
            raise TypeError(f"{NETWORK} is a {type(resource).__name__}")
        self._run.sink(events.Begun(host, NETWORK))
        transit = Transit(
            self._run,
            self._session,
            resource,
            timeout=self._rolling.limits.confirm,
            aborted=self._rolling.aborted,
            leave=lambda text: self._rolling.leave(host, text),
        )
        try:
            end = transit.carry_out()
        except RefusedError as error:
            message = error.message.removeprefix(f"{host}: ")
            self._fail(Rejection(f"nothing was changed: {message}", error.why or ""))
            return replace(first, failed=1, why=f"its network was not changed: {message}")
        if end.how == "confirmed":
            summary = (f"changed and confirmed after {end.seconds:.1f} s",)
            self._run.sink(events.Done(host, NETWORK, changed=True, summary=summary))
            return replace(first, changed=first.changed + 1, network=end)
        message, output = _told(end)
        self._fail(Rejection(message, output))
        return replace(first, failed=1, why=message, network=end)

    def _rest(self, carried: Carried, done: set[str]) -> Carried:
        """What comes after the network, as far as it still differs, and as it was shown."""
        step = self._step
        now = self._session.replan()
        keys = [key for key in step.keys if key not in done]
        differing = {change.key: change for change in now.changes}
        if self._rolling.halted() and (keys or step.remove):
            return replace(carried, why="interrupted: its network is changed, the next apply does the rest")
        left = [key for key in keys if key in differing]
        stale = [one.key for one in self._shown.changes if one.key in left and one.diffs != differing[one.key].diffs]
        for key in stale:
            message = "it changed since the plan was shown, and was left alone; see  hakit plan"
            self._run.sink(events.Failed(step.host, key, Rejection(message)))
        keys = [key for key in left if key not in stale]
        remove = [key for key in step.remove if key in differing]
        rest = self._batch(keys, remove) if keys or remove else Carried()
        changed, failed = carried.changed + rest.changed, rest.failed + len(stale)
        return Carried(changed, failed, rest.why, carried.network)

    def _skip_rest(self, done: set[str]) -> None:
        for key in (*self._step.keys, *self._step.remove):
            if key not in done:
                self._skip(key, NETWORK)

    def _skip(self, key: str, because: str) -> None:
        self._run.sink(events.Skipped(self._step.host, key, because))

    def _fail(self, rejection: Rejection) -> None:
        self._run.sink(events.Failed(self._step.host, NETWORK, rejection))


def _told(end: NetworkEnd) -> tuple[str, str]:
    """What an end that is no success means, and what the host says of it."""
    log = "\n".join(end.log)
    if end.how == "returned":
        return f"the old network is back: {end.why}", f"{log}\nThat is the host's own log; {MEND}" if log else MEND
    if end.how == "lost":
        look = "see on its console  journalctl -u hakit-network-return -u hakit-network-boot,  and its cables"
        return f"the host is lost: {end.why}", look
    return end.why, "see later  hakit plan"
