"""The way to a host: where it is, and what stands before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hakit.errors import ConnectError
from hakit.ssh.dial import place
from hakit.ssh.known_hosts import SSH_PORT, lookup_names

if TYPE_CHECKING:
    from hakit.ssh.config import Config, Lookup
    from hakit.ssh.options import Options, Target


@dataclass(frozen=True, slots=True)
class Route:
    """How a target is reached once ssh_config has had its say.

    `before` is the host to go through, `command` a command that carries the bytes; with neither it is dialled directly.
    """

    host: str
    port: int
    user: str
    names: tuple[str, ...]
    lookup: Lookup
    before: Target | None = None
    command: str | None = None

    @property
    def end(self) -> tuple[str, str, int]:
        """What tells one login from another: user, host, port."""
        return self.user, self.host, self.port

    def where(self, name: str) -> str:
        """`name: address`, for messages."""
        return f"{name}: {place(name, self.host, self.port)}"


class Routes:
    """Finds the way to targets. Safe for threads."""

    def __init__(self, config: Config, options: Options) -> None:
        self._config = config
        self._options = options
        self._known: dict[tuple[str, str | None, int | None], Route] = {}

    def find(self, target: Target) -> Route:
        """The way to a target, as far as the next host before it. Raises ConnectError."""
        route = self._alone(target)
        if target.jump is None and target.proxy_command is None and route.lookup.proxy is None:
            return route
        return self._behind(target, route)

    def chain(self, target: Target) -> tuple[Target, ...]:
        """The jump hosts before a target, the one that is reached first in front. Raises ConnectError for a circle."""
        found: list[Target] = []
        seen = {self._alone(target).end: target.name}
        route = self.find(target)
        while route.before:
            hop = route.before
            route = self.find(hop)
            if route.end in seen:
                way = " → ".join([*(one.name for one in found), hop.name])
                raise ConnectError(
                    f"{target.name}: its jump hosts go round in a circle: {target.name} → {way}",
                    hint="Mend hakit.ssh.jump in the inventory, or ProxyJump in ssh_config (ProxyJump none ends it).",
                )
            seen[route.end] = hop.name
            found.append(hop)
        return tuple(reversed(found))

    def _alone(self, target: Target) -> Route:
        """Where a target is, whatever stands before it."""
        key = (target.host, target.user, target.port)
        if key in self._known:
            return self._known[key]
        lookup = self._config.lookup(*key)
        port = target.port or lookup.port or SSH_PORT
        user = target.user or lookup.user or self._options.user or self._config.local_user
        names = lookup_names(lookup.host, port, lookup.alias)
        return self._known.setdefault(key, Route(lookup.host, port, user, names, lookup))

    def _behind(self, target: Target, route: Route) -> Route:
        """The route with what stands before the target: the inventory's word, else ssh_config's."""
        from hakit.ssh import proxy  # noqa: PLC0415 - most hosts are dialled directly

        jumps, command = target.jump, None
        written = route.lookup.proxy
        if jumps is None and target.proxy_command:
            command = target.proxy_command
            if hop := proxy.as_jump(command):
                jumps, command = (hop,), None
            else:
                command = self._config.expand(command, target.host, route.user, route.port)
        elif jumps is None and written and written.keyword == "ProxyJump":
            jumps = proxy.jumps(written.text, written.place)
        elif jumps is None and written:
            hop = proxy.as_jump(written.written)
            jumps, command = ((hop,), None) if hop else (None, written.text)
        jumps = self._without_itself(route, jumps or ())
        if jumps:
            last = jumps[-1]
            return replace(route, before=replace(last, jump=jumps[:-1]) if len(jumps) > 1 else last)
        return replace(route, command=command)

    def _without_itself(self, route: Route, jumps: tuple[Target, ...]) -> tuple[Target, ...]:
        """The jumps that stand before the host's own place among them: `Host *` or `all` names the jump host too."""
        for position, hop in enumerate(jumps):
            if self._alone(hop).end == route.end:
                return jumps[:position]
        return jumps
