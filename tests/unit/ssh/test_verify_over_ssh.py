"""`hakit verify` as a user runs it, against a real server that stands for two hosts."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.unit.ssh.sshd import Sshd, free_port, hakit, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

HOSTS = """
all:
  vars: {ansible_ssh_private_key_file: KEY}
  hosts:
    web1: {ansible_host: 127.0.0.1, ansible_port: PORT, colour: blue, hakit: {address: web1.lan}}
    web2: {ansible_host: 127.0.0.1, ansible_port: PORT, colour: red, hakit: {address: web2.lan}}
"""
TESTS = """
    def test_uptime(host):
        '''The host has been up.'''
        assert float(host.file("/proc/uptime").content_string.split()[0]) > 0

    def test_colour(hakit_host):
        assert hakit_host.vars["colour"] == "blue", f"{hakit_host.name} is not blue"
"""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with running(tmp_path / "sshd", kinds=("ed25519",)) as server:
        yield server


@pytest.fixture
def inventory(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "site"
    (folder / ".hakit").mkdir(parents=True)
    (folder / ".hakit" / "known_hosts").write_text(sshd.known_hosts.read_text())
    text = HOSTS.replace("KEY", str(sshd.client_key)).replace("PORT", str(sshd.port))
    (folder / "hosts.yml").write_text(text)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_own.py").write_text(textwrap.dedent(TESTS))
    return folder


def verify(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return hakit("verify", "-i", str(inventory), *arguments)


def test_it_passes_over_one_connection_per_host(inventory: Path, sshd: Sshd) -> None:
    done = verify(inventory, "--limit", "web1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("web1  tests         2 passed")
    assert "2 checks on 1 host: 2 passed." in done.stdout
    assert sshd.log().count("Accepted publickey") == 1


def test_a_failure_is_short_and_ends_with_1(inventory: Path) -> None:
    done = verify(inventory)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[1].startswith("web2  tests         1 passed, 1 FAILED")
    assert lines[2:4] == ["    ✗ colour", "        web2 is not blue"]
    assert "4 checks on 2 hosts: 3 passed, 1 failed." in done.stdout
    assert "test_own.py" not in done.stdout


def test_more_is_said_when_asked(inventory: Path) -> None:
    assert "    ✓ The host has been up" in verify(inventory, "-v").stdout
    assert "test_own.py:7" in verify(inventory, "-vv").stdout


def test_json_and_junit_tell_the_same(inventory: Path, tmp_path: Path) -> None:
    done = verify(inventory, "--json", "--junit", str(tmp_path / "report.xml"))
    found = json.loads(done.stdout)
    assert (found["ok"], found["passed"], found["failed"]) == (False, 3, 1)
    assert 'tests="4"' in (tmp_path / "report.xml").read_text()


def test_a_host_that_does_not_answer_is_told(inventory: Path, sshd: Sshd) -> None:
    hosts = inventory / "hosts.yml"
    text = hosts.read_text()
    hosts.write_text(text.replace(str(sshd.port), str(free_port()), 1))
    done = verify(inventory)
    assert done.returncode == 1
    assert "✗ web1: 127.0.0.1:" in done.stdout
    assert "connection refused" in done.stdout
    assert "2 checks on 1 host: 1 passed, 1 failed. 1 host not reached." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "wbe1"], "did you mean web1?"),
        (["--component", "haproxi"], "did you mean haproxy?"),
        (["--component", "haproxy"], "there is nothing to verify"),
        (["--junit", "/no/such/folder/report.xml"], "there is no folder /no/such/folder"),
    ],
)
def test_what_can_not_be_is_told_before_anything_is_done(inventory: Path, arguments: list[str], message: str) -> None:
    done = verify(inventory, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
