"""A lab host with agent sessions of our own, and what tests want to know of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.agent.client import Client
from hakit.agent.resources.files import File, Files
from hakit.agent.wire import Text
from hakit.cli.reach import connector, target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakit.agent.answers import AgentEvent, BatchResult, Item
    from hakit.agent.resources.base import Resource
    from hakit.ssh import Connection
    from tests.lab.conftest import LabHandle


def file(path: str, text: str, *, mode: int = 0o644, owner: str = "root", component: str = "test") -> Files:
    """A single file as a resource."""
    one = File(path=path, content=Text(text), mode=mode, owner=owner, group=owner)
    return Files(label=path, files=(one,), component=component)


@dataclass
class Applied:
    """What one plan and apply did."""

    items: tuple[Item, ...]
    result: BatchResult
    events: list[AgentEvent] = field(default_factory=list)

    def error(self, key: str) -> str:
        """Why a key failed, with what the command said."""
        found = next(event.error for event in self.events if event.ev == "failed" and event.key == key)
        assert found is not None
        return f"{found.message}\n{found.output}"

    def summary(self, key: str) -> tuple[str, ...]:
        """What was planned for a key."""
        return next(item.summary for item in self.items if item.key == key)


class AgentHost:
    """One host of a lab."""

    def __init__(self, lab: LabHandle, name: str = "one") -> None:
        self._lab = lab
        self._host = lab.site.hosts[name]
        self._connector = connector(lab.site)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """An SSH connection."""
        connection = self._connector.connect(target(self._host))
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def client(self, *, lock: bool = True) -> Iterator[Client]:
        """An agent that has said hello."""
        with self.connection() as connection:
            client = Client.start(connection.exec, sudo=connection.user != "root")
            hello = client.hello(run="test", who="tests", lock=lock, packages=[])
            assert hello.lock is None
            try:
                yield client
            finally:
                client.close()

    def plan(self, *resources: Resource) -> tuple[Item, ...]:
        """What would be done."""
        with self.client(lock=False) as client:
            return client.plan(resources, None)

    def apply(self, *resources: Resource) -> Applied:
        """Plan and carry out everything, removals included."""
        with self.client() as client:
            return apply_with(client, resources)

    def run(self, command: str, timeout: float = 60.0) -> str:
        """The output of a command that has to succeed."""
        with self.connection() as connection:
            done = connection.run(command, timeout)
            assert done.exit == 0, done
            return done.stdout.decode().strip()


def apply_with(client: Client, resources: Sequence[Resource]) -> Applied:
    """Plan and carry out everything in a session that is open."""
    items = client.plan(resources, None)
    keys = [item.key for item in items if item.status in {"change", "unknown"}]
    remove = [item.key for item in items if item.status == "remove"]
    events: list[AgentEvent] = []
    return Applied(items, client.apply(keys, remove, events.append), events)
