"""The rules of load balancing that settings can break, and those that deriving the configuration upholds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hakit.components.haproxy import view
from hakit.components.haproxy.databases import DATABASE_RULES, crowded, is_database
from hakit.components.haproxy.paths import ADMIN_SOCKET
from hakit.components.haproxy.settings import HaproxySettings
from hakit.components.haproxy.values import bind_address, is_ip
from hakit.components.haproxy.view import every_pool
from hakit.lint.rule import Finding, Upheld, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MANUAL = "HAProxy 2.6 configuration manual"
_UNIX = re.compile(r"stats\s+socket\s+(?:unix@)?/")
_WILDCARDS = {"*": "", "0.0.0.0": "", "::": ""}  # noqa: S104 - compared with, never bound


@rule(
    "HP003",
    "error",
    reason="A server without a check gets its share of requests when it is dead.",
    source=f"{MANUAL}, 5.2 check, on-marked-down",
)
def unchecked_server(site: Site, components: Components) -> Iterator[Finding]:
    """Pools, and single servers, whose check is off; databases that a failed check does not cut off."""
    del components
    for host, path, pool in every_pool(site):
        if not pool.check.enabled:
            message = f"no server of {pool.name} is checked: a dead one goes on getting its share of requests"
            yield Finding(host, (*path, "check", "enabled"), message, write="check: {http: /healthz}  or leave it out")
        # In front of a cluster the role decides: pools for writes can't say otherwise, those for reads may.
        by_hand = is_database(pool) and pool.settings.postgresql is None
        if by_hand and not pool.shutdown_sessions:
            message = f"sessions of {pool.name} stay on a server that went down or was demoted"
            write = "shutdown_sessions: true, or leave it out; a pool for reads alone may waive this"
            yield Finding(host, (*path, "shutdown_sessions"), message, write=write)
        for server in pool.servers:
            if not server.checked:
                message = f"server {server.name} is not checked: it goes on getting its share of requests when dead"
                yield Finding(host, (*path, "servers", server.name, "options"), message, write="leave no-check out")


@rule(
    "HP006",
    "error",
    reason="Without a timeout a dead peer holds its connection for ever, until there are no more.",
    source=f"{MANUAL}, 4.2 timeout client, timeout connect, timeout server",
)
def endless_timeout(site: Site, components: Components) -> Iterator[Finding]:
    """Timeouts of zero: HAProxy takes them for none."""
    del components
    for host, settings in configured(site, "haproxy", HaproxySettings):
        times: list[tuple[Path, float | None]] = [
            (("defaults", "timeouts", name), getattr(settings.defaults.timeouts, name))
            for name in ("connect", "client", "server", "idle")
        ]
        for kind, name, proxy in (*view.fronts(settings), *view.pools(settings)):
            times += [
                ((kind, name, "timeouts", key), getattr(proxy.timeouts, key)) for key in ("connect", "client", "server")
            ]
        for path, value in times:
            if value == 0:
                message = f"{path[-1]}: a timeout of 0 waits for ever: dead peers pile up until no connection is left"
                yield Finding(host, ("haproxy", *path), message, write=f"{path[-1]}: 30s")


@rule(
    "HP007",
    "warning",
    reason="A limit that does not fit what it limits refuses clients under load, when nobody expects it.",
    source=f"{MANUAL}, 3.2 ulimit-n (computed from maxconn); PostgreSQL's manual, 20.3 max_connections",
)
def wrong_limit(site: Site, components: Components) -> Iterator[Finding]:
    """`ulimit-n` slipped in by extra lines; more connections than PostgreSQL has."""
    del components
    yield from crowded(site)
    for host, settings in configured(site, "haproxy", HaproxySettings):
        for place, line in enumerate(settings.extra):
            if line.split()[:1] == ["ulimit-n"]:
                message = "HAProxy computes ulimit-n from maxconn; set by hand it runs out of descriptors under load"
                yield Finding(host, ("haproxy", "extra", place), message, write="leave the line out; set maxconn")


@rule(
    "HP008",
    "error",
    reason="The runtime socket can disable every server; the statistics tell an attacker what is behind.",
    source=f"{MANUAL}, 3.1 stats socket; HAProxy 2.6 management guide, 9.3",
)
def open_door(site: Site, components: Components) -> Iterator[Finding]:
    """Runtime sockets over TCP; statistics pages that everyone may see."""
    del components
    for host, settings in configured(site, "haproxy", HaproxySettings):
        for place, line in enumerate(settings.extra):
            tcp = line.split()[:2] == ["stats", "socket"] and not _UNIX.match(line)
            if tcp and "verify required" not in line:
                message = "a runtime socket over TCP asks nobody who they are, and whoever reaches it is in command"
                yield Finding(host, ("haproxy", "extra", place), message, write=f"the local socket {ADMIN_SOCKET}")
        stats = settings.stats
        if stats and stats.user is None and not view.is_loopback(bind_address(stats.bind)[0]):
            message = f"everyone who reaches {stats.bind} sees the servers and their state"
            write = "user: NAME  and  password: {secret: NAME}, or  bind: 127.0.0.1:PORT"
            yield Finding(host, ("haproxy", "stats", "bind"), message, write=write, severity="warning")
        for kind, name, proxy in (*view.fronts(settings), *view.pools(settings)):
            words = [line.split()[:2] for line in proxy.extra]
            if ["stats", "enable"] in words and ["stats", "auth"] not in words:
                path = ("haproxy", kind, name, "extra", words.index(["stats", "enable"]))
                message = f"everyone who reaches {name} sees the servers and their state"
                yield Finding(host, path, message, write="haproxy.stats with user and password", severity="warning")


@rule(
    "HP009",
    "error",
    reason="The balancer that does not hold the address can't bind it, so HAProxy does not start there.",
    source="Linux ip-sysctl, ip_nonlocal_bind",
)
def bind_forbidden(site: Site, components: Components) -> Iterator[Finding]:
    """Kernel parameters of `system` that take back what binding to a floating address needs."""
    del components
    for host, settings in configured(site, "haproxy", HaproxySettings):
        wanted = {view.NONLOCAL[version] for version in view.foreign_binds(host, settings)}
        for name, value in getattr(host.settings.get("system"), "sysctl", {}).items():
            if name.replace("/", ".") in wanted and str(value) == "0":
                message = f"HAProxy binds an address that {host.name} has only at times; with {name} = 0 it won't start"
                yield Finding(host, ("system", "sysctl", name), message, write="leave it out: haproxy sets it to 1")


@rule(
    "HP011",
    "warning",
    reason="Without peers the other balancer of a pair knows no client's server after a takeover or a reload.",
    source=f"{MANUAL}, 3.5 peers; 4.2 stick-table",
)
def forgetful_pair(site: Site, components: Components) -> Iterator[Finding]:
    """Stick tables in extra lines that no peers share, where another balancer can take over."""
    for host, settings in configured(site, "haproxy", HaproxySettings):
        lines = [
            (("haproxy", kind, name, "extra", place), line)
            for kind, name, proxy in (*view.fronts(settings), *view.pools(settings))
            for place, line in enumerate(proxy.extra)
        ]
        tables = [(path, line) for path, line in lines if line.split()[:1] == ["stick-table"]]
        lonely = [path for path, line in tables if "peers" not in line.split()]
        if lonely and len(view.partners(site, host, components)) > 1:
            for path in lonely:
                message = "the balancer that takes over starts with an empty table: clients lose their servers"
                yield Finding(host, path, message, write="sticky: source, which shares its table")


@rule(
    "HP018",
    "warning",
    reason="A balancer that is known by name would have to be looked up before HAProxy starts, so it is no peer.",
    source=f"{MANUAL}, 3.5 peer",
)
def nameless_peer(site: Site, components: Components) -> Iterator[Finding]:
    """Pools that keep clients by their address where a balancer that could take over has no address but a name."""
    for host, path, pool in every_pool(site):
        if pool.settings.sticky == "source":
            others = view.partners(site, host, components)
            named = [other.name for other in others if not is_ip(other.address)]
            if named and len(others) > 1:
                message = f"{', '.join(named)} can't share the table of clients: only a name is known, no address"
                yield Finding(host, (*path, "sticky"), message, write="ansible_host or hakit.address: an IP address")


@rule(
    "HP012",
    "warning",
    reason="A name that is resolved once, at the start, is stale or missing when it matters.",
    source=f"{MANUAL}, 5.3 server IP address resolution using DNS",
)
def server_by_name(site: Site, components: Components) -> Iterator[Finding]:
    """Servers given by name where no name server is known."""
    del components
    for host, settings in configured(site, "haproxy", HaproxySettings):
        if settings.nameservers:
            continue
        for kind, name, pool in view.pools(settings):
            for server in view.servers(site, pool):
                if not is_ip(server.address):
                    message = (
                        f"server {server.name} is given by name ({server.address}), which HAProxy looks up once, when "
                        "it starts: without an answer the server stays out, a new address is never seen"
                    )
                    path = ("haproxy", kind, name)
                    yield Finding(host, path, message, write="an IP address, or  nameservers: [ADDRESS:53]")


@rule(
    "HP013",
    "warning",
    reason="A check that verifies no certificate takes whoever answers for the server.",
    source=f"{MANUAL}, 5.2 check-ssl, verify",
)
def unverified_server(site: Site, components: Components) -> Iterator[Finding]:
    """`verify none` among the options of servers that use TLS."""
    del components
    for host, path, pool in every_pool(site):
        places: list[tuple[Path, str]] = [((*path, "options"), pool.settings.options)]
        places += [((*path, "servers", server.name, "options"), server.own.options) for server in pool.servers]
        for place, options in places:
            if re.search(r"\bverify\s+none\b", options):
                message = "verify none: HAProxy talks to, and believes, whoever answers at that address"
                yield Finding(host, place, message, write="verify required ca-file /etc/ssl/certs/ca-certificates.crt")


@rule(
    "HP014",
    "error",
    reason="A cookie needs HTTP, and a value of its own for each server.",
    source=f"{MANUAL}, 4.2 cookie; 5.2 cookie",
)
def wrong_cookie(site: Site, components: Components) -> Iterator[Finding]:
    """Cookies in TCP mode; one value for two servers."""
    del components
    for host, path, pool in every_pool(site):
        if pool.settings.sticky == "cookie" and pool.mode == "tcp":
            message = f"{pool.name} is a TCP proxy: it sees no cookies, so clients are not kept at their server"
            yield Finding(host, (*path, "sticky"), message, write="sticky: source")
        values: dict[str, str] = {}
        for server in pool.servers:
            own = re.search(r"(?:^|\s)cookie\s+(\S+)", server.own.options)
            value = own[1] if own else server.name if pool.cookie else None
            if own and pool.mode == "tcp":
                message = f"{pool.name} is a TCP proxy: the cookie of {server.name} means nothing there"
                yield Finding(host, (*path, "servers", server.name, "options"), message, write="leave cookie out")
            if value is not None and values.setdefault(value, server.name) != server.name:
                message = f"{values[value]} and {server.name} have the same cookie value {value}: one gets all clients"
                where = (*path, "servers", server.name, "options")
                yield Finding(host, where, message, write="leave cookie out: a server's name is its value")


@rule(
    "HP016",
    "error",
    reason="Two listeners on one port share its connections at random; a pool without servers answers 503.",
    source=f"{MANUAL}, 4.2 bind; 5.2 server",
)
def clash_or_void(site: Site, components: Components) -> Iterator[Finding]:
    """Binds used twice on a host; groups that do not exist or are empty."""
    del components
    for host, settings in configured(site, "haproxy", HaproxySettings):
        yield from _clashes(host, settings)
        for kind, name, pool in view.pools(settings):
            path = ("haproxy", kind, name)
            if pool.group and not site.members(pool.group):
                what = "has no hosts" if pool.group in site.groups else "does not exist"
                message = f"the group {pool.group} {what}: {name} would have no server and answer 503"
                yield Finding(host, (*path, "group"), message, write="a group with hosts, or a host")
            elif not pool.group and not pool.servers and not pool.postgresql:
                message = f"{name} has no servers and would answer 503"
                yield Finding(host, path, message, write="group: NAME, or servers")


def _clashes(host: Host, settings: HaproxySettings) -> Iterator[Finding]:
    taken: dict[tuple[str, int], str] = {("127.0.0.1", settings.health_port): "hakit's health check (health_port)"}
    binds: list[tuple[Path, str, str]] = []
    if settings.stats:
        binds.append((("stats", "bind"), settings.stats.bind, "the statistics page"))
    for kind, name, front in view.fronts(settings):
        binds += [((kind, name, "bind", place), bind, name) for place, bind in enumerate(front.bind)]
    for path, bind, name in binds:
        address, port = bind_address(bind)
        place = (_WILDCARDS.get(address, address), port)
        first = taken.get(place)
        taken.setdefault(place, name)
        if first is not None:
            message = f"{bind.partition(' ')[0]} is already bound by {first}: each would get some of the connections"
            yield Finding(host, ("haproxy", *path), message, write="another address or port")


@rule(
    "HP017",
    "error",
    reason="A pool that can't spare a server can't be changed without an outage, so hakit would refuse to.",
    source="design: the rolling gate",
)
def keeps_all(site: Site, components: Components) -> Iterator[Finding]:
    """Pools that are to keep as many servers as they have among the hosts of the inventory."""
    del components
    for host, path, pool in every_pool(site):
        count = sum(server.name in site.hosts for server in pool.servers) - (pool.settings.role == "replica")
        if "keep" in pool.settings.model_fields_set and pool.settings.keep >= count:
            what = "standbys" if pool.settings.role == "replica" else "servers"
            message = f"{pool.name} has {count} {what} that hakit changes and is to keep {pool.settings.keep} of them: "
            message += "none could ever be changed"
            write = f"keep: {count - 1}" if count > 1 else "leave it out, or a second server"
            yield Finding(host, (*path, "keep"), message, write=write)


RULES = (
    *DATABASE_RULES,
    unchecked_server,
    endless_timeout,
    wrong_limit,
    open_door,
    bind_forbidden,
    forgetful_pair,
    server_by_name,
    nameless_peer,
    unverified_server,
    wrong_cookie,
    clash_or_void,
    keeps_all,
)
UPHELD = (
    Upheld(
        "HP001",
        reason="A configuration that HAProxy rejects must not replace the running one.",
        source="HAProxy 2.6 management guide, 3 (-c)",
        how="`haproxy -c` judges the staged file on the host; on failure the running one stays",
    ),
    Upheld(
        "HP005",
        reason="A balancer that takes every server for healthy at its start sends writes to a standby.",
        source=f"{MANUAL}, 3.1 server-state-file; https://github.com/haproxy/haproxy/issues/918",
        how="a reload hands on what is known of the servers; those of databases start as down until a check "
        "passes, those that only the primary may serve in until each member has said whether it is",
    ),
    Upheld(
        "HP010",
        reason="A restart cuts connections; a reload that failed looks like one that worked.",
        source="https://github.com/haproxytech/dataplaneapi/issues/157",
        how="changes reload; the reload waits until a new worker answers at the master's socket, or fails",
    ),
)
