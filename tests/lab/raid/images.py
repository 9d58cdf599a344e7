"""Disks that somebody has used: made on this machine as files, by the programs that make such disks in life."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import tarfile
import zlib
from typing import TYPE_CHECKING

from hakit.lab import requirements
from hakit.lab.qemu.bootdisk import SECTOR, START, boot_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[Path], None]

MIB = 1 << 20


def make(path: Path, size: int, write: Write | None) -> None:
    """A disk of `size` bytes: blank, or as `write` makes it."""
    with path.open("xb") as file:
        file.truncate(size)
    if write:
        write(path)
    assert path.stat().st_size == size, "a program has changed the size of a disk"


def program(*words: str, given: bytes | None = None) -> Write:
    """What a program makes of a disk, whose path is its last argument."""

    def write(path: Path) -> None:
        environment = {"PATH": requirements.PATH, "LC_ALL": "C.UTF-8"}
        command = [*words, str(path)]
        done = subprocess.run(command, input=given, capture_output=True, env=environment, timeout=120, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    return write


def table(path: Path) -> None:
    """A partition table of the MBR's kind with one partition, and nothing else."""
    record = boot_record(b"", path.stat().st_size // SECTOR, b"hakt")
    _put(path, 0, record)


def wiped_front(path: Path) -> None:
    """A GPT whose first sectors were overwritten: the copy at the end of the disk is left."""
    program("sgdisk", "--new=1:2048:0")(path)
    _put(path, 0, bytes(34 * SECTOR))


def behind(sectors: int) -> Write:
    """An ext4 in a partition that began at this sector, whose table is gone."""

    def write(path: Path) -> None:
        kib = (path.stat().st_size - sectors * SECTOR) // 1024 - 64
        words = ("mkfs.ext4", "-q", "-F", "-E", f"offset={sectors * SECTOR}", str(path), f"{kib}k")
        environment = {"PATH": requirements.PATH, "LC_ALL": "C.UTF-8"}
        subprocess.run(words, capture_output=True, env=environment, timeout=120, check=True)

    return write


def physical_volume(path: Path) -> None:
    """What LVM writes on a disk that it takes (lib/format_text/layout.h): a label in the second sector."""
    uuid = b"hakitTESTvolumeUUIDofthirtytwoch"
    areas = struct.pack("<QQ", MIB, 0) + bytes(16) + struct.pack("<QQ", 4096, MIB - 4096) + bytes(16)
    body = struct.pack("<I8s", 32, b"LVM2 001") + uuid + struct.pack("<Q", path.stat().st_size) + areas
    label = body.ljust(SECTOR - 20, b"\0")
    # LVM's checksum: that of zlib without the inversions, from a start of its own (INITIAL_CRC).
    checksum = zlib.crc32(label, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    _put(path, SECTOR, b"LABELONE" + struct.pack("<QI", 1, checksum) + label)


def nameless(path: Path) -> None:
    """Data that no program knows the kind of, in the middle half of the disk."""
    size = path.stat().st_size
    noise = random.Random(7)  # noqa: S311 - the same in each run
    for offset in range(size // 4, 3 * size // 4, MIB):
        _put(path, offset, noise.randbytes(MIB))


def archive(path: Path) -> None:
    """A tar archive written straight onto the disk, as onto a tape."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tape:
        entry = tarfile.TarInfo("orders.csv")
        entry.size = 3 * MIB
        tape.addfile(entry, io.BytesIO(b"7;4711;paid\n" * (3 * MIB // 12)))
    _put(path, 0, made.getvalue())


def kind(path: Path) -> str:
    """What util-linux takes a disk for, as `ext4` or `gpt`; empty where it sees nothing."""
    words = ["blkid", "--probe", "--output", "export", str(path)]
    environment = {**os.environ, "PATH": requirements.PATH}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return told.get("TYPE") or told.get("PTTYPE") or ""


def _put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


ext4 = program("mkfs.ext4", "-q", "-F")
xfs = program("mkfs.xfs", "-q", "-f")
btrfs = program("mkfs.btrfs", "-q", "-f")
swap = program("mkswap")
gpt = program("sgdisk", "--new=1:2048:0")
luks = program(
    *("cryptsetup", "luksFormat", "--batch-mode", "--type=luks2", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"),
    "--key-file=-",
    given=b"secret",
)
behind_gpt, behind_mbr = behind(START), behind(63)
