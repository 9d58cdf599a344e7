"""-k, -K and passphrases as somebody at a terminal meets them."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from hakit.cli import prompts, reach
from hakit.cli.main import cli
from tests.unit.ssh.sshd import Sshd, hakit, keygen, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "pass with spaces & ünicode"  # noqa: S105 - of a user that only these tests have
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="an sshd with users of its own needs root")


class Terminal:
    """A command on a terminal of its own; `shown` is what somebody sees there."""

    def __init__(self, *arguments: str) -> None:
        self.shown = ""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "hakit", *arguments])  # noqa: S606 - no shell is wanted

    def until(self, text: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < deadline, f"waited for {text!r}, saw {self.shown!r}"
            assert self._more(deadline), f"ended before {text!r}: {self.shown!r}"

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode() + b"\n")

    def end(self) -> int:
        while self._more(time.monotonic() + 60):
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _more(self, deadline: float) -> bool:
        if not select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._terminal, 4096)
        except OSError:  # how Linux says that the other end of a terminal is closed
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    users = {"deploy": PASSWORD}
    with running(
        tmp_path_factory.mktemp("gate"), ("ed25519",), users, PasswordAuthentication="yes", PubkeyAuthentication="no"
    ) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, gate: Sshd) -> Iterator[Path]:
    """An inventory of two hosts behind a gate that wants a password."""
    with running(tmp_path / "web", ("ed25519",)) as web:
        file = tmp_path / "hosts.yml"
        file.write_text(
            f"""
            all:
              vars:
                ansible_host: 127.0.0.1
                ansible_port: {web.port}
                hakit: {{ssh: {{jump: ['deploy@127.0.0.1:{gate.port}']}}}}
              hosts:
                web1: {{hakit: {{address: 10.0.0.1}}}}
                web2: {{hakit: {{address: 10.0.0.2}}}}
            """
        )
        yield file


@NEEDS_ROOT
@pytest.mark.usefixtures("home")
def test_the_password_is_asked_once_and_not_echoed(site: Path, gate: Sshd) -> None:
    before = gate.log().count("Accepted password for deploy")
    terminal = Terminal("trust", "-i", str(site), "-k", "--yes")
    terminal.until("SSH password: ")
    terminal.type(PASSWORD)
    assert terminal.end() == 0, terminal.shown
    assert terminal.shown.count("SSH password") == 1
    assert PASSWORD not in terminal.shown
    assert "Pinned the keys of web1" in terminal.shown
    assert gate.log().count("Accepted password for deploy") == before + 1


@NEEDS_ROOT
@pytest.mark.usefixtures("home")
def test_a_wrong_password_is_told_for_both_hosts_and_tried_once(site: Path, gate: Sshd) -> None:
    before = gate.log().count("Failed password for deploy")
    terminal = Terminal("trust", "-i", str(site), "-k", "--yes")
    terminal.until("SSH password: ")
    terminal.type("wrong")
    assert terminal.end() == 1
    for name in ("web1", "web2"):
        assert f"127.0.0.1 (jump to {name}): deploy can't log in: the password is wrong" in terminal.shown
    assert "type the right one after -k" in terminal.shown
    assert gate.log().count("Failed password for deploy") == before + 1


@NEEDS_ROOT
@pytest.mark.usefixtures("home")
def test_the_password_of_a_run_is_seen_by_nobody(site: Path) -> None:
    terminal = Terminal("trust", "-i", str(site), "-k")
    terminal.until("SSH password: ")
    terminal.type(PASSWORD)
    terminal.until("[y/N]")
    process = terminal._pid
    seen = Path(f"/proc/{process}/cmdline").read_bytes() + Path(f"/proc/{process}/environ").read_bytes()
    terminal.type("n")
    assert terminal.end() == 1
    assert PASSWORD.encode() not in seen
    assert PASSWORD not in terminal.shown


@pytest.mark.parametrize(
    ("letter", "setting"),
    [("-k", "{ssh: {password: {secret: NAME}}}"), ("-K", "{ssh: {sudo_password: {secret: NAME}}}")],
)
@pytest.mark.usefixtures("home")
def test_without_a_terminal_it_is_told_what_answers_it(tmp_path: Path, letter: str, setting: str) -> None:
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {a: {ansible_host: 127.0.0.1, ansible_port: 1, hakit: {system: {}}}}}"
    )
    done = hakit("plan", "-i", str(tmp_path / "hosts.yml"), letter)
    assert done.returncode == 2
    assert f"{letter} asks for the" in done.stderr
    assert setting in done.stderr
    assert "HAKIT_SECRET_NAME" in done.stderr


@pytest.mark.usefixtures("home")
def test_a_locked_key_is_asked_for_before_the_work(tmp_path: Path) -> None:
    key = keygen(tmp_path / "locked", passphrase="open sesame")  # noqa: S106 - of a key that only this test has
    with running(tmp_path / "sshd", ("ed25519",)) as server:
        server.authorize(key)
        text = f"{{ansible_host: 127.0.0.1, ansible_port: {server.port}, ansible_ssh_private_key_file: {key}}}"
        (tmp_path / "hosts.yml").write_text(f"all: {{hosts: {{web1: {text[:-1]}, hakit: {{system: {{}}}}}}}}}}\n")
        assert hakit("trust", "-i", str(tmp_path / "hosts.yml"), "--yes").returncode == 0
        terminal = Terminal("verify", "-i", str(tmp_path / "hosts.yml"), "--component", "system")
        terminal.until(f"Passphrase of {key}")
        assert "Asking" not in terminal.shown
        terminal.type("wrong")
        terminal.until("Wrong. Passphrase")
        terminal.type("open sesame")
        terminal.until("checks on")
        terminal.end()
    assert "sesame" not in terminal.shown
    assert "can't log in" not in terminal.shown


def test_every_command_that_works_on_hosts_asks() -> None:
    for name in ("plan", "apply", "verify"):
        command = cli.get_command(click.Context(cli), name)
        assert command
        options = [option for parameter in command.params for option in parameter.opts]
        assert {"-k", "--ask-pass", "-K", "--ask-become-pass"} <= {*options}


def test_nothing_typed_for_sudo_means_the_same_password(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["secret one", ""]
    monkeypatch.setattr(click, "prompt", lambda *_, **__: answers.pop(0))
    found: list[str] = []

    @click.command()
    @prompts.ask_pass
    @prompts.ask_become_pass
    def command() -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        for _ in range(2):
            asked = (prompts.login_password(), prompts.sudo_password())
            found.extend(one() for one in asked if one)

    done = CliRunner().invoke(command, ["-k", "-K"])
    assert done.exception is None, done.exception
    assert found == ["secret one"] * 4
    assert not answers


def test_outside_of_a_command_nothing_is_asked() -> None:
    assert prompts.login_password() is None
    assert reach._password(None) is None
