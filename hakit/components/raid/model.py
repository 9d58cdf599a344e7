"""The arrays of one host, derived once: who an array is, what is on it, which disks it means.

Pure, and total on whatever passes the settings' own checks.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.components.once import once_per_site
from hakit.components.raid.settings import Array, Level, OnDisk, RaidSettings
from hakit.components.raid.values import LONGEST_NAME
from hakit.lint.rule import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.inventory.model import Site
    from hakit.inventory.origin import Path

NAME = "raid"
SPACE = uuid.UUID("6f5b4e0c-3f0b-5c39-9a4e-6d1a2f6a7d10")
"""The namespace of hakit's own UUIDs (RFC 9562, 5.5)."""
FEWEST: Mapping[Level, int] = {0: 2, 1: 2, 4: 3, 5: 3, 6: 4, 10: 2}
"""Members that a level has at least: md(4); RAID 4 and 5 of two would be copies under another name."""
PARITY: tuple[Level, ...] = (4, 5, 6)
REDUNDANT: tuple[Level, ...] = (1, 4, 5, 6, 10)
BITMAP, PPL, JOURNAL, RESYNC = "bitmap", "ppl", "journal", "resync"


@dataclass(frozen=True, slots=True)
class Store:
    """A file system: on which device, for which array; `path` is the setting (below `hakit`) that declares it."""

    device: str
    array: str
    settings: OnDisk
    path: Path
    group: str = ""
    volume: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A device as the inventory calls it, and the setting that does."""

    device: str
    path: Path


def short(host: str) -> str:
    """The part of a host's name that stands in superblocks: what comes before the first dot."""
    return host.partition(".")[0]


def full_name(host: str, array: str) -> str:
    """What a superblock says: `host:array`; mdadm leaves the host out where there is no room for both."""
    name = f"{short(host)}:{array}"
    return name if len(name) <= LONGEST_NAME else array


def words(name: str, array: Array) -> Iterator[Word]:
    """All devices that an array names."""
    path: Path = (NAME, "arrays", name)
    for key, devices in (("devices", array.devices), ("spares", array.spares)):
        for place, device in enumerate(devices):
            yield Word(device, (*path, key, place))
    if array.journal is not None:
        yield Word(array.journal, (*path, "journal"))


def new_uuid(host: str, name: str, array: Array) -> str:
    """The UUID of an array that hakit makes, as mdadm prints it.

    From the host, the array and its members: the same inventory always means the same array, and an array that is made
    anew of other disks is another one, so that a disk of the old one that turns up is no member of it.
    """
    text = "\0".join((host, name, *(word.device for word in words(name, array))))
    digits = uuid.uuid5(SPACE, f"array\0{text}").hex
    return ":".join(digits[place : place + 8] for place in range(0, 32, 8))


def filesystem_uuid(array: str, volume: str = "") -> str:
    """The UUID of a file system that hakit makes on an array with this UUID, or on a volume there."""
    return str(uuid.uuid5(SPACE, f"filesystem\0{array}\0{volume}"))


def consistency(array: Array) -> str:
    """How the members agree after a crash; what is left out is what suits the level."""
    if array.consistency is not None:
        return str(array.consistency)
    if array.level == 0:
        return RESYNC
    return JOURNAL if array.journal is not None else BITMAP


def copies(layout: str) -> int:
    """How many copies a layout of RAID 10 has: `n2`, `f3`, `o2`; 2 for what is none (mdadm(8), --layout)."""
    return int(layout[1:]) if layout[:1] in {"n", "f", "o"} and layout[1:].isdigit() else 2


def group_name(name: str, array: Array) -> str:
    """The volume group on an array."""
    return str(array.lvm.group) if array.lvm is not None and array.lvm.group is not None else name


def device(name: str) -> str:
    """Where an array is."""
    return f"/dev/md/{name}"


def stores(name: str, array: Array) -> Iterator[Store]:
    """The file systems on an array, or on its volumes."""
    path: Path = (NAME, "arrays", name)
    if array.lvm is None:
        if array.filesystem is not None:
            yield Store(device(name), name, array, path)
        return
    group = group_name(name, array)
    for volume, settings in array.lvm.volumes.items():
        if settings.filesystem is not None:
            where: Path = (*path, "lvm", "volumes", volume)
            yield Store(f"/dev/{group}/{volume}", name, settings, where, group, volume)


@once_per_site
def mounts(site: Site) -> dict[str, dict[str, Store]]:
    """By host and mount point, what is mounted there."""
    found: dict[str, dict[str, Store]] = {}
    for host, settings in configured(site, NAME, RaidSettings):
        own = found.setdefault(host.name, {})
        for name, array in settings.arrays.items():
            for store in stores(name, array):
                if store.settings.mount is not None:
                    own.setdefault(str(store.settings.mount), store)
    return found


def unit_name(path: str) -> str:
    """The mount unit of a mount point (systemd.unit(5), STRING ESCAPING FOR INCLUSION IN UNIT NAMES)."""
    return f"{escape(path)}.mount"


def escape(path: str) -> str:
    """A path as units are called after it, as `systemd-escape --path` prints it."""
    bare = path.strip("/")
    if not bare:
        return "-"
    return "".join(_escaped(sign, first=place == 0) for place, sign in enumerate(bare))


def _escaped(sign: str, *, first: bool) -> str:
    if sign == "/":
        return "-"
    if (sign.isascii() and sign.isalnum()) or sign in ":_" or (sign == "." and not first):
        return sign
    return "".join(f"\\x{octet:02x}" for octet in sign.encode())
