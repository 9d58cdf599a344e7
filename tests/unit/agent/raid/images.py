"""Disks as sparse files, and what stands on them: made by the real tools, or byte by byte after the formats."""

from __future__ import annotations

import subprocess
from struct import pack, pack_into
from typing import TYPE_CHECKING
from uuid import UUID

from hakit.agent.raid.superblock import SECTOR, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.agent.raid.superblock import Read

MIB = 1 << 20
SIZE = 256 * MIB
OURS = UUID("3c4f7ee2-9a3b-4d1c-8f5e-0a1b2c3d4e5f")
UUID_TEXT = text_of(OURS.bytes)


def disk(path: Path, size: int = SIZE) -> Path:
    """A blank disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def run(*argv: str | Path, **options: object) -> str:
    """Run a tool that must succeed; what it says."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]  # options of any kind
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return str(done.stdout)


def reader(path: Path) -> Read:
    """How the agent reads a device."""

    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read


def put(path: Path, offset: int, data: bytes) -> None:
    """Write bytes at a place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def new(  # noqa: PLR0917 - the fields of a superblock
    size: int,
    version: str = "1.2",
    slot: int = 0,
    slots: int = 2,
    level: int = 1,
    name: str = "alpha:data",
    uuid: UUID = OURS,
    events: int = 17,
    features: int = 0,
) -> tuple[int, bytes]:
    """Where a superblock of metadata 1.x is on a device, and its bytes (linux/raid/md_p.h, mdp_superblock_1)."""
    sectors = size // SECTOR
    place = {"1.0": (sectors - 16) & ~7, "1.1": 0, "1.2": 8}[version]
    start = 0 if version == "1.0" else 2048
    data = bytearray(4096)
    pack_into("<IIII16s32s", data, 0, 0xA92B4EFC, 1, features, 0, uuid.bytes, name.encode())
    pack_into("<QiIQII", data, 64, 1_700_000_000, level, 0, (sectors - 4096) & ~7, 0, slots)
    end = place if version == "1.0" else sectors
    pack_into("<QQQQII16s", data, 128, start, end - start, place, 0, slot, 0, bytes([slot + 1] * 16))
    roles = slots + 1
    pack_into("<QQQII", data, 192, 1_700_000_100, events, (1 << 64) - 1, 0, roles)
    for number in range(roles):
        pack_into("<H", data, 256 + 2 * number, number if number < slots else 0xFFFF)
    length = 256 + 2 * roles
    words = sum(int.from_bytes(data[at : at + 4], "little") for at in range(0, length - 3, 4))
    if length % 4:
        words += int.from_bytes(data[length - 2 : length], "little")
    pack_into("<I", data, 216, (words & 0xFFFFFFFF) + (words >> 32) & 0xFFFFFFFF)
    return place * SECTOR, bytes(data)


def old(size: int, slot: int = 0, slots: int = 2, level: int = 1, uuid: UUID = OURS) -> tuple[int, bytes]:
    """Where a superblock of metadata 0.90 is on a device, and its bytes (mdp_superblock_s)."""
    sectors = size // SECTOR
    words = [0] * 1024
    parts = [int.from_bytes(uuid.bytes[at : at + 4], "big") for at in (0, 4, 8, 12)]
    words[0:4] = [0xA92B4EFC, 0, 90, 0]
    words[5], words[13], words[14], words[15] = parts
    words[6], words[7], words[8], words[9], words[10] = 1_700_000_000, level, size // 1024 - 128, slots, slots
    words[11] = 0
    words[32:37] = [1_700_000_100, 1, slots, slots, 0]
    words[39] = 17
    for number in range(slots):
        words[128 + 32 * number : 128 + 32 * number + 5] = [number, 8, 16 * number, number, 6]
    words[992:997] = [slot, 8, 16 * slot, slot, 6]
    total = sum(words)
    words[38] = (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF
    return ((sectors & ~127) - 128) * SECTOR, pack("<1024I", *words)


def member(path: Path, version: str = "1.2", **more: object) -> Path:
    """Make a disk a member of an array."""
    size = path.stat().st_size
    make = old(size, **more) if version == "0.90" else new(size, version, **more)  # type: ignore[arg-type]  # as above
    put(path, *make)
    return path
