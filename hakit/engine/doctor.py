"""`hakit doctor`: ask every host what could stand in the way, send them to look at each other, judge. Read-only."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from hakit.agent.resources.package import Package
from hakit.agent.resources.unit import Unit
from hakit.engine import diagnosis, examination, segments
from hakit.engine.compile import declare
from hakit.engine.diagnosis import Exam, Trouble
from hakit.engine.errands import Seen, errands
from hakit.engine.session import HostSession
from hakit.engine.threads import wait
from hakit.errors import AgentError, ConnectError, HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakit.agent.resources.base import Resource
    from hakit.components.base import Facts
    from hakit.engine.errands import Errand
    from hakit.engine.run import Scope
    from hakit.inventory.model import Host
    from hakit.ssh import Connection

T = TypeVar("T")
EXAMINATION = 45.0
"""Seconds that a host has to log us in and answer: connecting takes 10 at worst, apt's archives 8, the rest 2."""
ERRAND = 20.0
"""Seconds that a host has to look around."""
LISTEN = 4.0
"""Seconds in which VRRP's adverts are listened to: one comes each second by default (RFC 5798, 6.1)."""
REACH = 4.0
"""Seconds that a peer has to answer: the kernel gives up on ARP after three."""
SUDO = 10.0
LOOKERS = 64
"""Hosts that look around at the same time: they wait, they don't work."""


class Progress(Protocol):
    """Told how far the examination is."""

    def __call__(self, doing: str, done: int, total: int) -> None:
        """`done` of `total` hosts have finished `doing`."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found: the troubles, errors last, and what is known of each host."""

    exams: Mapping[str, Exam]
    troubles: tuple[Trouble, ...]

    def count(self, severity: str) -> int:
        """How many troubles of a severity there are."""
        return sum(one.severity == severity for one in self.troubles)


def examine(scope: Scope, progress: Progress) -> Findings:
    """Examine the hosts of a scope, all at once.

    A host that can't be asked is a trouble; the inventory's own errors (InventoryError, SecretError) are raised.
    """
    doctor = _Doctor(scope, progress)
    try:
        doctor.examine()
        seen = doctor.look_around()
    finally:
        doctor.close()
    found = [trouble for exam in doctor.exams.values() for trouble in diagnosis.judge(exam)]
    found += segments.judge(scope.site, scope.components, doctor.exams, seen)
    order = {name: place for place, name in enumerate(scope.site.hosts)}
    found.sort(key=lambda one: (one.severity == "error", min(order[name] for name in one.hosts)))
    return Findings(doctor.exams, grouped(found))


def grouped(found: list[Trouble]) -> tuple[Trouble, ...]:
    """Troubles that differ only in their hosts as one."""
    together: dict[Trouble, list[str]] = {}
    for one in found:
        together.setdefault(replace(one, hosts=()), []).extend(one.hosts)
    return tuple(replace(one, hosts=tuple(dict.fromkeys(hosts))) for one, hosts in together.items())


class _Doctor:
    """The open sessions of an examination, and what came of it."""

    def __init__(self, scope: Scope, progress: Progress) -> None:
        self.scope = replace(scope, connect=self._connect)
        self.exams = {name: Exam(scope.site.hosts[name]) for name in scope.hosts}
        self._dial = scope.connect
        self._progress = progress
        self._sessions: dict[str, HostSession] = {}
        self._connections: dict[str, Connection] = {}
        self._closing = threading.Event()

    def examine(self) -> None:
        """Ask every host about itself."""
        rounds = -(-len(self.exams) // self.scope.forks)
        late = self._each("examining", self._examine, list(self.exams), self.scope.forks, EXAMINATION * rounds)
        for name in late:
            self.exams[name].error = AgentError(f"{name}: did not answer within {EXAMINATION * rounds:.0f} s")

    def look_around(self) -> dict[str, Seen]:
        """Send the hosts that answered to look at each other."""
        todo = {
            name: errand
            for name, errand in errands(self.scope.site, self.scope.components, self.exams).items()
            if name in self._sessions
        }
        seen: dict[str, Seen] = {}

        def look(name: str) -> None:
            seen[name] = self._look(name, todo[name])

        late = self._each("looking at the networks", look, list(todo), LOOKERS, ERRAND)
        for name in late:
            self.exams[name].error = AgentError(f"{name}: did not answer within {ERRAND:.0f} s")
        return dict(seen)

    def close(self) -> None:
        """End all sessions, those that hang too."""
        self._closing.set()
        for session in list(self._sessions.values()):
            session.close()
        for connection in list(self._connections.values()):
            connection.close()

    def _each(
        self, doing: str, work: Callable[[str], None], names: list[str], forks: int, patience: float
    ) -> tuple[str, ...]:
        """Do something for each host in threads; what is the host's fault is kept in its exam. Returns who is late."""
        if not names:
            return ()
        pool = ThreadPoolExecutor(min(forks, len(names)), thread_name_prefix="hakit")
        done: list[str] = []

        def guarded(name: str) -> None:
            try:
                work(name)
            except (ConnectError, AgentError) as error:
                self.exams[name].error = self.exams[name].error or error
            done.append(name)
            self._progress(doing, len(done), len(names))

        self._progress(doing, 0, len(names))
        try:
            futures = {pool.submit(guarded, name): name for name in names}
            ended, late = wait(futures, patience)
            for future in ended:
                future.result()
            return tuple(futures[future] for future in late)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _connect(self, host: Host) -> Connection:
        connection = self._connections[host.name] = self._dial(host)
        if self._closing.is_set():
            connection.close()
        return connection

    def _examine(self, name: str) -> None:
        exam, began = self.exams[name], time.monotonic()
        session = self._sessions[name] = HostSession(self.scope, exam.host)
        facts: Facts | None = None
        try:
            facts = session.open(lock=False)
        except RefusedError as error:
            exam.error = error
        exam.hello = examination.greet(session)
        exam.login = self._login(name)
        exam.clock = examination.clock(session)
        if facts is not None:
            self._declared(exam, facts)
        found = examination.ask_all(
            session,
            {
                "machine": (None, examination.Machine),
                "disks": (list(examination.PATHS), tuple[examination.Disk, ...]),
                "units": (list(exam.managed), examination.Units),
                "packages": ({"install": list(exam.installs), "sources": True}, examination.Packages),
            },
        )
        exam.machine, exam.disks = found["machine"], found["disks"]
        exam.units, exam.packages = found["units"], found["packages"]
        exam.seconds = time.monotonic() - began

    def _declared(self, exam: Exam, facts: Facts) -> None:
        """What hakit will manage on a host."""
        scope = self.scope
        with scope.rendering:
            everything = declare(scope.site, scope.components, exam.host, facts, scope.templates)
        declared = scope.narrowed(everything)
        exam.installs = tuple(one.package for one in declared if isinstance(one, Package))
        exam.managed = tuple(one.name for one in declared if isinstance(one, Unit) and (one.enabled or one.running))
        exam.stands_on = {
            one.name: _packages_before(one, everything.resources) for one in declared if isinstance(one, Unit)
        }

    def _login(self, name: str) -> str:
        """How we are root on a host; sudo is asked whether it wants a password."""
        connection = self._connections[name]
        if connection.root:
            return "root"
        with suppress(HakitError):
            if connection.run("LC_ALL=C sudo -n true", SUDO).exit:
                return f"{connection.user}, sudo with a password"
        return f"{connection.user}, sudo without a password"

    def _look(self, name: str, errand: Errand) -> Seen:
        found = examination.ask_all(
            self._sessions[name],
            {
                "wires": ({"ask": errand.ask, "listen": errand.listen, "seconds": LISTEN}, examination.Wires),
                "reach": (
                    {"targets": [(peer.address, peer.port) for peer in errand.peers], "seconds": REACH},
                    tuple[str, ...],
                ),
            },
        )
        wires, reached = found["wires"], found["reach"]
        exam = self.exams[name]
        reasons = [wires] if isinstance(wires, str) else [f"{nic}: {why}" for nic, why in wires.failed.items()]
        reasons += [reached] if isinstance(reached, str) else []
        for why in reasons:
            what = f"it can't look at its networks: {why}"
            exam.troubles.append(Trouble("blind", "warning", (name,), what, "who else is there is not known"))
        return Seen(errand, None if isinstance(wires, str) else wires, () if isinstance(reached, str) else reached)


def _packages_before(resource: Resource, resources: Mapping[str, Resource]) -> tuple[str, ...]:
    """The packages that a resource comes after, directly or by others."""
    queue, seen = [resource.key], set[str]()
    while queue:
        key = queue.pop()
        if key not in seen and key in resources:
            seen.add(key)
            queue.extend(resources[key].after)
    return tuple(sorted(one.package for key in seen if isinstance(one := resources[key], Package)))
