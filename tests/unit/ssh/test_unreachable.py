"""Hosts that are off, deaf, dumb or something else."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL

from hakit.errors import ConnectError, LabError, LoginError
from hakit.ssh import Connector, Options, Target, connection
from hakit.ssh.known_hosts import KnownHosts, PublicKey
from tests.unit.ssh.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPTIONS = Options(connect_timeout=0.8)


def attempt(port: int, host: str = "127.0.0.1", options: Options = OPTIONS, name: str = "db1") -> ConnectError:
    started = time.monotonic()
    with pytest.raises(ConnectError) as caught:
        Connector(options).connect(Target(name, host, port=port))
    assert time.monotonic() - started < options.connect_timeout + 5
    assert caught.value.message.startswith(f"{name}: ")
    assert caught.value.hint
    return caught.value


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that lets `talk` speak to each client, and keeps the connection until the test ends."""
    done = threading.Event()
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            while not done.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                kept.append(client)
                talk(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        done.set()
        thread.join()
    for client in kept:
        client.close()


def test_a_port_that_refuses() -> None:
    assert "connection refused" in attempt(free_port()).message


def test_a_host_that_drops_packets() -> None:
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (one, two):
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())
        error = attempt(full.getsockname()[1])
    assert "no answer within 0.8 s" in error.message
    assert "a firewall drops the packets" in (error.why or "")


def test_a_server_that_says_nothing() -> None:
    with server(lambda _: None) as port:
        assert "accepts the connection and then says nothing" in attempt(port).message


def test_a_server_that_drips_lines_and_no_banner() -> None:
    def drip(client: socket.socket) -> None:
        for _ in range(150):
            try:
                client.sendall(b"please wait\r\n")
            except OSError:
                return
            time.sleep(0.1)

    with server(drip) as port:
        assert "says nothing" in attempt(port).message


def test_a_server_that_closes_at_once() -> None:
    with server(lambda client: client.close()) as port:
        error = attempt(port)
    assert "closed the connection before saying who it is" in error.message
    assert "MaxStartups" in (error.why or "")


def test_a_server_that_is_none_of_ssh() -> None:
    with server(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 101)) as port:
        assert "what listens there is no SSH server" in attempt(port).message


def test_a_web_server() -> None:
    def answer(client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: \x1b[31mred\r\nContent-Length: 0\r\n\r\n")
        client.close()

    with server(answer) as port:
        error = attempt(port)
    assert "what listens there is no SSH server" in error.message
    assert error.why == "It says 'HTTP/1.1 400 Bad Request'."
    assert "\x1b" not in error.text()


def test_what_sshd_says_when_it_refuses_is_told() -> None:
    def refuse(client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(b"Not allowed at this time\r\n")
        client.close()

    with server(refuse) as port:
        error = attempt(port)
    assert "closed the connection before saying who it is" in error.message
    assert error.why == "It says 'Not allowed at this time'."


def test_a_server_that_stops_after_its_banner() -> None:
    with server(lambda client: client.sendall(b"SSH-2.0-Hung_\x1b[31m1.0\r\n")) as port:
        error = attempt(port)
    assert "hangs while keys are exchanged" in error.message
    assert "\x1b" not in error.text()


def test_a_server_that_speaks_nonsense_after_its_banner() -> None:
    with server(lambda client: client.sendall(b"SSH-2.0-X\r\n" + b"\xff" * 64)) as port:
        assert "the key exchange failed" in attempt(port).message


def test_a_server_that_hangs_at_the_login(tmp_path: Path) -> None:
    host_key = paramiko.ECDSAKey.generate()
    stop = threading.Event()
    transports: list[paramiko.Transport] = []

    class Hanging(paramiko.ServerInterface):
        def get_allowed_auths(self, username: str) -> str:
            del username
            return "publickey"

        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            del username, key
            stop.wait(10)
            return AUTH_FAILED

    def talk(client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        transport.add_server_key(host_key)
        transport.start_server(threading.Event(), Hanging())
        transports.append(transport)

    client_key = tmp_path / "key"
    paramiko.ECDSAKey.generate().write_private_key_file(str(client_key))
    with server(talk) as port:
        known = tmp_path / "known_hosts"
        known.write_text(PublicKey(host_key.get_name(), host_key.asbytes()).line(f"[127.0.0.1]:{port}") + "\n")
        assert KnownHosts([known]).types((f"[127.0.0.1]:{port}",))
        options = Options(known_hosts=(known,), identity_files=(client_key,), connect_timeout=1.5)
        error = attempt(port, options=options)
        stop.set()
    for transport in transports:
        transport.close()
    assert isinstance(error, LoginError)
    assert "hangs while" in error.message


class Mute(paramiko.Transport):
    """A server that lets everybody in, answers signs of life and opens no channel."""

    def _parse_channel_open(self, message: paramiko.Message) -> None:
        """Say nothing."""


class Welcoming(paramiko.ServerInterface):
    def check_auth_none(self, username: str) -> int:
        del username
        return AUTH_SUCCESSFUL


def test_a_server_that_opens_no_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_STARTING", 1.0)
    host_key = paramiko.ECDSAKey.generate()
    transports: list[paramiko.Transport] = []

    def talk(client: socket.socket) -> None:
        transport = Mute(client)
        transport.add_server_key(host_key)
        transport.start_server(threading.Event(), Welcoming())
        transports.append(transport)

    with server(talk) as port:
        known = tmp_path / "known_hosts"
        known.write_text(PublicKey(host_key.get_name(), host_key.asbytes()).line(f"[127.0.0.1]:{port}") + "\n")
        found = Options(known_hosts=(known,), keepalive=0.2, keepalive_count=1, identity_files=(tmp_path / "none",))
        with Connector(found) as connector:
            reached = connector.connect(Target("db1", "127.0.0.1", user="me", port=port))
            with pytest.raises(
                ConnectError, match="db1: sshd lets me in and then starts no command within 1 s"
            ) as told:
                reached.exec("true")
            assert told.value.hint
    for transport in transports:
        transport.close()


def test_a_name_that_no_one_knows() -> None:
    error = attempt(22, host="no-such-host.invalid")
    assert "no such name" in error.message
    assert "ansible_host" in (error.hint or "")


@pytest.mark.parametrize("host", ["a" * 70, "bad..name", ""])
def test_a_name_that_can_be_none(host: str) -> None:
    assert attempt(22, host=host)


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()
    original = socket.getaddrinfo

    def slow(*args: object, **kwargs: object) -> object:
        if kwargs.get("flags") == socket.AI_NUMERICHOST:
            return original(*args, **kwargs)  # type: ignore[arg-type] # handed through
        hung.wait(10)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        assert "no answer within" in attempt(22, host="slow.example").message
    finally:
        hung.set()


def test_the_second_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(lambda client: client.close()) as port:
        addresses = [("127.0.0.1", free_port()), ("127.0.0.1", port)]
        infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
        assert "before saying who it is" in attempt(port, host="two.example").message


def test_a_dialer_opens_the_sockets_and_its_errors_are_told() -> None:
    asked: list[tuple[str, int]] = []

    def dial(host: str, port: int, timeout: float) -> socket.socket:
        assert 0 < timeout <= 1
        asked.append((host, port))
        raise OSError(113, "No route to host")

    error = attempt(22, host="10.77.0.11", options=Options(dial=dial, connect_timeout=1))
    assert asked == [("10.77.0.11", 22)]
    assert "db1: 10.77.0.11: no route to the host" in error.message


def test_what_a_lab_says_of_itself_is_passed_on() -> None:
    def dial(host: str, port: int, timeout: float) -> socket.socket:
        raise LabError(f"the lab is down {host} {port} {timeout}")

    with pytest.raises(LabError, match="the lab is down"):
        Connector(Options(dial=dial)).connect(Target("db1", "10.77.0.11"))
