"""The open sessions with the members of a cluster, and their locks: the hands of every command."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hakit.agent.tasks import Task
from hakit.components.postgresql.members import place
from hakit.engine import threads
from hakit.engine.events import Noted, Reached, Unreachable
from hakit.engine.session import HostSession
from hakit.errors import AgentError, ConnectError, HakitError, LockedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from concurrent.futures import Future
    from types import TracebackType

    from hakit.agent.answers import AgentEvent
    from hakit.agent.postgres.place import Place
    from hakit.engine.events import Event
    from hakit.engine.run import Run, Scope
    from hakit.inventory.model import Site
    from hakit.postgres.layout import Layout

T = TypeVar("T")
KIND = "postgres"
MOMENT = 3.0
"""Seconds for a host that is said to be dead to answer: on a network that works it takes a tenth of one."""
SOON, SLOWER = 4.0, 3.0
"""Seconds, and how many times as long as the slowest that answered, that a read-only command waits for a member: two
lost packets of a TCP handshake cost 3 s (RFC 6298: 1 s, then 2 s)."""
_TAIL = 400  # characters of what a fence command says


class Hands:
    """The members of a cluster with whom sessions are open: they carry verbs out. What they tell goes to `sink`."""

    def __init__(self, layout: Layout, sink: Callable[[Event], None]) -> None:
        self._layout = layout
        self._sink = sink
        self._sessions: dict[str, HostSession] = {}
        self._places: dict[str, Place] = {}
        self._errors: dict[str, HakitError] = {}

    @property
    def reachable(self) -> tuple[str, ...]:
        """The members with whom a session is open and was not lost."""
        # A copy: who was not waited for may still come.
        return tuple(host for host in list(self._places) if self._sessions[host].usable)

    @property
    def errors(self) -> Mapping[str, HakitError]:
        """Why there is no session with the others."""
        lost = AgentError("the session with it was lost")
        return {host: self._errors.get(host, lost) for host in self._layout.members if host not in self.reachable}

    def do(self, host: str, verb: str, arguments: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """Have a member carry a verb out. Raises RefusedError where it does not succeed, AgentError, ConnectError."""
        task = Task(kind=KIND, do=verb, about=self._places[host], arguments=tuple(arguments.items()), timeout=timeout)

        def told(event: AgentEvent) -> None:
            self._sink(Noted(host, event.text))

        try:
            return self._sessions[host].task(task, told)
        except HakitError as error:
            if not self._sessions[host].usable:
                self._errors[host] = error
            raise

    def each(
        self, hosts: Iterable[str], verb: str, arguments: Callable[[str], Mapping[str, str]], timeout: float
    ) -> tuple[dict[str, dict[str, Any]], dict[str, HakitError]]:
        """The same on several members at once: the answers, and what went wrong."""
        return self._both(list(hosts), lambda host: self.do(host, verb, arguments(host), timeout))

    def place(self, host: str) -> Place:
        """Where a member's things are. Raises what kept its session from being opened."""
        if host not in self._places:
            raise self.errors[host]
        return self._places[host]

    def _both(self, hosts: list[str], ask: Callable[[str], T]) -> tuple[dict[str, T], dict[str, HakitError]]:
        waiting = {host: threads.begin(ask, host) for host in hosts}
        threads.wait(waiting.values())
        answers: dict[str, T] = {}
        failed: dict[str, HakitError] = {}
        for host, future in waiting.items():
            try:
                answers[host] = future.result()
            except HakitError as error:
                failed[host] = error
        return answers, failed


class Sessions(Hands):
    """The sessions with all members that can be reached. A context manager: leaving it ends every one of them.

    With `lock` each host's lock is taken, so that nobody else works on a member meanwhile; one that is taken already
    ends the command (LockedError). Whatever happens is told to `sink`. Those `doubted` are said to be dead: they get
    only a moment to prove the contrary. Without `lock`
    nothing is changed, so a member that takes several times as long as the others did is not waited for.
    """

    def __init__(
        self,
        scope: Scope,
        layout: Layout,
        sink: Callable[[Event], None],
        *,
        lock: bool,
        doubted: Collection[str] = (),
    ) -> None:
        super().__init__(layout, sink)
        self._scope = scope
        self._lock = lock
        self._doubted = frozenset(doubted)
        self._opening: dict[str, Future[None]] = {}
        self._since: dict[str, float] = {}

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, patience: float | None = None) -> None:
        """Open the sessions that are not open; with `patience` (seconds) who takes longer is waited for the next time.

        Raises LockedError, and what is wrong with the inventory.
        """
        for host in self._layout.members:
            if host not in self.reachable and host not in self._opening:
                self._since[host] = time.monotonic()
                self._opening[host] = threads.begin(self._open, host)
        believed = [future for host, future in self._opening.items() if host not in self._doubted]
        if patience is None and not self._lock:
            wait_for_most(believed)
        else:
            threads.wait(believed, patience)
        done, _ = threads.wait(self._opening.values(), MOMENT if self._doubted else 0)
        for host, future in list(self._opening.items()):
            if future not in done:
                waited = time.monotonic() - self._since[host]
                self._errors[host] = AgentError(f"{host}: nothing came within {waited:.0f} s")
                continue
            del self._opening[host]
            error = future.exception()
            if isinstance(error, HakitError) and error.exit_code == 1 and not isinstance(error, LockedError):
                self._errors[host] = error
            elif error is not None:
                raise error

    def close(self) -> None:
        """End every agent and connection; an agent finishes the step that it is in."""
        for session in list(self._sessions.values()):
            session.close()

    def _open(self, host: str) -> None:
        session = self._sessions[host] = HostSession(self._scope, self._scope.site.hosts[host])
        try:
            facts = session.open(lock=self._lock)
        except (ConnectError, AgentError) as error:
            if host not in self._doubted:
                self._sink(Unreachable(host, error))
            raise
        self._places[host] = place(self._scope.site, session.host, facts.release)
        self._sink(Reached(host, 0.0, session.taken_over))
        while session.notes:
            self._sink(Noted(host, session.notes.pop(0)))


class Lent(Hands):
    """The sessions of a run that works on more than the members; they stay the run's own.

    `site` is the one that knows the members. With `lock` each member's lock is taken (LockedError, AgentError,
    ConnectError where that fails).
    """

    def __init__(self, run: Run, site: Site, layout: Layout, *, lock: bool) -> None:
        super().__init__(layout, run.sink)
        for host in layout.members:
            session = run.sessions.get(host)
            if session is not None and session.usable:
                if lock:
                    session.ensure_lock()
                self._sessions[host] = session
                self._places[host] = place(site, session.host, session.facts.release)


def wait_for_most(opening: Iterable[Future[None]]) -> None:
    """Wait for all of these, but for none that takes several times as long as those did that succeeded."""
    began, left = time.monotonic(), set(opening)
    limit: float | None = None
    while left:
        more = None if limit is None else max(0.0, began + limit - time.monotonic())
        done, left = threads.wait(left, more, first=True)
        if not done:
            return
        if any(one.exception() is None for one in done):
            limit = max(SOON, SLOWER * (time.monotonic() - began))


def fence(layout: Layout, host: str, address: str) -> bool:
    """Run the inventory's command that takes a host's power; False when it names none. Raises RefusedError."""
    declared = layout.fences.get(host)
    if declared is None:
        return False
    argv = declared.argv(host, address)
    hint = f"cut the power of {host} yourself, then add  --fenced {host}"
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=float(declared.timeout), check=False
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(
            f"the fence command of {host} did not end within {declared.timeout:g} s", hint=hint
        ) from None
    except OSError as error:
        raise RefusedError(
            f"the fence command of {host} can't be run: {error.strerror}: {argv[0]}", hint=hint
        ) from None
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()[-_TAIL:]
        raise RefusedError(
            f"the fence command of {host} failed with exit {done.returncode}", why=said or None, hint=hint
        )
    return True
