"""What the agent makes of a refusal of the kernel, and of a state folder that others could reach."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from hakit.agent import disk
from hakit.agent.errors import Failure, from_os
from hakit.agent.resources.files import File, Files
from hakit.agent.state import FOLDER, State
from hakit.agent.wire import Text
from hakit.agent.work import Work
from tests.unit.agent import agent_support

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.agent_support import Agents


def failing(number: int, *names: str) -> OSError:
    return (
        OSError(number, os.strerror(number), names[0], None, names[1]) if names[1:] else OSError(number, "no", *names)
    )


@pytest.mark.parametrize(
    ("error", "paths", "path"),
    [
        (failing(errno.EIO, "/etc/a"), (), "/etc/a"),
        (failing(errno.EIO, "/etc/.hakit-a.0123456789abcdef"), (), "/etc/a"),
        (failing(errno.EIO, ".hakit-b.0123456789abcdef"), ("/etc/a", "/etc/b"), "/etc/b"),
        (failing(errno.EIO, ".hakit-b.0123456789abcdef", "b"), ("/etc/a", "/etc/b"), "/etc/b"),
        (failing(errno.EIO), ("/etc/a",), "/etc/a"),
        (failing(errno.EIO), (), None),
        (failing(errno.EIO, "elsewhere"), ("/etc/a",), None),
    ],
)
def test_a_refusal_names_the_file_that_was_meant(error: OSError, paths: tuple[str, ...], path: str | None) -> None:
    failure = from_os(error, "writing", paths)
    assert failure.path == path
    assert failure.message.startswith("writing: ")
    assert ".hakit-" not in failure.message


def test_a_full_disk_says_what_is_left(tmp_path: Path) -> None:
    said = from_os(failing(errno.ENOSPC, str(tmp_path / "not" / "there"))).message
    assert "are free there)" in said or "no inodes left" in said


def test_a_read_only_disk_says_where_to_look(tmp_path: Path) -> None:
    assert f"findmnt -T {tmp_path}" in from_os(failing(errno.EROFS, str(tmp_path))).message


@pytest.fixture
def state(tmp_path: Path) -> tuple[State, list[str]]:
    notes: list[str] = []
    folder = tmp_path / FOLDER[1:]
    folder.mkdir(parents=True, mode=0o700)
    return State(str(folder), notes.append), notes


def test_records_are_read_back(state: tuple[State, list[str]]) -> None:
    one, notes = state
    one.own("files:/etc/a", "test", {"made": True})
    one.forget_cache()
    assert one.items == {"files:/etc/a": {"component": "test", "made": True}}
    one.sweep()
    assert notes == []


def test_what_a_newer_hakit_made_is_left_for_that_one(agents: Agents) -> None:
    agents.apply(agent_support.files(agent_support.one("/etc/a.conf", "x\n")))
    manifest = json.loads(agents.read("/var/lib/hakit/manifest.json"))
    manifest["items"]["spaceship:a"] = {"component": "test"}
    agents.write("/var/lib/hakit/manifest.json", json.dumps(manifest), 0o600)
    assert [item.key for item in agents.plan()] == ["files:set"]
    agents.apply()
    assert list(json.loads(agents.read("/var/lib/hakit/manifest.json"))["items"]) == ["spaceship:a"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_record_that_others_could_write_is_not_believed(state: tuple[State, list[str]], mode: int) -> None:
    one, notes = state
    one.own("files:/etc/a", "test", {})
    os.chmod(f"{one.folder}/manifest.json", mode)  # noqa: PTH101 - the state knows its folder as text
    one.forget_cache()
    assert one.items == {}
    assert "others could write it" in notes[0]
    assert "nothing is removed" in notes[0]


def test_an_open_folder_is_closed_and_its_code_not_kept(state: tuple[State, list[str]]) -> None:
    one, notes = state
    disk.make_folder(f"{one.folder}/agent", 0o700)
    for folder in (one.folder, f"{one.folder}/agent"):
        os.chmod(folder, 0o777)  # noqa: PTH101, S103 - it is opened to be closed
    one.sweep()
    assert oct(os.stat(one.folder).st_mode & 0o777) == "0o700"  # noqa: PTH116 - as above
    assert not os.path.exists(f"{one.folder}/agent")  # noqa: PTH110 - as above
    assert "was open to others" in notes[0]


def test_what_a_daemon_quotes_is_shown_masked(tmp_path: Path) -> None:
    work = Work(str(tmp_path), lambda _: None)
    key = "-----BEGIN KEY-----\nabcdefghij\nklmnopqrst\n-----END KEY-----"
    content = Text(f"a = {key}\nb = 1\n", "a = <secret:key>\nb = 1\n")
    file = File(path="/etc/a", content=content, mode=0o600)
    work.declare([Files(label="/etc/a", files=(file,), component="test")])
    told = work.told(Failure("died of klmnopqrst", output="read abcdefghij\nand b = 1", path="/etc/a", line=2))
    assert told.message == "died of <secret:key>"
    assert told.output == "read <secret:key>\nand b = 1"
    assert (told.path, told.line) == ("/etc/a", 2)
