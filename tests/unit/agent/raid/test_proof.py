"""A disk is empty only when nothing is on it: each kind of thing, made by the real tools, is found and named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakit.agent.raid import proof
from hakit.agent.raid.finding import GIB, KIB, Finding, place, texts
from tests.unit.agent.raid.images import MIB, disk, member, put, reader, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL, LARGE = 320 * MIB, 40 * GIB


def found(path: Path, choose: proof.Choose = proof.random) -> list[Finding]:
    return proof.bears(reader(path), path.stat().st_size, choose)


def gpt(path: Path) -> None:
    run("sgdisk", "--new=1:0:+64M", "--new=2:0:0", path)


def spare_gpt(path: Path) -> None:
    gpt(path)
    put(path, 0, bytes(34 * 512))


def mbr(path: Path) -> None:
    put(path, 446, bytes([0x80, 1, 1, 0, 0x83, 254, 255, 255]) + (63).to_bytes(4, "little") + b"\x10\x27\0\0")
    put(path, 510, b"\x55\xaa")


def fat(path: Path) -> None:
    put(path, 82, b"FAT32   ")
    put(path, 510, b"\x55\xaa")


def luks(path: Path) -> None:
    run("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", path, input="x")


def lvm(path: Path) -> None:
    with path.open("r+b") as file:  # lvm2 takes no plain files; its layout: a label in the second sector
        file.seek(512)
        file.write(b"LABELONE\x01" + bytes(15) + b"LVM2 001" + b"U" * 32)


def wiped_gpt(path: Path) -> None:
    """An ext4 of a partition whose table was wiped: the trap that blkid does not see."""
    run("mkfs.ext4", "-q", "-F", "-E", f"offset={MIB}", path, "100M")
    put(path, 0, bytes(34 * 512))
    put(path, path.stat().st_size - 33 * 512, bytes(33 * 512))
    assert not run("wipefs", "--no-act", path)


def second_partition(path: Path) -> None:
    """What is behind the EFI partition that Debian's installer makes."""
    run("mkfs.ext4", "-q", "-F", "-E", f"offset={513 * MIB}", path, "200M")


def unsigned(path: Path) -> None:
    put(path, 200 * MIB, b"\x5a" * (4 * MIB))


CASES: list[tuple[str, Callable[[Path], object], str]] = [
    ("ext4", lambda path: run("mkfs.ext4", "-q", path), r"ext2, ext3 or ext4 at the beginning"),
    ("xfs", lambda path: run("mkfs.xfs", "-q", path), r"xfs at the beginning"),
    ("btrfs", lambda path: run("mkfs.btrfs", "-q", path), r"btrfs at the beginning"),
    ("fat", fat, r"FAT at the beginning"),
    ("swap", lambda path: run("mkswap", path), r"swap at the beginning"),
    ("luks", luks, r"LUKS at the beginning"),
    ("lvm", lvm, r"an LVM physical volume at the beginning"),
    ("gpt", gpt, r"a GPT at byte 512"),
    ("spare gpt", spare_gpt, r"the spare GPT at the disk's end"),
    ("mbr", mbr, r"an MBR with 1 partition at the beginning"),
    *[
        (
            f"md {version}",
            lambda path, version=version: member(path, version),
            rf"alpha:data|level 1, metadata {version}",
        )
        for version in ("0.90", "1.0", "1.1", "1.2")
    ],
    ("wiped gpt", wiped_gpt, r"ext2, ext3 or ext4, as behind a lost partition table, at 1 MiB"),
    ("unsigned data", unsigned, r"data without any signature at 200 MiB"),
    ("a byte at the end", lambda path: put(path, SMALL - 1, b"\1"), r"data without any signature at"),
]


@pytest.mark.parametrize(("make", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_on_a_disk_is_found_and_named(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    path = disk(tmp_path / "disk", SMALL)
    make(path)
    told = "; ".join(texts(found(path)))
    assert re.search(words, told), told


@pytest.mark.parametrize("size", [2 * MIB, SMALL, LARGE])
def test_a_blank_disk_is_empty(tmp_path: Path, size: int) -> None:
    assert found(disk(tmp_path / "disk", size)) == []


def test_what_is_behind_the_second_partition_of_a_lost_table_is_named(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", LARGE)
    second_partition(path)
    assert texts(found(path)) == ["ext2, ext3 or ext4, as behind a lost partition table, at 513 MiB"]


def test_a_file_system_in_the_midst_of_a_large_disk_is_found_by_its_extent(tmp_path: Path) -> None:
    # Two parts in a row: 40 MiB of 40 GiB, at an offset that nothing tells.
    path = disk(tmp_path / "disk", LARGE)
    part = (LARGE - proof.FRONT - proof.BACK) // proof.PARTS
    begin = 23 * GIB + 12345 * 512
    with path.open("r+b") as file:
        for offset in range(begin, begin + 2 * part, 4 * KIB):
            file.seek(offset)
            file.write(b"\1")
    (only,) = found(path)
    assert only.what == "data without any signature"
    assert begin <= only.where < begin + 2 * part


def test_a_disk_that_ends_before_its_size_is_not_empty(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", 8 * MIB)
    assert proof.bears(reader(path), 9 * MIB)
    assert proof.bears(lambda _offset, _length: b"", 9 * MIB)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_byte_that_is_read_and_not_zero_refuses(data: st.DataObject) -> None:
    size = data.draw(st.integers(MIB // 512, 6 * GIB // 512)) * 512
    seed = data.draw(st.randoms(use_true_random=False))
    chosen: list[int] = []

    def choose(below: int) -> int:
        chosen.append(seed.randrange(below))
        return chosen[-1]

    spans = list(proof.spans(size, choose))
    offset, length = data.draw(st.sampled_from(spans))
    bad = min(size - 1, offset + data.draw(st.integers(0, length - 1)))
    again = iter(chosen)

    def read(at: int, count: int) -> bytes:
        count = max(0, min(count, size - at))
        plain = proof.ZEROS[:count] if count <= len(proof.ZEROS) else bytes(count)
        return plain[: bad - at] + b"\1" + plain[bad - at + 1 :] if at <= bad < at + count else plain

    assert proof.bears(read, size, lambda below: next(again, 0) % below)


@given(st.binary(min_size=1, max_size=9000), st.integers(0, 70000), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_it_crash(noise: bytes, offset: int, repeat: int) -> None:
    size = 3 * MIB
    content = bytearray(size)
    for number in range(repeat):
        at = (offset + number * 66_049) % (size - len(noise))
        content[at : at + len(noise)] = noise
    told = proof.bears(lambda at, length: bytes(content[at : at + length]), size)
    assert bool(told) == any(content)
    assert all(one.text() for one in told)


def test_a_disk_is_told_of_what_will_be_read(tmp_path: Path) -> None:
    path, told = disk(tmp_path / "disk", 4 * GIB), []
    seen: set[int] = set()

    def read(offset: int, length: int) -> bytes:
        seen.add(offset)
        return bytes(length)

    assert proof.bears(read, path.stat().st_size, ahead=lambda offset, _length: told.append(offset)) == []
    assert len(told) > 4000
    assert set(told) <= seen


def test_a_sample_is_drawn_in_each_part() -> None:
    spans = list(proof.samples(proof.FRONT, LARGE, lambda below: below - 1))
    assert len(spans) == proof.PARTS
    part = (LARGE - proof.FRONT) // proof.PARTS
    for number, (offset, length) in enumerate(spans):
        begin = proof.FRONT + number * part
        assert begin <= offset
        assert offset + length <= begin + part


def test_what_is_ours_is_masked_only_where_it_is_exactly_that(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", SMALL)
    ours = bytes(range(256)) * 4
    put(path, 4096, ours)
    known = [(4096, ours)]
    size = path.stat().st_size
    assert proof.bears(proof.without(reader(path), known), size) == []
    put(path, 4096 + 700, b"\xff")
    (only,) = proof.bears(proof.without(reader(path), known), size)
    assert only.where == 4096 + 513  # the first byte of that sector is a zero


@pytest.mark.parametrize(
    ("offset", "words"),
    [(0, "the beginning"), (512, "byte 512"), (4096, "4 KiB"), (3 * MIB, "3 MiB"), (5 * GIB, "5 GiB")],
)
def test_places_are_said_for_people(offset: int, words: str) -> None:
    assert place(offset) == words
