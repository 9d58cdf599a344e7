"""A run over a site: open sessions, plan on all hosts at once, carry the steps out, close."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hakit.components.templates import Templates
from hakit.engine import facts as facts_of
from hakit.engine.events import Planned, Reached, Unreachable
from hakit.engine.plan import SitePlan
from hakit.engine.session import HostSession
from hakit.errors import AgentError, ConnectError, HakitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from hakit.agent.resources.base import Resource
    from hakit.components.base import Component, Facts, RedundancyGroup
    from hakit.engine.compile import HostResources
    from hakit.engine.events import Event
    from hakit.engine.plan import HostPlan
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run works on and how: the site, which of its hosts and components, how to reach a host."""

    site: Site
    components: Mapping[str, Component]
    hosts: tuple[str, ...]
    only: frozenset[str] | None
    connect: Callable[[Host], Connection]
    run_id: str
    forks: int = 10
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

    def groups(self) -> tuple[RedundancyGroup, ...]:
        """All redundancy groups of the site."""
        return tuple(group for one in self.components.values() for group in one.groups(self.site))


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
        """Ask every host what differs. A host that fails is among `failed`; an error of the inventory is raised."""
        plans: dict[str, HostPlan] = {}
        failed: dict[str, HakitError] = {}
        pool = ThreadPoolExecutor(min(len(self.scope.hosts), self.scope.forks), thread_name_prefix="hakit")
        try:
            waiting = {pool.submit(self._plan_host, name): name for name in self.scope.hosts}
            for done in as_completed(waiting):
                name = waiting[done]
                error = done.exception()
                if error is None:
                    plans[name] = done.result()
                    self.sink(Planned(name, len(plans[name].changes)))
                elif isinstance(error, HakitError) and error.exit_code == 1:
                    failed[name] = error
                    self.sink(Unreachable(name, error))
                else:
                    raise error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        facts_of.remember(self.scope.site, [(name, plan.facts) for name, plan in plans.items()])
        return SitePlan(
            {name: plans[name] for name in self.scope.hosts if name in plans},
            {name: failed[name] for name in self.scope.hosts if name in failed},
        )

    def _plan_host(self, name: str) -> HostPlan:
        started = time.monotonic()
        session = self.sessions[name] = HostSession(self.scope, self.scope.site.hosts[name])
        facts: Facts = session.open(lock=self.lock)
        self.sink(Reached(name, time.monotonic() - started, session.taken_over))
        return session.plan(facts)

    def roles(self, hosts: Sequence[str], groups: Sequence[RedundancyGroup]) -> dict[str, int]:
        """How many roles (a VIP, say) each of these hosts holds right now, asked of the hosts themselves."""
        held: dict[str, int] = {}
        for name in hosts:
            probes = [group.holder for group in groups if name in group.hosts and group.holder is not None]
            if probes and self.sessions[name].usable:
                # A host that is lost by now fails when its turn comes, with a message of its own.
                with suppress(AgentError, ConnectError):
                    held[name] = sum(result.ok for result in self.sessions[name].probe(probes))
        return held
