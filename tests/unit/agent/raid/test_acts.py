"""What is done to the members of an array that runs: what mdadm is told, and what is refused.

mdadm itself is simulated (`host.py`), for it needs the md driver.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.raid import intent as intents
from hakit.agent.raid.growing import RESUME, START_RO
from hakit.agent.raid.tasks import carry_out
from hakit.agent.resources.raid import STARTED
from tests.unit.agent.raid.host import SIZE, Host, array
from tests.unit.agent.raid.images import MIB, UUID_TEXT, member, run
from tests.unit.agent.raid.test_array import apply

if TYPE_CHECKING:
    from hakit.agent.resources.raid import Array


@pytest.fixture(autouse=True)
def made(host: Host) -> Host:
    apply(host, array())
    host.ran.clear()
    return host


def manage(host: Host) -> list[list[str]]:
    """What mdadm was told, without the array and the folder that is the host."""
    return [
        [word.removeprefix(str(host.root)) for word in words[3:]]
        for words in host.ran
        if words[:2] == ["mdadm", "--manage"]
    ]


def refusal(host: Host, do: str, one: Array | None = None, **arguments: str) -> str:
    before = host.digests()
    with pytest.raises(Failure) as told:
        carry_out(do, one or array(), arguments, host.work)
    assert host.digests() == before
    assert manage(host) == []
    return told.value.message


@pytest.mark.parametrize("word", ["serial:B"])
def test_a_member_is_failed_and_removed(host: Host, word: str) -> None:
    assert carry_out("fail", array(), {"device": word}, host.work) == {"failed": "sdb"}
    host.says(dev_sdb__state="faulty", degraded=1)
    assert carry_out("fail", array(), {"device": word}, host.work) == {"failed": "sdb"}
    assert carry_out("remove", array(), {"device": word}, host.work) == {"removed": "sdb"}
    assert manage(host) == [["--fail", "/dev/sdb"], ["--remove", "/dev/sdb"]]


def test_the_last_that_holds_all_data_is_not_failed(host: Host) -> None:
    host.says(dev_sdb__state="spare", degraded=1)
    assert "hold all its data" in refusal(host, "fail", device="serial:A")


def test_a_degraded_raid10_can_do_without_none(host: Host) -> None:
    host.says(level="raid10", degraded=1, raid_disks=4)
    assert "hold all its data" in refusal(host, "fail", device="serial:A")


def test_a_member_that_works_is_not_removed(host: Host) -> None:
    assert "fail it first" in refusal(host, "remove", device="serial:B")


def test_a_disk_that_was_pulled_is_failed_and_removed(host: Host) -> None:
    (host.root / "sys/devices/md127/md/dev-sdb/block").unlink()
    host.pull("sdb")
    carry_out("fail", array(), {"device": "serial:B"}, host.work)
    host.says(dev_sdb__state="faulty", degraded=1)
    carry_out("remove", array(), {"device": "serial:B"}, host.work)
    assert manage(host) == [["--fail", "detached"], ["--remove", "detached"]]


def replaced(host: Host) -> Array:
    """One member gone, and C declared in its place."""
    shutil.rmtree(host.root / "sys/devices/md127/md/dev-sdb")
    host.says(degraded=1)
    return array(devices=("serial:A", "serial:C"))


def test_a_blank_disk_is_added(host: Host) -> None:
    one = replaced(host)
    host.add("sdc", "C")
    assert carry_out("add", one, {"device": "serial:C"}, host.work) == {"added": "sdc"}
    assert manage(host) == [["--add", "/dev/sdc"]]


def test_a_disk_gets_its_partition_before_it_is_added(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.scan(monkeypatch)
    one = replaced(host).replace(partition=True)
    host.add("sdc", "C", SIZE + 3 * MIB)
    carry_out("add", one, {"device": "serial:C"}, host.work)
    assert manage(host) == [["--add", "/dev/sdc1"]]
    assert [words[:2] for words in host.ran[-2:]] == [["udevadm", "settle"], ["mdadm", "--manage"]]
    assert "No problems found" in run("sgdisk", "--verify", host.path("sdc"))
    host.ran.clear()
    carry_out("add", one, {"device": "serial:C"}, host.work)  # as after a kill right before mdadm
    assert manage(host) == [["--add", "/dev/sdc1"]]


def test_what_bears_anything_is_not_added(host: Host) -> None:
    one = replaced(host)
    run("mkfs.ext4", "-q", host.add("sdc", "C"))
    told = refusal(host, "add", one, device="serial:C")
    assert told == "TOSHIBA MG08 serial C, now sdc is left alone: ext2, ext3 or ext4 at the beginning"
    confirmed = one.replace(wipe=("C",), confirmed=("C",))
    assert carry_out("add", confirmed, {"device": "serial:C"}, host.work) == {"added": "sdc"}


def test_what_is_too_small_is_not_added(host: Host) -> None:
    one = replaced(host)
    host.add("sdc", "C", SIZE - MIB)
    assert "is smaller (47 MiB) than what each member takes (48 MiB)" in refusal(host, "add", one, device="serial:C")


def test_what_is_too_small_for_the_room_before_the_data_is_not_added(host: Host) -> None:
    one = replaced(host)
    host.says(dev_sda__offset=2 * MIB // 512, component_size=(SIZE - 2 * MIB) // 1024)
    host.add("sdc", "C", SIZE - MIB)
    assert "is smaller (47 MiB) than what each member takes (48 MiB)" in refusal(host, "add", one, device="serial:C")


def test_what_is_not_there_is_not_added(host: Host) -> None:
    assert "there is no disk serial:C" in refusal(host, "add", replaced(host), device="serial:C")


def test_a_former_member_comes_back_unless_it_is_newer(host: Host) -> None:
    replaced(host)
    member(host.path("sda"), slot=0, events=50)
    member(host.path("sdb"), slot=1, events=60)
    assert "ran without the others" in refusal(host, "add", device="serial:B")
    member(host.path("sdb"), slot=1, events=40)
    assert carry_out("add", array(), {"device": "serial:B"}, host.work) == {"added": "sdb"}
    assert manage(host) == [["--add", "/dev/sdb"]]


def test_a_failed_member_is_removed_before_it_comes_back(host: Host) -> None:
    host.says(dev_sdb__state="faulty", degraded=1)
    assert "remove it first" in refusal(host, "add", device="serial:B")


def test_what_rebuilds_after_an_act_is_no_first_build(host: Host) -> None:
    intents.write(intents.Intent(array="data", uuid=UUID_TEXT, stage=intents.BUILT, building=True), host.work)
    one = replaced(host)
    host.add("sdc", "C")
    carry_out("add", one, {"device": "serial:C"}, host.work)
    record = intents.read("data", UUID_TEXT, host.work)
    assert record is not None
    assert not record.building


def test_a_scrub_begins_and_stops(host: Host) -> None:
    action = host.root / "sys/devices/md127/md/sync_action"
    carry_out("scrub", array(), {"action": "check"}, host.work)
    assert action.read_text() == "check\n"
    carry_out("scrub", array(), {"action": "stop"}, host.work)
    assert action.read_text() == "idle\n"


@pytest.mark.parametrize("files", [{"sync_action": "recover"}, {"degraded": 1}, {"level": "raid0"}])
def test_no_scrub_where_it_means_nothing(host: Host, files: dict[str, object]) -> None:
    host.says(**files)
    assert refusal(host, "scrub", action="check")


def test_a_rebuild_is_not_stopped(host: Host) -> None:
    host.says(sync_action="recover")
    carry_out("scrub", array(), {"action": "stop"}, host.work)
    assert (host.root / "sys/devices/md127/md/sync_action").read_text() == "recover\n"


GROWTH = [
    (array(), []),
    (array(devices=("serial:A", "serial:B", "serial:C")), ["spread it over 3 members, from 2"]),
    (array(level=5), ["make the RAID1 a RAID5"]),
    (array(consistency="resync"), ["take its bitmap away"]),
    (array(consistency="ppl"), ["take its bitmap away", "give it a PPL"]),
]


@pytest.mark.parametrize(("one", "steps"), GROWTH)
def test_what_grows_is_said_first(host: Host, one: Array, steps: list[str]) -> None:
    assert carry_out("growth", one, {}, host.work)["steps"] == steps


def test_a_ppl_is_away_while_the_array_is_reshaped(host: Host) -> None:
    host.says(level="raid5", consistency_policy="ppl")
    one = array(level=5, consistency="ppl", devices=("serial:A", "serial:B", "serial:C"))
    steps = carry_out("growth", one, {}, host.work)["steps"]
    assert steps == ["take its PPL away", "spread it over 3 members, from 2", "give it a PPL"]
    host.says(consistency_policy="resync", raid_disks=3)
    assert carry_out("growth", one, {}, host.work)["steps"] == ["give it a PPL"]
    host.says(consistency_policy="ppl")
    assert carry_out("growth", one, {}, host.work)["steps"] == []


@pytest.mark.parametrize(
    ("has", "one"),
    [
        ("journal", array(level=5, consistency="journal", devices=("serial:A", "serial:B", "serial:C"))),
        ("journal", array(level=5)),
        ("bitmap", array(level=5, consistency="journal")),
    ],
    ids=["reshaped", "taken away", "given"],
)
def test_what_has_a_journal_is_as_it_was_made(host: Host, has: str, one: Array) -> None:
    host.says(level="raid5", consistency_policy=has)
    for verb in ("growth", "grow"):
        assert "array with a journal" in refusal(host, verb, one)


@pytest.mark.parametrize(
    ("has", "one"),
    [
        ("raid0", array(level=0, consistency="", devices=("serial:A", "serial:B", "serial:C"))),
        ("raid0", array(level=5)),
        ("raid1", array(level=0, consistency="")),
    ],
    ids=["spread", "another level", "made one"],
)
def test_a_raid0_is_as_it_was_made(host: Host, has: str, one: Array) -> None:
    host.says(level=has)
    for verb in ("growth", "grow"):
        assert "RAID 0 has no second copy" in refusal(host, verb, one)


def give_spare(host: Host) -> None:
    """The disk C, a spare of the array."""
    host.add("sdc", "C")
    folder = host.root / "sys/devices/md127/md/dev-sdc"
    folder.mkdir()
    for name, value in (("state", "spare"), ("slot", "none"), ("errors", 0)):
        (folder / name).write_text(f"{value}\n")
    (folder / "block").symlink_to(host.root / "sys/devices/sdc")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (array(level=10, devices=("serial:A", "serial:B", "serial:C")), ["--raid-devices=3"]),
        (array(level=10, chunk=64), ["--chunk=64"]),
    ],
    ids=["spread", "smaller chunks"],
)
def test_a_raid10_moves_data_once_the_boot_starts_it_writable(host: Host, one: Array, words: list[str]) -> None:
    give_spare(host)
    host.says(level="raid10", layout=0x102, chunk_size=512 * 1024)
    started, kernel = (host.root / path[1:] for path in (STARTED, START_RO))
    kernel.parent.mkdir(parents=True)
    kernel.write_text("1\n")
    for verb in ("growth", "grow"):
        assert "start it read-only" in refusal(host, verb, one)
    started.parent.mkdir(parents=True)
    started.write_text("options md_mod start_ro=0\n")
    carry_out("grow", one, {"backup": "/boot/x"}, host.work)
    assert host.ran[-1][:2] == ["mdadm", "--grow"]
    assert host.ran[-1][3:] == words
    assert kernel.read_text() == "0\n"


def test_a_raid10_uses_all_that_its_members_have_however_it_is_started(host: Host) -> None:
    host.says(level="raid10", layout=0x102, chunk_size=512 * 1024, component_size=1024)
    assert carry_out("growth", array(level=10), {}, host.work)["steps"] == ["use all that its members have"]


def test_larger_members_are_used_whole(host: Host) -> None:
    host.says(component_size=1024)
    for name in ("sda", "sdb"):
        (host.root / "sys/class/block" / name / "size").write_text("1000000\n")
    assert carry_out("growth", array(), {}, host.work)["steps"] == ["use all that its members have"]
    carry_out("grow", array(), {}, host.work)
    assert host.ran[-1] == ["mdadm", "--grow", str(host.path("md127")), "--size=max"]


def test_a_reshape_has_its_backup_elsewhere(host: Host) -> None:
    host.says(level="raid5")
    one = array(level=5, devices=("serial:A", "serial:B", "serial:C"))
    assert "1 more have to be added first" in refusal(host, "grow", one, backup="/boot/data.grow")
    give_spare(host)
    assert "needs a backup file" in refusal(host, "grow", one)
    assert "no directory" in refusal(host, "grow", one, backup="/nowhere/data.grow")
    number = host.root / "sys/devices/md127/dev"
    device, was = host.root.stat().st_dev, number.read_text()
    number.write_text(f"{os.major(device)}:{os.minor(device)}\n")
    assert "is on the array itself" in refusal(host, "grow", one, backup="/boot/data.grow")
    number.write_text(was)
    carry_out("grow", one, {"backup": "/boot/data.grow"}, host.work)
    assert host.ran[-1][3:] == ["--raid-devices=3", f"--backup-file={host.root}/boot/data.grow"]
    host.says(sync_action="reshape")
    assert carry_out("grow", one, {"backup": "/boot/data.grow"}, host.work)["step"] == "reshape"


BACKUP = "/boot/data.grow"
RESHAPING = 4
"""The bit of a superblock's features that says so (linux/raid/md_p.h, MD_FEATURE_RESHAPE_ACTIVE)."""


def test_a_reshape_that_the_power_cut_off_is_gone_on_with(host: Host) -> None:
    intents.remember_backup("data", BACKUP, host.work)
    (host.root / BACKUP[1:]).write_text("what a crash needs")
    host.boot()
    for slot, name in enumerate(("sda", "sdb")):
        member(host.path(name), slot=slot, features=RESHAPING)
    assert carry_out("growth", array(), {}, host.work)["steps"] == [RESUME]
    assert carry_out("resume", array(), {}, host.work) == {"resumed": True}
    (words,) = [words for words in host.ran if "--assemble" in words]
    assert f"--backup-file={host.root}{BACKUP}" in words
    assert not {"--force", "--run", "--invalid-backup"} & set(words)
    assert ["udevadm", "settle"] in [one[:2] for one in host.ran[: host.ran.index(words)]], "the boot is over"
    assert carry_out("resume", array(), {}, host.work) == {"resumed": False}


def test_a_reshape_whose_members_the_boot_has_only_collected_is_gone_on_with(host: Host) -> None:
    for slot, name in enumerate(("sda", "sdb")):
        member(host.path(name), slot=slot, features=RESHAPING)
    # So it is for half a minute after a boot: the kernel has not read the superblocks, and udev knows of nothing.
    host.says(array_state="inactive", uuid="00000000-0000-0000-0000-000000000000", degraded="")
    for known in (host.root / "run/udev/data").iterdir():
        known.write_text("".join(line for line in known.read_text().splitlines(keepends=True) if "MD_" not in line))
    assert carry_out("growth", array(), {}, host.work)["steps"] == [RESUME]
    assert carry_out("resume", array(), {}, host.work) == {"resumed": True}
    done = [words[1] for words in host.ran if words[0] == "mdadm"]
    assert done == ["--stop", "--assemble"]


def test_no_backup_is_read_where_nothing_was_reshaped(host: Host) -> None:
    intents.remember_backup("data", BACKUP, host.work)
    (host.root / BACKUP[1:]).write_text("of long ago")
    host.boot()
    assert carry_out("resume", array(), {}, host.work) == {"resumed": True}
    assert not any(word.startswith("--backup-file") for words in host.ran for word in words)


def test_what_lacks_a_member_is_not_started(host: Host) -> None:
    host.boot()
    host.pull("sda")
    host.pull("sdb")
    for verb in ("growth", "resume"):
        assert "does not run on this host" in refusal(host, verb)


def test_a_backup_that_was_never_needed_is_in_nobodys_way(host: Host) -> None:
    intents.remember_backup("data", BACKUP, host.work)
    (host.root / BACKUP[1:]).write_text("of a reshape that a crash kept from beginning")
    (host.root / "boot/other").write_text("somebody's")
    assert "is there already" in refusal(host, "grow", array(level=5), backup="/boot/other")
    carry_out("grow", array(level=5), {"backup": BACKUP}, host.work)
    assert host.ran[-1][3:] == ["--level=5", f"--backup-file={host.root}{BACKUP}"]


@pytest.mark.parametrize(
    ("level", "chunk", "offset", "before", "word"),
    [
        ("raid5", 512, 32768, 32688, "--data-offset=13312K"),
        ("raid5", 64, 4096, 4016, "--data-offset=1664K"),
        ("raid5", 512, 4096, 4016, "--backup-file=/boot/x"),
        ("raid5", 512, 32768, 4096, "--backup-file=/boot/x"),
        ("raid1", 0, 32768, 32688, ""),
    ],
    ids=["there is room", "chunks are small", "too near the front", "something is there", "copies"],
)
def test_a_reshape_moves_data_into_the_room_before_them(  # noqa: PLR0917 - what the room depends on
    host: Host, level: str, chunk: int, offset: int, before: int, word: str
) -> None:
    more = {f"dev_{name}__offset": offset for name in ("sda", "sdb")}
    host.says(level=level, chunk_size=chunk * 1024, layout=2, **more)
    host.before = before
    one = array(level=int(level[4:]), devices=("serial:A", "serial:B", "serial:C"))
    host.add("sdc", "C")
    folder = host.root / "sys/devices/md127/md/dev-sdc"
    folder.mkdir()
    for name, value in (("state", "spare"), ("slot", "none"), ("errors", 0), ("offset", offset)):
        (folder / name).write_text(f"{value}\n")
    (folder / "block").symlink_to(host.root / "sys/devices/sdc")
    carry_out("grow", one, {"backup": "/boot/x"}, host.work)
    grown = [arg.replace(str(host.root), "") for arg in host.ran[-1][3:]]
    assert grown == ["--raid-devices=3", *filter(None, [word])]


def test_no_shape_is_changed_while_something_goes_on(host: Host) -> None:
    host.says(degraded=1)
    assert "can't change its shape now" in refusal(host, "grow", array(level=5), backup="/boot/x")


@pytest.mark.parametrize("arguments", [{}, {"device": "serial:A", "more": "x"}])
def test_a_verb_takes_its_own_words(host: Host, arguments: dict[str, str]) -> None:
    assert "the verb fail" in refusal(host, "fail", None, **arguments)
    assert "no verb" in refusal(host, "explode")
