"""Opens connections: what a whole run shares is read once, each host gets its own transport."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hakit.errors import ConnectError, LoginError
from hakit.ssh.config import Config
from hakit.ssh.connection import Connection
from hakit.ssh.dial import open_socket
from hakit.ssh.handshake import NoSuchKeyError, Shown, Trust, check, negotiate
from hakit.ssh.jumps import Jumps
from hakit.ssh.keys import DEFAULT_NAMES, KeyRing, Offers
from hakit.ssh.known_hosts import KnownHosts, lookup_names, pin
from hakit.ssh.login import Login
from hakit.ssh.route import Route, Routes
from hakit.ssh.wire import Transport, Wire, silence, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from hakit.ssh.known_hosts import PublicKey
    from hakit.ssh.options import Options, Target
    from hakit.ssh.password import Password


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
        self._routes = Routes(self._config, options)
        self._ring = KeyRing(options.passphrase)
        self._jumps = Jumps(self._connect)
        self._trust = f"hakit trust -i {inventory or 'INVENTORY'}"
        self._lock = threading.Lock()
        self._known: dict[tuple[Path, ...], KnownHosts] = {}
        self._open: set[Connection] = set()
        self._read(options.known_hosts)

    def connect(self, target: Target) -> Connection:
        """A logged-in connection to a host whose key is known, through the jump hosts before it.

        Raises ConnectError, HostKeyError or LoginError within the connect timeout of each hop.
        """
        self._routes.chain(target)
        return self._connect(target, target.name)

    def prepare(self, targets: Iterable[Target]) -> None:
        """Ask for the passphrases that logins on these hosts will need, while nobody waits for the answer."""
        for target in targets:
            with contextlib.suppress(ConnectError):  # said for its host when it is connected to
                for one in (*self._routes.chain(target), target):
                    self._offers(one, self.route(one)).unlock(password=self._password(one) is not None)

    def scan(self, target: Target, key_type: str) -> PublicKey | None:
        """The host's key of a type, without a login there; None when it has none of that type. Raises ConnectError."""
        shown = self._shown(target, lambda transport: transport.only(key_type))
        return shown.key if shown else None

    def certified(self, target: Target) -> Shown | None:
        """What a host shows when it is asked for a certificate, without a login there. Raises ConnectError."""
        return self._shown(target, lambda transport: transport.prefer((), certified=True))

    def route(self, target: Target) -> Route:
        """Where a target is, under which names its key is known, and what stands before it. Raises ConnectError."""
        return self._routes.find(target)

    def jumps(self, target: Target) -> tuple[Target, ...]:
        """The jump hosts before a target, the one that is reached first in front. Raises ConnectError for a circle."""
        return self._routes.chain(target)

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
        return Offers(
            self._ring,
            tuple(dict.fromkeys(named)),
            agent,
            defaults,
            only=route.lookup.identities_only,
            certificates=route.lookup.certificates,
            own=own,
        )

    def _password(self, target: Target) -> Password | None:
        return target.password or self.options.password

    def _connect(self, target: Target, behind: str) -> Connection:
        """Log in on one hop; `behind` is the host for whose sake: itself, or one behind it as a jump host."""
        route = self.route(target)
        known = self.known_hosts(route)
        names = _names(target, route, known)
        offers = self._offers(target, route)
        offers.unlock(password=self._password(target) is not None)
        trust = Trust(self._trust, behind, target.name)

        def ask(transport: Transport) -> None:
            transport.prefer(known.types(names), certified=bool(known.authorities(names)))

        with self._handshake(target, route, behind, ask) as (transport, deadline):
            check(known, names, target.name, transport, trust)
            Login(transport, target.name, route.user, offers, self._password(target), deadline).run()
            transport.watch(self.options.keepalive, self.options.keepalive_count)
        if target.sudo_password is None:
            target = replace(target, sudo_password=self.options.sudo_password)
        line = "" if names == route.names else Shown.by(transport).key.line(route.names[0])
        connection = Connection(target, route.user, transport, self._forget, lambda: self._pin(line))
        with self._lock:
            self._open.add(connection)
        return connection

    def _pin(self, line: str) -> None:
        """Keep the key of a host that has moved, under its new address. Raises ConnectError."""
        file = self.options.pinned
        if not line or file is None or line in _lines(file):
            return
        try:
            pin(file, (line,))
        except OSError as error:
            raise ConnectError(f"{file}: can't be written: {error.strerror}") from error
        with self._lock:
            self._known.clear()

    def _shown(self, target: Target, ask: Callable[[Transport], None]) -> Shown | None:
        """What a host shows in a key exchange that is asked for by `ask`; None when it has nothing of the kind."""
        self._routes.chain(target)
        try:
            with self._handshake(target, self.route(target), target.name, ask) as (transport, _):
                shown = Shown.by(transport)
                transport.hang_up()
                return shown
        except NoSuchKeyError:
            return None

    @contextlib.contextmanager
    def _handshake(
        self, target: Target, route: Route, behind: str, ask: Callable[[Transport], None]
    ) -> Iterator[tuple[Transport, float]]:
        """A transport after the key exchange, and the deadline (monotonic) for what follows.

        Hung up again when what is done with it fails. The time for the jump hosts before it does not count.
        """
        wire, deadline = self._wire(target, route, behind)
        transport = Transport(wire)
        try:
            ask(transport)
            negotiate(transport, route.where(target.name), deadline)
            yield transport, deadline
        except BaseException:
            transport.hang_up()
            raise

    def _wire(self, target: Target, route: Route, behind: str) -> tuple[Wire, float]:
        """What leads to a host: a socket, a channel through the jump host before it, or a proxy command."""
        limit = self.options.connect_timeout
        if route.before:
            self._jumps.reach(route.before, behind)
            deadline = time.monotonic() + limit
            channel = self._jumps.channel(route.before, target, route, behind, limit)
            return Wire(channel, route.before.name), deadline
        deadline = time.monotonic() + limit
        if route.command:
            return self._through_command(target, route.command), deadline
        connected = open_socket(target.name, route.host, route.port, limit, self.options.dial)
        tune(connected, self.options.keepalive * self.options.keepalive_count)
        return Wire(connected), deadline

    def _through_command(self, target: Target, text: str) -> Wire:
        if self.options.dial:
            raise ConnectError(
                f"{target.name}: is reached by a ProxyCommand, which can't run inside a lab",
                why=f"It reads  {text}",
                hint="Name a jump host in its place:  hakit: {ssh: {jump: [BASTION]}}",
            )
        from hakit.ssh.proxy import Command, CommandWire  # noqa: PLC0415 - most hosts are dialled directly

        try:
            return CommandWire(Command(text))
        except OSError as error:
            raise ConnectError(f"{target.name}: its ProxyCommand can't be started: {error.strerror}") from error


def _names(target: Target, route: Route, known: KnownHosts) -> tuple[str, ...]:
    """The names that a host's key is looked up under: those of another address of its own where it has none here."""
    if target.known_as is None or known.types(route.names) or known.authorities(route.names):
        return route.names
    return lookup_names(target.known_as, route.port)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if file.exists() else []
