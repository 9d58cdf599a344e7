"""Accounts whose files a power cut left apart, or locked."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from hakit.agent.handlers import account_locks
from hakit.agent.handlers.account import Users
from hakit.agent.resources.account import User
from hakit.agent.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERS = "keeper:x:3001:3001::/home/keeper:/bin/sh\n"


@pytest.mark.parametrize(
    ("group", "gshadow", "said"),
    [
        pytest.param("ops:x:2001:keeper\n", "ops:!::keeper\n", (), id="in both"),
        pytest.param("ops:x:2001:keeper\n", "ops:!::\n", ("join ops",), id="died between the two"),
        pytest.param("ops:x:2001:keeper\n", "", (), id="a group without a shadow"),
        pytest.param("ops:x:2001:\n", "ops:!::keeper\n", ("join ops",), id="only in the shadow"),
    ],
)
def test_a_membership_counts_when_both_files_have_it(
    tmp_path: Path, group: str, gshadow: str, said: tuple[str, ...]
) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    for name, text in (("passwd", USERS), ("group", "keeper:x:3001:\n" + group), ("shadow", ""), ("gshadow", gshadow)):
        (etc / name).write_text(text, encoding="utf-8")
    work = Work(str(tmp_path), lambda _: None)
    user = User(user="keeper", groups=("ops",))
    change = Users().diff(user, Users().read([user], work)[user.key], work)
    assert change.summary == said


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    for name in ("passwd", "passwd-", "passwd.bak", "subgid", "hosts.185"):
        (folder / name).write_text("kept", encoding="utf-8")
    return folder


@pytest.fixture
def useradd(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called useradd."""
    program = tmp_path / "useradd"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        yield process
        process.kill()


def test_locks_that_no_tool_holds_are_removed(tmp_path: Path, etc: Path) -> None:
    before = {path.name for path in etc.iterdir()}
    daemon = os.getpid()
    for name, text in (("passwd.lock", f"{daemon}\0"), (f"passwd.{daemon}", f"{daemon}\0"), ("subgid.99999999", "")):
        (etc / name).write_text(text, encoding="utf-8")
    (etc / "group.lock").touch()
    account_locks.clear(Work(str(tmp_path), lambda _: None))
    assert {path.name for path in etc.iterdir()} == before


def test_the_lock_of_a_tool_that_lives_is_left(tmp_path: Path, etc: Path, useradd: subprocess.Popen[bytes]) -> None:
    (etc / f"passwd.{useradd.pid}").write_text(f"{useradd.pid}\0", encoding="utf-8")
    (etc / "passwd.lock").hardlink_to(etc / f"passwd.{useradd.pid}")
    before = {path.name for path in etc.iterdir()}
    account_locks.clear(Work(str(tmp_path), lambda _: None))
    assert {path.name for path in etc.iterdir()} == before
    useradd.kill()
    useradd.wait()
    account_locks.clear(Work(str(tmp_path), lambda _: None))
    assert not {"passwd.lock", f"passwd.{useradd.pid}"} & {path.name for path in etc.iterdir()}
