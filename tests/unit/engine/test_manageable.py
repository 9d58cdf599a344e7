"""What a host lacks, which keys and users are taken, and which systems are managed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hakit.agent.starting import AgentGone
from hakit.engine.manageable import Key, State, Wish, check_user, lacking, read_key
from hakit.engine.prepare import python_check, script
from hakit.engine.systems import System, gone
from hakit.errors import AgentError, HakitError, RefusedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKXPvTN3Pq5xP1KvHqGPMxX3xX1d2P1zv3n8YkYw0a0b"
DEBIAN = System("debian", "bookworm", "", "Debian GNU/Linux 12 (bookworm)")
READY = State(DEBIAN, "ok 3.11.2", sudo=True, account=True, key=True, root=True)


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    return Wish("ops", Key(f"{KEY} ops@desk", tmp_path))


def names(state: State, wish: Wish) -> list[str]:
    return [step.name for step in lacking(state, wish)]


def test_a_host_that_lacks_nothing_is_left_alone(wish: Wish) -> None:
    assert names(READY, wish) == []


def test_a_bare_host_gets_everything_in_an_order_that_works(wish: Wish) -> None:
    bare = State(DEBIAN, "missing", sudo=False, account=False, key=False, root=False)
    assert names(bare, wish) == ["python", "sudo", "user", "key", "sudoers"]


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        ({"python": "it lacks the module _json"}, ["python"]),
        ({"key": False}, ["key"]),
        ({"root": False}, ["sudoers"]),
        ({"root": False, "sudo": False}, ["sudo", "sudoers"]),
        ({"sudo": False}, []),  # something else makes the user root
    ],
)
def test_only_what_is_lacking_is_brought(wish: Wish, found: dict[str, object], steps: list[str]) -> None:
    assert names(replace(READY, **found), wish) == steps  # type: ignore[arg-type]  # fields by name


def test_root_needs_no_sudo_and_a_known_login_no_key() -> None:
    state = replace(READY, sudo=False, key=False, root=True)
    assert names(state, Wish("root")) == []
    assert names(state, Wish("root", Key(KEY, __file__))) == ["key"]  # type: ignore[arg-type]  # any path


def test_sudo_reads_the_file_of_a_user_with_a_dot() -> None:
    assert Wish("j.doe").sudoers == "/etc/sudoers.d/50-hakit-j_doe"


@pytest.mark.parametrize("user", ["ops", "j.doe", "_svc-1"])
def test_plain_users_are_made(user: str) -> None:
    check_user(user)


@pytest.mark.parametrize(
    "user", ["", "ALL", "%ops", "ops ALL", "ops\nroot", "#0", "-x", "a.", "..", "a/b", "ops,root", "+n"]
)
def test_a_user_that_sudo_would_read_otherwise_is_refused(user: str) -> None:
    with pytest.raises(RefusedError, match="can't be made a user"):
        check_user(user)


@pytest.mark.parametrize(
    "text", [KEY, f"{KEY} ops@desk", f"{KEY} it's $(mine)\n", "sk-ssh-ed25519@openssh.com AAAAGn== k"]
)
def test_a_public_key_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.pub").write_text(text)
    assert read_key(tmp_path / "key.pub").text == text.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "private key"),
        (f'command="id" {KEY}', "no public key"),
        (f"{KEY}\n{KEY}\n", "no public key"),
        (f"{KEY} \x1b[2J", "no public key"),
        ("ssh-ed25519 not-base64", "no public key"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_key(tmp_path / "key")


def test_the_label_of_a_key_leaves_the_key_out(wish: Wish) -> None:
    assert wish.key is not None
    assert wish.key.label == "ssh-ed25519 ops@desk"


@pytest.mark.parametrize(
    ("system", "release"),
    [
        (DEBIAN, 12),
        (System("debian", "trixie", "", "Debian 13"), 13),
        (System("hive", "bookworm", "debian", "Hive OS"), 12),
        (System("hive", "trixie", "ubuntu debian", "Hive OS"), 13),
    ],
)
def test_debian_and_what_is_built_on_it_is_managed(system: System, release: int) -> None:
    assert system.release("web1") == release


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (System("ubuntu", "focal", "debian", "Ubuntu 20.04"), "Ubuntu 20.04 is not supported"),
        (System("debian", "bullseye", "", "Debian 11"), "Debian 11 is not supported"),
        (System("arch", "bookworm", "", "Arch"), "Arch is not supported"),
        (System("", "", "", ""), "an unknown system is not supported"),
        (replace(DEBIAN, systemd=False), "runs without systemd"),
    ],
)
def test_other_systems_are_refused(system: System, message: str) -> None:
    with pytest.raises(RefusedError, match=f"^web1: .*{message}"):
        system.release("web1")


def lost(*, python: bool, system: str = "", hint: str | None = "hakit bootstrap") -> HakitError:
    error = AgentGone("there is no Python", hint, python=python)
    error.system = system
    return gone("web1", error, "site")


def test_a_host_without_python_is_sent_to_bootstrap() -> None:
    error = lost(python=True, system='ID=debian\nVERSION_CODENAME="bookworm"\n')
    assert isinstance(error, AgentError)
    assert error.hint == "hakit bootstrap -i site --limit web1  installs what is needed"


def test_one_of_another_system_is_not() -> None:
    error = lost(python=True, system="NAME=Alpine\nID=alpine\nPRETTY_NAME='Alpine Linux v3.20'\n")
    assert isinstance(error, RefusedError)
    assert error.message == "web1: Alpine Linux v3.20 is not supported"


def test_other_failures_keep_their_own_hint() -> None:
    assert lost(python=False, hint="free some space").hint == "free some space"


def test_this_python_is_fit_and_one_line_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", python_check()], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ok {'.'.join(map(str, sys.version_info[:3]))}\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sys.version_info = (3, 8, 1)", "Python 3.8.1 is older than 3.9"),
        ("sys.modules['_json'] = None", "it lacks the module _json"),
    ],
)
def test_a_python_that_is_not_fit_says_why(change: str, said: str) -> None:
    code = f"import sys; {change}\n{python_check()}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == said


@pytest.mark.parametrize("word", ["$(id)", "it's", 'a "b"', "new\nline", "", "*", "`id`", "\\"])
def test_the_scripts_arguments_arrive_as_they_are(word: str) -> None:
    text = script(["look", "t0", word, "", "", ""]).split(b"\n# Runs on a host")[0]
    done = subprocess.run(
        ["/bin/sh", "-s"], input=text + b"\nprintf '%s' \"$3\"\n", capture_output=True, check=True, timeout=10
    )
    assert done.stdout.decode() == word


@pytest.mark.parametrize("full", [False, True])
def test_keys_are_written_whole_or_not_at_all(*, full: bool, tmp_path: Path) -> None:
    keys = tmp_path / ".ssh" / "authorized_keys"
    keys.parent.mkdir()
    before = f"{KEY} ops@desk\n" + "".join(f"{KEY}{number} other@desk\n" for number in range(100))
    keys.write_text(before, encoding="ascii")
    program = script([]).decode().split("add_key='", 1)[1].split("\n'\n", 1)[0]
    # No file grows beyond a block of 512 bytes, as on a disk that is full.
    words = ["/bin/sh", "-c", f"{'ulimit -f 1' if full else ':'}\n{program}", "sh", str(tmp_path), f"{KEY} ops", KEY]
    done = subprocess.run(words, capture_output=True, check=False, timeout=10)
    assert (done.returncode != 0) is full
    assert keys.read_text(encoding="ascii") == before
