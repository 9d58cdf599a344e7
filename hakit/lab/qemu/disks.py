"""Which data disks a virtual machine has, and in which place each is plugged in. Pure.

Each is a SCSI disk of its own target: the place is the target's number, and Linux looks at them in this order. One that
is unplugged stays known, and remembers its place.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab.plan import DataDisk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakit.lab.plan import Disk

PLACES: Final = 256
"""The targets of a virtio SCSI bus (QEMU, VIRTIO_SCSI_MAX_TARGET)."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
"""A name and a serial: QEMU's disks tell 20 characters of it. Names of files and of QEMU's devices come of it."""
WWN: Final = re.compile(r"0x5[0-9a-f]{15}")
"""A name that a disk's maker gives it: NAA 5, 64 bits (SCSI's SPC-5)."""
SECTOR: Final = 512


def declared(disks: Iterable[Disk]) -> tuple[DataDisk, ...]:
    """The disks that a new machine has, as its inventory says: all plugged in, in this order."""
    return tuple(DataDisk(disk.name, disk.serial, disk.wwn, disk.size << 20, place) for place, disk in enumerate(disks))


def named(disks: Sequence[DataDisk], name: str) -> DataDisk:
    """The disk of that name. Raises LabError."""
    for disk in disks:
        if disk.name == name:
            return disk
    raise LabError(f"there is no disk {name}", hint=f"There are {', '.join(disk.name for disk in disks) or 'none'}.")


def unplugged(disks: Sequence[DataDisk], name: str) -> tuple[DataDisk, ...]:
    """The list when a disk has been taken out; it remembers its place. Raises LabError."""
    named(disks, name)
    return tuple(replace(disk, plugged=False) if disk.name == name else disk for disk in disks)


def plugged(disks: Sequence[DataDisk], name: str, place: int | None = None) -> tuple[DataDisk, ...]:
    """The list when a disk has been put in: into `place`, else where it was, else into the first that is free.

    Raises LabError where another one is there.
    """
    disk = named(disks, name)
    others = {other.place: other.name for other in disks if other.plugged and other.name != name}
    if place is None:
        place = disk.place if disk.place not in others else free(others)
    if not 0 <= place < PLACES:
        raise LabError(f"there is no place {place}", hint=f"A machine has the places 0 to {PLACES - 1}.")
    if place in others:
        raise LabError(f"the disk {others[place]} is plugged in at place {place}")
    if disk.plugged and place != disk.place:
        raise LabError(f"{name} is plugged in at place {disk.place}", hint="Unplug it first.")
    return tuple(replace(one, place=place, plugged=True) if one is disk else one for one in disks)


def free(taken: Iterable[int]) -> int:
    """The first place that is not taken. Raises LabError."""
    there = set(taken)
    for place in range(PLACES):
        if place not in there:
            return place
    raise LabError(f"all {PLACES} places are taken")


def added(disks: Sequence[DataDisk], name: str, size: int, serial: str, wwn: str) -> tuple[DataDisk, ...]:
    """The list with a new disk of `size` bytes, not plugged in yet; its serial is its name unless said.

    Two disks may tell the same serial: some do in life. Raises LabError.
    """
    serial = serial or name
    if any(disk.name == name for disk in disks):
        raise LabError(f"there is a disk {name} already", hint="Name the new one otherwise; the old one is kept.")
    for word in (name, serial):
        if not NAME.fullmatch(word):
            raise LabError(f"{word!r}: disks and serials are named with at most 20 letters, digits, '_' and '-'")
    if wwn and not WWN.fullmatch(wwn):
        raise LabError(f"{wwn!r} is no WWN of a disk", hint="Write 0x5 and 15 more small hexadecimal digits.")
    if size <= 0 or size % SECTOR:
        raise LabError(f"the disk {name} would have {size} bytes", why=f"Disks are made of sectors of {SECTOR} bytes.")
    place = free(disk.place for disk in disks if disk.plugged)
    return (*disks, DataDisk(name, serial, wwn, size, place, plugged=False))


def arranged(disks: Sequence[DataDisk], names: Sequence[str]) -> tuple[DataDisk, ...]:
    """The list with exactly these disks plugged in, in this order. Raises LabError."""
    for name in names:
        named(disks, name)
    if len(set(names)) != len(names):
        raise LabError(f"a disk has one place: {', '.join(names)}")
    return tuple(
        replace(disk, place=names.index(disk.name), plugged=True)
        if disk.name in names
        else replace(disk, plugged=False)
        for disk in disks
    )
