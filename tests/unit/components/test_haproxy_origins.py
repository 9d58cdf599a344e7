"""Each line of haproxy.cfg knows its template line and the inventory values on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hakit.components.content import Content
from hakit.components.haproxy.resources import VALIDATOR
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from hakit.inventory import load
from hakit.inventory.origin import dotted
from tests.unit.components.sites import COMPONENTS

CASE = Path(__file__).parent / "cases" / "haproxy-http" / "inventory.yml"


@pytest.mark.parametrize(
    ("line", "origins"),
    [
        ("    log /dev/log local0 info", ["haproxy.log"]),
        ("    tune.ssl.default-dh-param 2048", ["haproxy.extra[0]"]),
        ("    timeout connect 250ms", ["haproxy.defaults.timeouts.connect"]),
        ("    bind 10.1.0.1:8080 accept-proxy", ["haproxy.frontends.web.bind[1]"]),
        ("    use_backend web if { path_beg /static }", ["routes[2].backend", "routes[2].path"]),
        (
            "    server web1 10.1.0.11:9090 check maxconn 200",
            ["haproxy.backends.api.port", "haproxy.backends.api.maxconn"],
        ),
        ("    server cdn cdn.example.org:80", ["servers.cdn", "servers.cdn.address", "servers.cdn.port"]),
        ("    timeout client 30s", []),
    ],
)
def test_line_knows_its_origins(line: str, origins: list[str]) -> None:
    site = load(CASE, {name: one.Settings for name, one in COMPONENTS.items()})
    host = site.hosts["lb1"]
    declared = declare(site, COMPONENTS, host, offline(site, host), Templates(site))
    content = declared.contents()["/etc/haproxy/haproxy.cfg"]
    assert isinstance(content, Content)
    number = content.masked().splitlines().index(line) + 1
    source = content.source(number)
    assert source is not None
    assert source.template == "templates/haproxy/haproxy.cfg.j2"
    found = [dotted(origin.path) for origin in source.origins]
    assert len(found) >= len(origins)
    for wanted in origins:
        assert any(key.endswith(wanted) for key in found), found
    for origin in source.origins:
        assert origin.mark.file.endswith("inventory.yml")


@pytest.mark.parametrize(
    ("output", "line", "message"),
    [
        (
            """\
[NOTICE]   (709) : path to executable is /usr/sbin/haproxy
[ALERT]    (709) : config : parsing [/etc/haproxy/haproxy.cfg:77] : unknown option 'nonsense'.
[ALERT]    (709) : config : Fatal errors found in configuration.
""",
            "77",
            "unknown option 'nonsense'.",
        ),
        (
            """\
[WARNING]  (9) : config : [/etc/haproxy/haproxy.cfg:9] : 'server a/b' : something
[ALERT]    (9) : config : [/etc/haproxy/haproxy.cfg:12] : 'server a/b' : unable to find required 'x'.
""",
            "12",
            "'server a/b' : unable to find required 'x'.",
        ),
        (
            "[ALERT]    (9) : config : Proxy 'a': unable to find required default_backend: 'b'.",
            None,
            "Proxy 'a': unable to find required default_backend: 'b'.",
        ),
    ],
)
def test_place_of_a_rejection_is_found(output: str, line: str | None, message: str) -> None:
    found = re.search(VALIDATOR.place, output, re.MULTILINE)
    assert found is not None
    assert (found["line"], found["message"]) == (line, message)
