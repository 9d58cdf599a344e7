"""The handler of arrays on a host of files: what it plans, what it makes, and what it never touches.

mdadm itself is simulated here (`host.py`), for it needs the md driver; the lab's tests do the same on real kernels.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from hakit.agent.errors import Failure
from hakit.agent.handlers.array import Arrays
from hakit.agent.raid import holding, making
from hakit.agent.raid import intent as intents
from tests.unit.agent.raid import test_proof
from tests.unit.agent.raid.host import SIZE, Host, Killed, array
from tests.unit.agent.raid.images import MIB, UUID_TEXT, member, put, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Change

OTHER = "00000000:11111111:22222222:33333333"


def plan(host: Host, one: Array) -> Change:
    handler = Arrays()
    return handler.diff(one, handler.read([one], host.work)[one.key], host.work)


def apply(host: Host, one: Array) -> tuple[str, ...]:
    """Plan and apply, as the agent does in one session."""
    change = plan(host, one)
    return Arrays().apply(one, change, host.work) if change.summary else ()


def refusal(host: Host, one: Array) -> str:
    """What is said; nothing may be changed for it."""
    before = host.digests()
    with pytest.raises(Failure) as told:
        apply(host, one)
    assert host.digests() == before
    assert not any("--create" in words or "--assemble" in words for words in host.ran)
    return told.value.message


def created(host: Host) -> list[str]:
    (words,) = [words for words in host.ran if "--create" in words]
    return words


def test_blank_disks_become_an_array(host: Host) -> None:
    one = array()
    change = plan(host, one)
    assert change.new
    assert change.summary[0] == "create it (RAID1) from"
    assert change.summary[1:] == (
        "  TOSHIBA MG08 serial A, now sda, 48 MiB",
        "  TOSHIBA MG08 serial B, now sdb, 48 MiB",
    )
    assert not [words for words in host.ran if words[0] == "mdadm"]
    apply(host, one)
    words = created(host)
    assert {"--metadata=1.2", f"--uuid={UUID_TEXT}", "--homehost=alpha", "--name=data", "--bitmap=internal"} <= set(
        words
    )
    assert not {"--force", "--run", "--assume-clean", "-f", "-R", "--yes"} & set(words)
    assert plan(host, one).summary == ()


@pytest.mark.parametrize(
    ("make", "words"), [case[1:] for case in test_proof.CASES], ids=[c[0] for c in test_proof.CASES]
)
def test_a_disk_that_bears_anything_is_refused(host: Host, make: Callable[[Path], object], words: str) -> None:
    del words
    host.pull("sdb")
    make(host.add("sdb", "B", test_proof.SMALL))
    host.pull("sda")
    host.add("sda", "A", test_proof.SMALL)
    told = refusal(host, array(uuid=OTHER))
    assert told.startswith("the array data is left alone: TOSHIBA MG08 serial B, now sdb: ")
    assert "serial A" not in told


def test_what_is_found_can_be_wiped_by_name_and_word(host: Host) -> None:
    run("mkfs.ext4", "-q", host.path("sdb"))
    assert refusal(host, array()).endswith("(to lose that name B in raid.wipe, then  hakit apply --wipe B )")
    assert refusal(host, array(wipe=("B",))).endswith("(to lose that:  hakit apply --wipe B )")
    assert refusal(host, array(confirmed=("B",))).endswith(
        "(to lose that name B in raid.wipe, then  hakit apply --wipe B )"
    )
    assert refusal(host, array(wipe=("A",), confirmed=("A",)))
    one = array(wipe=("B",), confirmed=("B",))
    assert "  wipe TOSHIBA MG08 serial B, now sdb" in plan(host, one).summary
    apply(host, one)
    assert created(host)


def test_no_word_wipes_a_disk_in_use(host: Host) -> None:
    run("mkfs.ext4", "-q", host.path("sdb"))
    number = (host.root / "sys/class/block/sdb/dev").read_text().strip()
    (host.root / "proc/self/mountinfo").write_text(f"30 1 {number} / /srv rw - ext4 /dev/sdb rw\n")
    told = refusal(host, array(wipe=("B",), confirmed=("B",)))
    assert "sdb is mounted on /srv" in told
    assert "--wipe" not in told


def held_by_process(host: Host) -> str:
    (host.root / "proc/1/comm").write_text("dd\n")
    (host.root / "proc/1/fd/3").symlink_to(host.path("sdb"))
    return "sdb is open in dd (process 1)"


def held_by_volume(host: Host) -> str:
    (host.root / "sys/class/block/sdb/holders/dm-0").mkdir()
    return "sdb is used by dm-0"


def held_as_swap(host: Host) -> str:
    (host.root / "proc/swaps").write_text("Filename\tType\tSize\n/dev/sdb partition 100 0 -2\n")
    return "sdb is swap that is in use"


def held_by_loop(host: Host) -> str:
    folder = host.root / "sys/class/block/loop0/loop"
    folder.mkdir(parents=True)
    (folder / "backing_file").write_text("/dev/sdb\n")
    return "sdb is behind loop0"


@pytest.mark.parametrize("make", [held_by_process, held_by_volume, held_as_swap, held_by_loop])
def test_a_blank_disk_in_use_is_refused(host: Host, make: Callable[[Host], str]) -> None:
    words = make(host)
    told = refusal(host, array())
    assert words in told
    assert "--wipe" not in told


def test_a_missing_disk_is_refused(host: Host) -> None:
    host.pull("sdb")
    assert refusal(host, array()) == "the array data is left alone: there is no disk serial:B"


def test_identical_serials_are_refused(host: Host) -> None:
    host.add("sdc", "B")
    assert "serial:B is 2 disks" in refusal(host, array())


def test_one_disk_under_two_words_is_refused(host: Host) -> None:
    link = host.root / "dev/disk/by-id/ata-TOSHIBA_A"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../sda")
    told = refusal(host, array(devices=("serial:A", "/dev/disk/by-id/ata-TOSHIBA_A")))
    assert "serial:A and /dev/disk/by-id/ata-TOSHIBA_A are one disk" in told


def test_a_smaller_disk_is_refused(host: Host) -> None:
    host.pull("sdb")
    host.add("sdb", "B", SIZE - 2 * MIB)
    assert "serial B, now sdb is smaller (46 MiB) than TOSHIBA MG08 serial A" in refusal(host, array())
    assert "smaller" in refusal(host, array(size=48))
    assert plan(host, array(size=40)).new


def test_what_changes_after_the_plan_is_not_touched(host: Host) -> None:
    one = array()
    change = plan(host, one)
    run("mkfs.ext4", "-q", host.path("sdb"))
    before = host.digests()
    with pytest.raises(Failure, match="ext2, ext3 or ext4 at the beginning"):
        Arrays().apply(one, change, host.work)
    assert host.digests() == before


def test_what_changes_in_the_last_moment_is_not_touched(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one = array()
    change = plan(host, one)
    enter = making.Exclusive.__enter__
    before: dict[str, str] = {}

    def late(self: making.Exclusive) -> making.Exclusive:
        run("mkfs.ext4", "-q", host.path("sdb"))
        before.update(host.digests())
        return enter(self)

    monkeypatch.setattr(making.Exclusive, "__enter__", late)
    with pytest.raises(Failure, match="ext2, ext3 or ext4 at the beginning"):
        Arrays().apply(one, change, host.work)
    assert host.digests() == before
    assert intents.read("data", UUID_TEXT, host.work) is None


def test_a_disk_that_appears_after_the_plan_is_not_taken_unseen(host: Host) -> None:
    one = array()
    plan(host, one)
    content = host.pull("sdb")
    content.unlink()
    member(host.add("sdb", "B"), events=3)
    member(host.path("sda"), slot=1, events=3)
    with pytest.raises(Failure, match="changed since the plan"):
        plan(host, one)  # the second look of a session is that of the change


def test_members_are_assembled_never_created(host: Host) -> None:
    member(host.path("sda"), slot=0)
    member(host.path("sdb"), slot=1)
    before = host.digests()
    change = plan(host, array())
    assert change.summary[0] == "assemble it from"
    apply(host, array())
    (words,) = [words for words in host.ran if "--assemble" in words]
    assert f"--uuid={UUID_TEXT}" in words
    assert not {"--force", "--run"} & set(words)
    assert host.digests() == before


def test_names_may_change_between_boots(host: Host) -> None:
    apply(host, array())
    host.boot()
    host.rename({"sda": "sdb", "sdb": "sda"})
    assert plan(host, array()).summary[0] == "assemble it from"
    apply(host, array())
    assert plan(host, array()).summary == ()


def test_an_array_with_another_uuid_is_foreign(host: Host) -> None:
    member(host.path("sda"), slot=0)
    member(host.path("sdb"), slot=1)
    told = refusal(host, array(uuid=OTHER))
    assert told.count(f"a member of the array alpha:data {UUID_TEXT} (level 1, metadata 1.2)") == 2


def test_a_stale_member_is_left_out(host: Host) -> None:
    member(host.path("sda"), slot=0, events=90)
    member(host.path("sdb"), slot=1, events=40)
    before = host.digests()
    with pytest.raises(Failure, match="does not assemble data without force"):
        apply(host, array())
    assert host.digests() == before
    assert [words[:2] for words in host.ran if words[0] == "mdadm"] == [["mdadm", "--assemble"]]


def test_two_that_say_they_are_the_same_member_are_refused(host: Host) -> None:
    member(host.path("sda"), slot=0)
    member(host.path("sdb"), slot=0)
    assert "both say that they are its member 0" in refusal(host, array())


def test_disks_of_two_arrays_of_one_name_are_refused(host: Host) -> None:
    host.add("sdc", "C")
    member(host.path("sda"), slot=0)
    member(host.path("sdb"), slot=1)
    member(host.path("sdc"), slot=0, uuid=UUID(int=7))
    told = refusal(host, array(devices=("serial:A", "serial:B", "serial:C")))
    assert "serial C, now sdc is a member of another array of this name, 00000000:00000000:00000000:00000007" in told


def test_superblocks_that_contradict_each_other_are_refused(host: Host) -> None:
    member(host.path("sda"), slot=0, level=1)
    member(host.path("sdb"), slot=1, level=5)
    assert "says level 5" in refusal(host, array())


def test_too_few_members_are_refused(host: Host) -> None:
    host.add("sdc", "C")
    member(host.path("sda"), slot=0, slots=3, level=5)
    one = array(level=5, devices=("serial:A", "serial:B", "serial:C"))
    assert "1 of its 3 members are here, and a RAID5 needs 2" in refusal(host, one)


def test_an_adopted_array_is_never_made(host: Host) -> None:
    assert "adopted, never made" in refusal(host, array(adopt=True))


def test_an_array_under_another_name_gets_its_own_when_nobody_uses_it(host: Host) -> None:
    apply(host, array())
    host.boot()
    host.start("127", ["sda", "sdb"])
    assert "it runs as /dev/md127, not as /dev/md/data" in plan(host, array()).summary[0]
    (host.root / "sys/class/block/md127/holders/dm-0").mkdir()
    host.session()
    assert plan(host, array()).summary == ()
    assert any("its name is right after the next boot" in line for line in host.said)


def test_an_array_that_misses_members_is_not_stopped_for_its_name(host: Host) -> None:
    apply(host, array())
    host.boot()
    host.start("alpha:data", ["sda"])
    assert plan(host, array()).summary == ()
    assert any("not as /dev/md/data: its name is right after the next boot, it misses" in line for line in host.said)


def test_a_link_of_udevs_is_a_name(host: Host) -> None:
    apply(host, array())
    host.boot()
    host.start("alpha:data", ["sda", "sdb"])
    (host.path("md") / "data").symlink_to("../md127")
    assert plan(host, array()).summary == ()
    assert host.said == []


def test_another_array_of_that_name_is_refused(host: Host) -> None:
    host.add("sdc", "C")
    member(host.path("sdc"), slots=1)
    host.start("data", ["sdc"])
    assert "/dev/md/data is another array: alpha:data" in refusal(host, array(uuid=OTHER))


def test_what_is_declared_otherwise_is_told_and_left(host: Host) -> None:
    apply(host, array())
    host.add("sdc", "C")
    host.said.clear()
    assert plan(host, array(level=5, devices=("serial:A", "serial:C", "serial:D"))).summary == ()
    told = "\n".join(host.said)
    assert "the array's level is 1, not 5 as declared" in told
    assert "serial C, now sdc is declared and no member of it" in told
    assert "there is no disk serial:D" in told
    assert "serial B, now sdb is a member of it and not declared: it stays" in told or "sdb is a member" in told


def test_mdadm_that_would_ask_has_refused(host: Host) -> None:
    host.refuses = "mdadm: create aborted."
    with pytest.raises(Failure) as told:
        apply(host, array())
    assert "create aborted" in told.value.output
    host.refuses = ""
    assert plan(host, array()).summary[0].startswith("create it")


SPARED = "mdadm: largest drive (/dev/sda) exceeds size (40960K) by more than 1%\n"
QUESTION = "Continue creating array? mdadm: create aborted.\n"


def test_mdadm_may_leave_unused_what_is_declared_so(host: Host) -> None:
    host.asks = SPARED + QUESTION
    apply(host, array(size=40))
    assert plan(host, array(size=40)).summary == ()


@pytest.mark.parametrize(
    ("size", "asks"),
    [
        (0, SPARED + QUESTION),
        (40, "mdadm: /dev/sda appears to contain an ext2fs file system\n" + SPARED + QUESTION),
        (40, "mdadm: cannot open /dev/sda: Device or resource busy\n"),
        (40, QUESTION),
    ],
    ids=["it was not declared", "it asks of more", "it does not ask", "it does not say why"],
)
def test_nothing_else_is_answered(host: Host, size: int, asks: str) -> None:
    host.asks = asks
    with pytest.raises(Failure, match="mdadm failed with exit 1"):
        apply(host, array(size=size))


GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("one", "smallest", "offset"),
    [
        (array(), 127 * MIB, ""),
        (array(), 128 * MIB, "--data-offset=16M"),
        (array(), 15 * GIB, "--data-offset=16M"),
        (array(), 16 * GIB, ""),
        (array(size=1008), GIB, ""),
        (array(size=1000), GIB, "--data-offset=16M"),
        (array(size=1000, partition=True), GIB, "--data-offset=16M"),
    ],
    ids=[
        "tiny",
        "small",
        "not so small",
        "mdadm leaves enough",
        "all of it is declared",
        "there is more than declared",
        "of a partition",
    ],
)
def test_small_members_have_room_for_a_reshape(one: Array, smallest: int, offset: str) -> None:
    words = making.command(one, {"device": [], "spare": [], "journal": []}, making.room(one, smallest))
    assert [word for word in words if word.startswith("--data-offset")] == ([offset] if offset else [])


def test_a_partition_is_made_and_used(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.scan(monkeypatch)
    apply(host, array(partition=True))
    made = next(number for number, words in enumerate(host.ran) if "--create" in words)
    assert host.ran[made - 1][:2] == ["udevadm", "settle"], "udev has read the new partitions"
    assert created(host)[-2:] == [str(host.path("sda1")), str(host.path("sdb1"))]
    assert "No problems found" in run("sgdisk", "--verify", host.path("sda"))
    assert plan(host, array(partition=True)).summary == ()


def spans(host: Host, one: Array, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many changes a making takes."""
    with monkeypatch.context() as patch:
        host.kill(patch, 10**6)
        apply(host, one)
        return 10**6 - host.left


@pytest.mark.parametrize("partition", [False, True])
@pytest.mark.parametrize("wiped", [False, True])
def test_a_creation_can_be_killed_anywhere(
    memory: Path, monkeypatch: pytest.MonkeyPatch, *, partition: bool, wiped: bool
) -> None:
    monkeypatch.setattr(holding, "PATIENCE", 0.0)
    monkeypatch.setattr(making, "FRONT", 2 * MIB)
    more: dict[str, Any] = {"wipe": ("B",), "confirmed": ("B",)} if wiped else {}
    one = array(partition=partition, **more)

    def fresh(label: str) -> Host:
        host = Host(memory / label)
        host.scan(monkeypatch)
        host.add("sda", "A", 12 * MIB)
        host.add("sdb", "B", 12 * MIB)
        if wiped:
            run("mkfs.ext4", "-q", host.path("sdb"))
        return host

    total = spans(fresh("whole"), one, monkeypatch)
    assert total > 8
    for number in range(total):
        host = fresh(f"killed-{number}")
        with monkeypatch.context() as patch:
            host.kill(patch, number)
            with pytest.raises(Killed):
                apply(host, one)
        host.boot()
        apply(host, one)
        host.session()
        apply(host, one)  # what is left is to remember that it is made
        host.session()
        assert plan(host, one).summary == (), number
        assert (host.path("md") / "data").is_symlink()
        shutil.rmtree(host.root)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root remembers what a look has seen")
def test_the_end_of_the_first_build_is_no_change(host: Host) -> None:
    apply(host, array())
    building = intents.Intent(array="data", uuid=UUID_TEXT, stage=intents.BUILT, building=True, fresh=False)
    intents.write(building, host.work)
    host.says(sync_action="recover", degraded=1)
    assert plan(host, array()).summary == ()
    assert intents.read("data", UUID_TEXT, host.work) == building
    host.says(sync_action="idle", degraded=0)
    assert plan(host, array()).summary == ()
    assert intents.read("data", UUID_TEXT, host.work) is None


def test_what_somebody_puts_on_a_half_made_disk_is_not_ours(host: Host) -> None:
    host.torn = 1
    with pytest.raises(Killed):
        apply(host, array())
    host.boot()
    assert [len(host.members(name)) for name in ("sda", "sdb")] == [1, 0]
    put(host.path("sdb"), 20 * MIB, b"precious")
    host.ran.clear()
    assert "data without any signature at 20 MiB" in refusal(host, array())
    put(host.path("sdb"), 20 * MIB, bytes(8))
    put(host.path("sdb"), 0x438, b"\x53\xef")  # where mdadm would have written, too
    assert "ext2, ext3 or ext4 at the beginning" in refusal(host, array())


@pytest.mark.parametrize("boots_with", [["sda"], ["sda", "sdb"], []])
def test_a_half_made_array_that_the_early_boot_has_started_is_made_anew(host: Host, boots_with: list[str]) -> None:
    host.torn = 0 if len(boots_with) == 2 else 1
    with pytest.raises(Killed):
        apply(host, array())
    host.torn = -1
    host.boot()
    for slot, name in enumerate(boots_with):
        member(host.path(name), slot=slot, events=0)
    if boots_with:
        host.start("alpha:data", boots_with)
        host.says(array_state="read-auto")
    host.ran.clear()
    if len(boots_with) == 2:
        assert "not as /dev/md/data" in apply(host, array())[0]
        assert not any("--create" in words for words in host.ran)
    else:
        assert "which was cut short" in apply(host, array())[0]
        assert created(host)


def test_the_intent_of_another_array_counts_for_nothing(host: Host) -> None:
    intents.write(intents.Intent(array="data", uuid=OTHER, serials=("A", "B")), host.work)
    member(host.path("sda"), slot=0, uuid=UUID(int=7))
    assert "a member of the array" in refusal(host, array())
