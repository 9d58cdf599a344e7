"""`hakit trust` as a user runs it, against real servers."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ssh.sshd import Sshd, free_port, hakit, keygen, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


class User:
    """Someone with an empty home and an inventory of one host, in a folder."""

    def __init__(self, folder: Path, sshd: Sshd) -> None:
        self.folder = folder
        self.sshd = sshd
        self.pinned = folder / ".hakit" / "known_hosts"
        self.home = folder / "home"
        self.home.mkdir()
        self.hosts(web1=sshd.port)

    def hosts(self, **ports: int) -> None:
        lines = [
            f"    {name}: {{ansible_host: 127.0.0.1, ansible_port: {port}, hakit: {{address: 10.9.0.{number}}}}}"
            for number, (name, port) in enumerate(ports.items(), 1)
        ]
        (self.folder / "hosts.yml").write_text("all:\n  hosts:\n" + "\n".join(lines) + "\n")

    def command(self, *arguments: str) -> list[str]:
        return ["trust", "-i", str(self.folder / "hosts.yml"), *arguments]

    def trust(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return hakit(*self.command(*arguments))

    def answer(self, text: str) -> tuple[int, str]:
        """Run it on a terminal and type an answer."""
        parent, child = pty.openpty()
        command = [sys.executable, "-m", "hakit", *self.command()]
        process = subprocess.Popen(command, stdin=child, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        os.close(child)
        os.write(parent, text.encode())
        output, _ = process.communicate(timeout=60)
        os.close(parent)
        return process.returncode, output

    def json(self, *arguments: str) -> Any:
        return json.loads(self.trust("--json", *arguments).stdout)

    def pin_stranger(self, file: Path) -> None:
        key = keygen(self.folder / "stranger")
        file.parent.mkdir(exist_ok=True, parents=True)
        fields = Path(f"{key}.pub").read_text().split()
        file.write_text(f"[127.0.0.1]:{self.sshd.port} {fields[0]} {fields[1]}\n")


@pytest.fixture
def user(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return User(tmp_path, sshd)


def fingerprint(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True).stdout.split()[1]


def test_new_keys_are_shown_pinned_and_then_known(user: User) -> None:
    done = user.trust("--yes")
    assert (done.returncode, done.stderr) == (0, "")
    for key in user.sshd.keys.values():
        assert fingerprint(key) in done.stdout
    assert f"Pinned the keys of web1 in {user.pinned}" in done.stdout
    assert user.pinned.stat().st_mode & 0o777 == 0o600
    before = user.pinned.read_text()
    again = user.trust()
    assert again.returncode == 0
    assert "All keys are known" in again.stdout
    assert user.pinned.read_text() == before


def test_openssh_accepts_what_was_pinned(user: User) -> None:
    user.trust("--yes")
    options = ["-o", f"UserKnownHostsFile={user.pinned}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
    login = [
        "ssh",
        "-F",
        "/dev/null",
        *options,
        "-i",
        str(user.sshd.client_key),
        "-p",
        str(user.sshd.port),
        "127.0.0.1",
    ]
    assert subprocess.run([*login, "true"], check=False, capture_output=True).returncode == 0


def test_without_a_terminal_it_says_which_option_answers(user: User) -> None:
    done = user.trust()
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert not user.pinned.exists()


@pytest.mark.parametrize(("text", "code", "pinned"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_on_a_terminal_it_asks_and_the_default_is_no(user: User, text: str, *, code: int, pinned: bool) -> None:
    status, output = user.answer(text)
    assert "Pin the keys of web1" in output
    assert status == code
    assert user.pinned.exists() is pinned


def test_a_changed_key_is_refused_until_it_is_replaced_by_name(user: User) -> None:
    user.pin_stranger(user.pinned)
    before = user.pinned.read_text()
    done = user.trust("--yes")
    assert done.returncode == 1
    assert "CHANGED" in done.stdout
    assert "--replace web1" in done.stdout
    assert user.pinned.read_text() == before
    assert user.trust("--yes", "--replace", "web1").returncode == 0
    assert before.split()[2] not in user.pinned.read_text()
    assert user.trust().returncode == 0


def test_a_changed_key_in_the_users_own_file_is_overruled_by_replacing(user: User) -> None:
    theirs = user.home / ".ssh" / "known_hosts"
    user.pin_stranger(theirs)
    before = theirs.read_text()
    assert user.trust("--yes").returncode == 1
    assert user.trust("--yes", "--replace", "web1").returncode == 0
    assert user.trust().returncode == 0
    assert theirs.read_text() == before


def test_a_host_known_to_the_user_needs_no_pin(user: User) -> None:
    theirs = user.home / ".ssh" / "known_hosts"
    theirs.parent.mkdir()
    theirs.write_text(f"[127.0.0.1]:{user.sshd.port} {user.sshd.public('ecdsa')}\n")
    done = user.trust()
    assert done.returncode == 0
    assert "ECDSA" in done.stdout
    assert not user.pinned.exists()


def test_json_shows_and_pins_only_with_yes(user: User) -> None:
    shown = user.json()
    assert {key["state"] for key in shown["hosts"]["web1"]} == {"new"}
    assert not user.pinned.exists()
    assert all(key["pinned"] for key in user.json("--yes")["hosts"]["web1"])
    assert {key["state"] for key in user.json()["hosts"]["web1"]} == {"known"}


def test_a_host_that_does_not_answer_is_told_and_the_others_are_pinned(user: User) -> None:
    user.hosts(web1=user.sshd.port, web2=free_port())
    done = user.trust("--yes")
    assert done.returncode == 1
    assert "web2: " in done.stdout
    assert "connection refused" in done.stdout
    assert "web1" in done.stdout
    assert f"[127.0.0.1]:{user.sshd.port} ssh-ed25519" in user.pinned.read_text()


def test_clones_are_pointed_out(user: User, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    folder.mkdir()
    for suffix in ("", ".pub"):
        shutil.copy(f"{user.sshd.keys['rsa']}{suffix}", f"{folder}/host_rsa{suffix}")
    with running(folder, kinds=("rsa",)) as clone:
        user.hosts(web1=user.sshd.port, web2=clone.port)
        assert user.json()["same_key"] == {"web2": "web1"}


@pytest.mark.parametrize("arguments", [["--replace", "web9"], ["--limit", "nothing"]])
def test_a_host_that_does_not_exist_is_a_usage_error(user: User, arguments: list[str]) -> None:
    done = user.trust(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_place_that_can_not_be_written_is_told(user: User) -> None:
    (user.folder / ".hakit" / ".known_hosts.new").mkdir(parents=True)
    done = user.trust("--yes")
    assert done.returncode == 1
    assert f"{user.pinned}: can't be written" in done.stderr


def test_a_place_that_can_not_be_read_is_told_once(user: User) -> None:
    (user.folder / ".hakit").write_text("a file")
    done = user.trust("--yes")
    assert done.returncode == 1
    assert f"{user.pinned}: can't be read" in done.stderr
