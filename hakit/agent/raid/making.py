"""Arrays made and assembled: the proof repeated in the moment, with all disks had exclusively, and then mdadm."""

from __future__ import annotations

import os
import re
import stat
from errno import EBUSY
from time import monotonic, sleep

from hakit.agent.errors import Failure, from_os
from hakit.agent.raid import intent as intents
from hakit.agent.raid.arrays import running
from hakit.agent.raid.deciding import DEVICE, JOURNAL, SPARE, usable
from hakit.agent.raid.disks import disks, resolve
from hakit.agent.raid.finding import MIB
from hakit.agent.raid.looking import HEAD, look, our_table
from hakit.agent.raid.proof import BACK, FRONT, ZEROS
from hakit.agent.raid.table import extent
from hakit.agent.resources.raid import BITMAP, PPL, RESYNC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.raid.arrays import Running
    from hakit.agent.raid.deciding import Bearing, Verdict
    from hakit.agent.raid.disks import Disk
    from hakit.agent.raid.looking import Looked
    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

REREAD = 0x125F  # BLKRRPART of linux/fs.h
MDADM = 120.0  # seconds
APPEARS = 15.0  # seconds in which udev has made a new partition's or array's node
POLL = 0.1
ROOM = 16  # MiB: what several reshapes of a few members in chunks of 512 KiB need
SMALL = 128 * MIB  # of a disk: of a smaller one the room would be more than a tenth
LOST = "critical section"  # in what mdadm says (Assemble.c) where it can't restore it
LOOKERS = 5.0  # seconds that udev may look at the old partitions of a disk


class Exclusive:
    """Disks that nobody else can mount, assemble or claim while we have them. Raises Failure on entry."""

    def __init__(self, wanted: list[Disk], work: Work) -> None:
        self._wanted = wanted
        self._work = work
        self.fds: dict[str, int] = {}

    def __enter__(self) -> Exclusive:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        flags = os.O_RDWR | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK
        for one in self._wanted:
            try:
                self.fds[one.name] = os.open(self._work.at(one.path), flags)
            except OSError as error:
                self.__exit__()
                why = "something has it for itself" if error.errno == EBUSY else error.strerror
                raise Failure(f"{one.text()} can't be opened exclusively: {why}") from None
        return self

    def __exit__(self, *_: object) -> None:
        while self.fds:
            os.close(self.fds.popitem()[1])


def create(array: Array, planned: Verdict, work: Work) -> None:
    """Make an array of disks that are proven empty, or confirmed to be wiped, just now. Raises Failure, OSError."""
    looked = look(array, work)
    live = looked.scene.live
    _must_be_planned(looked, planned)
    if live is not None:
        stop(live, work)
    wanted = [one.disk for one in looked.scene.bearings if one.disk is not None]
    with Exclusive(wanted, work) as opened:
        looked = look(array, work, opened.fds)
        _must_be_planned(looked, planned)
        serials = tuple(one.identity for one in wanted if one.identity)
        wiped = tuple(one.serial for one in looked.verdict.wipe)
        intents.write(intents.Intent(array=array.array, uuid=array.uuid, serials=serials, wiped=wiped), work)
        for disk in looked.verdict.wipe:
            work.say(f"wiping {disk.text()}")
            wipe(opened.fds[disk.name], disk)
        for one in looked.scene.bearings:
            if one.disk is not None:
                prepare(array, one, opened.fds[one.disk.name], work)
    settle(work)
    devices = {role: [node(array, one, work) for one in looked.scene.bearings if one.role == role] for role in ROLES}
    members = [one.disk for one in looked.scene.bearings if one.disk is not None and one.role != JOURNAL]
    smallest = min(usable(array, one) for one in members)
    _create(array, command(array, devices, room(array, smallest)), work)
    _appears(array, work)
    record = intents.read(array.array, array.uuid, work)
    if record is not None:
        intents.settle(record, work, building=array.level in {4, 5})


ROLES = (DEVICE, SPARE, JOURNAL)
UNUSED = re.compile(r"mdadm: largest drive \(.*\) exceeds size \(\d+K\) by more than 1%")
ASKED, ABORTED = "Continue creating array?", "mdadm: create aborted"


def _create(array: Array, argv: list[str], work: Work) -> None:
    """Have mdadm create it. Raises Failure.

    What it asks is a refusal, but for one thing: whether it is right that members are larger than what is used of them,
    which is declared. It has written nothing before it asks (Create.c).
    """
    doing = f"create /dev/md/{array.array}"
    if not array.size or array.partition:
        work.must(argv, doing, MDADM)
        return
    asked = work.run(argv, MDADM)
    said = [line for line in (asked.out + asked.err).splitlines() if line.strip()]
    why = [line for line in said if not line.startswith((ASKED, ABORTED))]
    if asked.code and len(why) < len(said) and why and all(UNUSED.fullmatch(line) for line in why):
        work.must(argv, doing, MDADM, stdin=b"y\n")
    elif asked.code:
        raise Failure(f"{doing}: mdadm failed with exit {asked.code}", output=asked.tail())


def _must_be_planned(looked: Looked, planned: Verdict) -> None:
    """See that nothing else is about to be done than what was shown. Raises Failure."""
    if looked.verdict.why and looked.verdict.kind != planned.kind:
        raise Failure("; ".join(looked.verdict.why))
    if not looked.verdict.same(planned):
        raise Failure("its disks have changed since the plan was made: look at it again with a new plan")


def room(array: Array, smallest: int) -> int:
    """MiB before the data of each member; 0 leaves it to mdadm, which takes a thousandth of the member.

    A reshape moves the data into that room, and then the kernel alone can go on after a crash. Without enough of it
    mdadm copies aside what is about to be overwritten, while the kernel has begun (Grow.c: set_new_data_offset,
    start_reshape). From 16 GiB on a thousandth is more than this.
    """
    taken = 0 if array.partition else array.size * MIB
    return ROOM if SMALL <= smallest < ROOM * MIB * 1000 and smallest - taken > ROOM * MIB else 0


def command(array: Array, devices: dict[str, list[str]], offset: int = 0) -> list[str]:
    """How mdadm is called to create: nothing is left to its questions; `offset` is where data begin, in MiB."""
    argv = ["mdadm", "--create", f"/dev/md/{array.array}", "--metadata=1.2", f"--level={array.level}"]
    argv += [f"--homehost={array.host}", f"--name={array.array}", f"--uuid={array.uuid}"]
    if array.chunk and array.level != 1:
        argv.append(f"--chunk={array.chunk}")
    if array.layout:
        argv.append(f"--layout={array.layout}")
    if array.size and not array.partition:
        argv.append(f"--size={array.size * 1024}")
    if offset:
        argv.append(f"--data-offset={offset}M")
    if array.level:
        argv += {BITMAP: ["--bitmap=internal"], RESYNC: ["--bitmap=none"], PPL: ["--consistency-policy=ppl"]}.get(
            array.consistency, []
        )
    if devices[JOURNAL]:
        argv.append(f"--write-journal={devices[JOURNAL][0]}")
    argv.append(f"--raid-devices={len(devices[DEVICE])}")
    if devices[SPARE]:
        argv.append(f"--spare-devices={len(devices[SPARE])}")
    return [*argv, *devices[DEVICE], *devices[SPARE]]


def wipe(fd: int, disk: Disk) -> None:
    """Take from a disk what names its content: what is read whole for the proof, zeroed. Raises OSError."""
    size = os.lseek(fd, 0, os.SEEK_END)
    _zero(fd, 0, min(FRONT, size))
    _zero(fd, max(0, size - BACK), size)
    os.fsync(fd)
    reread(fd, disk)


def _zero(fd: int, begin: int, end: int) -> None:
    while begin < end:
        begin += os.pwrite(fd, ZEROS[: min(len(ZEROS), end - begin)], begin)


def prepare(array: Array, bearing: Bearing, fd: int, work: Work) -> None:
    """Clear what our own cut-short creation left, and make the partition. Raises OSError, Failure."""
    disk = bearing.disk
    assert disk is not None  # noqa: S101 - the caller looks
    if bearing.half:
        begin = extent(disk.size, array.size)[0] if array.partition else 0
        _zero(fd, begin, min(disk.size, begin + HEAD))
    pieces = [] if bearing.role == JOURNAL else our_table(array, disk, work)
    for offset, data in pieces:
        os.pwrite(fd, data, offset)
    os.fsync(fd)
    if pieces:
        reread(fd, disk)


def reread(fd: int, disk: Disk) -> None:
    """Have the kernel read a disk's partitions anew. Raises Failure."""
    if not stat.S_ISBLK(os.fstat(fd).st_mode):
        return
    import fcntl

    deadline = monotonic() + LOOKERS
    while True:
        try:
            fcntl.ioctl(fd, REREAD)
        except OSError as error:
            if error.errno != EBUSY or monotonic() > deadline:
                raise from_os(error, f"reading the partitions of {disk.text()} anew") from None
            sleep(POLL)
        else:
            return


def node(array: Array, bearing: Bearing, work: Work) -> str:
    """The device that becomes a member: the disk by its word, resolved now, or its partition. Raises Failure."""
    deadline = monotonic() + APPEARS
    while True:
        there = disks(work)
        disk = resolve(bearing.word, there)
        if disk is None:
            raise Failure(f"there is no disk {bearing.word} any more")
        if not array.partition or bearing.role == JOURNAL:
            return work.at(disk.path)
        length = extent(disk.size, array.size)[1]
        parts = [one for one in there if one.parent == disk.name]
        if len(parts) == 1 and parts[0].size == length and os.path.exists(work.at(parts[0].path)):
            return work.at(parts[0].path)
        if monotonic() > deadline:
            raise Failure(f"the partition on {disk.text()} did not appear within {APPEARS:g} s")
        sleep(POLL)


def settle(work: Work) -> None:
    """Wait until udev has dealt with all that it has heard of.

    A disk that was written to is read anew by udev once nobody has it open, which makes its partitions go and come: the
    rule for one that goes (`mdadm --incremental --fail`) would meet it as a member.
    """
    work.run(["udevadm", "settle", f"--timeout={APPEARS:g}"], APPEARS + 5)


def _appears(array: Array, work: Work) -> Running:
    """Wait until the array runs and udev has named it. Raises Failure."""
    settle(work)
    deadline = monotonic() + APPEARS
    while True:
        live = running(array.uuid, work)
        if live is not None and live.started and os.path.exists(work.at(f"/dev/md/{array.array}")):
            return live
        if monotonic() > deadline:
            state = "does not run" if live is None or not live.started else f"has no name /dev/md/{array.array}"
            raise Failure(f"the array {array.array} {state} though mdadm did not complain")
        sleep(POLL)


def stop(live: Running, work: Work) -> None:
    """Stop an array that nobody uses; mdadm refuses any other. Raises Failure."""
    work.must(["mdadm", "--stop", work.at(live.path)], f"stop {live.path}", MDADM)


def assemble(array: Array, planned: Verdict, work: Work) -> None:
    """Assemble an array of the members that it has, or have it under its name. Raises Failure, OSError."""
    # A host that has just booted may be about to collect the members itself, and has them for itself meanwhile.
    settle(work)
    looked = look(array, work)
    _must_be_planned(looked, planned)
    if looked.scene.live is not None:
        stop(looked.scene.live, work)
    argv = ["mdadm", "--assemble", f"/dev/md/{array.array}", f"--uuid={array.uuid}", f"--homehost={array.host}"]
    backup = intents.backup_of(array.array, work)
    if backup and any(member.reshaping for _, member in looked.verdict.parts):
        argv.append(f"--backup-file={work.at(backup)}")
    result = work.run([*argv, *(work.at(disk.path) for disk, _ in looked.verdict.parts)], MDADM)
    live = running(array.uuid, work)
    if live is None or not live.started:
        if live is not None:
            stop(live, work)
        why = "where members are missing that it last ran with: put them back, or see  mdadm --assemble --run"
        if LOST in result.err:
            why = "its reshape was cut off, and there is no copy of what was just being overwritten: see mdadm(8), GROW"
        raise Failure(f"mdadm does not assemble {array.array} without force ({why})", output=result.tail())
    _appears(array, work)
    record = intents.read(array.array, array.uuid, work)
    if record is not None and record.stage == intents.CREATING:
        intents.settle(record, work)
