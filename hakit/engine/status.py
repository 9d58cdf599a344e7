"""`hakit status`: ask every host once, over sessions that may stay open, and say what the answers mean."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from hakit.components.base import Answer
from hakit.engine import examination
from hakit.engine.assess import HostState, SiteState, assess, questions
from hakit.engine.examination import Clock, Machine
from hakit.engine.session import HostSession
from hakit.engine.threads import wait
from hakit.errors import AgentError, ConnectError, HakitError, RefusedError

if TYPE_CHECKING:
    from types import TracebackType

    from hakit.agent.answers import ProbeResult
    from hakit.agent.probes import Probe
    from hakit.components.base import Report
    from hakit.engine.run import Scope

FIRST = 20.0
"""Seconds that hosts have for the first look: connecting takes 10 at worst, the agent's code must be sent."""
NEXT = 3.0
"""Seconds for each look after that: who takes longer is shown as not answering, and asked on."""


class Watch:
    """Looks at a site, as often as asked. A context manager: leaving it ends every session."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._questions = questions(scope.site, scope.components)
        self._sessions: dict[str, HostSession] = {}
        self._pool = ThreadPoolExecutor(max(1, min(len(scope.hosts), scope.forks)), thread_name_prefix="hakit")
        self._asking: dict[str, Future[HostState]] = {}
        self._since: dict[str, float] = {}
        self._looked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for session in list(self._sessions.values()):
            session.close()

    def look(self) -> SiteState:
        """The state of the site now."""
        began = time.monotonic()
        for name in self._scope.hosts:
            if name not in self._asking:
                self._since[name] = began
                self._asking[name] = self._pool.submit(self._ask, name)
        wait(self._asking.values(), NEXT if self._looked else FIRST * -(-len(self._asking) // self._scope.forks))
        self._looked = True
        hosts = {name: self._state(name) for name in self._scope.site.hosts}
        return assess(self._scope.site, self._scope.components, hosts)

    def _state(self, name: str) -> HostState:
        future = self._asking[name]
        if not future.done():
            waited = time.monotonic() - self._since[name]
            return HostState(name, AgentError(f"{name}: no answer for {waited:.0f} s"))
        del self._asking[name]
        return future.result()

    def _ask(self, name: str) -> HostState:
        """What one host says; what is its own fault is in the answer."""
        try:
            return self._asked(name)
        except (ConnectError, AgentError) as error:
            session = self._sessions.pop(name, None)
            if session is not None:
                session.close()
            return HostState(name, error)

    def _asked(self, name: str) -> HostState:
        scope = self._scope
        session = self._sessions.get(name)
        refused: HakitError | None = None
        if session is None:
            session = self._sessions[name] = HostSession(scope, scope.site.hosts[name])
            try:
                session.open(lock=False)
            except RefusedError as error:
                refused = error  # an unsupported system can be asked all the same
        hello = examination.greet(session)
        before = time.time()
        found = examination.ask_all(session, {"clock": (None, examination.Reading), "machine": (None, Machine)})
        after = time.time()
        asked = self._questions[name]
        answers = dict(zip(asked, session.probe(asked), strict=True))
        clock, machine = found["clock"], found["machine"]
        return HostState(
            name,
            refused,
            hello,
            None
            if isinstance(clock, str)
            else Clock(clock.now - (before + after) / 2, (after - before) / 2, clock.synchronized),
            isinstance(machine, Machine) and machine.reboot,
            answers,
            self._reports(name, answers),
        )

    def _reports(self, name: str, answers: dict[Probe, ProbeResult]) -> tuple[Report, ...]:
        site = self._scope.site
        host = site.hosts[name]
        found: list[Report] = []
        for key, component in self._scope.components.items():
            if key in host.settings:
                asked = component.inspect(site, host).items()
                given = {word: Answer(answers[probe].ok, answers[probe].detail) for word, probe in asked}
                found += component.report(site, host, given)
        return tuple(found)
