"""A run over a site: open sessions, plan on all hosts at once, carry the steps out, close."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hakit.components.templates import Templates
from hakit.engine import facts as facts_of
from hakit.engine.compile import names
from hakit.engine.deciding import Deciding, Decisions
from hakit.engine.duty import MAINTENANCE, RETIRED, ROLLING, describe
from hakit.engine.events import Noted, Planned, Reached, Unreachable
from hakit.engine.plan import SitePlan
from hakit.engine.session import HostSession
from hakit.engine.sound import with_sound
from hakit.engine.threads import completed
from hakit.errors import HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from hakit.agent.actions import Mark
    from hakit.agent.resources.base import Resource
    from hakit.agent.tasks import Task
    from hakit.components.base import Component, Facts, RedundancyGroup
    from hakit.engine.compile import HostResources
    from hakit.engine.events import Event
    from hakit.engine.handover import Mover
    from hakit.engine.plan import HostPlan
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run works on and how: the site, which of its hosts and components, how to reach a host.

    `watched` are hosts that are asked, not changed: they stand in for some that are, or are to look at them. `movers`
    hand roles over before their holder is out of service. `wipe` are the serial numbers of disks that the command line
    confirms to be wiped.
    """

    site: Site
    components: Mapping[str, Component]
    hosts: tuple[str, ...]
    only: frozenset[str] | None
    connect: Callable[[Host], Connection]
    run_id: str
    forks: int = 10
    watched: tuple[str, ...] = ()
    movers: tuple[Mover, ...] = ()
    wipe: frozenset[str] = frozenset()
    who: str = field(default_factory=lambda: f"{getpass.getuser()}@{socket.gethostname()} (pid {os.getpid()})")
    rendering: threading.Lock = field(default_factory=threading.Lock)
    templates: Templates = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "templates", Templates(self.site))

    @property
    def owned(self) -> tuple[str, ...] | None:
        """The components whose leftovers on a host are removed; None means all."""
        return None if self.only is None else tuple(sorted(self.only))

    def narrowed(self, declared: HostResources) -> tuple[Resource, ...]:
        """The resources of the components asked for."""
        every = declared.resources.values()
        return tuple(one for one in every if self.only is None or one.component in self.only)

    def elsewhere(self, declared: HostResources) -> tuple[str, ...]:
        """The names of what the components not asked for declare: what one of theirs has made may have become that."""
        narrowed = {one.key for one in self.narrowed(declared)}
        return tuple(name for key, one in declared.resources.items() if key not in narrowed for name in names(one))

    def groups(self) -> tuple[RedundancyGroup, ...]:
        """All redundancy groups of the site; a service is asked of them only at addresses that the site keeps alive."""
        kept = {serving.address for one in self.components.values() for serving in one.serves(self.site)}
        kept |= {host.address for host in self.site.hosts.values()}
        return tuple(
            with_sound(_kept(group, kept), self.site, self.components)
            for one in self.components.values()
            for group in one.groups(self.site)
        )


def _kept(group: RedundancyGroup, addresses: Collection[str]) -> RedundancyGroup:
    service = tuple(probe for probe in group.service if _address(probe.target) in addresses)
    return group if service == group.service else replace(group, service=service)


def _address(target: str) -> str:
    """The address in a probe's target: `http://10.0.0.1:80/x`, `[::1]:80`."""
    return target.partition("://")[2 if "://" in target else 0].partition("/")[0].rpartition(":")[0].strip("[]")


_Answers = tuple[dict[str, T], dict[str, "HakitError"]]


class Run:
    """The sessions of a run. A context manager: leaving it ends every agent and connection."""

    def __init__(self, scope: Scope, sink: Callable[[Event], None], *, lock: bool) -> None:
        self.scope = scope
        self.sink = sink
        self.lock = lock
        self.sessions: dict[str, HostSession] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """End every agent and connection; an agent finishes the atomic step it is in."""
        for session in list(self.sessions.values()):
            session.close()

    def plan(self) -> SitePlan:
        """Ask every host what differs. A host that fails is among `failed`; an error of the inventory is raised.

        Hosts wait for each other only where a component decides from what is observed on all of its hosts.
        """
        deciding = Deciding.of(self.scope)
        plans, failed = self._plan_decided(deciding) if deciding.components else self._each(self._plan_host)
        facts_of.remember(self.scope.site, [(name, plan.facts) for name, plan in plans.items()])
        hosts, watched = self.scope.hosts, self.scope.watched
        return SitePlan(
            {name: plans[name] for name in hosts if name in plans},
            {name: failed[name] for name in hosts if name in failed},
            {name: plans[name] for name in watched if name in plans},
            {name: failed[name] for name in watched if name in failed},
            self.marks(),
        )

    def open(self) -> dict[str, HakitError]:
        """Open the sessions of all hosts; which could not be opened, and why."""
        return self._each(self._open_host)[1]

    def each(self, ask: Callable[[HostSession], T]) -> tuple[dict[str, T], dict[str, HakitError]]:
        """Ask the open sessions of the run's own hosts something, all at once: the answers, and what went wrong."""
        return self._each(lambda name: ask(self.sessions[name]), [n for n in self.scope.hosts if self.usable(n)])

    def usable(self, name: str) -> bool:
        """Whether a host's session is open and was not lost since."""
        return name in self.sessions and self.sessions[name].usable

    def _each(self, ask: Callable[[str], T], names: Sequence[str] | None = None) -> _Answers[T]:
        """Ask in threads. What is the host's own trouble is kept by its name, what is the inventory's is raised."""
        names = (*self.scope.hosts, *self.scope.watched) if names is None else names
        answers: dict[str, T] = {}
        failed: dict[str, HakitError] = {}
        pool = ThreadPoolExecutor(max(1, min(len(names), self.scope.forks)), thread_name_prefix="hakit")
        try:
            waiting = {pool.submit(ask, name): name for name in names}
            for done in completed(waiting):
                name, error = waiting[done], done.exception()
                if error is None:
                    answers[name] = done.result()
                elif isinstance(error, HakitError) and error.exit_code == 1:
                    failed[name] = error
                    self.sink(Unreachable(name, error))
                else:
                    raise error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return answers, failed

    def _open_host(self, name: str) -> Facts:
        started = time.monotonic()
        session = self.sessions[name] = HostSession(self.scope, self.scope.site.hosts[name])
        facts = session.open(lock=self.lock and name in self.scope.hosts)
        self.sink(Reached(name, time.monotonic() - started, session.taken_over))
        self._pass_on(session)
        return facts

    def _pass_on(self, session: HostSession) -> None:
        """Tell what the agent had to say beside its answers."""
        while session.notes:
            self.sink(Noted(session.host.name, session.notes.pop(0)))

    def _plan_decided(self, deciding: Deciding) -> _Answers[HostPlan]:
        """Open all sessions, observe, decide once, then plan; who can't be asked is missing in what is observed."""
        facts, failed = self._each(self._open_host)
        asked = [name for name in facts if deciding.concern(name)]
        observed, lost = self._each(lambda name: self._observe(name, deciding.tasks(name, facts[name])), asked)
        left = {name: own for name, own in facts.items() if name not in lost}
        decisions = deciding.decide(left, observed)
        for host, note in decisions.notes(self.scope.hosts):
            self.sink(Noted(host, note))
        plans, refused = self._each(lambda name: self._plan_open(name, left[name], decisions), list(left))
        return plans, {**failed, **lost, **refused}

    def _observe(self, name: str, tasks: Mapping[str, Task]) -> dict[str, dict[str, Any]]:
        answers = {component: self.sessions[name].task(task) for component, task in tasks.items()}
        self._pass_on(self.sessions[name])
        return answers

    def _plan_host(self, name: str) -> HostPlan:
        return self._plan_open(name, self._open_host(name), None)

    def _plan_open(self, name: str, facts: Facts, decisions: Decisions | None) -> HostPlan:
        session = self.sessions[name]
        for mark in session.marks:
            if mark.host == name and mark.kind == RETIRED:
                raise RefusedError(
                    f"{name}: {describe(mark)}",
                    hint=f"take {name} out of the inventory, or take it back with  hakit retire --undo {name}",
                )
        decided = decisions.of(name, session.host.settings) if decisions else {}
        plan = session.plan(facts, decided)
        self._pass_on(session)
        self.sink(Planned(name, len(plan.changes)))
        return plan

    def resting(self) -> dict[str, str]:
        """The hosts that an operator has taken out of service, and since when, by whom and why, in words."""
        return {host: describe(mark) for host, mark in self.marks().items() if mark.kind == MAINTENANCE}

    def marks(self) -> dict[str, Mark]:
        """Who is out of service, as far as the hosts of this run know; what an operator did counts more than a run."""
        found: dict[str, Mark] = {}
        for session in self.sessions.values():
            for mark in session.marks:
                if mark.host not in found or found[mark.host].kind == ROLLING:
                    found[mark.host] = mark
        return {host: found[host] for host in self.scope.site.hosts if host in found}
