"""A command on a host in the user's own pipe, against a real OpenSSH server."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from hakit.ssh import Connector, Options, Target
from hakit.ssh.terminal import relay
from tests.unit.ssh.sshd import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hakit.ssh import Connection


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with running(tmp_path / "sshd", kinds=("ed25519",)) as server:
        options = Options(known_hosts=(server.known_hosts,), identity_files=(server.client_key,))
        with Connector(options) as connector:
            yield connector.connect(Target("web1", "127.0.0.1", port=server.port))


def test_both_streams_and_the_exit_code_pass(connection: Connection, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert relay(connection, "cat; echo oops >&2; exit 3", b"fed\xff") == 3
    assert tuple(capfdbinary.readouterr()) == (b"fed\xff", b"oops\n")


def test_more_than_any_buffer_holds_passes(connection: Connection, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    data = os.urandom(5_000_000)
    assert relay(connection, "head -c 3000000 /dev/zero >&2; cat", data) == 0
    out, err = capfdbinary.readouterr()
    assert out == data
    assert err == bytes(3_000_000)


def test_a_pipe_is_read_as_it_comes(connection: Connection, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\n")

    def go_on() -> None:
        os.write(writing, b"two\n")
        os.close(writing)

    timer = threading.Timer(0.3, go_on)
    timer.start()
    with os.fdopen(reading, "rb") as source:
        assert relay(connection, "read line; echo $line; cat", source) == 0
    timer.join()
    assert capfdbinary.readouterr().out == b"one\ntwo\n"


def test_a_command_need_not_read(connection: Connection) -> None:
    assert relay(connection, "exit 7", os.urandom(5_000_000)) == 7


def test_a_command_ended_by_a_signal_did_not_succeed(connection: Connection) -> None:
    assert relay(connection, "kill -9 $$", b"") == 1
