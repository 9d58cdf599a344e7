"""What lint says of HAProxy's settings, beyond the one inventory per rule in tests/unit/lint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.components.sites import found, site

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = {"a": {"address": "10.9.0.1", "port": 80}, "b": {"address": "10.9.0.2", "port": 80}}
WEB: dict[str, Any] = {"bind": ["10.1.0.1:80"], "servers": SERVERS}
DATABASES = {name: {**server, "port": 5432} for name, server in SERVERS.items()}
SPARE = {**DATABASES["b"], "backup": True}
TABLE = "stick-table type ip size 1k expire 1m"
POOL: dict[str, Any] = {"servers": SERVERS}


def front(**changes: Any) -> dict[str, Any]:
    return {"bind": ["10.1.0.1:80"], "backend": "web", **changes}


@pytest.mark.parametrize(
    ("haproxy", "key", "said"),
    [
        pytest.param(
            {"frontends": {"w": front(backend="wev")}, "backends": {"web": POOL}},
            "haproxy.frontends.w.backend",
            "no such backend: wev (did you mean web?)",
            id="unknown backend",
        ),
        pytest.param(
            {"frontends": {"w": front(routes=[{"backend": "api", "path": "/"}])}, "backends": {"web": POOL}},
            "haproxy.frontends.w.routes[0].backend",
            "no such backend: api",
            id="unknown backend of a route",
        ),
        pytest.param(
            {"frontends": {"w": front(routes=[{"backend": "web"}])}, "backends": {"web": POOL}},
            "haproxy.frontends.w.routes[0]",
            "a route needs a host, a path or both",
            id="a route that fits everything",
        ),
        pytest.param(
            {
                "frontends": {"w": front(mode="tcp", routes=[{"backend": "web", "path": "/"}])},
                "backends": {"web": POOL},
            },
            "haproxy.frontends.w.routes[0]",
            "a TCP proxy sees neither Host nor path",
            id="a route of a TCP proxy",
        ),
        pytest.param(
            {"frontends": {"w": front()}, "backends": {"web": {**POOL, "mode": "tcp"}}},
            "haproxy.frontends.w.backend",
            "frontend w is http, backend web is not",
            id="modes that differ",
        ),
        pytest.param(
            {
                "frontends": {"w": front(), "x": front(bind=["10.1.0.1:81"], mode="tcp")},
                "backends": {"web": POOL},
            },
            "haproxy.frontends.x.backend",
            "frontend x is tcp, backend web is not",
            id="frontends of two modes with one backend",
        ),
        pytest.param(
            {"listens": {"w": WEB}, "frontends": {"w": front(bind=["*:81"])}, "backends": {"web": POOL}},
            "haproxy.listens.w",
            "the name is taken by haproxy.frontends.w",
            id="a name used twice",
        ),
        pytest.param(
            {"listens": {"hakit-health": WEB}},
            "haproxy.listens.hakit-health",
            "the name is one of hakit's own sections",
            id="a name of hakit's",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "servers": {"a": {"address": "10.9.0.1"}}}}},
            "haproxy.listens.w.servers.a",
            "server a has no port",
            id="a server without a port",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "servers": {"lb": {"port": 80}}}}},
            "haproxy.listens.w.servers.lb",
            "server lb is no host of the inventory and has no address (did you mean lb1?)",
            id="a server without an address",
        ),
        pytest.param(
            {"listens": {"w": WEB}, "stats": {"user": "admin"}},
            "haproxy.stats",
            "user and password go together",
            id="a user without a password",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "check": {"enabled": False}}}},
            "haproxy.listens.w.check.enabled",
            "HP003 no server of w is checked",
            id="HP003 no check",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "servers": {**SERVERS, "c": {**SERVERS["a"], "options": "no-check"}}}}},
            "haproxy.listens.w.servers.c.options",
            "HP003 server c is not checked",
            id="HP003 one server without a check",
        ),
        pytest.param(
            {"listens": {"w": WEB}, "defaults": {"timeouts": {"idle": "0s"}}},
            "haproxy.defaults.timeouts.idle",
            "HP006 idle: a timeout of 0 waits for ever",
            id="HP006 in defaults",
        ),
        pytest.param(
            {"listens": {"w": WEB}, "stats": {"bind": "10.1.0.1:8405"}},
            "haproxy.stats.bind",
            "HP008 everyone who reaches 10.1.0.1:8405",
            id="HP008 an open page",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "extra": ["stats enable", "stats uri /s"]}}},
            "haproxy.listens.w.extra[0]",
            "HP008 everyone who reaches w",
            id="HP008 an open page by extra lines",
        ),
        pytest.param(
            {
                "listens": {
                    "w": {
                        **WEB,
                        "sticky": "cookie",
                        "servers": {**SERVERS, "c": {**SERVERS["a"], "options": "cookie b"}},
                    }
                }
            },
            "haproxy.listens.w.servers.c.options",
            "HP014 b and c have the same cookie value b",
            id="HP014 one value twice",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "group": "wev"}}},
            "haproxy.listens.w.group",
            "HP016 the group wev does not exist",
            id="HP016 unknown group",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "group": "nobody"}}},
            "haproxy.listens.w.group",
            "HP016 the group nobody has no hosts",
            id="HP016 empty group",
        ),
        pytest.param(
            {"listens": {"w": {"bind": ["10.1.0.1:80"]}}},
            "haproxy.listens.w",
            "HP016 w has no servers",
            id="HP016 no servers",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "bind": ["127.0.0.1:8404"]}}},
            "haproxy.listens.w.bind[0]",
            "HP016 127.0.0.1:8404 is already bound by hakit's health check",
            id="HP016 the health check's port",
        ),
        pytest.param(
            {"listens": {"w": {**WEB, "bind": ["*:80", "0.0.0.0:80"]}}},
            "haproxy.listens.w.bind[1]",
            "HP016 0.0.0.0:80 is already bound by w",
            id="HP016 all addresses, twice",
        ),
        pytest.param(
            {"listens": {"d": {**WEB, "mode": "tcp", "servers": SERVERS, "extra": ["option pgsql-check user x"]}}},
            "haproxy.listens.d.check",
            "HP002 the check of d does not tell a primary from a standby",
            id="HP002 pgsql-check",
        ),
    ],
)
def test_it_says(tmp_path: Path, haproxy: dict[str, Any], key: str, said: str) -> None:
    findings = found(site(tmp_path, {"lb1": {"haproxy": haproxy}}, {"nobody": []}))
    assert findings.get(key, str(findings)).startswith(said)


@pytest.mark.parametrize(
    "haproxy",
    [
        pytest.param({"listens": {"w": WEB}, "stats": {}}, id="an open page on the loopback"),
        pytest.param(
            {"listens": {"d": {**WEB, "mode": "tcp", "servers": {**DATABASES, "b": SPARE}}}},
            id="one database with a spare",
        ),
        pytest.param(
            {"listens": {"d": {**WEB, "mode": "tcp", "servers": DATABASES, "extra": ["option external-check"]}}},
            id="a database with a check of one's own",
        ),
        pytest.param(
            {"listens": {"w": WEB, "x": {**WEB, "bind": ["127.0.0.2:80", "[::1]:80"]}}}, id="one port, other addresses"
        ),
        pytest.param({"listens": {"w": {**WEB, "extra": [TABLE]}}}, id="a table of a balancer that is alone"),
        pytest.param({"listens": {"w": {**WEB, "servers": {"lb1": {"port": 8080}, **SERVERS}}}}, id="itself a server"),
    ],
)
def test_it_says_nothing(tmp_path: Path, haproxy: dict[str, Any]) -> None:
    assert found(site(tmp_path, {"lb1": {"haproxy": haproxy}})) == {}
