"""The start: noisy shells, the cache on the host, and what it means when no agent answers."""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hakit.agent
from hakit.agent import bootstrap, starting
from hakit.agent.client import Client
from hakit.agent.starting import AgentGone
from tests.unit.agent.agent_support import PipeChannel

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.answers import Hello

FOLDER = Path(hakit.agent.__file__).parent
CONTROLLER_ONLY = {"answers.py", "bootstrap.py", "client.py", "starting.py", "sudo.py"}
ON_HOST = [path for path in FOLDER.rglob("*.py") if path.relative_to(FOLDER).parts[0] not in CONTROLLER_ONLY]


def change_loader(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Have another text in the loader that is sent."""
    real = bootstrap.bundle()
    loader = real.loader.replace(old.encode(), new.encode())
    assert loader != real.loader
    changed = bootstrap.Bundle(real.digest, real.compressed, loader)
    monkeypatch.setattr(bootstrap, "bundle", lambda: changed)
    monkeypatch.setattr("hakit.agent.starting.bundle", lambda: changed)


@pytest.fixture
def state(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The loader, with a state folder of its own."""
    folder = memory / "state"
    change_loader(monkeypatch, 'STATE = "/var/lib/hakit"', f'STATE = "{folder}"')
    return folder


def session(before: str = "", prepare: Callable[[str], str] = lambda command: command) -> tuple[bool, Hello]:
    """Whether code was sent, and what the host said."""

    def execute(command: str) -> PipeChannel:
        return PipeChannel(before + prepare(command.replace(bootstrap.PYTHON, sys.executable)))

    one = Client.start(execute, sudo=False)
    hello = one.hello(run="r", who="w", lock=False, packages=())
    one.close()
    return one.sent_code, hello


def test_code_is_sent_once_and_then_cached(state: Path) -> None:
    assert [session()[0] for _ in range(2)] == [True, False]
    (cached,) = (state / "agent").iterdir()
    assert cached.stat().st_mode & 0o777 == 0o600
    assert (state / "agent").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["file", "folder", "state"])
def test_a_cache_that_others_may_write_is_not_trusted(state: Path, place: str) -> None:
    session()
    (cached,) = (state / "agent").iterdir()
    {"file": cached, "folder": state / "agent", "state": state}[place].chmod(0o722)
    assert session()[0]


@pytest.mark.parametrize("damage", [b"", b"\0\0\0", b"i\x01\0\0\0", b"{0", b"garbage"])
def test_a_damaged_cache_is_replaced(state: Path, damage: bytes) -> None:
    session()
    (cached,) = (state / "agent").iterdir()
    cached.write_bytes(damage)
    assert [session()[0] for _ in range(2)] == [True, False]


def test_a_link_in_place_of_the_cache_is_not_followed(state: Path) -> None:
    session()
    (cached,) = (state / "agent").iterdir()
    cached.rename(state / "elsewhere")
    cached.symlink_to(state / "elsewhere")
    assert session()[0]


def test_old_code_is_pruned(state: Path) -> None:
    (state / "agent").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    for number in range(9):
        path = state / f"agent/old{number}"
        path.touch()
        os.utime(path, (number, number))
    session()
    names = {path.name for path in (state / "agent").iterdir()}
    assert {"old7", "old8"} < names
    assert len(names) == 3


def test_where_nothing_can_be_kept_the_agent_runs_from_memory(state: Path) -> None:
    state.write_text("in the way")
    assert [session()[0] for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "noise", ["echo Welcome", "printf 'no newline'", "echo; echo abc have", "head -c 60000 /dev/zero"]
)
@pytest.mark.usefixtures("state")
def test_a_noisy_login_shell_is_listened_past(noise: str) -> None:
    assert session(f"{noise}; echo noise >&2; ")[1].id != "noise"


@pytest.mark.usefixtures("state")
def test_a_shell_that_prints_without_end_is_given_up() -> None:
    with pytest.raises(AgentGone, match="prints without end"):
        session("head -c 200000 /dev/zero; ")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 127", "there is no /usr/bin/python3 on the host"),
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo asks for a password"),
        ("echo 'sh: python3: Permission denied' >&2; exit 126", "does not let us run"),
        ("echo 'ops is not in the sudoers file.' >&2; exit 1", "may not use sudo"),
        ("echo 'This account is currently not available.'; exit 1", "the login has no shell"),
        ("echo 'bash: line 1: /usr/bin/python3: restricted: cannot specify' >&2; exit 1", "the login's shell is restr"),
        (
            "echo 'Traceback' >&2; echo \"ModuleNotFoundError: No module named 'zlib'\" >&2; exit 1",
            "can't run the agent",
        ),
        ("echo boom >&2; exit 7", "the agent did not start \\(exit 7\\): boom"),
    ],
)
def test_why_no_agent_answers_is_told(command: str, message: str) -> None:
    with pytest.raises(AgentGone, match=message):
        session(prepare=lambda _: command)


@pytest.mark.usefixtures("state")
def test_python_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    change_loader(monkeypatch, "OLDEST = (3, 9)", "OLDEST = (9, 9)")
    with pytest.raises(AgentGone, match=r"hakit needs 3\.9 or newer") as found:
        session()
    assert found.value.system.startswith(("NAME=", "PRETTY_NAME=", "ID="))


@pytest.mark.usefixtures("state")
def test_a_shell_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "START", 0.3)
    with pytest.raises(AgentGone, match="did not start within 0 s: waiting for the printer"):
        session(prepare=lambda _: "echo waiting for the printer >&2; exec sleep 2")


@pytest.mark.usefixtures("state")
def test_python_without_a_module_says_so_late(monkeypatch: pytest.MonkeyPatch) -> None:
    change_loader(monkeypatch, "def start(", "sys.modules['_json'] = None\n\n\ndef start(")
    with pytest.raises(AgentGone, match=r"can't run the agent: ModuleNotFoundError.*_json"):
        session()


@pytest.mark.parametrize("shell", ["sh", "bash", "csh", "fish", "zsh", "dash"])
@pytest.mark.parametrize("asks", [False, True])
def test_the_command_survives_a_login_shell(shell: str, asks: bool) -> None:
    line = bootstrap.command("t0k3n", sudo=True, asks=asks)
    assert not set(line) & set("!\\`$\n")
    words = shlex.split(line)
    assert words[:3] == ["env", "LC_ALL=C", "sudo"]
    assert words[words.index("--") + 1] == "/usr/bin/python3"
    assert words[-3] == "t0k3n"
    try:
        done = subprocess.run([shell, "-c", f"printf '%s\\n' {shlex.join(words)}"], capture_output=True, check=False)
    except FileNotFoundError:
        return  # this machine has no such shell; sh is everywhere
    assert done.stdout.decode().splitlines() == words


@pytest.mark.parametrize("path", ON_HOST, ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_runs_on_a_host_is_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_what_runs_on_a_host_needs_no_newer_library() -> None:
    vermin = [str(Path(sys.executable).with_name("vermin")), "-t=3.9-", "--no-tips", "--violations", *map(str, ON_HOST)]
    done = subprocess.run(vermin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_plan_imports_nothing_that_costs(state: Path) -> None:
    """The modules that a host would pay 5 to 25 ms for at each start."""
    del state
    costly = (
        "json,subprocess,hashlib,re,pathlib,tempfile,shutil,typing,dataclasses,enum,socket,signal,threading,inspect"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import hakit.agent.main, hakit.agent.planning, hakit.agent.applying, hakit.agent.facts, hakit.agent.lock;"
        "import hakit.agent.probing;"
        "from hakit.agent.handlers import account, command, files, package, paths, sysctl, unit;"
        f"print(sorted(set(sys.modules) & set('{costly}'.split(','))))"
    )
    argv = [sys.executable, "-I", "-S", "-E", "-c", code, str(FOLDER.parents[1])]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "[]"
