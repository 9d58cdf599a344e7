"""Against a real OpenSSH server."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.client import Client
from hakit.agent.starting import AgentGone
from hakit.errors import ConnectError, HostKeyError, LoginError
from hakit.ssh import Connector, Options, Target
from hakit.ssh.dial import direct
from hakit.ssh.wire import Transport
from tests.unit.ssh.sshd import Sshd, keygen, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.ssh import Connection
    from hakit.ssh.connection import ExecChannel


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def options(sshd: Sshd) -> Options:
    return Options(known_hosts=(sshd.known_hosts,), identity_files=(sshd.client_key,))


@pytest.fixture
def target(sshd: Sshd) -> Target:
    return Target("web1", "127.0.0.1", port=sshd.port)


@pytest.fixture
def connection(options: Options, target: Target) -> Iterator[Connection]:
    with Connector(options) as connector:
        yield connector.connect(target)


def test_a_command_runs_and_its_end_is_known(connection: Connection) -> None:
    done = connection.run("cat; echo oops >&2; exit 3", 10, b"fed")
    assert (done.exit, done.stdout, done.stderr, done.truncated) == (3, b"fed", b"oops\n", False)


def test_a_command_killed_by_a_signal_has_no_exit_status(connection: Connection) -> None:
    assert connection.run("kill -9 $$", 10).exit == -1


def test_a_connection_lost_before_the_end_of_a_command_is_known_is_no_end(connection: Connection) -> None:
    output_has_ended = "exec >&- 2>&-; sleep 0.5"
    with pytest.raises(ConnectError, match="web1: the connection was lost"):
        connection.run(f"{output_has_ended}; kill -KILL $PPID", 20)


def test_output_beyond_the_limit_is_cut_and_said_so(connection: Connection) -> None:
    done = connection.run("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", 10, limit=1000)
    assert (len(done.stdout), len(done.stderr), done.truncated) == (1000, 64 * 1024, True)


def test_both_sides_may_talk_at_once_beyond_every_buffer(connection: Connection) -> None:
    data = os.urandom(5_000_000)
    done = connection.run("head -c 5000000 /dev/zero >&2; cat", 30, data)
    assert done.stdout == data


def test_a_command_that_does_not_end_is_given_up(connection: Connection) -> None:
    with pytest.raises(ConnectError, match=r"web1: a command did not end within 0.3 s"):
        connection.run("sleep 60", 0.3)
    assert connection.run("echo still here", 10).stdout == b"still here\n"


def test_a_channel_gives_bytes_as_they_come(connection: Connection) -> None:
    channel = connection.exec("cat; echo done >&2; exit 7")
    channel.send(b"one")
    assert channel.recv(100, 10) == b"one"
    with pytest.raises(TimeoutError):
        channel.recv(100, 0.05)
    assert channel.exit_status(0) is None
    channel.send(b"two")
    channel.finish()
    assert channel.recv(1, 10) + channel.recv(100, 10) == b"two"
    assert channel.recv(100, 10) == b""
    assert channel.exit_status(10) == 7
    assert channel.stderr_tail() == "done\n"
    channel.close()
    channel.close()


def test_sending_to_a_command_that_ended_says_so(connection: Connection) -> None:
    channel = connection.exec("true")
    assert channel.recv(1, 10) == b""
    assert channel.exit_status(10) == 0
    wait_for(lambda: channel._channel.closed, "the channel to close")
    with pytest.raises(BrokenPipeError, match="web1: the command has ended and takes no more data"):
        channel.send(b"x")


def test_a_shell_that_ends_before_the_agent_is_sent_is_explained(connection: Connection) -> None:
    def execute(_: str) -> ExecChannel:
        channel = connection.exec("echo 'sh: 1: /usr/bin/python3: not found' >&2; exit 127")
        wait_for(lambda: channel._channel.closed, "the channel to close")
        return channel

    with pytest.raises(AgentGone, match="python3"):
        Client.start(execute, sudo=False)


def test_a_command_may_end_without_reading_its_input(connection: Connection) -> None:
    done = connection.run("exec 0<&-; echo enough", 10, b"x" * 8_000_000)
    assert (done.exit, done.stdout) == (0, b"enough\n")


def test_many_commands_share_one_connection(sshd: Sshd, connection: Connection) -> None:
    before = sshd.log().count("Accepted publickey")
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda n: connection.run(f"echo {n}", 10).stdout, range(10))) == [
            b"%d\n" % n for n in range(10)
        ]
    assert sshd.log().count("Accepted publickey") == before


@pytest.mark.usefixtures("sleepy")
def test_closing_is_quick_and_may_be_done_twice(options: Options, target: Target) -> None:
    connector = Connector(options)
    connections = [connector.connect(target) for _ in range(5)]
    running = connections[0].exec("sleep 60")
    started = time.monotonic()
    connections[1].close()
    connector.close()
    connector.close()
    assert time.monotonic() - started < 5
    assert not any(connection.alive for connection in connections)
    with pytest.raises(ConnectError, match="web1: the connection was lost"):
        running.recv(1, 10)


@pytest.fixture
def sleepy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that look up by themselves only every minute, so that whoever waits for that is found out."""
    monkeypatch.setattr(Transport, "_active_check_timeout", 60.0)


@pytest.mark.usefixtures("sleepy")
def test_threads_end_with_their_connections(options: Options, target: Target) -> None:
    with Connector(options) as connector:
        for _ in range(5):
            connector.connect(target)
    running = [thread for thread in threading.enumerate() if "Transport" in repr(thread)]
    for thread in running:
        thread.join(10)
    assert not any(thread.is_alive() for thread in running)


def test_hosts_are_reached_in_parallel(options: Options, target: Target) -> None:
    with Connector(options) as connector, ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda n: connector.connect(replace(target, name=f"web{n}")), range(20)))
        assert [one.run("echo hi", 10).stdout for one in found] == [b"hi\n"] * 20


def test_an_unknown_key_is_refused_before_anything_is_said(sshd: Sshd, options: Options, target: Target) -> None:
    before = sshd.log().count("Accepted")
    with pytest.raises(HostKeyError) as caught:
        Connector(replace(options, known_hosts=()), inventory="my/inv").connect(target)
    assert "web1: the host key is unknown: ED25519 SHA256:" in caught.value.message
    assert "hakit trust -i my/inv --limit web1" in (caught.value.hint or "")
    assert sshd.log().count("Accepted") == before


def test_a_changed_key_is_refused_and_the_known_one_named(
    sshd: Sshd, options: Options, target: Target, tmp_path: Path
) -> None:
    other = keygen(tmp_path / "other")
    known = tmp_path / "known_hosts"
    blob = Path(f"{other}.pub").read_text().split()[1]
    known.write_text(f"# comment\n[127.0.0.1]:{sshd.port} ssh-ed25519 {blob}\n")
    with pytest.raises(HostKeyError) as caught:
        Connector(replace(options, known_hosts=(known, sshd.known_hosts))).connect(target)
    assert "web1: THE HOST KEY HAS CHANGED" in caught.value.message
    assert f"{known}:2" in (caught.value.why or "")


def test_a_revoked_key_is_refused(sshd: Sshd, options: Options, target: Target, tmp_path: Path) -> None:
    revoked = tmp_path / "known_hosts"
    revoked.write_text("".join(f"@revoked * {sshd.public(kind)}\n" for kind in sshd.keys))
    with pytest.raises(HostKeyError, match="REVOKED"):
        Connector(replace(options, known_hosts=(sshd.known_hosts, revoked))).connect(target)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_host_is_asked_for_the_key_that_is_known(
    sshd: Sshd, options: Options, target: Target, tmp_path: Path, kind: str
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {sshd.public('ed25519')}\n[127.0.*]:{sshd.port} {sshd.public(kind)}\n")
    with Connector(replace(options, known_hosts=(known,))) as connector:
        assert connector.connect(target).run("true", 10).exit == 0


def test_pinned_keys_come_before_the_users_own(sshd: Sshd, options: Options, target: Target, tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    blob = Path(f"{keygen(tmp_path / 'other')}.pub").read_text().split()[1]
    stale.write_text(f"[127.0.0.1]:{sshd.port} ssh-ed25519 {blob}\n")
    with Connector(replace(options, known_hosts=(stale,), pinned=sshd.known_hosts)) as connector:
        assert connector.connect(target).alive


def test_ssh_config_names_host_port_key_and_known_hosts(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "more").write_text(f"Host web1\n Port {sshd.port}\n IdentityFile {sshd.client_key}\n")
    config = tmp_path / "config"
    config.write_text(
        f"Include {tmp_path}/more\nHost web1\n HostName 127.0.0.1\n UserKnownHostsFile {sshd.known_hosts}\n"
    )
    with Connector(Options(config=config)) as connector:
        assert connector.connect(Target("w", "web1")).run("true", 10).exit == 0
        with pytest.raises(LoginError, match="w: nobody-here can't log in"):
            connector.connect(Target("w", "web1", user="nobody-here"))


def test_a_hostkeyalias_is_what_the_key_stands_under(
    sshd: Sshd, options: Options, target: Target, tmp_path: Path
) -> None:
    known, config = tmp_path / "known", tmp_path / "config"
    known.write_text(f"cluster {sshd.public('ed25519')}\n")
    config.write_text("HostKeyAlias cluster\n")
    with Connector(replace(options, known_hosts=(known,), config=config)) as connector:
        assert connector.connect(target).alive


def moved(options: Options, pinned: Path) -> Options:
    """The same host is met at every address."""
    return replace(options, pinned=pinned, dial=lambda _, port, timeout: direct("127.0.0.1", port, timeout))


def test_a_host_that_moves_must_show_the_key_of_its_old_address(
    sshd: Sshd, options: Options, target: Target, tmp_path: Path
) -> None:
    new = replace(target, host="127.0.0.2")
    options = moved(options, tmp_path / "pinned")
    with Connector(options) as connector:
        with pytest.raises(HostKeyError, match="unknown"):
            connector.connect(new)
        connection = connector.connect(replace(new, known_as=target.host))
        assert connection.run("echo here", 10).stdout == b"here\n"
        assert not (tmp_path / "pinned").exists()
        connection.pin()
        connection.pin()
        assert connector.connect(new).alive
    (line,) = (tmp_path / "pinned").read_text().splitlines()
    assert line.startswith(f"[127.0.0.2]:{sshd.port} ssh-ed25519 ")
    with Connector(options) as connector:
        connector.connect(new).pin()
    assert (tmp_path / "pinned").read_text() == f"{line}\n"


def test_a_stranger_at_the_new_address_is_not_let_through(
    sshd: Sshd, options: Options, target: Target, tmp_path: Path
) -> None:
    blob = Path(f"{keygen(tmp_path / 'other')}.pub").read_text().split()[1]
    known = tmp_path / "known"
    options = replace(moved(options, tmp_path / "pinned"), known_hosts=(known,))
    for lines in (
        f"[127.0.0.1]:{sshd.port} ssh-ed25519 {blob}\n",
        f"[127.0.0.1]:{sshd.port} {sshd.public('ed25519')}\n[127.0.0.2]:{sshd.port} ssh-ed25519 {blob}\n",
    ):
        known.write_text(lines)
        with Connector(options) as connector, pytest.raises(HostKeyError, match="HAS CHANGED"):
            connector.connect(replace(target, host="127.0.0.2", known_as="127.0.0.1"))


@pytest.mark.parametrize(("kind", "pem"), [("ed25519", False), ("ecdsa", False), ("ecdsa", True), ("rsa", True)])
def test_keys_of_every_type_let_us_in(
    sshd: Sshd, options: Options, target: Target, tmp_path: Path, *, kind: str, pem: bool
) -> None:
    key = keygen(tmp_path / "key", kind, pem=pem)
    sshd.authorize(key)
    with Connector(replace(options, identity_files=())) as connector:
        assert connector.connect(replace(target, key_file=str(key))).alive


def test_keys_are_tried_in_turn(sshd: Sshd, options: Options, target: Target, tmp_path: Path) -> None:
    files = (keygen(tmp_path / "stranger"), tmp_path / "missing", sshd.client_key)
    with Connector(replace(options, identity_files=files)) as connector:
        assert connector.connect(target).alive


def test_why_no_key_was_taken_is_told(options: Options, target: Target, tmp_path: Path) -> None:
    stranger, locked, public = (tmp_path / name for name in ("stranger", "locked", "loose"))
    keygen(stranger)
    keygen(locked, passphrase="some words")  # noqa: S106 - of a key that only this test has
    keygen(public).chmod(0o644)
    files = (stranger, locked, public, tmp_path / "none")
    with pytest.raises(LoginError) as caught:
        Connector(replace(options, identity_files=files)).connect(target)
    why = caught.value.why or ""
    assert f"Tried {stranger}." in why
    assert f"{locked}: encrypted, and no agent holds it" in why
    assert f"{public}: others can read it (mode 0644)" in why
    assert f"{tmp_path}/none: No such file" in why


def test_a_key_file_of_the_inventory_that_is_not_there_is_an_error_before_dialling(options: Options) -> None:
    nowhere = Target("web1", "127.0.0.1", port=1, key_file="/no/such/key")
    with pytest.raises(LoginError, match="the key file /no/such/key does not exist"):
        Connector(options).connect(nowhere)


def test_a_server_that_takes_no_keys_says_what_it_wants(options: Options, tmp_path: Path) -> None:
    with running(tmp_path / "sshd", PubkeyAuthentication="no", PasswordAuthentication="yes") as server:
        o = replace(options, known_hosts=(server.known_hosts,))
        with pytest.raises(LoginError, match=r"web1: sshd takes no keys from .*, it wants password"):
            Connector(o).connect(Target("web1", "127.0.0.1", port=server.port))


def test_a_second_factor_is_told(options: Options, tmp_path: Path) -> None:
    folder = tmp_path / "sshd"
    with running(folder, AuthenticationMethods="publickey,password", PasswordAuthentication="yes") as server:
        o = replace(options, known_hosts=(server.known_hosts,), identity_files=(server.client_key,))
        with pytest.raises(LoginError, match="web1: the key alone does not let root in, sshd also wants password"):
            Connector(o).connect(Target("web1", "127.0.0.1", port=server.port))


@pytest.mark.parametrize("command", ["yes", "yes >&2", "yes & yes >&2"])
def test_output_without_end_is_given_up_in_time_and_in_bounds(connection: Connection, command: str) -> None:
    before = memory()
    started = time.monotonic()
    with pytest.raises(ConnectError, match=r"did not end within 1\.5 s"):
        connection.run(command, 1.5, limit=1000)
    assert time.monotonic() - started < 8
    assert memory() - before < 64


def memory() -> int:
    """What this process holds, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def test_errors_without_end_do_not_hide_that_nothing_comes(connection: Connection) -> None:
    channel = connection.exec("yes >&2")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        channel.recv(1, 0.5)
    assert time.monotonic() - started < 5
    assert len(channel.stderr()) <= 64 * 1024
    channel.close()


def test_a_shell_that_floods_before_it_reads_is_given_up(connection: Connection) -> None:
    channel = connection.exec("cat /dev/zero")
    before = memory()
    with pytest.raises(ConnectError, match="web1: floods its output before it takes its input"):
        channel.send(bytes(8_000_000))
    assert memory() - before < 64


def test_a_session_that_freezes_is_noticed(options: Options, target: Target) -> None:
    watching = replace(options, keepalive=0.5, keepalive_count=2)
    with Connector(watching) as connector:
        connection = connector.connect(target)
        session = int(connection.run("echo $PPID", 10).stdout)
        channel = connection.exec("cat")
        os.kill(session, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(ConnectError) as caught:
                channel.recv(1, 20)
            assert watching.patience - 0.5 < time.monotonic() - started < watching.patience + 5
            assert "no sign of life" in (caught.value.why or "")
            assert not connection.alive
            with pytest.raises(ConnectError, match="web1: the connection was lost"):
                connection.exec("true")
        finally:
            os.kill(session, signal.SIGKILL)


def test_a_quiet_session_that_lives_is_left_alone(options: Options, target: Target) -> None:
    with Connector(replace(options, keepalive=0.2, keepalive_count=1)) as connector:
        connection = connector.connect(target)
        channel = connection.exec("sleep 3; echo woke")
        assert channel.recv(100, 10) == b"woke\n"


def test_a_session_that_is_killed_is_noticed_at_once(options: Options, target: Target) -> None:
    with Connector(options) as connector:
        connection = connector.connect(target)
        channel = connection.exec("cat")
        os.kill(int(connection.run("echo $PPID", 10).stdout), signal.SIGKILL)
        with pytest.raises(ConnectError, match="web1: the connection was lost"):
            channel.recv(1, 10)


def test_nothing_is_written_to_the_terminal(
    options: Options, target: Target, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConnectError):
        Connector(replace(options, known_hosts=())).connect(target)
    with Connector(options) as connector:
        connection = connector.connect(target)
        os.kill(int(connection.run("echo $PPID", 10).stdout), signal.SIGKILL)
        wait_for(lambda: not connection.alive, "the loss to be noticed")
    assert capfd.readouterr() == ("", "")
