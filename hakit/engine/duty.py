"""Taking a host out of its duties before it is disrupted, and back into them; what was begun is known after a crash.

Each host that helps keeps a mark that says who is out, since when and by whom. A mark of a run that is dead tells the
next run what to take back.
"""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from hakit.agent.actions import Mark
from hakit.errors import HakitError, LockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hakit.agent.actions import Action
    from hakit.components.base import Component, Order, Withdrawal
    from hakit.engine.gate import Gate
    from hakit.engine.session import HostSession
    from hakit.inventory.model import Site

ROLLING, MAINTENANCE, RETIRED = "rolling", "maintenance", "retired"


class Duty:
    """The duties of a site's hosts. `say` is told, per host, what could not be done."""

    def __init__(
        self,
        site: Site,
        components: Mapping[str, Component],
        sessions: Mapping[str, HostSession],
        gate: Gate,
        say: Callable[[str, str], None],
    ) -> None:
        self._site = site
        self._components = components
        self._sessions = sessions
        self._gate = gate
        self._say = say

    def of(self, host: str) -> tuple[Withdrawal, ...]:
        """What a host is taken out of."""
        known = self._site.hosts[host]
        return tuple(one for component in self._components.values() for one in component.withdraw(self._site, known))

    def helpers(self, host: str) -> tuple[str, ...]:
        """The hosts that have to be spoken to when this one goes out, or comes back; itself first."""
        orders = [order.host for one in self.of(host) for order in (*one.out, *one.back)]
        return tuple(dict.fromkeys([host, *orders]))

    def blind(self, host: str) -> frozenset[str]:
        """The components in whose groups a host can't serve while it is out, because it itself declines to."""
        return frozenset(
            name
            for name, component in self._components.items()
            for one in component.withdraw(self._site, self._site.hosts[host])
            if one.out and all(order.host == host for order in one.out)
        )

    def withdraw(self, host: str, mark: Mark, limit: float) -> bool:
        """Take a host out and wait until it carries nothing, for `limit` seconds at most.

        Returns whether it was marked. Raises what speaking to the host itself raises, and LockedError before anything
        is done where another run works on one that helps; helpers that can't be reached are only told of.
        """
        duties = self.of(host)
        if not duties and mark.kind == ROLLING:
            return False
        self._lock(self.helpers(host))
        self._tell(host, [order for one in duties for order in one.out], mark)
        carried = self._gate.await_gone([probe for one in duties for probe in one.gone], limit)
        if carried:
            self._say(host, f"still carries something after {limit:.0f} s: {carried}")
        return True

    def back(self, host: str) -> tuple[str, ...]:
        """Take a host back into its duties; the mark goes where that was done. Returns where it could not be done."""
        return self._tell(host, [order for one in self.of(host) for order in one.back], Mark(host=host, kind=""))

    def _lock(self, hosts: Iterable[str]) -> None:
        """Take the locks of those that can be reached. Raises LockedError."""
        for name in hosts:
            session = self._sessions.get(name)
            if session is not None and session.usable:
                try:
                    session.ensure_lock()
                except LockedError:
                    raise
                except HakitError:  # it is lost: told of when its turn comes
                    continue

    def _tell(self, host: str, orders: Iterable[Order], mark: Mark) -> tuple[str, ...]:
        """Carry orders out, each on its host; where that could not be done."""
        untold: dict[str, None] = {}
        by_host: dict[str, list[Action]] = defaultdict(list)
        for order in orders:
            by_host[order.host].append(order.action)
        for helper in dict.fromkeys([host, *by_host]):
            session = self._sessions.get(helper)
            try:
                if session is None or not session.usable:
                    untold[helper] = None
                    self._say(host, f"{helper} could not be told, it is not reached")
                    continue
                session.ensure_lock()
                for result in session.act(by_host[helper], mark):
                    if not result.ok:
                        untold[helper] = None
                        self._say(host, f"{helper}: {result.detail}")
            except HakitError as error:
                if helper == host:
                    raise
                untold[helper] = None
                self._say(host, f"{helper} could not be told: {error.message}")
        return tuple(untold)


def mark_of(host: str, kind: str, who: str, run: str, why: str = "") -> Mark:
    """A mark made now."""
    return Mark(
        host=host, kind=kind, who=who, since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), run=run, why=why
    )


def describe(mark: Mark) -> str:
    """A mark in words, with the time in the reader's zone: `in maintenance since 20:28 by ana@desk: new disk`.

    The run is named where it died: its record tells what it was about.
    """
    word = {MAINTENANCE: "in maintenance", RETIRED: "retired"}.get(mark.kind, "out of service")
    who = mark.who.partition(" (pid ")[0] or "someone"
    run = f" (run {mark.run})" if mark.run and mark.kind == ROLLING else ""
    return f"{word} since {_clock(mark.since)} by {who}{run}" + (f": {mark.why}" if mark.why else "")


def _clock(since: str) -> str:
    """The time of a mark: of today by the clock alone."""
    try:
        then = datetime.fromisoformat(since).astimezone()
    except ValueError:
        return since or "some time"
    return then.strftime("%H:%M" if then.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")
