"""File systems are made by the real mkfs on files, only where nothing is or where a making of our own was cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from hakit.agent import process
from hakit.agent.errors import Failure
from hakit.agent.handlers import handler
from hakit.agent.handlers.filesystem import Filesystems
from hakit.agent.raid import filesystems
from hakit.agent.raid import intent as intents
from hakit.agent.resources.raid import Filesystem
from tests.unit.agent.raid.host import Host, Killed, array
from tests.unit.agent.raid.images import MIB, UUID_TEXT, disk, put, reader, run
from tests.unit.agent.raid.test_array import apply as make_array

if TYPE_CHECKING:
    from hakit.agent.process import Result
    from hakit.agent.work import Change

FS = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
OTHER = UUID("00000000-9dc0-11d1-b245-5ffdce74fad2")


def declared(kind: str = "ext4", **more: object) -> Filesystem:
    fields: dict[str, object] = {
        "device": "/dev/md/data",
        "kind": kind,
        "uuid": FS,
        "array": UUID_TEXT,
        "label": "data",
    }
    return Filesystem(**{**fields, **more})  # type: ignore[arg-type]  # its fields


@pytest.fixture(autouse=True)
def made(host: Host) -> Path:
    """An array; its device, large enough for xfs."""
    make_array(host, array())
    device = disk(host.path("md127"), 320 * MIB)
    (host.root / "sys/devices/md127/size").write_text(f"{320 * 2048}\n")
    return device


def plan(host: Host, one: Filesystem) -> Change:
    how = handler("filesystem")
    change: Change = how.diff(one, how.read([one], host.work)[one.key], host.work)
    return change


def apply(host: Host, one: Filesystem) -> None:
    change = plan(host, one)
    if change.summary:
        Filesystems().apply(one, change, host.work)


def made_by_us(host: Host) -> int:
    return sum(words[0].startswith("mkfs") for words in host.ran)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_it_is_made_once_with_its_uuid_and_label(host: Host, made: Path, kind: str) -> None:
    one = declared(kind)
    assert plan(host, one).summary == (f"make {kind} 'data' on /dev/md/data",)
    apply(host, one)
    words = run("blkid", "-p", "-o", "export", made)
    assert f"UUID={FS}\n" in words
    assert f"TYPE={kind}\n" in words
    assert "LABEL=data\n" in words
    host.session()
    assert plan(host, one).summary == ()
    assert made_by_us(host) == 1
    assert not {"-F", "-f", "--force"} & set(host.ran[-1])


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_we_read_what_blkid_reads(made: Path, kind: str) -> None:
    run(*filesystems.command(declared(kind), str(made)))
    found = filesystems.seen(reader(made))
    assert found is not None
    assert (found.kind, found.uuid, found.label, found.begun) == (kind, FS, "data", False)


@pytest.mark.parametrize("other", ["ext4", "ext3", "xfs", "btrfs", "swap", "data"])
def test_what_is_there_is_refused(host: Host, made: Path, other: str) -> None:
    if other == "swap":
        run("mkswap", made)
    elif other == "data":
        put(made, 100 * MIB, b"precious")
    else:
        run(f"mkfs.{other}", "-q", made)
    with pytest.raises(Failure, match="/dev/md/data is left alone"):
        plan(host, declared())
    assert made_by_us(host) == 0


def test_what_appears_after_the_plan_is_refused(host: Host, made: Path) -> None:
    one = declared()
    change = plan(host, one)
    run("mkfs.xfs", "-q", made)
    with pytest.raises(Failure, match="left alone"):
        Filesystems().apply(one, change, host.work)
    assert made_by_us(host) == 0


def test_it_waits_for_its_array(host: Host) -> None:
    host.boot()
    with pytest.raises(Failure, match="there is no /dev/md/data on this host"):
        plan(host, declared())
    host.work.declare([array(), declared(after=("array:data",))])
    host.work.status["array:data"] = "change"
    assert plan(host, declared(after=("array:data",))).after == "known after array:data"


def test_another_label_is_told(host: Host) -> None:
    apply(host, declared())
    assert plan(host, declared(label="other")).summary == ()
    assert "is called 'data', not 'other'" in host.said[-1]


def torn(kind: str, device: Path) -> Result:
    """A mkfs that dies half way: xfs says so in its superblock, of ext4 the inode tables are garbage."""
    process.run([word.replace("{}", str(device)) for word in filesystems.command(declared(kind), "{}")], 60.0)
    if kind == "xfs":
        put(device, 126, b"\1")
    else:
        put(device, MIB, b"\xaa" * (2 * MIB))
    raise Killed


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("how", ["before", "half", "after"])
def test_a_making_that_was_cut_short_is_made_again(
    host: Host, made: Path, monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    one = declared(kind)
    real = host.run

    def cut(argv: list[str], timeout: float = 60.0) -> object:
        if argv[0].startswith("mkfs"):
            if how == "half":
                torn(kind, made)
            if how == "after":
                real(argv)
            raise Killed
        return real(argv, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(host.work, "run", cut)
        with pytest.raises(Killed):
            apply(host, one)
    host.session()
    apply(host, one)
    host.session()
    apply(host, one)
    assert plan(host, one).summary == ()
    assert process.run(filesystems.check(kind, str(made)), 60.0).code == 0


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_somebody_made_after_a_cut_is_not_ours(
    host: Host, made: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def cut(argv: list[str], timeout: float = 60.0) -> object:
        if argv[0].startswith("mkfs"):
            raise Killed
        return host.run(argv, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(host.work, "run", cut)
        with pytest.raises(Killed):
            apply(host, declared(kind))
    run("mkfs.ext4", "-q", "-U", str(OTHER), made)
    host.session()
    with pytest.raises(Failure, match=f"left alone.*ext4 {OTHER}"):
        plan(host, declared(kind))


def test_data_after_a_cut_are_not_ours(host: Host, made: Path) -> None:
    begun = Path(intents.folder(host.work)) / f"mkfs-{FS}"
    begun.write_text(json.dumps({"device": "/dev/md/data", "array": UUID_TEXT, "kind": "ext4"}))
    begun.chmod(0o600)
    assert "which was cut short" in plan(host, declared()).summary[0]
    put(made, 100, b"precious")
    with pytest.raises(Failure, match=r"left alone.*data at the beginning"):
        plan(host, declared())


def test_a_file_system_that_was_mounted_is_never_made_again(host: Host, made: Path) -> None:
    apply(host, declared())
    one = declared()
    begun = Path(intents.folder(host.work)) / f"mkfs-{FS}"
    begun.write_text(json.dumps({"device": "/dev/md/data", "array": UUID_TEXT, "kind": "ext4"}))
    begun.chmod(0o600)
    put(made, 1024 + 44, b"\1\2\3\4")  # s_mtime: it was mounted
    put(made, MIB, b"\xaa" * (2 * MIB))
    host.session()
    assert plan(host, one).summary == ("remember that it is made",)


def test_old_blocks_of_wiped_disks_are_no_data(host: Host, made: Path) -> None:
    put(made, 100 * MIB, b"old")
    record = intents.read("data", UUID_TEXT, host.work)
    assert record is not None
    with pytest.raises(Failure):
        plan(host, declared())
    intents.write(record.replace(wiped=("B",)), host.work)
    apply(host, declared())
    assert made_by_us(host) == 1
    left = intents.read("data", UUID_TEXT, host.work)
    assert left is None
