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
from hakit.agent.postgres.endpoint import Answer
from hakit.agent.postgres.library import sources
from hakit.agent.postgres.serving import CLIENTS, Allowed, Server

if TYPE_CHECKING:
    from collections.abc import Container, Iterator


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
def serving(allowed: Container[str]) -> Iterator[int]:
    """A server on loopback; its port."""
    ending = threading.Event()

    def tick() -> None:
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


def ask(port: int) -> bytes:
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, suppress(ConnectionResetError):
        connection.sendall(b"GET /it HTTP/1.0\r\n\r\n")
        while more := connection.recv(4096):
            said += more
    return said


def test_others_are_not_even_told_no() -> None:
    with serving(set()) as port:
        assert ask(port) == b""
    with serving({"127.0.0.1"}) as port:
        assert ask(port).endswith(b"\r\n\r\nasked for /it\n")


def test_more_clients_than_it_takes_wait_for_their_turn() -> None:
    with serving({"127.0.0.1"}) as port, ExitStack() as stack:
        for _ in range(CLIENTS + 20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        assert ask(port).endswith(b"asked for /it\n")  # once the silent ones have had their time


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
