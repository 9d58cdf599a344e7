"""Opens connections: what a whole run shares is read once, each host gets its own transport."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hakit.errors import ConnectError, LoginError
from hakit.ssh.config import Config
from hakit.ssh.connection import Connection
from hakit.ssh.dial import open_socket, place
from hakit.ssh.handshake import NoSuchKeyError, check, negotiate, offered_key
from hakit.ssh.keys import DEFAULT_NAMES, KeyRing, Offers
from hakit.ssh.known_hosts import KnownHosts, lookup_names
from hakit.ssh.login import login
from hakit.ssh.wire import Transport, Wire, silence, tune

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from hakit.ssh.config import Lookup
    from hakit.ssh.known_hosts import PublicKey
    from hakit.ssh.options import Options, Target


@dataclass(frozen=True, slots=True)
class Route:
    """How a target is reached once ssh_config has had its say."""

    host: str
    port: int
    user: str
    names: tuple[str, ...]
    lookup: Lookup

    def where(self, name: str) -> str:
        """`name: address`, for messages."""
        return f"{name}: {place(name, self.host, self.port)}"


class Connector:
    """Opens connections for one run. Safe for threads: connect to many hosts from a pool of them."""

    def __init__(self, options: Options, inventory: str | None = None) -> None:
        """Read ssh_config and known_hosts; keys follow when the first host needs them.

        `inventory` is what the user gave as -i, for the commands that messages propose. Raises ConnectError when a file
        is broken.
        """
        silence()
        self.options = options
        self._config = Config(options.config, options.system_config)
        self._ring = KeyRing()
        self._trust = f"hakit trust -i {inventory or 'INVENTORY'}"
        self._lock = threading.Lock()
        self._known: dict[tuple[Path, ...], KnownHosts] = {}
        self._open: set[Connection] = set()
        self._read(options.known_hosts)

    def connect(self, target: Target) -> Connection:
        """A logged-in connection to a host whose key is known.

        Raises ConnectError, HostKeyError or LoginError within the connect timeout.
        """
        deadline = time.monotonic() + self.options.connect_timeout
        route = self.route(target)
        known = self.known_hosts(route)
        offers = self._offers(target, route)
        with self._handshake(target, route, deadline, known.types(route.names)) as transport:
            check(known, route.names, target.name, transport, self._trust)
            login(transport, target.name, route.user, offers, deadline)
            transport.watch(self.options.keepalive, self.options.keepalive_count)
        connection = Connection(target, route.user, transport, self._forget)
        with self._lock:
            self._open.add(connection)
        return connection

    def scan(self, target: Target, key_type: str) -> PublicKey | None:
        """The host's key of a type, without a login; None when it has none of that type. Raises ConnectError."""
        deadline = time.monotonic() + self.options.connect_timeout
        try:
            with self._handshake(target, self.route(target), deadline, (), only=key_type) as transport:
                key = offered_key(transport)
                transport.hang_up()
                return key
        except NoSuchKeyError:
            return None

    def route(self, target: Target) -> Route:
        """Where a target is and under which names its key is known. Raises ConnectError for a proxy before it."""
        lookup = self._config.lookup(target.host, target.user, target.port)
        if lookup.proxy:
            keyword, value = lookup.proxy
            raise ConnectError(
                f"{target.name}: {value.place}: {keyword} {value.text} is not supported yet",
                why="Without it the packets would go to the wrong place, so nothing was sent.",
                hint=f"Reach it directly: give it a Host block with  {keyword} none  before that one.",
            )
        port = target.port or lookup.port or 22
        user = target.user or lookup.user or self.options.user or self._config.local_user
        return Route(lookup.host, port, user, lookup_names(lookup.host, port, lookup.alias), lookup)

    def known_hosts(self, route: Route) -> KnownHosts:
        """The known_hosts files that hold for a host, read once per run."""
        lookup = route.lookup
        files = self.options.known_hosts
        if lookup.user_known_hosts is not None or lookup.global_known_hosts is not None:
            files = (
                *(files if lookup.user_known_hosts is None else lookup.user_known_hosts),
                *(lookup.global_known_hosts or ()),
            )
        return self._read(files)

    def close(self) -> None:
        """Hang up all connections. Never waits."""
        with self._lock:
            open_now = tuple(self._open)
        for connection in open_now:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _read(self, files: tuple[Path, ...]) -> KnownHosts:
        """The pinned keys and these files, as they were at the first question."""
        everything = ((self.options.pinned,) if self.options.pinned else ()) + files
        with self._lock:
            if everything not in self._known:
                self._known[everything] = KnownHosts(everything)
            return self._known[everything]

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)

    def _offers(self, target: Target, route: Route) -> Offers:
        own = (Path(target.key_file).expanduser(),) if target.key_file else ()
        for path in own:
            identity = self._ring.identity(path)
            if identity.missing and identity.public is None:
                raise LoginError(
                    f"{target.name}: the key file {path} does not exist",
                    hint=f"Mend ansible_ssh_private_key_file of {target.name}.",
                )
        named = (*own, *self.options.identity_files, *route.lookup.identity_files)
        defaults = () if named else tuple(Path.home() / ".ssh" / name for name in DEFAULT_NAMES)
        agent = self.options.agent if route.lookup.agent is None else route.lookup.agent
        return Offers(self._ring, tuple(dict.fromkeys(named)), agent, defaults, only=route.lookup.identities_only)

    @contextlib.contextmanager
    def _handshake(
        self, target: Target, route: Route, deadline: float, prefer: tuple[str, ...], only: str | None = None
    ) -> Iterator[Transport]:
        """A transport after the key exchange; hung up again when what is done with it fails."""
        left = max(0.1, deadline - time.monotonic())
        connected = open_socket(target.name, route.host, route.port, left, self.options.dial)
        tune(connected, self.options.keepalive * self.options.keepalive_count)
        transport = Transport(Wire(connected))
        try:
            if only:
                transport.only(only)
            else:
                transport.prefer(prefer)
            negotiate(transport, route.where(target.name), deadline)
            yield transport
        except BaseException:
            transport.hang_up()
            raise
