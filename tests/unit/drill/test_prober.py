"""The measuring client, against a server on loopback that misbehaves on purpose."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from hakit.drill.prober import Prober, Probing
from hakit.errors import HakitError

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = b"HTTP/1.0 200 OK\r\n\r\none\n"


class Server:
    """Answers what it is told to; None: leaves the client without an answer."""

    def __init__(self) -> None:
        self.answer: bytes | None = GOOD
        self.kept: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            answer = self.answer  # it changes meanwhile
            if answer is None:
                self.kept.append(client)
                continue
            with client, suppress(ConnectionError):  # who asks gives up after 0.3 s
                client.recv(4096)
                client.sendall(answer)


@contextmanager
def server() -> Iterator[Server]:
    one = Server()
    thread = threading.Thread(target=one.serve, daemon=True)
    thread.start()
    yield one
    one.listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for left in (one.listener, *one.kept):
        left.close()


def probe(one: Server, *steps: tuple[float, bytes | None]) -> Probing:
    """Ask while the server's answer changes: (seconds, answer from then on)."""
    with Prober([], "127.0.0.1", one.port) as prober:
        for seconds, answer in steps:
            prober.run_for(seconds)
            one.answer = answer
        prober.run_for(0.4)
        return prober.stop()


def test_a_steady_service_has_no_gap() -> None:
    with server() as one:
        seen = probe(one, (0.6, GOOD))
    assert seen.failures == ()
    assert {text for _, text in seen.successes} == {"one"}
    assert len(seen.successes) >= 10
    assert seen.longest_gap < 0.2
    assert seen.ended_well


def test_a_pause_is_measured() -> None:
    with server() as one:
        began = time.monotonic()
        seen = probe(one, (0.3, None), (0.6, GOOD))
        lasted = time.monotonic() - began
    assert 0.55 <= seen.longest_gap <= lasted
    assert {text for _, text in seen.failures} == {"timeout"}
    assert seen.ended_well


def test_a_service_that_never_comes_back_is_one_long_gap() -> None:
    with server() as one:
        seen = probe(one, (0.2, None), (0.6, None))
    assert seen.longest_gap > 0.9
    assert not seen.ended_well


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "HTTP/1.0 503 Service Unavailable"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\none", "answer cut short"),
        (b"", "closed without an answer"),
    ],
)
def test_a_wrong_answer_is_a_failure(answer: bytes, reason: str) -> None:
    with server() as one:
        seen = probe(one, (0.2, answer), (0.2, GOOD))
    assert {text for _, text in seen.failures} == {reason}


def test_a_client_that_can_not_run_is_an_error() -> None:
    with pytest.raises(HakitError, match="ended before"), Prober(["false"], "127.0.0.1"):
        pass
