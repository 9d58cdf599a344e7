"""Hosts behind jump hosts, each a real OpenSSH server."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hakit.errors import ConnectError, HostKeyError, LoginError
from hakit.ssh import Connector, Options, Target
from hakit.ssh.proxy import as_jump
from tests.unit.ssh.sshd import Sshd, free_port, keygen, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("outer", "middle", "inner", "web1")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    folder = tmp_path_factory.mktemp("jumps")
    with (
        running(folder / "outer", ("ed25519",)) as outer,
        running(folder / "middle", ("ed25519",)) as middle,
        running(folder / "inner", ("ed25519",)) as inner,
        running(folder / "web1", ("ed25519",)) as web1,
    ):
        found = dict(zip(NAMES, (outer, middle, inner, web1), strict=True))
        for one in found.values():
            one.authorize(outer.client_key)
        yield found


@pytest.fixture
def options(servers: dict[str, Sshd]) -> Options:
    known = tuple(one.known_hosts for one in servers.values())
    return Options(known_hosts=known, identity_files=(servers["outer"].client_key,), connect_timeout=5)


@pytest.fixture
def targets(servers: dict[str, Sshd]) -> dict[str, Target]:
    return {name: Target(name, "127.0.0.1", port=one.port) for name, one in servers.items()}


def chained(targets: dict[str, Target], *jumps: str) -> Target:
    return replace(targets["web1"], jump=tuple(targets[name] for name in jumps))


@pytest.mark.parametrize("jumps", [("outer",), ("outer", "middle"), ("outer", "middle", "inner")])
def test_a_chain_is_walked(
    servers: dict[str, Sshd], options: Options, targets: dict[str, Target], jumps: tuple[str, ...]
) -> None:
    before = {name: servers[name].log().count("Accepted publickey") for name in NAMES}
    dialled: list[int] = []

    def dial(host: str, port: int, timeout: float) -> socket.socket:
        dialled.append(port)
        return socket.create_connection((host, port), timeout)

    with Connector(replace(options, dial=dial)) as connector:
        connection = connector.connect(chained(targets, *jumps))
        data = os.urandom(3_000_000)
        assert connection.run("cat", 30, data).stdout == data
    assert dialled == [servers["outer"].port]
    after = {name: servers[name].log().count("Accepted publickey") - before[name] for name in NAMES}
    assert after == {name: int(name in (*jumps, "web1")) for name in NAMES}


def test_a_jump_host_is_logged_in_on_once_for_all_behind_it(
    servers: dict[str, Sshd], options: Options, targets: dict[str, Target]
) -> None:
    before = servers["outer"].log().count("Accepted publickey")
    one = chained(targets, "outer")
    with Connector(options) as connector, ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda number: connector.connect(replace(one, name=f"web{number}")), range(20)))
        assert {connection.run("echo hi", 10).stdout for connection in found} == {b"hi\n"}
    assert servers["outer"].log().count("Accepted publickey") == before + 1


@pytest.mark.parametrize(
    "text",
    [
        "Host web1\n ProxyJump middle\nHost middle\n ProxyJump outer\n",
        "Host web1\n ProxyJump outer,middle\n",
        "Host web1\n ProxyCommand ssh -q -W %h:%p middle\nHost middle\n ProxyCommand exec ssh -W [%h]:%p outer\n",
        "Host web1 middle\n ProxyJump outer,middle\n",
    ],
)
def test_ssh_config_names_the_chain(servers: dict[str, Sshd], options: Options, tmp_path: Path, text: str) -> None:
    config = tmp_path / "config"
    ports = "".join(f"Host {name}\n Port {one.port}\n" for name, one in servers.items())
    config.write_text(f"{text}{ports}Host *\n HostName 127.0.0.1\n")
    with Connector(replace(options, config=config)) as connector:
        target = Target("web1", "web1")
        assert [hop.name for hop in connector.jumps(target)] == ["outer", "middle"]
        assert connector.connect(target).run("echo $SSH_CONNECTION", 10).exit == 0


def test_a_jump_host_that_all_hosts_name_is_reached_directly(options: Options, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n ProxyJump a,b\n")
    with Connector(replace(options, config=config)) as connector:
        assert [[hop.name for hop in connector.jumps(Target(name, name))] for name in ("a", "b", "c")] == [
            [],
            ["a"],
            ["a", "b"],
        ]


def test_no_jump_is_an_answer_too(options: Options, targets: dict[str, Target], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("ProxyJump nowhere.invalid\n")
    with Connector(replace(options, config=config)) as connector:
        assert connector.connect(replace(targets["web1"], jump=())).alive


def test_a_circle_is_one_clear_error(options: Options, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a\n ProxyJump b\nHost b\n ProxyJump c\nHost c\n ProxyJump a\n")
    with pytest.raises(ConnectError, match="a: its jump hosts go round in a circle: a → b → c → a"):
        Connector(replace(options, config=config)).connect(Target("a", "a"))


def failure(options: Options, target: Target) -> ConnectError:
    with Connector(options, inventory="inv") as connector, pytest.raises(ConnectError) as caught:
        connector.connect(target)
    return caught.value


def test_a_jump_host_that_fails_is_named_as_such(options: Options, targets: dict[str, Target]) -> None:
    targets["outer"] = replace(targets["outer"], port=free_port())
    error = failure(options, chained(targets, "outer"))
    assert error.message.startswith("outer (jump to web1): 127.0.0.1:")
    assert error.message.endswith("connection refused")
    assert error.hint


def test_the_second_jump_host_that_fails_is_named(options: Options, targets: dict[str, Target]) -> None:
    targets["middle"] = replace(targets["middle"], user="nobody-here")
    error = failure(options, chained(targets, "outer", "middle"))
    assert isinstance(error, LoginError)
    assert error.message == "middle (jump to web1): nobody-here can't log in"


def test_a_failed_jump_host_is_not_tried_for_every_host(options: Options, targets: dict[str, Target]) -> None:
    dialled: list[int] = []

    def dial(host: str, port: int, timeout: float) -> socket.socket:
        del host, timeout
        dialled.append(port)
        raise ConnectionRefusedError(111, "refused")

    with Connector(replace(options, dial=dial)) as connector:
        for name in ("web1", "web2", "web3"):
            with pytest.raises(ConnectError, match=rf"outer \(jump to {name}\)"):
                connector.connect(replace(chained(targets, "outer"), name=name))
    assert len(dialled) == 1


@pytest.mark.parametrize(
    ("unknown", "named"),
    [("outer", "outer (jump to web1)"), ("middle", "middle (jump to web1)"), ("web1", "web1")],
)
def test_host_keys_are_checked_at_each_hop(
    servers: dict[str, Sshd], options: Options, targets: dict[str, Target], unknown: str, named: str
) -> None:
    known = tuple(one.known_hosts for name, one in servers.items() if name != unknown)
    error = failure(replace(options, known_hosts=known), chained(targets, "outer", "middle"))
    assert isinstance(error, HostKeyError)
    assert error.message.startswith(f"{named}: the host key is unknown: ED25519 ")
    assert (error.hint or "").endswith("hakit trust -i inv --limit web1")


def test_a_target_that_refuses_behind_a_jump_host(options: Options, targets: dict[str, Target]) -> None:
    error = failure(options, replace(chained(targets, "outer"), port=free_port()))
    assert error.message.startswith("web1: 127.0.0.1:")
    assert error.message.endswith("connection refused")
    assert "Seen from outer" in (error.why or "")


def test_a_name_is_looked_up_on_the_jump_host(options: Options, targets: dict[str, Target]) -> None:
    error = failure(options, replace(chained(targets, "outer"), host="no-such-host.invalid"))
    assert "web1: " in error.message
    assert "outer" in error.message


def test_a_target_that_says_nothing_behind_a_jump_host(options: Options, targets: dict[str, Target]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = replace(chained(targets, "outer"), port=silent.getsockname()[1])
        error = failure(replace(options, connect_timeout=1.5), target)
    assert "accepts the connection and then says nothing" in error.message


def test_a_jump_host_that_does_not_forward(options: Options, targets: dict[str, Target], tmp_path: Path) -> None:
    with running(tmp_path / "strict", ("ed25519",), AllowTcpForwarding="no") as strict:
        hop = Target("strict", "127.0.0.1", port=strict.port, key_file=str(strict.client_key))
        error = failure(replace(options, known_hosts=(strict.known_hosts,)), replace(targets["web1"], jump=(hop,)))
    assert error.message == "strict (jump to web1): does not forward connections"
    assert "AllowTcpForwarding" in (error.hint or "")


def test_a_jump_host_that_dies_is_named_by_the_hosts_behind_it(options: Options, targets: dict[str, Target]) -> None:
    with Connector(options) as connector:
        connection = connector.connect(chained(targets, "outer"))
        outer = connector.connect(targets["outer"])
        jump_session = next(one for one in connector._open if one.target.name == "outer" and one is not outer)
        parent = int(outer.run("cat /proc/$PPID/status | sed -n 's/^PPid:.//p'", 10).stdout)
        channel = connection.exec("cat")
        for process in children(parent):
            os.kill(process, signal.SIGKILL)
        wait_for(lambda: not jump_session.alive, "the loss of the jump host")
        with pytest.raises(ConnectError, match="web1: the connection was lost") as caught:
            channel.recv(1, 10)
        assert "outer" in (caught.value.why or "")
        assert connector.connect(replace(chained(targets, "outer"), name="web2")).alive


def children(parent: int) -> list[int]:
    with open(f"/proc/{parent}/task/{parent}/children") as listing:  # noqa: PTH123 - of the kernel
        return [int(one) for one in listing.read().split()]


def test_closing_is_quick_with_jump_hosts(options: Options, targets: dict[str, Target]) -> None:
    connector = Connector(options)
    for number in range(5):
        connector.connect(replace(chained(targets, "outer", "middle"), name=f"web{number}"))
    started = time.monotonic()
    connector.close()
    assert time.monotonic() - started < 3
    assert not connector._open


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ssh -W %h:%p gate", Target("gate", "gate")),
        ("/usr/bin/ssh -q -W '[%h]:%p' -p 2222 me@gate", Target("gate", "gate", user="me", port=2222)),
        ("exec ssh gate -l you -i ~/.ssh/k -W%h:%p", Target("gate", "gate", user="you", key_file="~/.ssh/k")),
        ("ssh -J a,b -W %h:%p c", Target("c", "c", jump=(Target("a", "a"), Target("b", "b")))),
        ("ssh -o StrictHostKeyChecking=no -W %h:%p gate", None),
        ("ssh gate nc %h %p", None),
        ("nc -x proxy %h %p", None),
        ("ssh -W %h:%p", None),
        ("ssh -W", None),
        ("ssh 'gate", None),
        ("", None),
    ],
)
def test_the_common_proxy_command_is_a_jump(command: str, expected: Target | None) -> None:
    assert as_jump(command) == expected


def test_other_proxy_commands_carry_the_bytes(
    servers: dict[str, Sshd], options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    key, known = servers["outer"].client_key, servers["outer"].known_hosts
    config = tmp_path / "config"
    config.write_text(
        f"Host web1\n HostName 127.0.0.1\n Port {servers['web1'].port}\n ProxyCommand ssh -F none -i {key} "
        f"-o UserKnownHostsFile={known} -p {servers['outer'].port} -W %h:%p 127.0.0.1\n"
    )
    with Connector(replace(options, config=config)) as connector:
        connection = connector.connect(Target("web1", "web1"))
        data = os.urandom(1_000_000)
        assert connection.run("cat", 30, data).stdout == data
        (process,) = [one for one in children(os.getpid()) if command_of(one).startswith("ssh -F none")]
    wait_for(lambda: process not in children(os.getpid()), "the command to end")


def command_of(process: int) -> str:
    with open(f"/proc/{process}/cmdline", "rb") as line:  # noqa: PTH123 - of the kernel
        return line.read().replace(b"\0", b" ").decode()


def test_what_a_proxy_command_says_is_told(options: Options, targets: dict[str, Target]) -> None:
    command = r"printf 'first\nno \033[31mroute\n' >&2; exit 3"
    error = failure(options, replace(targets["web1"], proxy_command=f"sh -c {command!r}"))
    assert "web1: 127.0.0.1:" in error.message
    assert error.message.endswith("its ProxyCommand leads nowhere")
    assert error.why == "It says 'no [31mroute'."


def test_a_proxy_command_is_given_the_tokens(options: Options, targets: dict[str, Target]) -> None:
    target = replace(targets["web1"], user="me", proxy_command="sh -c 'echo %h %p %r %n 100%% >&2'")
    assert f"127.0.0.1 {target.port} me 127.0.0.1 100%" in (failure(options, target).why or "")


def test_a_proxy_command_that_hangs_is_given_up(options: Options, targets: dict[str, Target]) -> None:
    before = set(children(os.getpid()))
    started = time.monotonic()
    error = failure(replace(options, connect_timeout=1), replace(targets["web1"], proxy_command="sleep 600"))
    assert time.monotonic() - started < 5
    assert "says nothing" in error.message
    wait_for(lambda: set(children(os.getpid())) <= before, "the command to end")


def test_a_proxy_command_does_not_run_inside_a_lab(options: Options, targets: dict[str, Target]) -> None:
    def dial(host: str, port: int, timeout: float) -> socket.socket:
        raise AssertionError((host, port, timeout))

    error = failure(replace(options, dial=dial), replace(targets["web1"], proxy_command="nc %h %p"))
    assert "ProxyCommand, which can't run inside a lab" in error.message


def test_a_stranger_before_the_jump_host_is_refused(
    servers: dict[str, Sshd], options: Options, targets: dict[str, Target], tmp_path: Path
) -> None:
    known = tmp_path / "known"
    public = " ".join(keygen(tmp_path / "other").with_suffix(".pub").read_text().split()[:2])
    known.write_text(f"[127.0.0.1]:{servers['outer'].port} {public}\n")
    error = failure(replace(options, pinned=known), chained(targets, "outer"))
    assert error.message.startswith("outer (jump to web1): THE HOST KEY HAS CHANGED")
    assert "--replace outer" in (error.hint or "")
