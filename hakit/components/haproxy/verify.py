"""testinfra tests of HAProxy, run by `hakit verify`."""

from __future__ import annotations

import csv
import json
import shlex
from typing import TYPE_CHECKING

from hakit.components.haproxy import view
from hakit.components.haproxy.paths import ADMIN_SOCKET, CONFIG, HEALTH_PATH, UNIT
from hakit.components.haproxy.values import bind_address, is_ip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testinfra.host import Host as Remote

    from hakit.components.haproxy.settings import HaproxySettings
    from hakit.inventory.model import Host

ANSWERS = """
import json, socket, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
result = {}
for target in sys.argv[1:]:
    try:
        if target.startswith("http"):
            result[target] = str(opener.open(target, timeout=3).status)
        else:
            host, port = target.rsplit(":", 1)
            socket.create_connection((host.strip("[]"), int(port)), 3).close()
            result[target] = "accepts"
    except urllib.error.HTTPError as error:
        result[target] = str(error.code)
    except OSError as error:
        result[target] = "no answer: " + str(getattr(error, "reason", error))
print(json.dumps(result))
"""
"""Asks each target (a URL or address:port) once and prints target → status; only Python is there on every host."""

STATISTICS = f"""
import socket
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(5)
connection.connect("{ADMIN_SOCKET}")
connection.sendall(b"show stat\\n")
print(b"".join(iter(lambda: connection.recv(65536), b"")).decode())
"""


def _python(host: Remote, script: str, *arguments: str) -> str:
    words = ["/usr/bin/python3", "-I", "-c", script, *arguments]
    return str(host.check_output(" ".join(shlex.quote(word) for word in words)))


def _ask(host: Remote, *targets: str) -> dict[str, str]:
    answers: dict[str, str] = json.loads(_python(host, ANSWERS, *targets))
    return answers


def test_it_runs_and_is_enabled(host: Remote) -> None:
    """The daemon runs, and starts with the host."""
    service = host.service(UNIT)
    assert service.is_running, f"{UNIT} does not run"
    assert service.is_enabled, f"{UNIT} does not start with the host"


def test_configuration_is_accepted(host: Remote) -> None:
    """The configuration on disk is accepted by the daemon."""
    result = host.run(f"/usr/sbin/haproxy -c -f {CONFIG}")
    assert result.rc == 0, f"haproxy -c exits with {result.rc}: {result.stderr.strip()}"


def test_health_check_answers(host: Remote, settings: HaproxySettings) -> None:
    """What tells keepalived that HAProxy works."""
    url = f"http://127.0.0.1:{settings.health_port}{HEALTH_PATH}"
    assert _ask(host, url)[url] == "200"


def test_every_pool_has_a_server_up(host: Remote, settings: HaproxySettings) -> None:
    """No pool is without a server that passes its check."""
    rows = csv.DictReader(_python(host, STATISTICS).lstrip("# ").splitlines())
    up = {row["pxname"] for row in rows if _is_server_up(row)}
    down = [name for _, name, _ in view.pools(settings) if name not in up]
    assert not down, f"no server is up in {', '.join(down)}"


def test_only_one_server_gets_writes(host: Remote, settings: HaproxySettings) -> None:
    """In front of a PostgreSQL cluster, sessions that write all go to the same server."""
    rows = csv.DictReader(_python(host, STATISTICS).lstrip("# ").splitlines())
    writes = {name for _, name, pool in view.pools(settings) if pool.role == "primary"}
    up = [f"{row['pxname']}/{row['svname']}" for row in rows if row["pxname"] in writes and _is_server_up(row)]
    assert len(up) == len(writes), f"up for writes: {', '.join(up) or 'none'}"


def _is_server_up(row: Mapping[str, str]) -> bool:
    """A server's row that says UP, also on the way down; or no check, which HAProxy uses as if it were up."""
    return row["svname"] not in ("FRONTEND", "BACKEND") and row["status"].startswith(("UP", "no check"))


def test_every_frontend_answers(
    host: Remote, hakit_host: Host, settings: HaproxySettings, peers: Mapping[str, Remote]
) -> None:
    """Every address that is bound answers, as another host of the site sees it."""
    asker = next(iter(peers.values()), host)
    answers = _ask(asker, *(_target(hakit_host, front, bind) for front, bind in _binds(settings)))
    bad = [f"{target}: {answer}" for target, answer in answers.items() if not _is_answer(answer)]
    assert not bad, "; ".join(bad)


def _binds(settings: HaproxySettings) -> list[tuple[str, str]]:
    """Mode and bind of everything that clients reach from outside; TLS and PROXY only accept here."""
    return [
        ("tcp" if " " in bind else view.front_mode(front), bind)
        for _, _, front in view.fronts(settings)
        for bind in front.bind
        if not view.is_loopback(bind_address(bind)[0])
    ]


def _target(host: Host, mode: str, bind: str) -> str:
    address, port = bind_address(bind)
    if not view.is_specific(address) and (is_ip(address) or address in ("", "*")):
        address = host.address
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"http://{where}/" if mode == "http" else where


def _is_answer(answer: str) -> bool:
    """Anything but an error of HAProxy's own making; what a server says to `/` is its own business."""
    return answer == "accepts" or (answer.isdigit() and answer not in ("502", "503", "504"))
