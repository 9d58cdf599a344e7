"""One host at work: connection, agent, facts, plan; whatever goes wrong becomes an error of hakit's own."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakit.agent.client import Client
from hakit.agent.errors import FrameError
from hakit.agent.starting import AgentGone
from hakit.components.base import Facts
from hakit.engine.compile import declare
from hakit.engine.facts import wanted
from hakit.engine.plan import HostPlan, changes_of
from hakit.engine.systems import System, gone
from hakit.errors import AgentError, ConnectError, LockedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hakit.agent.client import AgentEvent, BatchResult, Hello, ProbeResult
    from hakit.agent.probes import Probe
    from hakit.engine.compile import HostResources
    from hakit.engine.run import Scope
    from hakit.inventory.model import Host
    from hakit.ssh import Connection



class HostSession:
    """The open session with one host; a thread that asks while another one works on it waits."""

    def __init__(self, scope: Scope, host: Host) -> None:
        self.scope = scope
        self.host = host
        self.declared: HostResources | None = None
        self.taken_over: str | None = None
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
        self._connection = self.scope.connect(self.host)
        with self._talking():
            password = self._connection.target.sudo_password
            self._client = Client.start(self._connection.exec, sudo=not self._connection.root, password=password)
            hello = self._client.hello(
                run=self.scope.run_id, who=self.scope.who, lock=lock, packages=wanted(self.host, self.scope.components)
            )
        if lock:
            self._check_lock(hello)
        return _facts(hello, self.host)

    def plan(self, facts: Facts) -> HostPlan:
        """What differs on this host. Raises what rendering and the agent raise."""
        started = time.monotonic()
        with self.scope.rendering:
            self.declared = declare(self.scope.site, self.scope.components, self.host, facts, self.scope.templates)
        with self._talking():
            items = self.client.plan(self.scope.narrowed(self.declared), self.scope.owned)
        changes = changes_of(items, self.declared)
        return HostPlan(self.host.name, facts, changes, len(items) - len(changes), time.monotonic() - started)

    def apply(self, keys: Sequence[str], remove: Sequence[str], on_event: Callable[[AgentEvent], None]) -> BatchResult:
        """Carry out a batch; events come as they happen. Raises AgentError, ConnectError."""
        with self._talking():
            return self.client.apply(keys, remove, on_event)

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        """Ask this host's agent whether others, or itself, serve."""
        with self._talking():
            return self.client.probe(probes)

    def close(self) -> None:
        """End the agent and the connection; never raises, never hangs."""
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
            self._lost = True
            raise
        except (AgentGone, FrameError) as error:
            self._lost = True
            raise gone(self.host.name, error, str(self.scope.site.source)) from error

    def _check_lock(self, hello: Hello) -> None:
        if hello.taken_over is not None:
            self.taken_over = hello.taken_over.text()
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
    return Facts(release, hello.packages, hello.memory, live=True)
