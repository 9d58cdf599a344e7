from __future__ import annotations

import ast
import socket
import threading
import zlib
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from hakit.agent.bootstrap import RESIDENT_ONLY, bundle
from hakit.agent.network.library import sources as network_sources
from hakit.agent.postgres import serving as serving_module
from hakit.agent.postgres.endpoint import Answer
from hakit.agent.postgres.library import sources
from hakit.agent.postgres.serving import CLIENTS, Allowed, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator


@pytest.mark.parametrize(
    ("address", "welcome"),
    [
        ("10.77.0.21", True),
        ("::ffff:10.77.0.21", True),
        ("10.77.0.22", False),
        ("10.77.0.11", True),
        ("192.168.7.9", True),
        ("192.168.8.9", False),
        ("::ffff:192.168.8.9", False),
        ("2001:db8::5", True),
        ("2001:db8::6", False),
        ("fe80::1%eth0", False),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::ffff:127.0.0.1", True),
        ("::1", True),
        ("::", False),
        ("0.0.0.0", False),  # noqa: S104 - nobody binds here
    ],
)
def test_only_members_balancers_and_this_host_are_answered(address: str, welcome: bool) -> None:
    allowed = Allowed(["10.77.0.21", "10.77.0.11/32", "192.168.7.0/24", "2001:db8::5"])
    assert (address in allowed) == welcome


class EndedError(Exception):
    """A test's server is told to end."""


@contextmanager
def serving(allowed: Container[str], between: Callable[[], None] = lambda: None) -> Iterator[int]:
    """A server on loopback; its port. `between` is called whenever it has handled what had come."""
    ending = threading.Event()

    def tick() -> None:
        between()
        if ending.is_set():
            raise EndedError

    def run(server: Server) -> None:
        with suppress(EndedError):
            server.serve(tick)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server([listener], allowed, lambda path: Answer(status=200, text=f"asked for {path}"))
        thread = threading.Thread(target=run, args=(server,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ending.set()
            thread.join()


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


def hear(connection: socket.socket) -> bytes:
    """Ask, and take the whole answer."""
    said = b""
    with suppress(ConnectionError):
        connection.sendall(b"GET /it HTTP/1.0\r\n\r\n")
        while more := connection.recv(4096):
            said += more
    return said


def ask(port: int) -> bytes:
    with connect(port) as connection:
        return hear(connection)


def test_others_are_not_even_told_no() -> None:
    with serving(set()) as port:
        assert ask(port) == b""
    with serving({"127.0.0.1"}) as port:
        assert ask(port).endswith(b"\r\n\r\nasked for /it\n")


MORE = 20
"""Clients beyond those that it takes."""


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is closed for being slow."""
    monkeypatch.setattr(serving_module, "PATIENCE", 300.0)


def flood(port: int, stack: ExitStack, source: str) -> list[socket.socket]:
    return [stack.enter_context(connect(port, source)) for _ in range(CLIENTS + MORE)]


@pytest.mark.usefixtures("patient")
def test_of_more_clients_than_it_takes_the_oldest_go() -> None:
    with serving({"127.0.0.1"}) as port, ExitStack() as stack:
        silent = flood(port, stack, "127.0.0.1")
        assert ask(port).endswith(b"asked for /it\n")
        assert [one.recv(1) for one in silent[: MORE + 1]] == [b""] * (MORE + 1)
        for one in silent[MORE + 1 :]:
            assert hear(one).endswith(b"asked for /it\n")


@pytest.mark.usefixtures("patient")
def test_who_floods_it_is_in_nobody_elses_way() -> None:
    with serving({"127.0.0.1", "127.0.0.2"}) as port, ExitStack() as stack:
        early = stack.enter_context(connect(port))
        flood(port, stack, "127.0.0.2")
        late = stack.enter_context(connect(port))
        flood(port, stack, "127.0.0.2")
        assert hear(early).endswith(b"asked for /it\n")
        assert hear(late).endswith(b"asked for /it\n")
        assert ask(port).endswith(b"asked for /it\n")


@pytest.mark.usefixtures("patient")
def test_who_asks_and_has_to_go_at_the_same_moment_is_no_harm() -> None:
    going, waiting = threading.Event(), threading.Event()
    going.set()

    def between() -> None:
        if not going.is_set():
            waiting.set()
            assert going.wait(20)

    with serving({"127.0.0.1"}, between) as port, ExitStack() as stack:
        clients = flood(port, stack, "127.0.0.1")
        assert clients[MORE - 1].recv(1) == b""  # all others are known to it by now
        going.clear()
        clients[-1].sendall(b"GET")
        assert waiting.wait(20)
        late = stack.enter_context(connect(port))
        clients[MORE].sendall(b"GET /it HTTP/1.0\r\n\r\n")
        going.set()
        assert hear(late).endswith(b"asked for /it\n")


def test_who_says_nothing_is_closed() -> None:
    with serving({"127.0.0.1"}) as port, connect(port) as silent:
        assert silent.recv(1) == b""


def test_the_library_has_what_the_agent_is_not_sent() -> None:
    files = {*sources(), *network_sources()}
    for name in RESIDENT_ONLY:
        assert name.endswith("/library") or f"hakit/agent/{name}.py" in files


def test_what_the_agent_is_sent_needs_nothing_that_it_is_not() -> None:
    names = zlib.decompress(bundle().compressed).decode().split("\0")
    sent = dict(zip(names[::2], names[1::2], strict=True))
    unsent = {f"hakit.agent.{name.replace('/', '.')}" for name in RESIDENT_ONLY}
    assert not unsent & sent.keys()
    assert "hakit.agent.postgres.guard" in sent
    for name, text in sent.items():
        imported = {
            f"{node.module}.{one.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom)
            for one in node.names
        }
        assert not {one for one in imported if one in unsent or one.rpartition(".")[0] in unsent}, name
