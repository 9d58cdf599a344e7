"""Sets of files, by a real agent on a root of its own."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from hakit.agent.resources.command import Command
from hakit.agent.resources.files import Validator
from hakit.agent.resources.paths import Directory, Symlink
from tests.unit.agent.agent_support import ME, MY_GROUP, files, one

if TYPE_CHECKING:
    from tests.unit.agent.agent_support import Agents


def validator(script: str, path: str = "/etc/a.conf", **more: object) -> Validator:
    return Validator(argv=("sh", "-c", script, "sh", "{" + path + "}"), path=path, **more)  # type: ignore[arg-type]  # fields of Validator


def test_a_new_file_lands_with_its_mode_and_the_second_apply_changes_nothing(agents: Agents) -> None:
    wanted = files(one("/etc/new/a.conf", "hello\n", 0o640))
    first = agents.apply(wanted)
    assert first.item("files:set").new
    assert first.result.changed == 1
    assert agents.read("/etc/new/a.conf") == "hello\n"
    assert stat.S_IMODE((agents.root / "etc/new/a.conf").stat().st_mode) == 0o640
    assert agents.apply(wanted).result.changed == 0


def test_a_change_of_equal_size_with_its_time_put_back_is_found(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "yes\n")))
    path = agents.root / "etc/a.conf"
    before = path.stat()
    path.write_text("no!\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = agents.apply(files(one("/etc/a.conf", "yes\n")))
    assert again.result.changed == 1
    assert path.read_text() == "yes\n"


def test_only_a_mode_is_mended_without_a_new_content(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "x\n")))
    path = agents.root / "etc/a.conf"
    path.chmod(0o666)
    inode = path.stat().st_ino
    done = agents.apply(files(one("/etc/a.conf", "x\n")))
    assert done.item("files:set").summary == ("mode 0666 → 0644",)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.stat().st_ino == inode


def test_a_plan_shows_the_old_text(agents: Agents) -> None:
    agents.write("/etc/a.conf", "old\n")
    (item,) = agents.plan(files(one("/etc/a.conf", "new\n")))
    assert item.files[0].old == "old\n"
    assert not agents.state.exists()


@pytest.mark.parametrize("others", [False, True], ids=["mine", "changed outside"])
def test_a_plan_never_shows_a_secret_that_is_on_disk(agents: Agents, others: bool) -> None:
    agents.apply(files(one("/etc/a.conf", "pw hunter2\n", 0o644, "pw <secret:x>\n")))
    if others:
        agents.write("/etc/a.conf", "pw hunter3\n")
    for new in (one("/etc/a.conf", "pw other\n", 0o644, "pw <secret:y>\n"), one("/etc/a.conf", "no secret\n")):
        (state,) = agents.plan(files(new))[0].files
        assert "hunter" not in repr(state)
        assert (state.old == "pw <secret:x>\n") != others
        assert (state.why_hidden is not None) == others
    (gone,) = agents.plan()
    assert "hunter" not in repr(gone)


def test_a_foreign_file_is_not_shown_where_a_secret_will_stand(agents: Agents) -> None:
    agents.write("/etc/a.conf", "pw hunter2\n")
    (item,) = agents.plan(files(one("/etc/a.conf", "pw new\n", 0o600, "pw <secret:x>\n")))
    assert "hunter2" not in repr(item)
    assert item.files[0].why_hidden == "not written by hakit, may hold secrets"


def test_the_original_is_that_of_the_last_adoption(agents: Agents) -> None:
    for original in ("first\n", "second\n"):
        agents.write("/etc/a.conf", original)
        agents.apply(files(one("/etc/a.conf", "ours\n")))
        agents.apply()
        assert agents.read("/etc/a.conf") == original


def test_the_original_is_kept_where_something_else_stands_now(agents: Agents) -> None:
    path = agents.write("/etc/a.conf", "original\n", 0o600)
    agents.apply(files(one("/etc/a.conf", "ours\n")))
    path.unlink()
    link = Symlink(path="/etc/a.conf", target="/elsewhere", component="test")
    lines = [line for event in agents.apply(link).events for line in event.summary]
    assert any("is a symbolic link now and was left alone; the file from before" in line for line in lines)
    (kept,) = (agents.state / "previous/etc,a.conf").glob("original*")
    assert kept.read_text() == "original\n"
    agents.apply()
    path.write_text("new\n")
    agents.apply(files(one("/etc/a.conf", "ours\n")))
    agents.apply()
    assert path.read_text() == "new\n"
    assert kept.read_text() == "original\n"


def test_a_foreign_file_that_not_everyone_may_read_is_not_shown(agents: Agents) -> None:
    agents.write("/etc/a.conf", "pw hunter2\n", 0o600)
    (item,) = agents.plan(files(one("/etc/a.conf", "new\n")))
    assert item.files[0].old is None
    assert "may hold secrets" in str(item.files[0].why_hidden)


@pytest.mark.parametrize(("data", "why"), [(b"\xff\xfe", "binary"), (b"x" * 300_000, "too large to show (292 KiB)")])
def test_what_no_screen_can_show_is_not_sent(agents: Agents, data: bytes, why: str) -> None:
    agents.write("/etc/a.conf", "").write_bytes(data)
    (item,) = agents.plan(files(one("/etc/a.conf", "new\n")))
    assert item.files[0].old is None
    assert item.files[0].why_hidden == why


def test_removal_deletes_what_hakit_made_and_restores_what_it_adopted(agents: Agents) -> None:
    agents.write("/etc/adopted.conf", "original\n", 0o600)
    agents.apply(files(one("/etc/adopted.conf", "ours\n"), one("/etc/new/made.conf", "ours\n")))
    agents.apply(files(one("/etc/adopted.conf", "ours 2\n"), one("/etc/new/made.conf", "ours 2\n")))
    gone = agents.apply()
    assert gone.item("files:set").status == "remove"
    assert agents.read("/etc/adopted.conf") == "original\n"
    assert stat.S_IMODE((agents.root / "etc/adopted.conf").stat().st_mode) == 0o600
    assert not (agents.root / "etc/new").exists()
    assert agents.plan() == ()


def test_a_version_that_others_changed_is_kept_when_it_is_removed(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "ours\n")))
    agents.write("/etc/a.conf", "theirs\n")
    gone = agents.apply()
    assert any("changed outside hakit" in line for event in gone.events for line in event.summary)
    kept = [path.read_text() for path in (agents.state / "previous").rglob("*") if path.is_file()]
    assert "theirs\n" in kept


def test_a_path_that_left_its_set_is_deleted(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "a\n"), one("/etc/b.conf", "b\n")))
    done = agents.apply(files(one("/etc/a.conf", "a\n")))
    assert done.item("files:set").summary == ("delete /etc/b.conf",)
    assert not (agents.root / "etc/b.conf").exists()


def test_a_path_that_moved_to_another_set_stays_and_is_removed_with_that_one(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "a\n"), label="first"))
    agents.apply(files(one("/etc/a.conf", "a\n"), label="second"))
    assert agents.read("/etc/a.conf") == "a\n"
    assert [item.status for item in agents.plan(files(one("/etc/a.conf", "a\n"), label="second"))] == ["same"]
    agents.apply()
    assert not (agents.root / "etc/a.conf").exists()


@pytest.mark.parametrize("name", ["files:set", "/etc/b.conf"])
def test_what_another_component_declares_now_is_no_leftover(agents: Agents, name: str) -> None:
    agents.apply(files(one("/etc/a.conf", "a\n"), one("/etc/b.conf", "b\n")))
    with agents.client(lock=False) as client:
        assert client.plan([], ["test"], elsewhere=[name]) == ()
        (item,) = client.plan([], ["test"], elsewhere=["files:other", "/etc/c.conf"])
    assert item.status == "remove"


def test_a_path_that_another_component_declares_now_is_not_deleted(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "a\n"), one("/etc/b.conf", "b\n")))
    with agents.client(lock=False) as client:
        (item,) = client.plan([files(one("/etc/a.conf", "a\n"))], ["test"], elsewhere=["files:other", "/etc/b.conf"])
    assert item.status == "same"


def test_a_link_or_directory_that_another_component_fills_now_is_no_leftover(agents: Agents) -> None:
    agents.apply(
        Directory(path="/etc/dir", owner=ME, group=MY_GROUP, component="test"),
        Symlink(path="/etc/link", target="dir", component="test"),
    )
    with agents.client(lock=False) as client:
        assert client.plan([], ["test"], elsewhere=["/etc/dir", "/etc/link"]) == ()


def test_the_last_five_versions_and_the_original_are_kept(agents: Agents) -> None:
    agents.write("/etc/a.conf", "original\n")
    for number in range(9):
        agents.apply(files(one("/etc/a.conf", f"{number}\n")))
    folder = agents.state / "previous/etc,a.conf"
    versions = sorted(path for path in folder.iterdir() if path.name != "original")
    assert [path.read_text() for path in versions] == [f"{number}\n" for number in range(3, 8)]
    assert (folder / "original").read_text() == "original\n"


def test_what_goes_is_kept_also_where_the_manifest_was_lost(agents: Agents) -> None:
    agents.write("/etc/a.conf", "original\n")
    agents.apply(files(one("/etc/a.conf", "ours\n")))
    (agents.state / "manifest.json").unlink()
    agents.write("/etc/a.conf", "theirs\n")
    agents.apply(files(one("/etc/a.conf", "ours\n")))
    folder = agents.state / "previous/etc,a.conf"
    assert {path.read_text() for path in folder.iterdir()} == {"original\n", "theirs\n"}
    assert (folder / "original").read_text() == "original\n"


def test_a_rejected_set_leaves_every_file_alone_and_tells_the_line(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "good\n"), one("/etc/b.conf", "b\n")))
    judge = validator('echo "$1:2: bad word" >&2; exit 1', place=r":(?P<line>\d+): (?P<message>.*)")
    bad = agents.apply(files(one("/etc/a.conf", "x\nbad\n"), one("/etc/b.conf", "b2\n"), validate=(judge,)))
    error = bad.item("files:set").error
    assert error is not None
    assert (error.path, error.line) == ("/etc/a.conf", 2)
    assert error.message == "sh rejects /etc/a.conf: bad word"
    assert error.output == "/etc/a.conf:2: bad word"
    assert (agents.read("/etc/a.conf"), agents.read("/etc/b.conf")) == ("good\n", "b\n")
    assert not list((agents.state / "stage").iterdir())


@pytest.mark.parametrize(
    ("judge", "accepted"),
    [
        (validator("exit 0"), True),
        (validator("exit 3", ok=(3,)), True),
        (validator("echo WARNING; exit 0", reject="^WARN"), False),
        (validator('grep -q "user root" "$1"', swap=(("user [a-z]+", "user root"),)), True),
        (validator('grep -q "user root" "$1"'), False),
        (validator('test "$(basename "$1")" = a.conf'), True),
        (validator("sleep 9", timeout=0.2), False),
    ],
)
def test_validators_judge_copies_under_their_own_names(agents: Agents, judge: Validator, accepted: bool) -> None:
    (item,) = agents.plan(files(one("/etc/a.conf", "user keepalived\n"), validate=(judge,)))
    assert (item.status == "change") == accepted


def test_a_judge_that_quotes_a_secret_is_masked(agents: Agents) -> None:
    judge = validator('cat "$1"; exit 1', place="(?P<message>.*pass.*)")
    secret = one("/etc/a.conf", "user x\nauth_pass hunter2\n", 0o600, "user x\nauth_pass <secret:vrrp>\n")
    (item,) = agents.plan(files(secret, validate=(judge,)))
    assert item.error is not None
    assert "hunter2" not in repr(item)
    assert item.error.message == "sh rejects /etc/a.conf: auth_pass <secret:vrrp>"


def test_members_of_a_set_are_judged_with_each_other(agents: Agents) -> None:
    agents.write("/etc/part.conf", "old\n")
    judge = validator('grep -q new "$(cut -d" " -f2 "$1")"')
    (item,) = agents.plan(
        files(one("/etc/a.conf", "include /etc/part.conf\n"), one("/etc/part.conf", "new\n"), validate=(judge,))
    )
    assert item.status == "change"


def test_a_missing_judge_is_refused_unless_something_may_bring_it(agents: Agents) -> None:
    judge = Validator(argv=("hakit-no-such-judge", "{/etc/a.conf}"), path="/etc/a.conf")
    bringer = Command(label="bring", argv=("true",), creates="/etc/brought")
    alone = files(one("/etc/a.conf", "x\n"), validate=(judge,))
    (item,) = agents.plan(alone)
    assert item.status == "refused"
    waiting = agents.plan(bringer, alone.replace(after=("command:bring",)))[1]
    assert (waiting.status, waiting.after) == ("change", "validated after command:bring")


@pytest.mark.parametrize("thing", ["directory", "link", "fifo"])
def test_what_is_no_file_is_never_replaced(agents: Agents, thing: str) -> None:
    path = agents.root / "etc/a.conf"
    if thing == "directory":
        path.mkdir()
    elif thing == "link":
        path.symlink_to(agents.write("/etc/target", "precious\n"))
    else:
        os.mkfifo(path)
    done = agents.apply(files(one("/etc/a.conf", "x\n")), files(one("/etc/b.conf", "x\n"), label="other"))
    error = done.item("files:set").error
    assert error is not None
    assert "move it away" in error.message
    assert agents.read("/etc/b.conf") == "x\n"


def test_a_file_replaces_a_link_that_hakit_made(agents: Agents) -> None:
    agents.apply(Symlink(path="/etc/a.conf", target="/etc/target", component="test"))
    agents.apply(files(one("/etc/a.conf", "x\n")))
    assert agents.read("/etc/a.conf") == "x\n"
    assert [item.status for item in agents.plan(files(one("/etc/a.conf", "x\n")))] == ["same"]


def test_an_unknown_owner_is_refused_before_anything_is_written(agents: Agents) -> None:
    nobody = one("/etc/a.conf", "x\n").replace(owner="no-such-user")
    (item,) = agents.plan(files(nobody))
    assert item.error is not None
    assert item.error.message == "no such user on this host: no-such-user"


def test_directories_and_links_come_and_go(agents: Agents) -> None:
    (agents.root / "etc/old").mkdir()
    wanted = (
        Directory(path="/etc/dir", mode=0o750, owner=ME, group=MY_GROUP, component="test"),
        Directory(path="/etc/old", mode=0o700, owner=ME, group=MY_GROUP, component="test"),
        Symlink(path="/etc/dir/link", target="../x", component="test", after=("directory:/etc/dir",)),
    )
    assert agents.apply(*wanted).result.changed == 3
    assert (agents.root / "etc/dir/link").readlink().name == "x"
    assert agents.apply(*wanted).result.changed == 0
    assert agents.apply().result.failed == 0
    assert not (agents.root / "etc/dir").exists()
    assert (agents.root / "etc/old").is_dir()


def test_a_link_that_pointed_elsewhere_points_there_again(agents: Agents) -> None:
    (agents.root / "etc/link").symlink_to("/before")
    agents.apply(Symlink(path="/etc/link", target="/after", component="test"))
    agents.apply()
    assert str((agents.root / "etc/link").readlink()) == "/before"


def test_a_link_never_replaces_a_foreign_file(agents: Agents) -> None:
    agents.write("/etc/link", "precious\n")
    (item,) = agents.plan(Symlink(path="/etc/link", target="/x", component="test"))
    assert item.status == "refused"


def test_a_command_runs_while_its_guard_asks_for_it(agents: Agents) -> None:
    flag = agents.root / "etc/flag"
    guarded = Command(label="make", argv=("touch", str(flag)), creates="/etc/flag")
    assert agents.apply(guarded).result.changed == 1
    assert agents.apply(guarded).result.changed == 0
    judged = Command(label="write", argv=("sh", "-c", f"echo x > {flag}"), unless=("grep", "-q", "x", str(flag)))
    assert agents.apply(judged).result.changed == 1
    assert agents.apply(judged).result.changed == 0


def test_a_command_that_does_not_satisfy_its_guard_has_failed(agents: Agents) -> None:
    done = agents.apply(Command(label="lie", argv=("true",), creates="/etc/flag"))
    assert done.error("command:lie") == "lie: the command ran, but /etc/flag is not there"


def test_what_stands_on_a_failure_is_skipped_and_the_rest_is_done(agents: Agents) -> None:
    done = agents.apply(
        Command(label="fail", argv=("false",), creates="/etc/flag"),
        files(one("/etc/a.conf", "x\n"), label="a", after=("command:fail",)),
        files(one("/etc/b.conf", "x\n"), label="b", after=("files:a",)),
        files(one("/etc/c.conf", "x\n"), label="c"),
    )
    assert [(event.key, event.because) for event in done.events if event.ev == "skipped"] == [
        ("files:a", "command:fail"),
        ("files:b", "files:a"),
    ]
    assert (done.result.changed, done.result.failed) == (1, 1)
    assert not (agents.root / "etc/a.conf").exists()


def test_what_stands_on_something_refused_is_skipped(agents: Agents) -> None:
    refused = files(one("/etc/a.conf", "x\n"), label="a", validate=(validator("exit 1"),))
    done = agents.apply(refused, files(one("/etc/b.conf", "x\n"), label="b", after=("files:a",)))
    assert [event.ev for event in done.events] == ["skipped"]


def test_a_damaged_manifest_is_told_and_kept_aside(agents: Agents) -> None:
    agents.apply(files(one("/etc/a.conf", "x\n")))
    (agents.state / "manifest.json").write_text('{"items": 3')
    done = agents.apply(files(one("/etc/a.conf", "y\n")))
    assert done.result.changed == 1
    damaged = list(agents.state.glob("manifest.json.damaged-*"))
    assert [path.read_text() for path in damaged] == ['{"items": 3']
    assert agents.read("/etc/a.conf") == "y\n"
