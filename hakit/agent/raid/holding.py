"""Who uses a disk just now: arrays, volumes, mounts, swap, processes, or anything that has it for itself."""

from __future__ import annotations

import os
import stat
from errno import EBUSY, ENOMEDIUM, ENXIO
from time import monotonic, sleep

from hakit.agent.raid.disks import CLASS, text, udev
from hakit.agent.raid.finding import HELD, PARTITION, Finding, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.raid.disks import Disk
    from hakit.agent.work import Work

PATIENCE = 3.0  # seconds for who only looks: udev and smartd open a disk for milliseconds
POLL = 0.1


def held(one: Disk, there: list[Disk], work: Work, excused: str = "", *, ours: bool = False) -> list[Finding]:
    """Who uses a disk or one of its partitions; its partitions themselves are told, too. Raises OSError.

    `excused` is an array of our own, half made, that is stopped before anything is done; `ours` when it is we who have
    the disk exclusively.
    """
    parts = [other for other in there if other.parent == one.name]
    found = []
    free = []
    for part in (one, *parts):
        holders = _holders(part.name, work)
        if not excused or excused not in holders:
            free.append(part)
        if part.parent:
            found.append(Finding(PARTITION, f"the partition {part.name} ({size(part.size)})"))
        found += [Finding(HELD, f"{part.name} is used by {_named(name, work)}") for name in holders if name != excused]
        found += [Finding(HELD, f"{part.name} is mounted on {where}") for where in mounts(part, work)]
        if part.path in _swaps(work):
            found.append(Finding(HELD, f"{part.name} is swap that is in use"))
        found += _loops(part, work)
    if ours or len(free) <= len(parts):  # what has a partition for itself has claimed the disk as well
        free = []
    return found + _open([one, *parts], work) + _claimed(free, work)


def _holders(name: str, work: Work) -> list[str]:
    folder = work.at(f"{CLASS}/{name}/holders")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _named(name: str, work: Work) -> str:
    """A device that is made of others, for people."""
    known = udev(text(f"{CLASS}/{name}/dev", work), work)
    mapped = text(f"{CLASS}/{name}/dm/name", work)
    if mapped:
        return f"{mapped} ({name})"
    title = known.get("MD_NAME") or known.get("MD_DEVNAME")
    return f"the array {title} ({name})" if title else name


def mounts(one: Disk, work: Work) -> list[str]:
    """Where a device is mounted, in any namespace. Raises OSError."""
    found: dict[str, None] = {}
    for path in _mountinfos(work):
        for line in text(path, work).splitlines():
            fields, _, rest = line.partition(" - ")
            words, source = fields.split(), rest.split()
            if words[2:3] == [one.number] or source[1:2] == [one.path]:
                found[words[4]] = None
    return list(found)


def _mountinfos(work: Work) -> Iterator[str]:
    """A mountinfo of each mount namespace."""
    seen = set()
    for pid in ("self", *_pids(work)):
        try:
            space = os.readlink(work.at(f"/proc/{pid}/ns/mnt"))
        except OSError:
            space = pid  # it has just ended, or is a thread of the kernel
            if pid != "self":
                continue
        if space not in seen:
            seen.add(space)
            yield f"/proc/{pid}/mountinfo"


def _pids(work: Work) -> list[str]:
    folder = work.at("/proc")
    return [name for name in os.listdir(folder) if name.isdigit()] if os.path.isdir(folder) else []


def _swaps(work: Work) -> set[str]:
    lines = text("/proc/swaps", work).splitlines()[1:]
    return {os.path.realpath(line.split()[0]) if not work.root else line.split()[0] for line in lines if line.split()}


def _loops(one: Disk, work: Work) -> list[Finding]:
    folder = work.at(CLASS)
    names = [name for name in os.listdir(folder) if name.startswith("loop")] if os.path.isdir(folder) else []
    return [
        Finding(HELD, f"{one.name} is behind {name}")
        for name in sorted(names)
        if text(f"{CLASS}/{name}/loop/backing_file", work) == one.path
    ]


def _open(devices: list[Disk], work: Work) -> list[Finding]:
    """Processes that have one of them open, longer than for a look."""
    deadline = monotonic() + PATIENCE
    while True:
        found = _openers(devices, work)
        if not found or monotonic() > deadline:
            return [Finding(HELD, f"{name} is open in {_process(pid, work)}") for name, pid in sorted(found)]
        sleep(POLL)


def _openers(devices: list[Disk], work: Work) -> set[tuple[str, str]]:
    wanted = {}
    for one in devices:
        try:
            wanted[_identity(os.stat(work.at(one.path)))] = one.name
        except OSError:  # it was just pulled: who opens it says so
            continue
    found = set()
    for pid in _pids(work):
        if pid == str(os.getpid()):
            continue
        folder = work.at(f"/proc/{pid}/fd")
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue
        for number in numbers:
            try:
                identity = _identity(os.stat(f"{folder}/{number}"))
            except OSError:
                continue
            if identity in wanted:
                found.add((wanted[identity], pid))
    return found


def _identity(info: os.stat_result) -> tuple[int, int]:
    return (-1, info.st_rdev) if stat.S_ISBLK(info.st_mode) else (info.st_dev, info.st_ino)


def _process(pid: str, work: Work) -> str:
    return f"{text(f'/proc/{pid}/comm', work) or 'a process'} (process {pid})"


def _claimed(devices: list[Disk], work: Work) -> list[Finding]:
    """Those that something has for itself: a mount, an array, a volume, whatever opened them exclusively."""
    found = []
    for one in devices:
        try:
            os.close(os.open(work.at(one.path), os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            if error.errno == EBUSY:
                found.append(Finding(HELD, f"{one.name} is busy: something has it for itself"))
            elif error.errno in {ENXIO, ENOMEDIUM}:
                found.append(Finding(HELD, f"{one.name} holds no medium"))
            else:
                raise
    return found
