"""Accounts whose files a power cut left apart, or locked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.handlers import account_locks
from hakit.agent.handlers.account import Users
from hakit.agent.resources.account import Group, User
from hakit.agent.starting import AgentGone
from hakit.agent.work import Work
from tests.unit.agent.agent_support import ME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.agent_support import Agents

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


def test_keys_that_are_left_as_they_are_are_not_put_back_later(agents: Agents) -> None:
    agents.write("/.ssh/authorized_keys", "before\n", 0o600)
    agents.apply(User(user=ME, authorized_keys=("ours",), component="test"))
    assert agents.read("/.ssh/authorized_keys") == "ours\n"
    left = User(user=ME, component="test")
    assert agents.apply(left).item(f"user:{ME}").summary == ("forget authorized_keys: they stay as they are",)
    assert agents.apply(left).result.changed == 0
    agents.write("/.ssh/authorized_keys", "theirs\n", 0o600)
    agents.apply()
    assert agents.read("/.ssh/authorized_keys") == "theirs\n"


def test_keys_that_leave_with_their_user_are_as_they_were(agents: Agents) -> None:
    agents.write("/.ssh/authorized_keys", "before\n", 0o600)
    agents.apply(User(user=ME, authorized_keys=("ours",), component="test"))
    agents.apply()
    assert agents.read("/.ssh/authorized_keys") == "before\n"


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ((), ["useradd --create-home -- bob"]),
        (("passwd",), ["groupadd --gid 3000 -- bob", "usermod --password ! -- bob", "mkhomedir_helper bob"]),
        (("passwd", "shadow"), ["groupadd --gid 3000 -- bob", "mkhomedir_helper bob"]),
        (("passwd", "shadow", "group"), ["mkhomedir_helper bob"]),
        (("passwd", "shadow", "group", "home"), []),
    ],
    ids=lambda one: "-".join(one).replace(" ", "_")[:40] or "nothing",
)
def test_a_user_that_a_power_cut_left_half_made_is_completed(
    agents: Agents, written: tuple[str, ...], rest: list[str]
) -> None:
    rows = {"passwd": "bob:x:3000:3000::/home/bob:/bin/sh", "shadow": "bob:!:1::::::", "group": "bob:x:3000:"}
    lines = [f"echo {rows[name]} >> etc/{name}" if name in rows else "mkdir -p home/bob" for name in written]
    begin = '#!/bin/sh\ncd "${0%/*}/.."\necho ${0##*/} $@ >> asked\n'
    agents.write("/bin/useradd", "\n".join([begin, *lines, "kill -9 $PPID", ""]), 0o755)
    for name in ("usermod", "groupadd", "mkhomedir_helper"):
        agents.write(f"/bin/{name}", begin, 0o755)
    bob = User(user="bob", component="test")
    with pytest.raises(AgentGone):
        agents.apply(bob)
    (agents.root / "asked").unlink()
    whole = "\n".join([begin, *(f"echo {row} >> etc/{name}" for name, row in rows.items()), ""])
    agents.write("/bin/useradd", whole, 0o755)
    done = agents.apply(bob)
    assert (done.result.changed, done.result.failed) == (1, 0)
    asked = agents.root / "asked"
    assert (asked.read_text().splitlines() if asked.exists() else []) == rest
    assert agents.apply(bob).result.changed == 0


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ((), ["groupadd --gid 2001 -- ops"]),
        (("group",), ["groupmod --password ! -- ops"]),
        (("group", "gshadow"), []),
    ],
    ids=lambda one: "-".join(one).replace(" ", "_")[:40] or "nothing",
)
def test_a_group_that_a_power_cut_left_half_made_is_completed(
    agents: Agents, written: tuple[str, ...], rest: list[str]
) -> None:
    rows = {"group": "ops:x:2001:", "gshadow": "ops:!::"}
    agents.write("/etc/gshadow", "root:*::\n", 0o640)
    begin = '#!/bin/sh\ncd "${0%/*}/.."\necho ${0##*/} $@ >> asked\n'
    lines = [f"echo '{rows[name]}' >> etc/{name}" for name in written]
    agents.write("/bin/groupadd", "\n".join([begin, *lines, "kill -9 $PPID", ""]), 0o755)
    ops = Group(group="ops", gid=2001, component="test")
    with pytest.raises(AgentGone):
        agents.apply(ops)
    (agents.root / "asked").unlink()
    whole = "\n".join([begin, *(f"echo '{row}' >> etc/{name}" for name, row in rows.items()), ""])
    agents.write("/bin/groupadd", whole, 0o755)
    agents.write("/bin/groupmod", f"{begin}echo '{rows['gshadow']}' >> etc/gshadow\n", 0o755)
    done = agents.apply(ops)
    assert (done.result.changed, done.result.failed) == (1, 0)
    asked = agents.root / "asked"
    assert (asked.read_text().splitlines() if asked.exists() else []) == rest
    assert agents.apply(ops).result.changed == 0


@pytest.mark.parametrize(
    ("left", "rest"),
    [
        (("passwd", "shadow", "group"), ["userdel -- bob"]),
        (("shadow", "group"), ["useradd --system --no-create-home --no-log-init --gid bob -- bob", "userdel -- bob"]),
        ((), ["useradd --system --no-create-home --no-log-init --user-group -- bob", "userdel -- bob"]),
    ],
    ids=["nothing was done", "only passwd was written", "perhaps the last file was not"],
)
def test_a_user_that_a_power_cut_left_half_deleted_is_deleted(
    agents: Agents, left: tuple[str, ...], rest: list[str]
) -> None:
    rows = {"passwd": "bob:x:3000:3000::/home/bob:/bin/sh", "shadow": "bob:!:1::::::", "group": "bob:x:3000:"}
    begin = '#!/bin/sh\ncd "${0%/*}/.."\necho ${0##*/} $@ >> asked\n'
    make = [f"grep -q ^bob: etc/{name} || echo {row} >> etc/{name}" for name, row in rows.items()]
    take = [f"sed -i /^bob:/d etc/{name}" for name in rows]
    agents.write("/bin/useradd", "\n".join([begin, *make, ""]), 0o755)
    bob = User(user="bob", system=True, component="test")
    agents.apply(bob)
    (agents.root / "asked").unlink()
    cut = [f"sed -i /^bob:/d etc/{name}" for name in rows if name not in left]
    agents.write("/bin/userdel", "\n".join([begin, *cut, "kill -9 $PPID", ""]), 0o755)
    with pytest.raises(AgentGone):
        agents.apply()
    (agents.root / "asked").unlink()
    agents.write("/bin/userdel", "\n".join([begin, *take, ""]), 0o755)
    done = agents.apply()
    assert (done.result.changed, done.result.failed) == (1, 0)
    assert (agents.root / "asked").read_text().splitlines() == rest
    for name in rows:
        assert "bob" not in agents.read(f"/etc/{name}")
    assert agents.apply().result.changed == 0


def test_a_user_that_is_declared_again_after_it_was_half_deleted_is_made_anew(agents: Agents) -> None:
    begin = '#!/bin/sh\ncd "${0%/*}/.."\necho ${0##*/} $@ >> asked\n'
    agents.write("/bin/useradd", f"{begin}echo bob:x:3000:3000::/home/bob:/bin/sh >> etc/passwd\n", 0o755)
    agents.write("/bin/userdel", f"{begin}sed -i /^bob:/d etc/passwd\nkill -9 $PPID\n", 0o755)
    bob = User(user="bob", system=True, component="test")
    agents.apply(bob)
    with pytest.raises(AgentGone):
        agents.apply()
    agents.write("/bin/userdel", f"{begin}sed -i /^bob:/d etc/passwd\n", 0o755)
    (agents.root / "asked").unlink()
    assert agents.apply(bob).result.failed == 0
    assert [line.split()[0] for line in agents.read("/asked").splitlines()] == ["useradd", "userdel", "useradd"]
    assert agents.apply(bob).result.changed == 0


@pytest.mark.parametrize(
    ("left", "rest"),
    [
        (("group", "gshadow"), ["groupdel -- ops"]),
        (("gshadow",), ["groupadd -- ops", "groupdel -- ops"]),
        ((), []),
    ],
    ids=["nothing was done", "only group was written", "all was done"],
)
def test_a_group_that_a_power_cut_left_half_deleted_is_deleted(
    agents: Agents, left: tuple[str, ...], rest: list[str]
) -> None:
    rows = {"group": "ops:x:2001:", "gshadow": "ops:!::"}
    agents.write("/etc/gshadow", "root:*::\n", 0o640)
    begin = '#!/bin/sh\ncd "${0%/*}/.."\necho ${0##*/} $@ >> asked\n'
    make = [f"grep -q ^ops: etc/{name} || echo '{row}' >> etc/{name}" for name, row in rows.items()]
    take = [f"sed -i /^ops:/d etc/{name}" for name in rows]
    agents.write("/bin/groupadd", "\n".join([begin, *make, ""]), 0o755)
    agents.apply(Group(group="ops", component="test"))
    cut = [f"sed -i /^ops:/d etc/{name}" for name in rows if name not in left]
    agents.write("/bin/groupdel", "\n".join([begin, *cut, "kill -9 $PPID", ""]), 0o755)
    with pytest.raises(AgentGone):
        agents.apply()
    (agents.root / "asked").unlink()
    agents.write("/bin/groupdel", "\n".join([begin, *take, ""]), 0o755)
    done = agents.apply()
    assert (done.result.changed, done.result.failed) == (1, 0)
    asked = agents.root / "asked"
    assert (asked.read_text().splitlines() if asked.exists() else []) == rest
    for name in rows:
        assert "ops" not in agents.read(f"/etc/{name}")


def test_the_shadow_of_a_users_own_group_is_completed_too(agents: Agents) -> None:
    agents.write("/etc/gshadow", "root:*::\n", 0o640)
    begin = '#!/bin/sh\ncd "${0%/*}/.."\n'
    rows = {"passwd": "bob:x:3000:3000::/:/bin/sh", "shadow": "bob:!:1::::::", "group": "bob:x:3000:"}
    lines = [f"echo '{row}' >> etc/{name}" for name, row in rows.items()]
    agents.write("/bin/useradd", "\n".join([begin, *lines, "kill -9 $PPID", ""]), 0o755)
    agents.write("/bin/groupmod", f"{begin}echo $@ >> asked\n", 0o755)
    bob = User(user="bob", component="test")
    with pytest.raises(AgentGone):
        agents.apply(bob)
    assert agents.apply(bob).result.changed == 1
    assert agents.read("/asked") == "--password ! -- bob\n"


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
        # The kernel shuts the descriptors that Popen waits for before it names the process.
        while Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8").strip() != program.name:
            assert process.poll() is None
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


@pytest.mark.parametrize("text", ["root:x:0:\n", "20240131x", "1"])
def test_a_copy_that_ends_in_a_number_is_left(tmp_path: Path, etc: Path, text: str) -> None:
    (etc / "group.20240131").write_text(text, encoding="utf-8")
    (etc / "shadow.1").mkdir()
    before = {path.name for path in etc.iterdir()}
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
