"""`hakit trust` for hosts behind jump hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.ssh.sshd import Sshd, hakit, keygen, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

MISSING = "hakit: {ssh: {sudo_password: {secret: nobody_set_this}}}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Sshd, Sshd]]:
    folder = tmp_path_factory.mktemp("trust")
    with (
        running(folder / "outer", ("ed25519",)) as outer,
        running(folder / "middle", ("ed25519",)) as middle,
        running(folder / "web1", ("ed25519",)) as web1,
    ):
        middle.authorize(outer.client_key)
        yield outer, middle, web1


class Site:
    """An inventory whose host web1 is behind middle, and that behind outer, which is no host of it."""

    def __init__(self, folder: Path, servers: tuple[Sshd, Sshd, Sshd]) -> None:
        outer, middle, web1 = servers
        self.file = folder / "hosts.yml"
        self.pinned = folder / ".hakit/known_hosts"
        self.file.write_text(
            f"""
            all:
              vars:
                ansible_host: 127.0.0.1
                ansible_ssh_private_key_file: {outer.client_key}
                hakit: {{ssh: {{jump: ['root@127.0.0.1:{outer.port}', middle]}}}}
              hosts:
                middle: {{ansible_port: {middle.port}, hakit: {{address: 10.0.0.1}}}}
                web1: {{ansible_port: {web1.port}, hakit: {{address: 10.0.0.2, ssh: {MISSING[13:-1]}}}}}
            """
        )
        (folder / "home/.ssh").mkdir(parents=True)
        (folder / "home/.ssh/config").write_text(f"Match host 127.0.0.1 user root\n IdentityFile {outer.client_key}\n")

    def trust(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return hakit("trust", "-i", str(self.file), *arguments)


@pytest.fixture
def site(tmp_path: Path, servers: tuple[Sshd, Sshd, Sshd], monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Site(tmp_path, servers)


def test_the_jump_hosts_keys_come_first(site: Site, servers: tuple[Sshd, Sshd, Sshd]) -> None:
    done = site.trust("--limit", "web1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    pinned = [line.split()[0] for line in site.pinned.read_text().splitlines()]
    assert pinned == [f"[127.0.0.1]:{one.port}" for one in servers]
    assert (
        done.stdout.index("127.0.0.1  ED25519")
        < done.stdout.index("middle  ED25519")
        < done.stdout.index("web1  ED25519")
    )
    again = site.trust("--limit", "web1")
    assert again.returncode == 0
    assert "127.0.0.1" not in again.stdout


def test_without_an_answer_nothing_is_logged_in_on(site: Site, servers: tuple[Sshd, Sshd, Sshd]) -> None:
    before = servers[0].log().count("Accepted")
    done = site.trust("--limit", "web1")
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert servers[0].log().count("Accepted") == before
    assert not site.pinned.exists()


def test_json_shows_what_is_behind_only_when_the_way_is_trusted(site: Site) -> None:
    shown = json.loads(site.trust("--limit", "web1", "--json").stdout)
    assert shown["hosts"]["127.0.0.1"][0]["state"] == "new"
    assert "127.0.0.1 (jump to web1): the host key is unknown" in shown["unreachable"]["web1"]
    shown = json.loads(site.trust("--limit", "web1", "--json", "--yes").stdout)
    assert {name: [key["pinned"] for key in keys] for name, keys in shown["hosts"].items()} == {
        "127.0.0.1": [True],
        "middle": [True],
        "web1": [True],
    }


def test_a_jump_hosts_changed_key_is_replaced_by_name(
    site: Site, servers: tuple[Sshd, Sshd, Sshd], tmp_path: Path
) -> None:
    other = " ".join(Path(f"{keygen(tmp_path / 'other')}.pub").read_text().split()[:2])
    site.pinned.parent.mkdir()
    site.pinned.write_text(f"[127.0.0.1]:{servers[0].port} {other}\n")
    done = site.trust("--yes", "--limit", "web1")
    assert done.returncode == 1
    assert "127.0.0.1: CHANGED" in done.stdout
    assert "THE HOST KEY HAS CHANGED" in done.stdout
    assert site.trust("--yes", "--limit", "web1", "--replace", "127.0.0.1").returncode == 0
    assert other not in site.pinned.read_text()
