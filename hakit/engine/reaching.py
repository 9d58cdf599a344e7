"""New connections to a host whose network is changing: tried again and again, at each of its addresses.

An attempt that began while the network was away may hang for as long as the connect timeout. So another one begins
beside it, and the first that comes through is used.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hakit.engine.threads import begin, wait
from hakit.errors import ConnectError, HostKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from concurrent.futures import Future

    from hakit.ssh import Connection

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 3.0
"""Seconds between an attempt that failed and the next one: doubled each time."""
HANGS = 6.0
"""Seconds after which another attempt begins beside one that has not ended; a login on a LAN takes 0.3 s."""
BESIDE = 3
"""Attempts at once at one address: sshd counts those that have not logged in yet (MaxStartups)."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection, to which address it is, and when it was begun (monotonic)."""

    connection: Connection
    address: str
    began: float


@dataclass(slots=True)
class _Way:
    """How it goes at one address."""

    connect: Callable[[], Connection]
    pending: dict[Future[Connection], float] = field(default_factory=dict)
    newest: float = 0.0
    pause: float = 0.0
    ended: float = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time for another attempt."""
        if self.pending:
            return len(self.pending) < BESIDE and now >= self.newest + HANGS
        return now >= self.ended + self.pause


class Reaching:
    """Attempts to reach one host. `why` tells of each address why it was not reached the last time.

    A context manager: what comes through after its end is hung up.
    """

    def __init__(self, ways: Mapping[str, Callable[[], Connection]]) -> None:
        self._ways = {address: _Way(connect) for address, connect in ways.items()}
        self.why: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for way in self._ways.values():
            for future in way.pending:
                future.add_done_callback(_hang_up)

    def next(self, patience: float, addresses: Collection[str] | None = None) -> Reached | None:
        """The next connection that comes through within so many seconds; at these addresses alone, where any are named.

        Raises what is no trouble of the network's, such as a secret that can't be read.
        """
        end = time.monotonic() + patience
        ways = {name: way for name, way in self._ways.items() if addresses is None or name in addresses}
        while True:
            now = time.monotonic()
            for way in ways.values():
                if way.is_due(now):
                    way.newest = now
                    way.pending[begin(way.connect)] = now
            for address, way in ways.items():
                found = self._ended(address, way)
                if found is not None:
                    return found
            left = end - time.monotonic()
            if left <= 0:
                return None
            pending = [future for way in ways.values() for future in way.pending]
            if pending:
                wait(pending, min(left, FIRST_PAUSE), first=True)
            else:
                time.sleep(min(left, FIRST_PAUSE))

    def _ended(self, address: str, way: _Way) -> Reached | None:
        for future in [one for one in way.pending if one.done()]:
            began = way.pending.pop(future)
            error = future.exception()
            if error is None:
                way.pause = 0.0
                self.why.pop(address, None)
                return Reached(future.result(), address, began)
            if not isinstance(error, ConnectError):
                raise error
            self.why[address] = _words(address, error)
            way.ended = time.monotonic()
            way.pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * way.pause))
        return None


def _words(address: str, error: ConnectError) -> str:
    if isinstance(error, HostKeyError):
        return f"another machine answers at {address}: it does not show the host's key"
    return error.message.partition(": ")[2] or error.message


def _hang_up(future: Future[Connection]) -> None:
    if future.exception() is None:
        future.result().close()
