"""One host at work: connection, agent, facts, plan; whatever goes wrong becomes an error of hakit's own."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakit.agent.client import Client
from hakit.agent.errors import Failure, FrameError
from hakit.agent.starting import AgentGone
from hakit.components.base import Facts
from hakit.components.storage import storage
from hakit.engine import places
from hakit.engine.become import sudo_password
from hakit.engine.compile import HostResources, declare
from hakit.engine.facts import network, wanted, wants_network, wants_storage
from hakit.engine.plan import HostPlan, changes_of, held_of
from hakit.engine.systems import System, gone
from hakit.errors import AgentError, ConnectError, HostKeyError, LockedError, LoginError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from hakit.agent.actions import Action, Mark
    from hakit.agent.answers import ActResult, AgentEvent, BatchResult, Error, Hello, ProbeResult, Upkeep
    from hakit.agent.probes import Probe
    from hakit.agent.tasks import Task
    from hakit.components.base import Decision
    from hakit.engine.run import Scope
    from hakit.inventory.model import Host
    from hakit.ssh import Connection

RETRY = 0.5
"""Seconds between two looks at a host that boots."""


class HostSession:
    """The open session with one host; a thread that asks while another one works on it waits."""

    def __init__(self, scope: Scope, host: Host) -> None:
        self.scope = scope
        self.host = host
        self.declared: HostResources | None = None
        self.taken_over: str | None = None
        self.notes: list[str] = []
        self.marks: tuple[Mark, ...] = ()
        self.boot = ""
        self.facts = Facts()
        self.address = host.login.host
        self._decided: Mapping[str, Decision] = {}
        self._moved = False
        self._busy = False
        self._locked = False
        self._connection: Connection | None = None
        self._client: Client | None = None
        self._turn = threading.Lock()
        self._lost = False

    @property
    def usable(self) -> bool:
        """Whether the agent was reached and has not been lost since."""
        return self._client is not None and not self._lost

    def open(self, *, lock: bool) -> Facts:
        """Connect, start the agent, read the facts. Raises ConnectError, AgentError, LockedError, RefusedError."""
        facts = self._begin(self._reached(), lock=lock)
        if not self._busy:
            self.keep_place()
        return facts

    def resume(self, connection: Connection, address: str) -> None:
        """Go on over another connection, to this address, without the host's lock yet. Raises what `open` raises."""
        self.address, self._client, self._lost, self._locked = address, None, False, False
        self._moved = address == self.host.login.host and bool(self.former)
        self._begin(connection, lock=False)

    def keep_place(self) -> None:
        """Have the host known where the inventory says from now on, if that is where it was reached.

        Raises ConnectError where its key can't be kept for that address.
        """
        if self.address == self.host.login.host and self._connection is not None:
            if self._moved:
                self._connection.pin()
            places.remember(self.scope.site, self.scope.components, self.host)

    @property
    def former(self) -> str:
        """The address that the host is about to leave for the one of the inventory; empty where it stays."""
        return places.former(self.scope.site, self.scope.components, self.host)

    def _begin(self, connection: Connection, *, lock: bool) -> Facts:
        self._connection = connection
        with self._talking(), sudo_password(connection) as password:
            self._client = Client.start(connection.exec, sudo=not connection.root, password=password)
        self.facts = _facts(self._greet(lock=lock), self.host)
        return self.facts

    def _reached(self) -> Connection:
        """A connection to where the inventory says; else to where the host was last, if it is declared to move."""
        scope, host, before = self.scope, self.host, self.former
        self.address, self._moved = host.login.host, bool(before)
        if not before:
            return scope.connect(host)
        try:
            return scope.connect(places.moving(host, before))
        except HostKeyError as error:
            raise HostKeyError(
                f"{host.name}: another machine answers at {host.login.host}, the address that it is to get",
                why=f"It does not show the key that is known at {before}. {error.message.partition(': ')[2]}",
                hint="give the host another address in the inventory, or take this one from that machine",
            ) from error
        except LoginError:
            raise
        except ConnectError as error:
            try:
                connection = scope.connect(places.at(host, before))
            except ConnectError:
                raise error from None
        self.address, self._moved = before, False
        self.notes.append(f"is still reached at {before}: {host.login.host} is the address that it is to get")
        return connection

    def ensure_lock(self) -> None:
        """Take the host's lock where it is not ours yet. Raises LockedError, AgentError, ConnectError."""
        if not self._locked:
            self._greet(lock=True)

    def _greet(self, *, lock: bool) -> Hello:
        with self._talking():
            hello = self.client.hello(
                run=self.scope.run_id,
                who=self.scope.who,
                lock=lock,
                packages=wanted(self.host, self.scope.components),
                network=wants_network(self.host, self.scope.components),
                storage=wants_storage(self.host, self.scope.components),
            )
        if lock:
            self._check_lock(hello)
        self._locked, self._busy = self._locked or lock, hello.lock is not None
        self.notes += hello.notes
        self.marks, self.boot = hello.marks, hello.boot
        return hello

    def plan(self, facts: Facts, decided: Mapping[str, Decision] | None = None) -> HostPlan:
        """What differs on this host, for which its components `decided`. Raises what rendering and the agent raise."""
        started = time.monotonic()
        decided = self._decided = decided or {}
        values = {name: one.value for name, one in decided.items()}
        scope = self.scope
        with scope.rendering:
            self.declared = declare(
                scope.site, scope.components, self.host, facts, scope.templates, decided=values, wipe=scope.wipe
            )
        with self._talking():
            resources = scope.narrowed(self.declared)
            items = self.client.plan(resources, scope.owned, self._keep, scope.elsewhere(self.declared))
        changes = changes_of(items, self.declared)
        return HostPlan(
            self.host.name,
            facts,
            changes,
            len(items) - len(changes),
            time.monotonic() - started,
            tuple(dict.fromkeys(host for one in decided.values() for host in one.after)),
            any(one.first for one in decided.values()),
            tuple(self.notes),
            held_of(changes, self.declared, decided.values()),
        )

    def replan(self) -> HostPlan:
        """What differs now, in a session that was resumed. Raises as `plan` does."""
        return self.plan(self.facts, self._decided)

    def leftovers(self, facts: Facts) -> HostPlan:
        """What would go if nothing were declared for this host any more. Raises what the agent raises."""
        started = time.monotonic()
        self.declared = HostResources(self.host, {})
        with self._talking():
            items = self.client.plan((), None)
        return HostPlan(self.host.name, facts, changes_of(items, self.declared), 0, time.monotonic() - started)

    def apply(self, keys: Sequence[str], remove: Sequence[str], on_event: Callable[[AgentEvent], None]) -> BatchResult:
        """Carry out a batch; events come as they happen. Raises AgentError, ConnectError."""
        with self._talking():
            return self.client.apply(keys, remove, on_event)

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        """Ask this host's agent whether others, or itself, serve."""
        with self._talking():
            return self.client.probe(probes)

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        """Do things once; needs the lock. Raises AgentError, ConnectError."""
        with self._talking():
            return self.client.act(actions, mark)

    def task(self, task: Task, on_event: Callable[[AgentEvent], None] | None = None) -> dict[str, Any]:
        """Have a component's own code on the host carry a verb out; what it notes goes to `on_event`, or is kept.

        The caller checks the types in the answer, and takes the lock for a verb that changes something. Raises
        RefusedError where the host refuses or does not succeed, AgentError, ConnectError.
        """
        with self._talking():
            try:
                return self.client.task(task, on_event or self._keep)
            except Failure as error:
                raise RefusedError(f"{self.host.name}: {error.message}", why=error.output.strip() or None) from error

    def _keep(self, event: AgentEvent) -> None:
        self.notes.append(event.text)

    def upkeep(self, on_event: Callable[[AgentEvent], None], *, refresh: bool, packages: Sequence[str] = ()) -> Upkeep:
        """What the host waits for. Raises AgentError, ConnectError."""
        with self._talking():
            return self.client.upkeep(on_event, refresh=refresh, packages=packages)

    def upgrade(
        self, packages: Sequence[tuple[str, str]], on_event: Callable[[AgentEvent], None]
    ) -> tuple[tuple[str, ...], Error | None]:
        """Bring packages to these versions; what was done, and what failed. Raises AgentError, ConnectError."""
        with self._talking():
            return self.client.upgrade(packages, on_event)

    def reboot(self, patience: float, halted: Callable[[], bool]) -> float:
        """Boot the host again and open the session anew; the seconds that it took.

        Raises AgentError when it does not come back within `patience` seconds, or when `halted` says to wait no more.
        """
        before, began = self.boot, time.monotonic()
        with self._talking():
            self.client.reboot()
            self._part()
        why = ""
        while time.monotonic() - began < patience and not halted():
            time.sleep(RETRY)
            try:
                self._locked = False
                self.open(lock=True)
            except (ConnectError, AgentError) as error:
                why = error.message
                self._part()
                continue
            if self.boot != before:
                self._lost = False
                return time.monotonic() - began
            self._part()
        raise AgentError(f"{self.host.name}: not back {time.monotonic() - began:.0f} s after its reboot began", why=why)

    def drop(self) -> None:
        """Hang up without a word to an agent that may not be reached any more; never raises, never hangs."""
        self._lost = True
        if self._connection is not None:
            self._connection.close()

    def _part(self) -> None:
        """End the session with an agent that another one follows: who asked the old one must not end the new one."""
        self.close()
        self._client = None

    def close(self) -> None:
        """End the agent and the connection; never raises, never hangs."""
        self._lost = True
        if self._client is not None:
            self._client.close()
        if self._connection is not None:
            self._connection.close()

    @property
    def client(self) -> Client:
        """The agent's client of an open session."""
        if self._client is None:
            raise AgentError(f"{self.host.name}: no session is open")
        return self._client

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            with self._turn:
                yield
        except ConnectError:
            self.close()
            raise
        except (AgentGone, FrameError) as error:
            # An agent that hangs must find nobody who commands it when it goes on.
            self.close()
            raise gone(self.host.name, error, str(self.scope.site.source)) from error

    def _check_lock(self, hello: Hello) -> None:
        if hello.taken_over is not None:
            self.taken_over = hello.taken_over.text()
        if hello.lock is not None and hello.lock.abandoned:
            raise LockedError(
                f"{self.host.name}: a run that is gone has left its agent at work: {hello.lock.text()}",
                why="It ends after the step that it is in, unless the host or a command there hangs.",
                hint=f"Run this again in a while. If it hangs, end it on the host:  kill -KILL {hello.lock.pid}  "
                "(the next apply completes what it has begun)",
            )
        if hello.lock is not None and hello.lock.until:
            raise LockedError(
                f"{self.host.name}: another run works on this host: {hello.lock.text()}",
                why="Unless that is confirmed, the host puts its old network back by itself, and then lets others in.",
                hint="wait until then, then run this again",
            )
        if hello.lock is not None:
            raise LockedError(
                f"{self.host.name}: another run works on this host: {hello.lock.text()}",
                hint="wait for it to end, then run this again",
            )


def _facts(hello: Hello, host: Host) -> Facts:
    system = System(hello.id, hello.codename, hello.like, hello.pretty, hello.systemd)
    release = system.release(host.name)
    if host.release is not None and host.release != release:
        raise RefusedError(
            f"{host.name} runs Debian {release}, the inventory says {host.release}",
            hint="correct hakit.release in the inventory, or leave it out",
        )
    try:
        seen = network(hello.network)
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(f"{host.name}: the agent tells nonsense of the host's network: {error!r}") from error
    try:
        disks = storage(hello.storage)
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(f"{host.name}: the agent tells nonsense of the host's disks: {error!r}") from error
    return Facts(release, hello.packages, hello.memory, live=True, network=seen, storage=disks)
