"""Arrays that can't be: names taken twice, what mdadm, mkfs or LVM would refuse, mounts that hide each other."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from hakit.components.raid.model import (
    NAME,
    PARITY,
    copies,
    full_name,
    group_name,
    short,
    stores,
    words,
)
from hakit.components.raid.settings import OnDisk, RaidSettings, Volume
from hakit.components.raid.values import BY_ID, LONGEST_NAME, kibibytes
from hakit.inventory.types import mebibytes
from hakit.lint.rule import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.raid.model import Store
    from hakit.components.raid.settings import Array
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Wrong = tuple[Path, str]

LABELS: Mapping[str, int] = {"ext4": 16, "xfs": 12}
"""Octets of a label: ext4(5) and mkfs.xfs(8)."""
SMALLEST: Mapping[str, int] = {"ext4": 8, "xfs": 300}
"""MiB of a file system: a journal of ext4's needs room; mkfs.xfs refuses less than 300 MB since xfsprogs 5.19."""
LAYOUTS: Mapping[int, re.Pattern[str]] = {
    5: re.compile(r"(?:left|right)-(?:symmetric|asymmetric)|[lr][as]|parity-(?:first|last)"),
    6: re.compile(r"(?:left|right)-(?:symmetric|asymmetric)(?:-6)?|[lr][as]|parity-(?:first|last)"),
    10: re.compile(r"[nfo][2-9]"),
}
"""mdadm(8), --layout."""
SYSTEM = ("/", "/boot", "/boot/efi", "/usr", "/etc", "/bin", "/sbin", "/lib", "/dev", "/proc", "/sys", "/run", "/var")
"""What a running system stands on: nothing can be mounted over these without hiding it."""
NOT_DISKS = ("md-", "dm-", "lvm-", "raid-")
"""Links of udev's that name arrays and volumes."""
LARGEST_NAME = 63


def problems(site: Site) -> Iterator[tuple[Host, Path, str]]:
    """Host, path below `hakit`, message."""
    for host, settings in configured(site, NAME, RaidSettings):
        for path, message in (
            *_arrays(host, settings),
            *_groups(settings),
            *_mounts(settings),
            *_labels(settings),
            *_wipes(settings),
            *_schedule(settings),
        ):
            yield host, path, message


def _arrays(host: Host, settings: RaidSettings) -> Iterator[Wrong]:
    for name, array in settings.arrays.items():
        path: Path = (NAME, "arrays", name)
        if ":" not in full_name(host.name, name):
            told = f"{short(host.name)}:{name}"
            yield path, f"{told} has {len(told)} characters, a superblock has room for {LONGEST_NAME} — a shorter name"
        yield from _devices(name, array)
        yield from _geometry(path, array)
        yield from _contents(path, array)


def _devices(name: str, array: Array) -> Iterator[Wrong]:
    if not array.devices:
        yield (NAME, "arrays", name, "devices"), "an array of no disks holds nothing"
    for word in words(name, array):
        link = word.device.removeprefix(BY_ID)
        if word.device.startswith(BY_ID) and link.startswith(NOT_DISKS):
            yield word.path, f"{link} names an array or a volume — the members of an array are disks"
        if array.partition and re.search(r"-part[0-9]+$", link):
            yield word.path, "with partition hakit makes the partitions itself — name the disk, without -partN"


def _geometry(path: Path, array: Array) -> Iterator[Wrong]:
    """Options that mdadm refuses, or does not look at, for the array's level."""
    level = array.level
    if array.chunk is not None and level == 1:
        yield (*path, "chunk"), "RAID 1 has no chunks: each member is a whole copy — leave it out"
    if array.spares and level == 0:
        yield (*path, "spares"), "RAID 0 can't use a spare: what a dead disk held is gone — leave them out"
    if array.journal is not None and level not in PARITY:
        yield (*path, "journal"), "a journal is for RAID 4, 5 and 6 — leave it out"
    if array.layout is not None:
        allowed = LAYOUTS.get(level)
        if allowed is None:
            yield (*path, "layout"), f"RAID {level} has one layout — leave it out"
        elif not allowed.fullmatch(array.layout):
            yield (*path, "layout"), f"RAID {level} has no layout {array.layout} (mdadm(8), --layout)"
        elif level == 10 and copies(array.layout) > len(array.devices) > 0:  # noqa: PLR2004 - the level
            yield (*path, "layout"), f"{array.layout} wants {copies(array.layout)} disks at least"
    if array.consistency is not None and level == 0:
        yield (*path, "consistency"), "RAID 0 has no copies that could agree — leave it out"
    if array.size is not None and array.chunk is not None and kibibytes(array.chunk) > mebibytes(array.size) * 1024:
        yield (*path, "chunk"), f"a chunk of {array.chunk} does not fit into {array.size} of each disk"


def _contents(path: Path, array: Array) -> Iterator[Wrong]:
    if array.lvm is None:
        yield from _store(path, array)
        return
    for key in ("filesystem", "label", "mkfs", "mount", "options"):
        if getattr(array, key):
            yield (*path, key), f"with lvm the array holds volumes — {key}  for one of them"
    for volume, settings in array.lvm.volumes.items():
        yield from _store((*path, "lvm", "volumes", volume), settings)
    names = list(array.lvm.volumes)
    for name in names[:-1]:
        if array.lvm.volumes[name].size is None:
            where = (*path, "lvm", "volumes", name)
            yield where, f"it would take all that is left, and {names[-1]} comes after it — a size, or put it last"
    if not names:
        yield (*path, "lvm"), "a group without volumes holds nothing — volumes: {NAME: {size: …}}"


def _store(path: Path, settings: OnDisk) -> Iterator[Wrong]:
    kind = settings.filesystem
    if kind is None:
        for key in ("label", "mkfs", "mount", "options"):
            if getattr(settings, key):
                yield (*path, key), f"{key} needs a file system — filesystem: ext4 or xfs"
                return
        return
    if settings.mount is None and settings.options:
        yield (*path, "options"), "options of a mount that there is not — mount: PATH"
    size = settings.size if isinstance(settings, Volume) else None  # an array's is that of each disk
    if size is not None and mebibytes(size) < SMALLEST[kind]:
        yield (*path, "size"), f"{kind} needs {SMALLEST[kind]}MiB at least"
    yield from _forbidden(path, settings)


def _forbidden(path: Path, settings: OnDisk) -> Iterator[Wrong]:
    """Words that would undo what hakit stands for."""
    for place, word in enumerate(settings.mkfs):
        if word.startswith(("-f", "-F")) or word == "--force":
            yield (*path, "mkfs", place), f"{word} makes mkfs write over what it finds — leave it out"
        elif word.startswith(("/dev/", "-U", "-L", "uuid=")):
            yield (*path, "mkfs", place), "device, UUID and label are hakit's to give — leave it out"
    for place, word in enumerate(settings.options):
        name = word.partition("=")[0]
        if name in {"fail", "noauto", "user", "users", "owner", "group", "defaults"} or name.startswith("x-"):
            yield (*path, "options", place), f"{name} means something in /etc/fstab alone — this is a mount unit"
        elif name in {"remount", "bind", "move", "loop"}:
            yield (*path, "options", place), f"{name} is no option of a file system that stays mounted"


def _groups(settings: RaidSettings) -> Iterator[Wrong]:
    taken: dict[str, str] = {}
    for name, array in settings.arrays.items():
        if array.lvm is None:
            continue
        group = group_name(name, array)
        other = taken.setdefault(group, name)
        if other != name:
            where: Path = (NAME, "arrays", name, "lvm")
            yield (*where, "group"), f"the group {group} is on {other} already — a group of its own for each array"
        for volume in array.lvm.volumes:
            # The kernel's name of both: dashes are doubled, and there are 127 octets in all.
            if len(group.replace("-", "--")) + len(volume.replace("-", "--")) + 1 > 2 * LARGEST_NAME:
                yield (NAME, "arrays", name, "lvm", "volumes", volume), "group and volume have too long a name together"


def _all_stores(settings: RaidSettings) -> Iterator[Store]:
    for name, array in settings.arrays.items():
        yield from stores(name, array)


def _mounts(settings: RaidSettings) -> Iterator[Wrong]:
    taken: dict[str, Store] = {}
    for store in _all_stores(settings):
        mount = store.settings.mount
        if mount is None:
            continue
        where = (*store.path, "mount")
        other = taken.setdefault(str(mount), store)
        if other is not store:
            yield where, f"{other.device} is mounted at {mount} already — a mount point of its own for each"
        if mount in SYSTEM or mount.startswith(("/dev/", "/proc/", "/sys/", "/run/")):
            yield where, f"the running system stands on {mount} — a folder such as /srv/{store.array}"


def _labels(settings: RaidSettings) -> Iterator[Wrong]:
    taken: dict[str, Store] = {}
    for store in _all_stores(settings):
        label = store.settings.label
        if label is None:
            continue
        where = (*store.path, "label")
        most = LABELS[str(store.settings.filesystem)]
        if len(label.encode()) > most:
            yield where, f"{store.settings.filesystem} has room for {most} octets of a label, {label} has more"
        other = taken.setdefault(str(label), store)
        if other is not store:
            yield where, f"{other.device} has the label {label} already — another one for each"


def _wipes(settings: RaidSettings) -> Iterator[Wrong]:
    for serial, count in Counter(map(str, settings.wipe)).items():
        if count > 1:
            place = list(settings.wipe).index(serial, list(settings.wipe).index(serial) + 1)
            yield (NAME, "wipe", place), f"{serial} is listed twice"


def _schedule(settings: RaidSettings) -> Iterator[Wrong]:
    disk, kernel = settings.timeouts.disk, settings.timeouts.kernel
    if settings.timeouts.enabled and kernel <= disk:
        yield (
            (NAME, "timeouts", "kernel"),
            f"the kernel would give a disk up after {kernel:g}s, before it gives up itself",
        )
