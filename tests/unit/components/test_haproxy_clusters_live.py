"""A real HAProxy before a cluster of three: sessions follow the role that the members' endpoints tell.

The members are made of a server that tells its name, and an endpoint that tells its role; each at a loopback address of
its own.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.unit.components.clustered import MEMBERS, READS, WRITES, balanced, rendered
from tests.unit.components.programs import program
from tests.unit.components.test_haproxy_reload import ask, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 20.0
CUT = 3.0
"""Seconds in which a session has to end when its server's role does: a check's interval, and reserve."""
CONFIG, SEED = "/etc/haproxy/haproxy.cfg", "/usr/local/lib/hakit/haproxy-seed"
RELOAD = "/usr/local/lib/hakit/haproxy-reload"


def until(what: Callable[[], bool], limit: float = PATIENCE) -> None:
    deadline = time.monotonic() + limit
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


class Member:
    """A server and its endpoint. `role` is primary, standby, or empty while it is neither."""

    def __init__(self, name: str, address: str, port: int, endpoint: int) -> None:
        self.name = name
        self.role = ""
        self.asked: set[str] = set()
        self._server = socket.create_server((address, port))
        member = self

        class Endpoint(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            good: ClassVar[dict[str, set[str]]] = {
                "primary": {"/primary", "/read"},
                "standby": {"/replica", "/read"},
            }

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                member.asked.add(self.path)
                known = path in ("/primary", "/replica", "/read")
                status = 200 if path in self.good.get(member.role, ()) else 503 if known else 404
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._endpoint = ThreadingHTTPServer((address, endpoint), Endpoint)
        self._endpoint.daemon_threads = True
        for work in (self._serve, lambda: self._endpoint.serve_forever(0.05)):
            threading.Thread(target=work, daemon=True).start()

    def _serve(self) -> None:
        """Tell each client the name, and keep the session."""
        kept: list[socket.socket] = []
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                client.sendall(self.name.encode())
                kept.append(client)
        for client in kept:
            client.close()

    def stop(self) -> None:
        self._endpoint.shutdown()
        self._endpoint.server_close()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


class Balancer:
    """HAProxy with the configuration that a site's balancer gets, in a folder of its own."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        self.state = folder / "server-state"
        self.config = folder / "haproxy.cfg"
        self.master = folder / "master.sock"
        self.process: subprocess.Popen[bytes] | None = None
        moved = {
            "/run/haproxy-master.sock": self.master,
            "/run/haproxy/admin.sock": folder / "admin.sock",
            "/run/hakit-haproxy/server-state": self.state,
            SEED: folder / "seed",
            CONFIG: self.config,
        }

        def here(text: str) -> str:
            for path, place in moved.items():
                text = text.replace(path, str(place))
            return text

        (folder / "seed").write_text(files[SEED])
        (folder / "reload").write_text(here(files[RELOAD]))
        self.config.write_text(
            re.sub(r"^    (?:chroot|user|group|log) .*\n", "", here(files[CONFIG]), flags=re.MULTILINE)
        )

    def start(self) -> None:
        """As the unit does: what is known of the servers is what the seed says."""
        self.state.write_text((self.folder / "seed").read_text())
        command = [program("haproxy"), "-Ws", "-f", str(self.config), "-S", str(self.master)]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def reload(self) -> None:
        assert self.process is not None
        environment = {**os.environ, "MAINPID": str(self.process.pid), "CONFIG": str(self.config)}
        argv = [sys.executable, "-ISE", str(self.folder / "reload")]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def up(self, pool: str) -> set[str]:
        """The servers of a pool that take sessions."""
        rows = (row.split(",") for row in ask(self.folder / "admin.sock", "show stat -1 4 -1").splitlines())
        return {row[1] for row in rows if row[0] == pool and row[17].startswith("UP")}


class Place:
    """The members by name, the balancer before them, and where its pools are."""

    def __init__(self, folder: Path) -> None:
        self.writes, self.reads, port, endpoint, health = (free_port() for _ in range(5))
        listens = {
            "orders": {"bind": [f"127.0.0.1:{self.writes}"], **WRITES},
            "reports": {"bind": [f"127.0.0.1:{self.reads}"], **READS, "check": {"interval": "100ms", "fast": "100ms"}},
        }
        cluster = {"port": port, "endpoint": {"port": endpoint}}
        site = balanced(folder, listens, cluster=cluster, health_port=health)
        addresses = {name: f"127.0.0.{place}" for place, name in enumerate(MEMBERS, 31)}
        self.members = {name: Member(name, address, port, endpoint) for name, address in addresses.items()}
        files = {path: text.replace("10.1.0.3", "127.0.0.3") for path, text in rendered(site).items()}
        files[CONFIG] = re.sub(r"(?m)^    (?:bind 10\.|acl peers|tcp-request connection).*\n", "", files[CONFIG])
        self.balancer = Balancer(folder, files)

    def roles(self, **roles: str) -> None:
        for name, role in roles.items():
            self.members[name].role = role

    def stop(self) -> None:
        self.balancer.stop()
        for member in self.members.values():
            member.stop()

    def session(self, port: int) -> tuple[socket.socket, str]:
        """A new session and who serves it; an empty name where HAProxy lets nobody serve it."""
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        try:
            return client, client.recv(64).decode()
        except ConnectionResetError:
            return client, ""

    def served(self, port: int) -> str:
        """Who serves a new session; `refused` while HAProxy does not listen yet."""
        try:
            client, name = self.session(port)
        except ConnectionRefusedError:
            return "refused"
        client.close()
        return name

    def seen(self, port: int, seconds: float) -> list[str]:
        """Who served new sessions, one begun every few milliseconds."""
        deadline = time.monotonic() + seconds
        names = []
        while time.monotonic() < deadline:
            names.append(self.served(port))
            time.sleep(0.005)
        return names


@contextmanager
def running(place: Place) -> Iterator[Place]:
    try:
        yield place
    finally:
        place.stop()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with running(Place(tmp_path)) as found:
        yield found


def cut(client: socket.socket) -> bool:
    """Whether a session was ended by the balancer in time."""
    client.settimeout(CUT)
    try:
        return client.recv(64) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_writes_follow_the_role_and_sessions_of_a_demoted_primary_end(place: Place) -> None:
    place.roles(db1="primary", db2="standby", db3="standby")
    place.balancer.start()
    until(lambda: place.served(place.writes) == "db1")
    client, _ = place.session(place.writes)
    place.roles(db1="standby", db2="primary")
    assert cut(client)
    until(lambda: place.served(place.writes) == "db2", CUT)
    assert set(place.seen(place.writes, 0.7)) == {"db2"}


def test_reads_go_to_standbys_that_are_near_enough(place: Place) -> None:
    place.roles(db1="primary", db2="standby", db3="standby")
    place.balancer.start()
    until(lambda: place.served(place.reads) != "refused")
    until(lambda: place.balancer.up("reports") == {"db2", "db3"})
    assert set(place.seen(place.reads, 0.5)) == {"db2", "db3"}
    assert "/replica?lag=16MB" in place.members["db2"].asked
    place.roles(db2="")
    until(lambda: place.balancer.up("reports") == {"db3"})


def test_two_that_claim_to_be_the_primary_get_no_writes_and_keep_none(place: Place) -> None:
    place.roles(db1="primary", db2="standby", db3="standby")
    place.balancer.start()
    until(lambda: place.served(place.writes) == "db1")
    client, _ = place.session(place.writes)
    place.roles(db2="primary")
    assert cut(client)
    assert set(place.seen(place.writes, 1.5)) == {""}
    place.roles(db1="")
    until(lambda: place.served(place.writes) == "db2", CUT)


@pytest.mark.parametrize(
    ("roles", "served"),
    [
        ({"db1": "standby", "db2": "primary", "db3": "standby"}, {"db2"}),
        ({"db1": "standby", "db2": "standby", "db3": "standby"}, set()),
        ({"db1": "primary", "db2": "primary", "db3": "standby"}, set()),
        ({"db1": "primary", "db2": "", "db3": "primary"}, set()),
    ],
    ids=["one primary", "none", "two", "two others"],
)
def test_a_fresh_start_never_sends_a_write_to_anyone_else(
    place: Place, roles: dict[str, str], served: set[str]
) -> None:
    """From the first instant at which it listens, and again after a reload."""
    place.roles(**roles)
    place.balancer.start()
    seen = place.seen(place.writes, 1.5)
    assert set(seen) - {"", "refused"} == served
    place.balancer.reload()
    assert set(place.seen(place.writes, 1.0)) - {""} == served


def test_a_reload_does_not_interrupt_writes(place: Place) -> None:
    place.roles(db1="standby", db2="primary", db3="standby")
    place.balancer.start()
    until(lambda: place.served(place.writes) == "db2")
    seen: list[str] = []
    asker = threading.Thread(target=lambda: seen.extend(place.seen(place.writes, 1.0)))
    asker.start()
    place.balancer.reload()
    asker.join()
    assert set(seen) == {"db2"}


def test_a_primary_whose_host_is_gone_is_given_up(place: Place) -> None:
    place.roles(db1="primary", db2="standby", db3="standby")
    place.balancer.start()
    until(lambda: place.served(place.writes) == "db1")
    client, _ = place.session(place.writes)
    place.members.pop("db1").stop()
    assert cut(client)
    place.roles(db3="primary")
    until(lambda: place.served(place.writes) == "db3", CUT)
