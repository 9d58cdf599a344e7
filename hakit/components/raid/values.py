"""The vocabulary of disks and arrays: what a device is called, names of arrays, chunks, labels, schedules."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from hakit.components.raid.calendar import is_calendar
from hakit.inventory.types import expected

BY_ID, SERIAL, WWN = "/dev/disk/by-id/", "serial:", "wwn:"
LONGEST_NAME = 31
"""Characters of `host:array` in a superblock 1.x: 32 octets (md_p.h), the last one a NUL."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
_RESERVED = re.compile(r"md_?[0-9]*|d[0-9]+|md_d[0-9]+|.*_[0-9]+")
"""Names that mdadm gives by itself: `md127`, `md_d1`, and `data_0` for an array that it takes for another host's."""
_LINK = re.compile(r"[A-Za-z0-9:._+@=-]{1,200}")
_SERIAL = re.compile(r"[!-~]{1,128}")
_WWN = re.compile(r"0x[0-9A-Fa-f]{16,32}|eui\.[0-9A-Fa-f]{16,32}|naa\.[0-9A-Fa-f]{16,32}")
_CHUNK = re.compile(r"([1-9][0-9]{0,5})(KiB|MiB)")
_VOLUME = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,62}")
_LARGEST_CHUNK = 1 << 20
"""KiB. md keeps a chunk as a number of sectors in 32 bits; nobody wants one near that."""


def _device(value: str) -> str:
    what = "a disk: /dev/disk/by-id/NAME, serial:SERIAL or wwn:0xNUMBER"
    if value.startswith(SERIAL):
        found = _SERIAL.fullmatch(value[len(SERIAL) :])
    elif value.startswith(WWN):
        found = _WWN.fullmatch(value[len(WWN) :])
    elif value.startswith(BY_ID):
        found = _LINK.fullmatch(value[len(BY_ID) :])
    else:
        found = re.fullmatch(r"/dev/[!-~]+", value)  # a kernel's name: RD002 says what is wrong with it
    if found is None:
        raise expected(what, value)
    return value


def _array_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise expected("an array's name: a letter, then letters, digits, '_' and '-' (at most 31)", value)
    if _RESERVED.fullmatch(value):
        raise expected("an array's name; mdadm gives such names by itself, to arrays that it does not know", value)
    return value


def _serial(value: str) -> str:
    if not _SERIAL.fullmatch(value) or value.startswith("/"):
        raise expected("a disk's serial number", value)
    return value.removeprefix(SERIAL)


def kibibytes(chunk: str) -> int:
    """KiB of a chunk: `512KiB`, `1MiB`. Raises ValueError."""
    found = _CHUNK.fullmatch(chunk)
    if found is None:
        raise ValueError(chunk)
    return int(found.group(1)) * (1024 if found.group(2) == "MiB" else 1)


def _chunk(value: str) -> str:
    try:
        size = kibibytes(value)
    except ValueError:
        raise expected("a chunk such as 64KiB or 512KiB", value) from None
    # md wants a multiple of a page, and a power of two where there is parity; mdadm(8), --chunk.
    if size & (size - 1) or not 4 <= size <= _LARGEST_CHUNK:  # noqa: PLR2004 - a page, and the message says it
        raise expected("a power of two from 4KiB to 1024MiB", value)
    return value


def _calendar(value: str) -> str:
    if not is_calendar(value):
        raise expected("a time as systemd.time(7) writes it, such as Sun *-*-1..7 01:00", value)
    return value


def _volume(value: str) -> str:
    if not _VOLUME.fullmatch(value) or value in (".", ".."):
        raise expected("a name for LVM: letters, digits, '_', '+', '.' and '-' (at most 63)", value)
    return value


def _volume_name(value: str) -> str:
    # lvm(8), VALID NAMES.
    if value.startswith(("snapshot", "pvmove")) or re.search(
        r"_(?:cdata|cmeta|corig|iorig|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin)(?:_|$)", value
    ):
        raise expected("a volume's name; LVM gives such names to parts of its own", value)
    return _volume(value)


Device = Annotated[
    str,
    AfterValidator(_device),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(/dev/|serial:|wwn:)\S+$",
            "x-expects": "a disk: /dev/disk/by-id/NAME, serial:SERIAL or wwn:0xNUMBER",
        }
    ),
]
"""A disk by what does not change: udev's link, the serial number, the World Wide Name."""

ArrayName = Annotated[
    str,
    AfterValidator(_array_name),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,30}$", "x-expects": "an array's name"}),
]
"""What an array is called in /dev/md, in mdadm.conf and in its superblocks (mdadm 4.3 takes no other characters)."""

Serial = Annotated[
    str,
    AfterValidator(_serial),
    WithJsonSchema({"type": "string", "pattern": r"^\S+$", "x-expects": "a disk's serial number"}),
]
"""A serial number as udev tells it (ID_SCSI_SERIAL, ID_SERIAL_SHORT), which is printed on the disk."""

Chunk = Annotated[
    str,
    AfterValidator(_chunk),
    WithJsonSchema(
        {"type": "string", "pattern": "^[1-9][0-9]{0,5}(KiB|MiB)$", "x-expects": "a chunk such as 64KiB or 512KiB"}
    ),
]
"""How much of a stripe is on one disk; `kibibytes` counts it."""

Calendar = Annotated[
    str,
    AfterValidator(_calendar),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[A-Za-z0-9*.,:/ ~+-]{1,80}$", "x-expects": "a time such as Sun *-*-1..7 01:00"}
    ),
]
"""When, as systemd.time(7) writes it."""

GroupName = Annotated[
    str,
    AfterValidator(_volume),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,62}$", "x-expects": "a name for LVM"}
    ),
]
"""A volume group's name (lvm(8), VALID NAMES)."""

VolumeName = Annotated[
    str,
    AfterValidator(_volume_name),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,62}$", "x-expects": "a volume's name"}
    ),
]
"""A logical volume's name (lvm(8), VALID NAMES)."""
