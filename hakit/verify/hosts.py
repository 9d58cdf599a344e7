"""The hosts of a site as testinfra sees them, each over one connection that is opened when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hakit.engine.become import become
from hakit.engine.threads import each
from hakit.errors import ConnectError
from hakit.verify import backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import testinfra.host

    from hakit.engine.become import Root
    from hakit.inventory.model import Host
    from hakit.ssh import Connection


class Reach:
    """Opens each host's connection once, `forks` at a time, and remembers who could not be reached."""

    def __init__(self, hosts: Mapping[str, Host], connect: Callable[[Host], Connection], forks: int) -> None:
        self.hosts = hosts
        self.failures: dict[str, ConnectError] = {}
        self._found: dict[str, testinfra.host.Host] = {}
        self._connect = connect
        self._forks = forks
        self._lock = threading.Lock()

    def open(self, names: Iterable[str]) -> dict[str, testinfra.host.Host]:
        """Those of the hosts that answer and make us root."""
        wanted = tuple(names)
        with self._lock:
            new = [name for name in wanted if name not in self._found and name not in self.failures]
            if new:
                answers = each(self._one, new, self._forks)
                for name, answer in zip(new, answers, strict=True):
                    if isinstance(answer, ConnectError):
                        self.failures[name] = answer
                    else:
                        self._found[name] = backend.host(name, *answer)
            return {name: self._found[name] for name in wanted if name in self._found}

    def _one(self, name: str) -> tuple[Connection, Root] | ConnectError:
        try:
            connection = self._connect(self.hosts[name])
            return connection, become(connection)
        except ConnectError as error:
            return error


class Hosts(Mapping[str, "testinfra.host.Host"]):
    """Hosts by name, as far as they answer: only those have a key here."""

    def __init__(self, reach: Reach, names: Iterable[str]) -> None:
        self._reach = reach
        self._names = tuple(names)

    def __getitem__(self, name: str) -> testinfra.host.Host:
        found = self._reach.open([name]) if name in self._names else {}
        if name in found:
            return found[name]
        failure = self._reach.failures.get(name)
        raise KeyError(failure.message if failure else f"there is no host {name} in the inventory")

    def __iter__(self) -> Iterator[str]:
        return iter(self._reach.open(self._names))

    def __len__(self) -> int:
        return len(self._reach.open(self._names))
