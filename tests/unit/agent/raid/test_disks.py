"""Which disk a word means just now, and what a plan is told of a host's disks and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.facts import gather
from hakit.agent.raid.disks import disks, resolve
from hakit.agent.raid.found import lines
from hakit.components.storage import storage
from tests.unit.agent.raid.host import array
from tests.unit.agent.raid.images import UUID_TEXT, member
from tests.unit.agent.raid.test_array import apply

if TYPE_CHECKING:
    from tests.unit.agent.raid.host import Host


def link(host: Host, name: str, target: str) -> str:
    path = host.root / "dev/disk/by-id" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(f"../../{target}")
    return f"/dev/disk/by-id/{name}"


@pytest.fixture
def wide(host: Host) -> Host:
    host.add("sdc", "C", wwn="0x5000CCA123")
    link(host, "ata-TOSHIBA_C", "sdc")
    return host


@pytest.mark.parametrize("word", ["serial:C", "wwn:0x5000cca123", "/dev/disk/by-id/ata-TOSHIBA_C"])
def test_each_kind_of_word_finds_its_disk(wide: Host, word: str) -> None:
    found = resolve(word, disks(wide.work))
    assert found is not None
    assert found.text() == "TOSHIBA MG08 serial C, now sdc"


@pytest.mark.parametrize("word", ["serial:", "serial:c", "wwn:0x5", "/dev/disk/by-id/nothing", "/dev/sdc", "sdc"])
def test_any_other_word_finds_none(wide: Host, word: str) -> None:
    assert resolve(word, disks(wide.work)) is None


def test_a_word_follows_its_disk_to_another_name(wide: Host) -> None:
    wide.rename({"sda": "sdb", "sdb": "sda"})
    found = resolve("serial:A", disks(wide.work))
    assert found is not None
    assert found.name == "sdb"


@pytest.mark.parametrize(("serial", "wwn"), [("C", ""), ("D", "0x5000cca123")])
def test_a_clone_makes_every_word_for_it_unsafe(wide: Host, serial: str, wwn: str) -> None:
    wide.add("sdd", serial, wwn=wwn)
    for word in ("serial:C", "/dev/disk/by-id/ata-TOSHIBA_C", "wwn:0x5000cca123"):
        with pytest.raises(Failure, match=r"2 disks|clones of one disk"):
            resolve(word, disks(wide.work))


def test_the_facts_are_what_the_controller_reads(wide: Host) -> None:
    apply(wide, array())
    member(wide.path("sdc"), "1.0", slot=1)
    volume = wide.root / "sys/class/block/dm-0"
    volume.mkdir()
    (volume / "dev").write_text("253:0\n")
    (volume / "size").write_text("2048\n")
    (wide.root / "run/udev/data/b253:0").write_text(
        "E:DM_VG_NAME=vg\nE:DM_LV_NAME=pg\nE:ID_FS_TYPE=xfs\nE:ID_FS_UUID=1-2\n"
    )
    (wide.root / "etc/mdadm").mkdir(parents=True)
    (wide.root / "etc/mdadm/mdadm.conf").write_text(f"ARRAY /dev/md/data UUID={UUID_TEXT}\n")
    seen = storage(gather([], wide.work, storage=True)["storage"])
    assert seen is not None
    assert [(one.serial, [m.uuid for m in one.members]) for one in seen.disks] == [
        (serial, [UUID_TEXT]) for serial in ("A", "B", "C")
    ]
    assert [(one.uuid, one.device, one.level, one.degraded) for one in seen.arrays] == [(UUID_TEXT, "data", "1", 0)]
    assert [(one.group, one.volume, one.filesystem) for one in seen.volumes] == [("vg", "pg", "xfs")]
    assert seen.lines == (f"ARRAY /dev/md/data UUID={UUID_TEXT}",)
    assert gather([], wide.work)["storage"] is None


def test_lines_of_mdadm_conf_are_joined_and_cleaned() -> None:
    old = f"# ARRAY /dev/md/x UUID={UUID_TEXT}\nMAILADDR root\nARRAY <ignore>\n"
    text = f"{old}ARRAY /dev/md/a\n   UUID={UUID_TEXT} # ours\n"
    assert lines(text) == [f"ARRAY /dev/md/a UUID={UUID_TEXT}"]
