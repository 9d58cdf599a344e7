"""The table that hakit makes is a GPT as sgdisk and blkid see it, and the same bytes each time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hakit.agent.raid import proof
from hakit.agent.raid.table import extent, table
from tests.unit.agent.raid.images import MIB, OURS, UUID_TEXT, disk, put, reader, run

if TYPE_CHECKING:
    from pathlib import Path


def made(path: Path, size: int = 0) -> list[tuple[int, bytes]]:
    pieces = table(path.stat().st_size, 512, size, "data", UUID_TEXT, "WD-1")
    for offset, data in pieces:
        put(path, offset, data)
    return pieces


@pytest.mark.parametrize("odd", [0, 512 * 7, MIB - 512])
def test_sgdisk_takes_it(tmp_path: Path, odd: int) -> None:
    path = disk(tmp_path / "disk", 200 * MIB + odd)
    made(path)
    assert "No problems found" in run("sgdisk", "--verify", path)
    told = run("sgdisk", "--info=1", path)
    assert "Linux RAID" in told
    assert "First sector: 2048 (" in told
    assert f"Partition size: {198 * 2048} sectors" in told
    assert "Partition name: 'hakit data'" in told
    assert re.search(r"Number .*\n +1 +2048", run("sgdisk", "--print", path))


def test_a_size_is_kept(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", 200 * MIB)
    made(path, 100)
    assert f"Partition size: {100 * 2048} sectors" in run("sgdisk", "--info=1", path)
    assert extent(200 * MIB, 100) == (MIB, 100 * MIB)


def test_no_other_disk_has_the_same_ids(tmp_path: Path) -> None:
    ids = set()
    for serial in ("WD-1", "WD-2"):
        path = disk(tmp_path / serial, 20 * MIB)
        for offset, data in table(20 * MIB, 512, 0, "data", UUID_TEXT, serial):
            put(path, offset, data)
        ids.add(run("blkid", "-p", "-o", "value", "-s", "PTUUID", path))
    assert len(ids) == 2
    assert str(OURS) not in ids


@pytest.mark.parametrize("size", [0, 19])
def test_what_does_not_fit_is_refused(size: int) -> None:
    disk_size = 2 * MIB if not size else 20 * MIB
    with pytest.raises(ValueError, match="too small"):
        table(disk_size, 512, size, "data", UUID_TEXT, "WD-1")


def test_a_torn_table_is_known_as_ours_and_nothing_else(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", 20 * MIB)
    pieces = table(20 * MIB, 512, 0, "data", UUID_TEXT, "WD-1")
    for offset, data in pieces[:3]:
        put(path, offset, data)
    size = path.stat().st_size
    assert proof.bears(reader(path), size)
    assert proof.bears(proof.without(reader(path), pieces), size) == []
    run("mkfs.ext4", "-q", "-F", "-E", f"offset={MIB}", path, "10M")
    assert proof.bears(proof.without(reader(path), pieces), size)
