"""Mounts by UUID on a host of files: what is written, started and never hidden; systemctl is simulated."""

from __future__ import annotations

import grp
import os
import pwd
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.handlers.mount import Mounts
from hakit.agent.process import Result
from hakit.agent.resources.files import File
from hakit.agent.resources.raid import Mount
from hakit.agent.wire import Text

if TYPE_CHECKING:
    from hakit.agent.work import Change
    from tests.unit.agent.raid.host import Host

FS = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
TEXT = f"[Mount]\nWhat=/dev/disk/by-uuid/{FS}\nWhere=/srv/my data\nOptions=nofail\n"
UNIT = "srv-my\\x20data.mount"
PATH = f"/etc/systemd/system/{UNIT}"


class Systemd:
    """Enables and mounts what it is told."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.enabled = False
        self.told: list[str] = []
        self.mounts = FS
        self.unread = False

    def __call__(self, words: list[str]) -> Result:
        verb = words[1]
        if verb == "show":
            state = "enabled" if self.enabled else "disabled"
            return Result(
                0, f"Id={UNIT}\nUnitFileState={state}\nNeedDaemonReload={'yes' if self.unread else 'no'}\n", ""
            )
        self.told.append(verb)
        self.enabled = self.enabled or verb == "enable"
        if verb == "start":
            mounted(self.host, self.mounts)
        return Result(0, "", "")


def mounted(host: Host, uuid: str, where: str = "/srv/my\\040data") -> None:
    (host.root / "run/udev/data/b9:127").write_text(f"E:ID_FS_UUID={uuid}\n")
    (host.root / "proc/self/mountinfo").write_text(f"30 1 9:127 / {where} rw - ext4 /dev/md127 rw\n")


@pytest.fixture
def systemd(host: Host) -> Systemd:
    (host.root / "etc/systemd/system").mkdir(parents=True)
    (host.root / "dev/disk/by-uuid").mkdir(parents=True)
    (host.root / "dev/disk/by-uuid" / FS).symlink_to("../../md127")
    (host.root / "etc/passwd").write_text(
        f"{pwd.getpwuid(os.getuid()).pw_name}:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n"
    )
    (host.root / "etc/group").write_text(f"{grp.getgrgid(os.getgid()).gr_name}:x:{os.getgid()}:\n")
    made = Systemd(host)
    host.programs["systemctl"] = made
    return made


def declared(text: str = TEXT, **more: object) -> Mount:
    owner = pwd.getpwuid(os.getuid()).pw_name
    file = File(path=PATH, content=Text(text), owner=owner, group=grp.getgrgid(os.getgid()).gr_name, mode=0o644)
    return Mount(path="/srv/my data", unit=UNIT, uuid=FS, file=file, **more)  # type: ignore[arg-type]  # its fields


def plan(host: Host, one: Mount) -> Change:
    return Mounts().diff(one, Mounts().read([one], host.work)[one.key], host.work)


def test_it_is_written_enabled_and_mounted_once(host: Host, systemd: Systemd) -> None:
    change = plan(host, declared())
    assert change.summary == (f"create {PATH}", "mount it at boot", f"mount {FS} on /srv/my data")
    Mounts().apply(declared(), change, host.work)
    assert systemd.told == ["daemon-reload", "enable", "start"]
    assert (host.root / PATH[1:]).read_text() == TEXT
    assert (host.root / "srv/my data").is_dir()
    assert plan(host, declared()).summary == ()


def test_changed_options_are_taken_by_a_remount(host: Host, systemd: Systemd) -> None:
    Mounts().apply(declared(), plan(host, declared()), host.work)
    systemd.told.clear()
    other = declared(TEXT.replace("nofail", "nofail,noatime"))
    change = plan(host, other)
    assert change.summary == (f"write {PATH}", "remount")
    Mounts().apply(other, change, host.work)
    assert systemd.told == ["daemon-reload", "reload"]


def test_options_that_a_killed_run_wrote_are_taken(host: Host, systemd: Systemd) -> None:
    Mounts().apply(declared(), plan(host, declared()), host.work)
    systemd.told.clear()
    systemd.unread = True
    change = plan(host, declared())
    assert change.summary == (f"have systemd read {PATH}", "remount")
    Mounts().apply(declared(), change, host.work)
    assert systemd.told == ["daemon-reload", "reload"]


def test_what_a_mount_would_hide_is_refused(host: Host, systemd: Systemd) -> None:
    (host.root / "srv/my data").mkdir(parents=True)
    assert plan(host, declared()).summary
    for name in ("a", "b", "c", "d"):
        (host.root / "srv/my data" / name).write_text("")
    with pytest.raises(Failure, match="holds a, b, c and more: a mount would hide that"):
        plan(host, declared())
    assert systemd.told == []


def test_a_mount_point_that_is_no_directory_is_refused(host: Host, systemd: Systemd) -> None:
    (host.root / "srv").mkdir()
    (host.root / "srv/my data").symlink_to("/elsewhere")
    with pytest.raises(Failure, match="is a symbolic link, not a directory"):
        plan(host, declared())
    assert systemd.told == []


def test_another_file_system_there_is_refused(host: Host, systemd: Systemd) -> None:
    mounted(host, "0000")
    with pytest.raises(Failure, match="another file system is mounted there"):
        plan(host, declared())
    assert systemd.told == []


def test_the_wrong_file_system_after_the_mount_is_an_error(host: Host, systemd: Systemd) -> None:
    systemd.mounts = "0000"
    with pytest.raises(Failure, match="0000 is mounted there"):
        Mounts().apply(declared(), plan(host, declared()), host.work)


def test_it_waits_for_its_file_system(host: Host, systemd: Systemd) -> None:
    (host.root / "dev/disk/by-uuid" / FS).unlink()
    with pytest.raises(Failure, match="there is no file system"):
        plan(host, declared())
    one = declared(after=("filesystem:/dev/md/data",))
    host.work.declare([one])
    host.work.status["filesystem:/dev/md/data"] = "change"
    assert plan(host, one).after == "known after filesystem:/dev/md/data"
    assert systemd.told == []


def test_its_removal_only_reports(host: Host, systemd: Systemd) -> None:
    mounted(host, FS)
    assert Mounts().leftover("mount:/srv/my data", {}, host.work).summary == (
        "forget; /srv/my data stays mounted, also after a boot",
    )
    assert Mounts().remove("mount:/srv/my data", {}, host.work) == ()
    assert systemd.told == []
