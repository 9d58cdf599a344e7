"""How a host is taken out of HAProxy's pools and back, and stays out when HAProxy starts anew."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.haproxy import Haproxy
from hakit.components.templates import Templates
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hakit.components.base import Withdrawal

HAPROXY = Haproxy()
NOTES = "/var/lib/hakit-haproxy/drained"


def balanced(**pool: Any) -> dict[str, Any]:
    listen = {"bind": ["10.1.0.100:80"], "group": "web", "port": 80, **pool}
    return {"haproxy": {"listens": {"web": listen}}}


def withdrawals(folder: Path, host: str, **pool: Any) -> list[Withdrawal]:
    hosts: dict[str, Any] = {"lb1": balanced(**pool), "lb2": balanced(**pool), "web1": {}, "web2": {}}
    made = site(folder, hosts, {"web": ["web1", "web2"]})
    return list(HAPROXY.withdraw(made, made.hosts[host]))


def test_every_balancer_notes_it_and_does_it(tmp_path: Path) -> None:
    (one,) = withdrawals(tmp_path, "web2")
    assert one.what == "haproxy pool web"
    told = [(order.host, order.action.kind, order.action.target, order.action.text) for order in (*one.out, *one.back)]
    admin = "/run/haproxy/admin.sock"
    assert told == [
        ("lb1", "write", f"{NOTES}/web:web2", "drain\n"),
        ("lb1", "socket", admin, "set server web/web2 state drain"),
        ("lb2", "write", f"{NOTES}/web:web2", "drain\n"),
        ("lb2", "socket", admin, "set server web/web2 state drain"),
        ("lb1", "remove", f"{NOTES}/web:web2", ""),
        ("lb1", "socket", admin, "set server web/web2 state ready"),
        ("lb2", "remove", f"{NOTES}/web:web2", ""),
        ("lb2", "socket", admin, "set server web/web2 state ready"),
    ]
    assert [probe.seen_from for probe in one.gone] == ["lb1", "lb2"]


@pytest.mark.parametrize(
    ("pool", "state"),
    [
        ({}, "drain"),
        # Clients that stick would keep coming to a draining server.
        ({"sticky": "cookie"}, "maint"),
        ({"sticky": "source"}, "maint"),
        # Maintenance would cut their sessions.
        ({"sticky": "source", "mode": "tcp"}, "drain"),
        ({"sticky": "cookie", "shutdown_sessions": True}, "drain"),
    ],
    ids=str,
)
def test_a_server_goes_out_in_the_way_that_ends_in_peace(tmp_path: Path, pool: dict[str, Any], state: str) -> None:
    (one,) = withdrawals(tmp_path, "web1", **pool)
    assert one.out[0].action.text == f"{state}\n"


def test_a_balancer_is_in_no_pool(tmp_path: Path) -> None:
    assert withdrawals(tmp_path, "lb1") == []


def test_a_host_is_found_by_its_address_too(tmp_path: Path) -> None:
    servers = {"first": {"address": "10.1.0.2"}, "elsewhere": {"address": "10.9.0.9"}}
    listen = {"bind": ["*:80"], "port": 80, "servers": servers}
    made = site(tmp_path, {"lb1": {"haproxy": {"listens": {"web": listen}}}, "web1": {}})
    (one,) = HAPROXY.withdraw(made, made.hosts["web1"])
    assert one.out[0].action.target == f"{NOTES}/web:first"


HEAD = "# pxname,svname,qcur,qmax,scur,smax,slim\n"


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        (f"{HEAD}web,web1,0,9,0,9,\nweb,web2,0,,0,9,\n\n", True),
        (f"{HEAD}web,web1,0,9,0,9,\nweb,web2,0,,1,9,\n\n", False),
        (f"{HEAD}web,web1,0,9,0,9,\nweb,web2,3,3,0,9,\n\n", False),
        # Another server, or another pool, says nothing.
        (f"{HEAD}web,web2,0,,1,9,\nweb,web22,0,,0,9,\nxweb,web2,0,,0,9,\n\n", False),
        # A server that the balancer does not know carries nothing.
        (f"{HEAD}web,web1,0,9,7,9,\n\n", True),
        (f"{HEAD}\n", True),
        ("", False),
        ("Permission denied\n", False),
    ],
)
def test_gone_means_no_session_and_nobody_waiting(tmp_path: Path, answer: str, gone: bool) -> None:
    (one,) = withdrawals(tmp_path, "web2")
    probe = one.gone[0]
    assert (probe.kind, probe.target, probe.text) == ("socket", "/run/haproxy/admin.sock", "show stat -1 4 -1")
    assert (re.search(probe.match, answer, re.MULTILINE) is not None) is gone


# haproxy-drained


@contextmanager
def haproxy(path: Path, unknown: set[str]) -> Iterator[list[str]]:
    """Something that listens like HAProxy's admin socket, knows all servers but some, and remembers what it is told."""
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, connection.makefile("r") as lines:
                    told.append(lines.readline().strip())
                    server = told[-1].split()[2]
                    connection.sendall(b"No such server.\n\n" if server in unknown else b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield told
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def drained(tmp_path: Path) -> Path:
    """The script, its folder of notes beside it."""
    made = site(tmp_path, {"lb1": balanced(servers={"a": {"address": "10.9.0.1"}}, group=None)})
    values = {"admin_socket": str(tmp_path / "admin"), "drained": str(tmp_path / "notes")}
    path = tmp_path / "haproxy-drained"
    path.write_text(Templates(made).render("haproxy", "haproxy-drained", made.hosts["lb1"], values).reveal())
    path.chmod(0o755)
    return path


def run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script)], capture_output=True, text=True, timeout=20, check=False)


def test_what_was_out_is_taken_out_again_and_what_is_unknown_forgotten(drained: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    texts = {"web:web1": "drain\n", "web:web2": "maint\n", "web:old": "drain\n", "web:odd": "up\n", ".web:tmp": "drain"}
    for name, text in texts.items():
        (notes / name).write_text(text)
    with haproxy(tmp_path / "admin", {"web/old"}) as told:
        done = run(drained)
    assert done.returncode == 0
    assert told == [
        "set server web/old state drain",
        "set server web/web1 state drain",
        "set server web/web2 state maint",
    ]
    assert "web:odd: neither drain nor maint" in done.stderr
    assert sorted(path.name for path in notes.iterdir()) == [".web:tmp", "web:odd", "web:web1", "web:web2"]


def test_an_haproxy_that_does_not_answer_changes_nothing(drained: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "web:web1").write_text("drain\n")
    done = run(drained)
    assert done.returncode == 0
    assert "web:web1" in done.stderr
    assert (tmp_path / "notes" / "web:web1").exists()


def test_where_nothing_was_ever_out_there_is_nothing_to_do(drained: Path) -> None:
    done = run(drained)
    assert (done.returncode, done.stderr) == (0, "")
