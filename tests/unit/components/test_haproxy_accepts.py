"""Whatever valid settings say, the real HAProxy accepts what is rendered from them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from tests.unit.components.programs import program
from tests.unit.components.sites import COMPONENTS, found, site

BACKENDS = ("web", "api", "mail", "x-1.y_2")
DURATIONS = st.sampled_from(["1ms", "250ms", "1s", "1500ms", "90s", "5m", "1h", "1d", "1m30s"])
PATHS = st.sampled_from(["/", "/healthz", "/a/b?c=d&e=%20", "/~x", "/ü".encode().hex()]).map(
    lambda text: text if text.startswith("/") else f"/{text}"
)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
ADDRESSES = st.sampled_from(["10.9.0.1", "10.9.0.2", "fd00::9", "::1"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of the keys."""
    return st.fixed_dictionaries({}, optional=fields)


TIMEOUTS = some(client=DURATIONS, server=DURATIONS, connect=DURATIONS, queue=DURATIONS, tunnel=DURATIONS)
CHECK = some(
    http=PATHS,
    expect=st.integers(100, 599),
    method=st.sampled_from(["GET", "HEAD", "OPTIONS"]),
    host=st.sampled_from(["www.example.org", "a_b"]),
    port=st.integers(1, 65535),
    interval=DURATIONS,
    fast=DURATIONS,
    timeout=DURATIONS,
    fall=st.integers(1, 100),
    rise=st.integers(1, 100),
)
SERVER = st.fixed_dictionaries(
    {"address": ADDRESSES, "port": st.integers(1, 65535)},
    optional={"weight": st.integers(0, 256), "maxconn": st.integers(1, 99999), "backup": st.booleans()},
)


def pool(mode: str) -> st.SearchStrategy[dict[str, Any]]:
    sticky = ["cookie", "source"] if mode == "http" else ["source"]
    return st.fixed_dictionaries(
        {"group": st.just("web"), "port": st.integers(1, 65535), "mode": st.just(mode)},
        optional={
            "servers": st.dictionaries(NAMES, SERVER, max_size=3),
            "balance": st.sampled_from(["roundrobin", "static-rr", "leastconn", "first", "source", "random"]),
            "check": CHECK,
            "sticky": st.sampled_from(sticky),
            "cookie": NAMES,
            "maxconn": st.integers(1, 99999),
            "shutdown_sessions": st.booleans(),
            "timeouts": TIMEOUTS,
            "options": st.sampled_from(["", "send-proxy", "slowstart 10s"]),
        },
    )


ROUTE = st.one_of(
    some(host=st.sampled_from(["a.example.org", "10.1.0.1"]), path=PATHS).filter(bool),
)


@st.composite
def haproxies(draw: st.DrawFn) -> dict[str, Any]:
    modes = {name: draw(st.sampled_from(["http", "tcp"])) for name in BACKENDS}
    ports = iter(draw(st.lists(st.integers(1025, 65535), min_size=12, max_size=12, unique=True)))
    address = st.sampled_from(["10.1.0.1", "10.1.0.100", "[fd00::100]", "*", ""])
    frontends: dict[str, Any] = {}
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        backend = draw(st.sampled_from(BACKENDS))
        mates = [other for other in BACKENDS if modes[other] == modes[backend] == "http"]
        routes = draw(st.lists(ROUTE, max_size=2)) if mates else []
        frontends[name] = {
            "mode": modes[backend],
            "bind": [f"{draw(address)}:{next(ports)}" for _ in range(draw(st.integers(1, 2)))],
            "backend": backend,
            "routes": [{**route, "backend": draw(st.sampled_from(mates))} for route in routes],
            "timeouts": draw(TIMEOUTS.map(lambda times: {k: v for k, v in times.items() if k == "client"})),
        }
    listen = draw(pool(draw(st.sampled_from(["http", "tcp"]))))
    return {
        "frontends": frontends,
        "backends": {name: draw(pool(modes[name])) for name in BACKENDS},
        "listens": {"a-listen-of-its-own": {**listen, "bind": [f"10.1.0.1:{next(ports)}"]}},
        **draw(
            some(
                maxconn=st.integers(100, 9000),
                hard_stop_after=st.one_of(DURATIONS, st.just("never")),
                nameservers=st.just(["10.1.0.53:53", "[fd00::53]:53"]),
                stats=st.just({"bind": "127.0.0.1:999"}),
                defaults=some(
                    timeouts=some(connect=DURATIONS, idle=DURATIONS, http_request=DURATIONS, http_keep_alive=DURATIONS),
                    maxconn=st.integers(1, 1000),
                    retries=st.integers(0, 100),
                    log_requests=st.booleans(),
                    forwarded_for=st.booleans(),
                ),
            )
        ),
    }


def judged(text: str) -> subprocess.CompletedProcess[str]:
    """HAProxy's judgement, without what only the host has: its user, its folder, its limit of open files."""
    text = re.sub(r"^    (?:chroot|user|group|stats socket|server-state-file) .*\n", "", text, flags=re.MULTILINE)
    text = text.replace("    load-server-state-from-file global\n", "")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "haproxy.cfg"
        config.write_text(text)
        return subprocess.run([program("haproxy"), "-c", "-f", config], capture_output=True, text=True, check=False)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(haproxies())
def test_haproxy_accepts_what_is_rendered(haproxy: dict[str, Any]) -> None:
    hosts = {name: {"haproxy": haproxy} for name in ("lb1", "lb2")}
    with tempfile.TemporaryDirectory() as folder:
        made = site(Path(folder), {**hosts, "web1": {}, "web2": {}}, {"web": ["web1", "web2"]})
        errors = {key: text for key, text in found(made).items() if not text.startswith(("HP", "XS"))}
        declared = declare(made, COMPONENTS, made.hosts["lb1"], offline(made, made.hosts["lb1"]), Templates(made))
    assert errors == {}
    result = judged(declared.contents()["/etc/haproxy/haproxy.cfg"].reveal())
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
