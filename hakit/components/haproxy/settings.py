"""What the inventory says of HAProxy: intent, from which the configuration is derived.

Keys at the top belong to HAProxy's `global` section, `defaults` to its `defaults` section.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hakit.components.haproxy.values import (
    MOST,
    AuthUser,
    Bind,
    Connections,
    Lag,
    Listening,
    LogTarget,
    Nameserver,
    Pause,
    Time,
    UrlPath,
)
from hakit.inventory.types import HostName, Ip, Line, Name, Port, Secret, Settings

Mode = Literal["http", "tcp"]
Balance = Literal["roundrobin", "static-rr", "leastconn", "first", "source", "uri", "random"]
Lines = tuple[Line, ...]
Weight = Annotated[int, Field(ge=0, le=256)]


class Timeouts(Settings):
    """How long HAProxy waits; on top of the section `defaults`, overridden by a proxy's own."""

    connect: Time = Field(
        default=1.0,
        description="For a server to accept. A dead one costs a client this long before another server is tried.",
    )
    client: Time = Field(default=30.0, description="For a silent client, HTTP.")
    server: Time = Field(default=30.0, description="For a silent server, HTTP.")
    idle: Time = Field(
        default=3600.0, description="For a silent client or server of a TCP proxy, which knows no requests."
    )
    queue: Time = Field(default=5.0, description="For a free server where maxconn is reached.")
    http_request: Time = Field(default=10.0, description="For the headers of a request.")
    http_keep_alive: Time = Field(default=10.0, description="For the next request of a connection.")
    tunnel: Time = Field(default=3600.0, description="For a silent WebSocket or CONNECT.")


class OwnTimeouts(Settings):
    """A proxy's own timeouts; those left out are the defaults'."""

    connect: Time | None = Field(default=None, description="For a server to accept.")
    client: Time | None = Field(default=None, description="For a silent client.")
    server: Time | None = Field(default=None, description="For a silent server.")
    queue: Time | None = Field(default=None, description="For a free server where maxconn is reached.")
    http_request: Time | None = Field(default=None, description="For the headers of a request.")
    http_keep_alive: Time | None = Field(default=None, description="For the next request of a connection.")
    tunnel: Time | None = Field(default=None, description="For a silent WebSocket or CONNECT.")


class Defaults(Settings):
    """What holds for every proxy that says nothing else."""

    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long HAProxy waits.")
    maxconn: Connections = Field(default=2000, description="Connections of one frontend; more wait in the kernel.")
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="Attempts to connect after the first; each goes to another server."
    )
    log_requests: bool = Field(default=True, description="Whether requests and connections are logged.")
    forwarded_for: bool = Field(default=True, description="Whether servers see the client in X-Forwarded-For (HTTP).")
    extra: Lines = Field(default=(), description="Lines for HAProxy's section `defaults`, as they are.")


class Check(Settings):
    """How HAProxy knows that a server works."""

    enabled: bool = Field(default=True, description="Without a check a dead server gets its share of requests.")
    http: UrlPath | None = Field(
        default=None, description="Path that must be answered with `expect`; left out: the port must accept (TCP)."
    )
    expect: Annotated[int, Field(ge=100, le=599)] = Field(default=200, description="The HTTP status that means well.")
    method: Literal["GET", "HEAD", "OPTIONS"] = Field(default="GET", description="The method of the request.")
    host: Ip | HostName | None = Field(default=None, description="The Host header; left out: the name of the backend.")
    port: Port | None = Field(default=None, description="Where to ask, if not at the server's own port.")
    interval: Pause = Field(default=1.0, description="Between two checks of a server.")
    fast: Pause = Field(default=0.5, description="Between two checks while a server changes its state.")
    timeout: Pause = Field(default=1.0, description="For the answer.")
    fall: Annotated[int, Field(ge=1, le=100)] = Field(default=2, description="Failures in a row that take it out.")
    rise: Annotated[int, Field(ge=1, le=100)] = Field(default=2, description="Successes in a row that take it in.")


class Server(Settings):
    """One server; named after a host of the inventory it has that host's address."""

    address: Ip | HostName | None = Field(
        default=None, description="Where it is; left out: the address of the host of that name."
    )
    port: Port | None = Field(default=None, description="Its port; left out: the backend's.")
    weight: Weight | None = Field(default=None, description="Its share; 0 drains it. HAProxy's default is 1.")
    maxconn: Connections | None = Field(default=None, description="Its connections at the same time.")
    backup: bool = Field(default=False, description="Used only when all others are down.")
    options: Line = Field(default="", description="HAProxy's own server options, as they are.")


class Pool(Settings):
    """What a backend is: servers, how they are chosen and how they are checked."""

    mode: Mode | None = Field(
        default=None, description="http or tcp; left out: that of the frontends that lead here, or http."
    )
    group: Name | None = Field(
        default=None, description="A group of the inventory (or a host): each of its hosts is a server."
    )
    postgresql: Name | None = Field(
        default=None, description="A PostgreSQL cluster of the inventory: its members are the servers, by their role."
    )
    role: Literal["primary", "replica", "any"] | None = Field(
        default=None,
        description="Which members of the cluster get the sessions: the primary (writes), standbys, or any (reads).",
    )
    max_lag: Lag | None = Field(
        default=None, description="How far a standby may be behind to get reads; left out: however far."
    )
    port: Port | None = Field(default=None, description="The servers' port.")
    servers: dict[Name, Server] = Field(
        default_factory=dict, description="Servers by name: more than the group's, or settings of the group's own."
    )
    balance: Balance | None = Field(
        default=None, description="How a server is chosen; left out: roundrobin for http, leastconn for tcp."
    )
    check: Check = Field(default_factory=Check, description="How HAProxy knows that a server works.")
    sticky: Literal["cookie", "source"] | None = Field(
        default=None,
        description="Keep a client at its server: by a cookie (http), or by its address (shared by peers).",
    )
    cookie: Name | None = Field(default=None, description="The cookie's name; left out: SRV_ and the backend's name.")
    maxconn: Connections | None = Field(default=None, description="Connections of each server.")
    shutdown_sessions: bool | None = Field(
        default=None, description="Cut the sessions of a server that goes down; left out: yes for tcp, no for http."
    )
    keep: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Servers that must serve while another one is changed; fewer than there are."
    )
    timeouts: OwnTimeouts = Field(default_factory=OwnTimeouts, description="Timeouts other than the defaults'.")
    options: Line = Field(default="", description="HAProxy's own options for all servers, as they are.")
    extra: Lines = Field(default=(), description="Lines for this section, as they are.")


class Route(Settings):
    """Requests that go to another backend: all that is said here must hold."""

    host: Ip | HostName | None = Field(default=None, description="The Host header, without its port.")
    path: UrlPath | None = Field(default=None, description="The start of the path.")
    backend: Name = Field(description="Where they go.")


class Frontend(Settings):
    """Where clients arrive."""

    mode: Mode = Field(default="http", description="http or tcp.")
    bind: Annotated[tuple[Bind, ...], Field(min_length=1)] = Field(
        description="address:port, *:port for all addresses; options of HAProxy's may follow."
    )
    backend: Name = Field(description="Where requests go that no route takes.")
    routes: tuple[Route, ...] = Field(default=(), description="Requests that go elsewhere; the first that fits wins.")
    maxconn: Connections | None = Field(default=None, description="Connections at the same time.")
    timeouts: OwnTimeouts = Field(default_factory=OwnTimeouts, description="Timeouts other than the defaults'.")
    extra: Lines = Field(default=(), description="Lines for this section, as they are.")


class Listen(Pool):
    """A frontend and its backend in one."""

    bind: Annotated[tuple[Bind, ...], Field(min_length=1)] = Field(description="address:port, *:port for all.")
    frontend_maxconn: Connections | None = Field(default=None, description="Connections of clients at the same time.")


class Stats(Settings):
    """The statistics page."""

    bind: Listening = Field(default="127.0.0.1:8405", description="Where it is.")
    path: UrlPath = Field(default="/", description="Its path.")
    user: AuthUser | None = Field(default=None, description="Who may see it; left out: everyone who reaches it.")
    password: Secret | None = Field(default=None, description="The user's password.")


class HaproxySettings(Settings):
    """HAProxy: frontends take connections, backends hand them to servers that work."""

    frontends: dict[Name, Frontend] = Field(default_factory=dict, description="Where clients arrive, by name.")
    backends: dict[Name, Pool] = Field(default_factory=dict, description="Servers and how they are chosen, by name.")
    listens: dict[Name, Listen] = Field(default_factory=dict, description="Frontend and backend in one, by name.")
    defaults: Defaults = Field(default_factory=Defaults, description="What holds where a proxy says nothing else.")
    maxconn: Annotated[int, Field(ge=100, le=MOST)] | None = Field(
        default=None, description="Connections of the process; left out: what the frontends need together."
    )
    hard_stop_after: Time | Literal["never"] | None = Field(
        default=None,
        description="How long an old worker may go on after a reload; left out: 30s with a TCP proxy, 15m without.",
    )
    log: LogTarget = Field(default="/dev/log local0", description="Where HAProxy logs; journald listens on /dev/log.")
    nameservers: tuple[Nameserver, ...] = Field(
        default=(), description="Servers of the DNS for servers that are given by name."
    )
    peers_port: Port = Field(default=1024, description="Where balancers share their tables of clients.")
    health_port: Port = Field(
        default=8404,
        description="Answers while HAProxy works: on 127.0.0.1, and to the balancers of the same addresses.",
    )
    stats: Stats | None = Field(default=None, description="The statistics page; left out: none.")
    extra: Lines = Field(default=(), description="Lines for HAProxy's section `global`, as they are.")
