from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.errors import LabError
from hakit.lab.plan import DataDisk, Disk, NewDisk
from hakit.lab.qemu import disks
from hakit.lab.qemu.drawer import BLOCK, Drawer, blocks, checksum
from hakit.lab.qemu.qmp import Monitor
from tests.unit.lab.qemu.fakes import line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
TWO = disks.declared([Disk("a", 64, "A1"), Disk("b", 64, "B1")])
SERIAL = "A1"


def places(found: tuple[DataDisk, ...]) -> dict[str, int]:
    return {disk.name: disk.place for disk in found if disk.plugged}


def test_a_new_machine_has_its_disks_in_the_order_of_the_inventory() -> None:
    assert list(TWO) == [DataDisk("a", "A1", "", 64 * MIB, 0), DataDisk("b", "B1", "", 64 * MIB, 1)]


def test_a_disk_comes_back_to_its_place_unless_another_is_there() -> None:
    out = disks.unplugged(TWO, "a")
    assert places(out) == {"b": 1}
    assert disks.plugged(out, "a") == TWO
    new = disks.plugged(disks.added(out, "c", MIB, "", ""), "c")
    assert places(new) == {"b": 1, "c": 0}, "a blank one takes the place of the one that was pulled"
    assert places(disks.plugged(new, "a")) == {"a": 2, "b": 1, "c": 0}
    assert places(disks.plugged(new, "a", 7)) == {"a": 7, "b": 1, "c": 0}


def test_disks_in_another_order() -> None:
    assert places(disks.arranged(TWO, ["b", "a"])) == {"b": 0, "a": 1}
    assert places(disks.arranged(disks.unplugged(TWO, "a"), ["a"])) == {"a": 0}, "the others stay in the drawer"


def test_a_new_disk_tells_its_name_or_what_it_is_told_to_tell() -> None:
    wwn = "0x5000c500a1b2c3d4"
    *_, named, twin = disks.added(disks.added(TWO, "c", MIB, "", ""), "d", MIB, SERIAL, wwn)
    assert (named.serial, twin.serial, twin.wwn) == ("c", SERIAL, wwn)
    assert not named.plugged


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: disks.unplugged(TWO, "c"), "no disk c"),
        (lambda: disks.plugged(TWO, "c"), "no disk c"),
        (lambda: disks.arranged(TWO, ["a", "c"]), "no disk c"),
        (lambda: disks.arranged(TWO, ["a", "a"]), "one place"),
        (lambda: disks.plugged(disks.unplugged(TWO, "a"), "a", 1), "b is plugged in at place 1"),
        (lambda: disks.plugged(TWO, "a", 5), "plugged in at place 0"),
        (lambda: disks.plugged(disks.unplugged(TWO, "a"), "a", 256), "no place 256"),
        (lambda: disks.plugged(disks.unplugged(TWO, "a"), "a", -1), "no place -1"),
        (lambda: disks.added(TWO, "a", MIB, "", ""), "a disk a already"),
        (lambda: disks.added(TWO, "../a", MIB, "", ""), "'../a'"),
        (lambda: disks.added(TWO, "c", MIB, "c,wwn=0", ""), "'c,wwn=0'"),
        (lambda: disks.added(TWO, "c" * 21, MIB, "", ""), "at most 20"),
        (lambda: disks.added(TWO, "c", MIB, "", "0x6000c500a1b2c3d4"), "no WWN"),
        (lambda: disks.added(TWO, "c", 1000, "", ""), "1000 bytes"),
        (lambda: disks.added(TWO, "c", 0, "", ""), "0 bytes"),
        (lambda: disks.free(range(256)), "all 256 places"),
    ],
)
def test_what_no_machine_can_have_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(LabError, match=said):
        wrong()


NAMES = st.sampled_from("abcdef")


@given(st.lists(st.one_of(NAMES.map(lambda name: (name, None)), st.tuples(NAMES, st.integers(0, 3)))))
def test_no_two_disks_are_ever_in_one_place(acts: list[tuple[str, int | None]]) -> None:
    now = disks.declared(Disk(name, 1, name) for name in "abcdef")
    for name, place in acts:
        try:
            there = disks.named(now, name).plugged
            now = disks.unplugged(now, name) if there and place is None else disks.plugged(now, name, place)
        except LabError:
            continue
        assert len(set(places(now).values())) == len(places(now))


class Qemu:
    """QMP's part about disks: it refuses what QEMU refuses, and tells an event before its answer."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.devices: dict[str, dict[str, Any]] = {}

    def __call__(self, request: dict[str, Any], _: list[int]) -> list[bytes]:
        words = request.get("arguments", {})
        match request["execute"]:
            case "query-block":
                system = {"device": "", "qdev": "/machine/peripheral/system-disk/virtio-backend"}
                return self.told([system, *({"qdev": name} for name in self.devices), {"device": "floppy"}])
            case "query-named-block-nodes":
                return self.told([{"node-name": name} for name in ("system", "#block7", *self.nodes)])
            case "blockdev-add":
                self.nodes[words["node-name"]] = words["file"]["filename"]
            case "blockdev-del":
                assert words["node-name"] not in [one["drive"] for one in self.devices.values()], "node is in use"
                del self.nodes[words["node-name"]]
            case "device_add":
                taken = [one["scsi-id"] for one in self.devices.values()]
                assert words["scsi-id"] not in taken, "lun already used"
                assert words["drive"] in self.nodes
                self.devices[words["id"]] = words
            case "device_del":
                del self.devices[words["id"]]
                deleted = {"event": "DEVICE_DELETED", "data": {"device": words["id"], "path": ""}}
                return [line({"event": "DEVICE_DELETED", "data": {"path": "/x"}}), line(deleted), *self.told({})]
        return self.told({})

    def told(self, value: object) -> list[bytes]:
        return [line({"return": value})]


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    made = Qemu()
    with serving(tmp_path / "qmp", line({"QMP": {}}), made):
        yield made


def drawer(tmp_path: Path, *, runs: bool) -> Drawer:
    folder = tmp_path / "disks"
    folder.mkdir(exist_ok=True)
    return Drawer(folder, "db1", lambda: runs, lambda: Monitor(tmp_path / "qmp", lambda: True, "db1"))


def test_disks_are_changed_at_once_where_the_machine_runs(tmp_path: Path, qemu: Qemu) -> None:
    drawer(tmp_path, runs=False).fill([Disk("a", 1, "A1"), Disk("b", 1, "B1")])
    assert not qemu.devices, "it is off"
    one = drawer(tmp_path, runs=True)
    with one.monitor() as monitor:
        one.settle(monitor)
    assert {name: words["scsi-id"] for name, words in qemu.devices.items()} == {"disk-a": 0, "disk-b": 1}
    assert qemu.nodes["disk-b"].endswith("/disks/b.raw")
    one.unplug("a")
    assert list(qemu.devices) == list(qemu.nodes) == ["disk-b"]
    one.add("c", NewDisk(size=MIB, serial=SERIAL, wwn="0x5000c500a1b2c3d4"), None)
    one.plug("c", None)
    assert qemu.devices["disk-c"]["serial"] == SERIAL
    assert qemu.devices["disk-c"]["wwn"] == 0x5000C500A1B2C3D4
    assert qemu.devices["disk-c"]["scsi-id"] == 0
    assert [disk.plugged for disk in one.disks] == [False, True, True]


def test_what_a_killed_command_left_is_put_right_by_the_next(tmp_path: Path, qemu: Qemu) -> None:
    one = drawer(tmp_path, runs=True)
    drawer(tmp_path, runs=False).fill([Disk("a", 1, "A1"), Disk("b", 1, "B1")])
    qemu.nodes = {"disk-old": "old.raw", "disk-a": "a.raw"}
    one.unplug("b")
    assert list(qemu.devices) == list(qemu.nodes) == ["disk-a"]


def test_disks_keep_what_is_written_on_them(tmp_path: Path) -> None:
    one = drawer(tmp_path, runs=False)
    one.fill([Disk("a", 4, "A1")])
    blank = one.checksum("a")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.seek(2 * MIB + 512)
        file.write(b"data")
        file.truncate(4 * MIB)
    one.add("b", NewDisk(), image)
    assert one.disks[1].size == 4 * MIB
    assert one.checksum("b") == checksum(image) != blank
    raw = tmp_path / "disks" / "b.raw"
    assert raw.read_bytes() == image.read_bytes()
    assert raw.stat().st_blocks * 512 <= 2 * BLOCK, "zeros take no room"
    assert raw.stat().st_mode & 0o777 == 0o600
    one.unplug("b")
    one.plug("b", None)
    assert raw.read_bytes() == image.read_bytes()


def test_the_bytes_of_a_disk_that_is_in_use_are_not_looked_at(tmp_path: Path, qemu: Qemu) -> None:
    drawer(tmp_path, runs=False).fill([Disk("a", 1, "A1")])
    one = drawer(tmp_path, runs=True)
    with pytest.raises(LabError, match="a is in use"):
        one.checksum("a")
    with pytest.raises(LabError, match="db1 runs"):
        one.arrange(["a"])
    one.unplug("a")
    assert not qemu.devices
    assert one.checksum("a") == drawer(tmp_path, runs=False).checksum("a")


@given(st.dictionaries(st.integers(0, 5 * BLOCK), st.binary(min_size=1, max_size=9), max_size=4), st.booleans())
def test_a_checksum_tells_content_and_not_how_it_is_kept(
    tmp_path_factory: pytest.TempPathFactory, written: dict[int, bytes], zeros: bool
) -> None:
    content = bytearray(6 * BLOCK)
    for offset, data in written.items():
        content[offset : offset + len(data)] = data
    folder = tmp_path_factory.mktemp("sum")
    whole, sparse = folder / "whole", folder / "sparse"
    whole.write_bytes(content)
    with sparse.open("wb") as file:
        for offset, data in written.items():
            file.seek(offset)
            file.write(data)
        if zeros:
            file.seek(5 * BLOCK + 100)
            file.write(content[5 * BLOCK + 100 : 5 * BLOCK + 200])
        file.truncate(len(content))
    # Later ones overwrite earlier ones in the order of the dictionary, in both.
    assert sparse.read_bytes() == bytes(content)
    assert checksum(whole) == checksum(sparse)
    with whole.open("rb") as file:
        assert sum(len(data) for _, data in blocks(file.fileno())) == sum(
            BLOCK for start in range(0, len(content), BLOCK) if any(content[start : start + BLOCK])
        )
    changed = bytearray(content)
    changed[-1] ^= 1
    whole.write_bytes(changed)
    assert checksum(whole) != checksum(sparse)
    whole.write_bytes(content + b"\0" * 512)
    assert checksum(whole) != checksum(sparse), "another size"


def test_a_block_at_another_place_is_another_content(tmp_path: Path) -> None:
    sums = set()
    for place in range(3):
        file = tmp_path / str(place)
        file.write_bytes(b"\0" * BLOCK * place + b"x" * BLOCK + b"\0" * BLOCK * (2 - place))
        sums.add(checksum(file))
    assert len(sums) == 3
