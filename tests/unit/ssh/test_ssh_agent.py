"""With a real ssh-agent, and with sockets that only look like one."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LoginError
from hakit.ssh import Connector, Options, Target
from hakit.ssh.agent import Agent
from hakit.ssh.keys import KeyRing, Offers
from tests.unit.ssh.sshd import Sshd, keygen, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd"), kinds=("ed25519",)) as server:
        yield server


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    wait_for(path.exists, "ssh-agent")
    yield path
    process.terminate()
    process.wait(10)


def add(agent: Path, key: Path) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment)


def encrypt(key: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "some words", "-f", str(key)], check=True)


@pytest.fixture
def target(sshd: Sshd) -> Target:
    return Target("web1", "127.0.0.1", port=sshd.port)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_in_the_agent_lets_us_in(sshd: Sshd, agent: Path, target: Target, tmp_path: Path, *, kind: str) -> None:
    key = keygen(tmp_path / "key", kind)
    sshd.authorize(key)
    add(agent, key)
    key.unlink()
    with Connector(Options(known_hosts=(sshd.known_hosts,), agent=str(agent))) as connector:
        assert connector.connect(target).alive


def test_an_encrypted_key_file_is_used_through_the_agent_that_holds_it(
    sshd: Sshd, agent: Path, target: Target, tmp_path: Path
) -> None:
    for number in range(6):  # more than sshd allows to be tried
        add(agent, keygen(tmp_path / f"other{number}"))
    key = keygen(tmp_path / "key")
    sshd.authorize(key)
    add(agent, key)
    encrypt(key)
    options = Options(known_hosts=(sshd.known_hosts,), agent=str(agent), identity_files=(key,))
    with Connector(options) as connector:
        assert connector.connect(target).alive


def test_the_agent_is_not_asked_when_a_named_file_works(sshd: Sshd, target: Target, tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)  # noqa: FBT003 - the socket module takes it so
        options = Options(known_hosts=(sshd.known_hosts,), agent=str(path), identity_files=(sshd.client_key,))
        with Connector(options) as connector:
            assert connector.connect(target).alive
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("name", ["none.sock", "file"])
def test_an_agent_that_is_gone_holds_no_keys(sshd: Sshd, target: Target, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    options = Options(known_hosts=(sshd.known_hosts,), agent=str(tmp_path / name), identity_files=(tmp_path / "x",))
    with pytest.raises(LoginError, match="can't log in"):
        Connector(options).connect(target)


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\1\5", b"\xff\xff\xff\xff", b"\0\0\0\5\x0c\0\0\0\1", b"\0\0\0\0"])
def test_an_agent_that_speaks_nonsense_holds_no_keys(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(100)
            client.sendall(answer)
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        assert Agent(str(path)).identities() == ()
        thread.join()


def test_one_agent_serves_many_threads(sshd: Sshd, agent: Path, target: Target, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key")
    sshd.authorize(key)
    add(agent, key)
    errors: list[Exception] = []
    with Connector(Options(known_hosts=(sshd.known_hosts,), agent=str(agent))) as connector:

        def connect(number: int) -> None:
            try:
                connector.connect(replace(target, name=f"web{number}"))
            except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
                errors.append(error)

        threads = [threading.Thread(target=connect, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.parametrize(
    ("only", "named", "labels"),
    [
        (False, True, ["named", "agent-a", "agent-b"]),
        (True, True, ["named"]),
        (False, False, ["agent-a", "agent-b", "default"]),
    ],
)
def test_keys_are_offered_in_openssh_s_order(
    agent: Path, tmp_path: Path, *, only: bool, named: bool, labels: list[str]
) -> None:
    for name in ("agent-a", "agent-b"):
        add(agent, keygen(tmp_path / name))
    file, default = keygen(tmp_path / "named"), keygen(tmp_path / "default")
    offers = Offers(KeyRing(), (file,) if named else (), str(agent), () if named else (default,), only=only)
    assert [Path(offer.label.removesuffix(" of the agent")).name for offer in offers] == labels


def test_identitiesonly_keeps_the_agents_other_keys_out(agent: Path, tmp_path: Path) -> None:
    key = keygen(tmp_path / "named")
    for one in (keygen(tmp_path / "other"), key):
        add(agent, one)
    encrypt(key)
    offers = Offers(KeyRing(), (key,), str(agent), (), only=True)
    assert [offer.label for offer in offers] == ["named of the agent"]
