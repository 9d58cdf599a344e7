"""What is wrong with HAProxy's settings so that nothing can be rendered from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.haproxy import clusters, roles, view
from hakit.components.haproxy.values import quoted
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.haproxy.settings import Frontend, HaproxySettings, Pool
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Problems = Iterator[tuple[Path, str]]

OWN = ("hakit-health", "hakit-stats")
"""Sections that hakit makes itself."""
SECTIONS = frozenset(
    [
        *(
            "global",
            "defaults",
            "frontend",
            "backend",
            "listen",
            "peers",
            "resolvers",
            "userlist",
            "mailers",
            "program",
        ),
        *("ring", "cache", "fcgi-app", "http-errors", "log-forward", "log-profile", "crt-store", "traces", "acme"),
    ]
)
"""What begins a section in HAProxy 2.6 to 3.2 (its configuration manual, 2.1)."""


def problems(site: Site) -> Iterator[tuple[Host, Path, str]]:
    """Host, path below `hakit`, message; settings that hosts share are looked at once."""
    seen: set[int] = set()
    for host in site.running("haproxy"):
        settings = view.settings_of(host)
        if id(settings) not in seen:
            seen.add(id(settings))
            for path, message in _problems(site, settings):
                yield host, ("haproxy", *path), message


def _problems(site: Site, settings: HaproxySettings) -> Problems:
    yield from _names(settings)
    yield from _extra(settings)
    for name, frontend in settings.frontends.items():
        yield from _frontend(settings, name, frontend)
    for kind, name, pool in view.pools(settings):
        yield from _pool(site, (kind, name), pool)
        for where, message in roles.problems(site, pool):
            yield (kind, name, *where), message
        if pool.balance == "uri" and view.pool_mode(settings, name, pool) == "tcp":
            yield (kind, name, "balance"), "a TCP proxy sees no URI: balance by source, or set mode http"
        for place, line in enumerate(pool.extra if pool.sticky == "source" else ()):
            if line.split()[:1] == ["stick-table"]:
                yield (kind, name, "extra", place), "sticky: source makes this section's table; it can have only one"
    stats = settings.stats
    if stats is not None and (stats.user is None) != (stats.password is None):
        yield ("stats",), "user and password go together: set both or neither"
    if stats is not None and stats.password is not None and (why := stats.password.unfit(quoted)):
        yield ("stats", "password"), f"the secret {stats.password.name} {why}"


def _extra(settings: HaproxySettings) -> Problems:
    """Extra lines that would end their section and begin another."""
    places: list[tuple[Path, tuple[str, ...]]] = [
        (("extra",), settings.extra),
        (("defaults", "extra"), settings.defaults.extra),
    ]
    places += [
        ((kind, name, "extra"), proxy.extra) for kind, name, proxy in (*view.fronts(settings), *view.pools(settings))
    ]
    for path, lines in places:
        for place, line in enumerate(lines):
            word = next(iter(line.split()), "").strip("'\"").replace("\\", "")
            if word in SECTIONS:
                message = f"'{word}' begins a section of its own; extra lines stay in theirs"
                yield (*path, place), f"{message} (a template of your own may hold more)"


def _names(settings: HaproxySettings) -> Problems:
    for name in settings.listens:
        for kind, others in (("frontends", settings.frontends), ("backends", settings.backends)):
            if name in others:
                yield ("listens", name), f"the name is taken by haproxy.{kind}.{name}; sections need names of their own"
    for kind, names in (
        ("frontends", settings.frontends),
        ("backends", settings.backends),
        ("listens", settings.listens),
    ):
        for name in names:
            if name in OWN or name.startswith(clusters.CLAIMS):
                yield (kind, name), "the name is one of hakit's own sections; choose another"


def _frontend(settings: HaproxySettings, name: str, frontend: Frontend) -> Problems:
    path = ("frontends", name)
    targets: list[tuple[Path, str]] = [((*path, "backend"), frontend.backend)]
    for index, route in enumerate(frontend.routes):
        here: Path = (*path, "routes", index)
        targets.append(((*here, "backend"), route.backend))
        if frontend.mode == "tcp":
            yield here, "a TCP proxy sees neither Host nor path: routes need mode http"
        if route.host is None and route.path is None:
            yield here, "a route needs a host, a path or both; what fits everything is the frontend's backend"
    for where, target in targets:
        if target not in settings.backends:
            yield where, f"no such backend: {target}{did_you_mean(target, settings.backends)}"
        elif view.pool_mode(settings, target, settings.backends[target]) != frontend.mode:
            yield where, f"frontend {name} is {frontend.mode}, backend {target} is not: they need the same mode"


def _pool(site: Site, path: tuple[str, str], pool: Pool) -> Problems:
    for server in view.servers(site, pool):
        where: Path = (*path, "servers", server.name) if server.name in pool.servers else path
        if server.port is None:
            yield where, f"server {server.name} has no port: set port for all servers, or for this one"
        if server.name in pool.servers and server.own.address is None and server.name not in site.hosts:
            near = did_you_mean(server.name, site.hosts)
            yield where, f"server {server.name} is no host of the inventory and has no address{near}"
