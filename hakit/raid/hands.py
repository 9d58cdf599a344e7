"""An open session with a host that has arrays: who they are, how they are, and what is done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.agent.resources.raid import Array
from hakit.agent.tasks import Task
from hakit.components.storage import storage
from hakit.engine.compile import declare
from hakit.engine.examination import talking
from hakit.errors import AgentError
from hakit.raid.picture import is_called, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.answers import AgentEvent
    from hakit.components.storage import SeenStorage
    from hakit.engine.session import HostSession
    from hakit.raid.picture import Picture

KIND = "raid"
LOOK = 60.0
"""Seconds for a look: the disks are read, and a dying one answers late."""
ACT = 300.0
"""Seconds for one step: the proof that a disk is empty reads some of it."""


class Hands:
    """The arrays of one host. Raises RefusedError where its disks are not as the inventory says."""

    def __init__(self, session: HostSession, tell: Callable[[str], None] = lambda _: None) -> None:
        scope = session.scope
        self.host = session.host
        self._session = session
        self._tell = tell
        with scope.rendering:
            found = declare(scope.site, scope.components, session.host, session.facts, scope.templates)
        self.arrays = {one.array: one for one in found.resources.values() if isinstance(one, Array)}

    def look(self, name: str) -> Picture:
        """How an array is now. Raises RefusedError, AgentError, ConnectError."""
        return picture(self.host.name, name, self._do("status", self.arrays[name], {}, LOOK))

    def do(self, name: str, verb: str, **arguments: str) -> dict[str, Any]:
        """Have the host carry a step out. Raises RefusedError where it refuses, AgentError, ConnectError."""
        return self._do(verb, self.arrays[name], arguments, ACT)

    def exchange(self, name: str, old: str, new: str) -> None:
        """Take an array from now on as one of the disk `new` (a word) in place of `old` (a word or a serial number)."""
        known = self.arrays[name]
        if new in known.devices or new in known.spares:
            return
        devices = tuple(new if is_called(word, old) else word for word in known.devices)
        spares = tuple(new if is_called(word, old) else word for word in known.spares)
        journal = new if is_called(known.journal, old) else known.journal
        self.arrays[name] = known.replace(devices=devices, spares=spares, journal=journal)

    def disks(self) -> SeenStorage:
        """All disks of the host as they are now. Raises AgentError, ConnectError."""
        scope = self._session.scope
        with talking(self._session):
            hello = self._session.client.hello(run=scope.run_id, who=scope.who, lock=False, packages=(), storage=True)
        try:
            found = storage(hello.storage)
        except (ValueError, KeyError, TypeError) as error:
            raise AgentError(f"{self.host.name}: the agent tells nonsense of the host's disks: {error!r}") from error
        if found is None:
            raise AgentError(f"{self.host.name}: the agent tells nothing of the host's disks")
        return found

    def _do(self, verb: str, about: Array, arguments: dict[str, str], timeout: float) -> dict[str, Any]:
        task = Task(kind=KIND, do=verb, about=about, arguments=tuple(arguments.items()), timeout=timeout)

        def told(event: AgentEvent) -> None:
            self._tell(event.text)

        return self._session.task(task, told)
