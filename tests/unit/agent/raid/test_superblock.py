"""md superblocks are read as mdadm reads them: it judges on plain files what we say of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.agent.raid.superblock import Member, members
from tests.unit.agent.raid.images import MIB, SIZE, UUID_TEXT, disk, member, put, reader, run

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("0.90", "1.0", "1.1", "1.2")


def only(path: Path) -> Member:
    (found,) = members(reader(path), path.stat().st_size)
    return found


def examined(path: Path) -> dict[str, str]:
    """What mdadm says of a member."""
    lines = run("mdadm", "--examine", path).splitlines()
    return {name.strip(): value.strip() for name, colon, value in (line.partition(" : ") for line in lines) if colon}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [SIZE, SIZE + 3 * 512, 10 * MIB + 40 * 512])
def test_mdadm_and_we_say_the_same(tmp_path: Path, version: str, size: int) -> None:
    path = member(disk(tmp_path / "disk", size), version, slot=1, slots=3, level=5)
    one, judge = only(path), examined(path)
    assert judge["Checksum"].endswith("correct")
    assert one.sound
    assert one.version == version
    assert one.uuid == UUID_TEXT
    assert judge["Array UUID" if version != "0.90" else "UUID"].split()[0] == one.uuid
    assert judge["Raid Level"] == f"raid{one.level}" == "raid5"
    assert judge["Raid Devices"] == str(one.devices) == "3"
    assert int(judge["Events"].rpartition(".")[2]) == one.events
    assert one.role == "1"
    if version != "0.90":
        assert judge["Device Role"] == "Active device 1"
        assert judge["Name"].split()[0] == one.name == "alpha:data"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_bit_makes_it_unsound(tmp_path: Path, version: str) -> None:
    path = member(disk(tmp_path / "disk"), version)
    offset = only(path).offset
    put(path, offset + 20 * 4, b"\x55")
    assert not only(path).sound
    assert not re.search(r"Checksum.*- correct", run("mdadm", "--examine", path))


def test_a_superblock_that_says_it_is_elsewhere_is_not_of_this_device(tmp_path: Path) -> None:
    # Metadata 1.0 stands at the end of the last partition and at the end of the disk alike.
    path = member(disk(tmp_path / "disk"), "1.0")
    data = reader(path)(only(path).offset, 4096)
    moved = disk(tmp_path / "moved", SIZE + MIB)
    put(moved, SIZE + MIB - 8192, data)
    assert not only(moved).here
    assert only(path).here


def test_all_places_are_looked_at(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk")
    for version in VERSIONS:
        member(path, version)
    assert sorted(one.version for one in members(reader(path), SIZE)) == sorted(VERSIONS)


@given(st.binary(max_size=4096), st.sampled_from([0, 512, 4096, 8192, 65536, 131072, SIZE]))
def test_no_bytes_make_it_crash(noise: bytes, size: int) -> None:
    for magic in (b"", b"\xfc\x4e\x2b\xa9\x01\0\0\0", b"\xfc\x4e\x2b\xa9\0\0\0\0", b"\xa9\x2b\x4e\xfc\0\0\0\0"):
        data = (magic + noise)[:4096]
        padded = data + bytes(4096 - len(data))
        for shown in (data, padded):
            for one in members(lambda _offset, length, shown=shown: shown[:length], size):  # type: ignore[misc]  # bound now
                assert one.text()
                assert one.role
