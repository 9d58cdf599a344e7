"""What an array's declared devices bear just now: superblocks first, and the proof of emptiness where that matters."""

from __future__ import annotations

import os
import stat

from hakit.agent.errors import Failure
from hakit.agent.raid import intent as intents
from hakit.agent.raid import proof
from hakit.agent.raid.arrays import arrays, reader, running
from hakit.agent.raid.beside import beside
from hakit.agent.raid.deciding import DEVICE, JOURNAL, PROVE, SPARE, Bearing, Scene, decide
from hakit.agent.raid.disks import CLASS, disks, resolve, text
from hakit.agent.raid.finding import DATA, MIB, PARTITION, SIGNATURE, TABLE, Finding
from hakit.agent.raid.holding import held
from hakit.agent.raid.signatures import signatures
from hakit.agent.raid.superblock import members
from hakit.agent.raid.table import extent, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.raid.arrays import Running
    from hakit.agent.raid.deciding import Part, Verdict
    from hakit.agent.raid.disks import Disk
    from hakit.agent.raid.superblock import Member, Read
    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

HEAD = MIB
"""Where mdadm --create writes before the array runs: superblock, bitmap, header of a PPL."""
SECTOR_FILE = "queue/logical_block_size"


class Looked:
    """A scene, the disks that were there, and what follows from it."""

    __slots__ = ("scene", "there", "verdict")

    def __init__(self, scene: Scene, there: list[Disk], verdict: Verdict) -> None:
        self.scene = scene
        self.there = there
        self.verdict = verdict


def look(array: Array, work: Work, opened: dict[str, int] | None = None) -> Looked:
    """See what is there and decide; `opened` are descriptors of disks by name that we have for ourselves already.

    Raises Failure, OSError.
    """
    there = disks(work)
    scene = _scene(array, there, work)
    verdict = decide(array, scene)
    if verdict.kind == PROVE:
        _prove_all(array, scene, there, work, opened or {})
        verdict = decide(array, scene)
    return Looked(scene, there, verdict)


def _prove_all(array: Array, scene: Scene, there: list[Disk], work: Work, opened: dict[str, int]) -> None:
    """Make the proof of each disk, beside each other."""
    wanted = [(one, one.disk) for one in scene.bearings if one.disk is not None]

    def look_at(disk: Disk) -> Callable[[], tuple[list[Finding], bool]]:
        return lambda: _proof(array, disk, scene, there, work, fd=opened.get(disk.name, -1))

    proofs = beside([look_at(disk) for _, disk in wanted])
    for number, (bearing, _) in enumerate(wanted):
        bearing.found, bearing.half = proofs[number]


def _scene(array: Array, there: list[Disk], work: Work) -> Scene:
    roles = [(word, DEVICE) for word in array.devices] + [(word, SPARE) for word in array.spares]
    roles += [(array.journal, JOURNAL)] if array.journal else []
    bearings = [_bearing(array, word, role, there, work) for word, role in roles]
    known = {part.name for one in bearings for part, _ in one.parts}
    strays = [part for disk in there if disk.name not in known for part in parts_of([disk], array.uuid, work)]
    live = running(array.uuid, work)
    scene = Scene(bearings, live, intents.read(array.array, array.uuid, work), _once(strays))
    scene.busy = live is not None and in_use(live, work)
    names = {array.array, f"{array.host}:{array.array}"}
    scene.namesake = next(
        (
            one.title or one.uuid
            for one in arrays(work)
            if names.intersection((*one.called, one.title)) and one.uuid != array.uuid
        ),
        "",
    )
    return scene


def _bearing(array: Array, word: str, role: str, there: list[Disk], work: Work) -> Bearing:
    try:
        disk = resolve(word, there)
    except Failure as failure:
        return Bearing(word, role, None, [], failure.message)
    if disk is None:
        return Bearing(word, role, None, [])
    if disk.parent and array.partition:
        return Bearing(word, role, disk, [], f"{word} is a partition already: name the disk, or say partition: false")
    family = [disk, *(one for one in there if one.parent == disk.name)]
    bearing = Bearing(word, role, disk, _once(parts_of(family, array.uuid, work)))
    title = f"{array.host}:{array.array}"
    named = [(one, member) for one in family for member in superblocks(one, work) if member.name == title]
    bearing.others = _once([part for part in named if part[1].sound and part[1].here and part[1].uuid != array.uuid])
    return bearing


def parts_of(family: list[Disk], uuid: str, work: Work) -> list[Part]:
    """The superblocks with a UUID on some devices."""
    return [
        (one, member)
        for one in family
        for member in superblocks(one, work)
        if member.uuid == uuid and member.sound and member.here
    ]


def _once(parts: list[Part]) -> list[Part]:
    """Each superblock once: metadata 0.90 of a disk's last partition reads as the disk's, too."""
    named = {disk.parent for disk, _ in parts if disk.parent}
    return [part for part in parts if part[0].name not in named]


def superblocks(one: Disk, work: Work) -> list[Member]:
    """The md superblocks on a device; none on one that was just pulled."""
    try:
        fd = os.open(work.at(one.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        return members(reader(fd), one.size)
    except OSError:
        return []
    finally:
        os.close(fd)


def in_use(live: Running, work: Work) -> bool:
    """Whether somebody uses an array: a volume, a mount, swap, or whatever opened it for itself."""
    folder = work.at(f"{CLASS}/{live.name}/holders")
    if os.path.isdir(folder) and os.listdir(folder):
        return True
    try:
        os.close(os.open(work.at(live.path), os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK))
    except FileNotFoundError:
        return False
    except OSError:
        return live.started
    return False


def sector(one: Disk, work: Work) -> int:
    """The logical sector of a disk, in bytes."""
    told = text(f"{CLASS}/{one.name}/{SECTOR_FILE}", work)
    return int(told) if told.isdigit() else 512


def our_table(array: Array, one: Disk, work: Work) -> list[tuple[int, bytes]]:
    """The table that hakit makes on a disk for an array; none where it makes none. Raises Failure."""
    if not array.partition:
        return []
    try:
        return table(one.size, sector(one, work), array.size, array.array, array.uuid, one.serial)
    except ValueError as error:
        raise Failure(f"{one.text()}: {error} for a partition of {array.size or 'any'} MiB") from None


def _proof(
    array: Array, disk: Disk, scene: Scene, there: list[Disk], work: Work, *, fd: int
) -> tuple[list[Finding], bool]:
    """What a disk bears, and whether that is only what our own cut-short creation has left."""
    intent, live = scene.intent, scene.live
    excused = live.name if intent is not None and live is not None and not scene.busy else ""
    found = prove(disk, there, work, fd, excused=excused)
    if not found or intent is None or intent.stage != intents.CREATING or disk.identity not in intent.serials:
        return found, False
    known = our_table(array, disk, work)
    ours = prove(disk, there, work, fd, known=known, half=_half(array, disk), excused=excused)
    return (ours, True) if not ours else (found, False)


def _half(array: Array, disk: Disk) -> tuple[int, str]:
    """Where the member begins that a cut-short creation has left, and the UUID it has."""
    return (extent(disk.size, array.size)[0] if array.partition else 0), array.uuid


def prove(
    one: Disk,
    there: list[Disk],
    work: Work,
    fd: int = -1,
    *,
    known: list[tuple[int, bytes]] | None = None,
    half: tuple[int, str] | None = None,
    excused: str = "",
) -> list[Finding]:
    """What a disk bears that must be empty; nothing is the proof. `known` and `half` are ours and count for nothing.

    Raises OSError.
    """
    found = held(one, there, work, excused, ours=fd >= 0)
    own = -1
    try:
        if fd < 0:
            fd = own = os.open(work.at(one.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        # What others wrote past this device's pages, by its partitions, is read from the disk itself.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        size = os.lseek(fd, 0, os.SEEK_END)
        read = reader(fd)
        if known:
            read = proof.without(read, known)
            found = [finding for finding in found if finding.kind != PARTITION]
        if half is not None:
            read = _without_half(read, *half)
        found += proof.bears(read, size, ahead=ahead(fd))
        if not any(finding.kind in {SIGNATURE, TABLE} for finding in found) and half is None:
            found += second_opinion(one, work)
    except OSError as error:
        found.append(Finding(DATA, f"it can't be read ({error.strerror})"))
    finally:
        if own >= 0:
            os.close(own)
    return found


def ahead(fd: int) -> Callable[[int, int], None]:
    """How the kernel is told what will be read."""
    return lambda offset, length: os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)


def _without_half(read: Read, start: int, uuid: str) -> Read:
    """A reader to which the beginning of a member looks like zeros, where nothing but our array's could be there."""
    if signatures(read, start) or any(
        one.sound and one.uuid != uuid for one in members(lambda at, length: read(start + at, length), HEAD)
    ):
        return read

    def masked(offset: int, length: int) -> bytes:
        data = read(offset, length)
        begin, end = max(offset, start), min(offset + len(data), start + HEAD)
        if begin >= end:
            return data
        return data[: begin - offset] + bytes(end - begin) + data[end - offset :]

    return masked


def second_opinion(one: Disk, work: Work) -> list[Finding]:
    """What the host's own wipefs finds, which knows kinds that we don't."""
    if not stat.S_ISBLK(os.stat(work.at(one.path)).st_mode) and not work.root:
        return []
    argv = ["wipefs", "--no-act", "--noheadings", "--output", "TYPE,OFFSET", "--", work.at(one.path)]
    result = work.run(argv, 60.0)
    if result.code:
        return []
    found = []
    for line in result.out.splitlines():
        words = line.split()
        if len(words) == 2:  # noqa: PLR2004 - the two that were asked for
            found.append(Finding(SIGNATURE, words[0], int(words[1], 16)))
    return found
