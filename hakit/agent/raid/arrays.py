"""The arrays that the kernel has just now, started or not, from sysfs (kernel, Documentation/admin-guide/md.rst)."""

from __future__ import annotations

import os

from hakit.agent.raid.disks import CLASS, text, udev
from hakit.agent.raid.superblock import members, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.raid.disks import Disk
    from hakit.agent.raid.superblock import Read
    from hakit.agent.work import Work

IN_SYNC, REBUILDING, FAULTY, SPARE, MISSING = "in_sync", "rebuilding", "faulty", "spare", "missing"
JOURNAL = "journal"
STOPPED = ("clear", "inactive")
"""array_state of what is known but does not run."""


class Place:
    """A member of an array as the kernel has it: `name` is its device now, `slot` -1 where it has none.

    `state` is one of the words above, of which `missing` never. `errors` are read errors that were corrected. `offset`
    is where its data begin, in bytes.
    """

    __slots__ = ("errors", "journal", "name", "offset", "slot", "state")

    def __init__(self, name: str, slot: int, state: str, errors: int, *, journal: bool = False) -> None:
        self.offset = 0
        self.name = name
        self.slot = slot
        self.state = state
        self.errors = errors
        self.journal = journal


class Running:
    """An array of the kernel. `name` is its node now (`md127`), `started` whether it runs.

    `called` are its names in /dev/md, whoever gave them, `title` that in the superblock (`host:array`). `slots` is the
    number of members it should have, `degraded` of those that are missing. `chunk` is in KiB; `layout` md's number.
    `size` is the array's, `each` that of each member that is used, in bytes. `action` is md's word (`idle`, `resync`,
    …); `done` and `total` are sectors, both 0 where nothing goes on; `speed` is in KiB/s.
    """

    __slots__ = (
        "action",
        "called",
        "chunk",
        "degraded",
        "done",
        "each",
        "last",
        "layout",
        "level",
        "mismatches",
        "name",
        "number",
        "places",
        "policy",
        "readonly",
        "size",
        "slots",
        "speed",
        "started",
        "title",
        "total",
        "uuid",
        "version",
    )

    def __init__(self, name: str, work: Work) -> None:
        folder = f"{CLASS}/{name}"

        def says(what: str) -> str:
            return text(f"{folder}/md/{what}", work)

        self.name = name
        self.number = text(f"{folder}/dev", work)
        known = udev(self.number, work)
        state = says("array_state")
        self.started = state not in STOPPED and bool(state)
        self.readonly = state in {"readonly", "read-auto"}
        self.called = _called(name, work)
        self.title = known.get("MD_NAME", "")
        self.level = says("level").replace("raid", "")
        self.version = says("metadata_version")
        self.slots = _number(says("raid_disks"))
        self.degraded = _number(says("degraded"))
        self.chunk = _number(says("chunk_size")) // 1024
        self.layout = _number(says("layout"))
        self.size = _number(text(f"{folder}/size", work)) * 512
        self.each = _number(says("component_size")) * 1024
        self.action = says("sync_action") or "idle"
        done, _, total = says("sync_completed").partition(" / ")
        self.done, self.total = _number(done), _number(total)
        self.speed = _number(says("sync_speed"))
        self.mismatches = _number(says("mismatch_cnt"))
        self.last = says("last_sync_action")
        self.policy = says("consistency_policy")
        self.places = _places(f"{folder}/md", work)
        self.uuid = uuid_of(says("uuid")) or known.get("MD_UUID", "") or _of_members(self.places, work)

    @property
    def path(self) -> str:
        """Its device node, good for this moment."""
        return f"/dev/{self.name}"

    def place(self, name: str) -> Place | None:
        """The member that is a device of this name."""
        return next((one for one in self.places if one.name == name), None)


def arrays(work: Work) -> list[Running]:
    """All arrays of the kernel. Raises OSError."""
    folder = work.at(CLASS)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [Running(name, work) for name in names if os.path.isdir(f"{folder}/{name}/md")]


def running(uuid: str, work: Work) -> Running | None:
    """The array with this UUID, as far as the kernel has it; the one that runs where there are two. Raises OSError."""
    found = [one for one in arrays(work) if one.uuid == uuid]
    return max(found, key=lambda one: one.started, default=None)


def holder(one: Disk, work: Work) -> Running | None:
    """The array that a device is a member of."""
    return next((array for array in arrays(work) if array.place(one.name)), None)


def _called(name: str, work: Work) -> tuple[str, ...]:
    """The links in /dev/md that lead to an array: mdadm's own, and those of udev's rules."""
    folder = work.at("/dev/md")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return tuple(link for link in names if os.path.basename(os.path.realpath(f"{folder}/{link}")) == name)


def _places(folder: str, work: Work) -> list[Place]:
    found = []
    for entry in sorted(os.listdir(work.at(folder))):
        if not entry.startswith("dev-"):
            continue
        words = text(f"{folder}/{entry}/state", work).split(",")
        slot = text(f"{folder}/{entry}/slot", work)
        number = int(slot) if slot.isdigit() else -1
        if "faulty" in words:
            state = FAULTY
        elif "in_sync" in words:
            state = IN_SYNC
        else:
            state = REBUILDING if number >= 0 else SPARE
        name = os.path.basename(os.path.realpath(work.at(f"{folder}/{entry}/block"))) or entry[4:]
        if not os.path.lexists(work.at(f"{folder}/{entry}/block")):  # the disk was pulled, and md not told yet
            name = entry[4:]
        errors = _number(text(f"{folder}/{entry}/errors", work))
        place = Place(name, number, state, errors, journal="journal" in words)
        place.offset = _number(text(f"{folder}/{entry}/offset", work)) * 512
        found.append(place)
    return found


def reader(fd: int) -> Read:
    """How an open device is read."""
    return lambda offset, length: os.pread(fd, length, offset)


def _number(told: str) -> int:
    word = told.split(maxsplit=1)[0] if told else ""
    return int(word) if word.isdigit() else 0


def uuid_of(told: str) -> str:
    """What newer kernels' sysfs says, with dashes, as mdadm prints it; empty for anything else.

    Of an array that has not started, whose superblocks the kernel has not looked at yet, it says zeros.
    """
    digits = told.replace("-", "")
    try:
        return text_of(bytes.fromhex(digits)) if len(digits) == 32 and digits.strip("0") else ""  # noqa: PLR2004 - a UUID
    except ValueError:
        return ""


def _of_members(places: list[Place], work: Work) -> str:
    """What the superblock of the first member that can be read says: of what does not run udev knows nothing."""
    for place in places:
        size = _number(text(f"{CLASS}/{place.name}/size", work)) * 512
        try:
            fd = os.open(work.at(f"/dev/{place.name}"), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            found = members(reader(fd), size)
        except OSError:
            continue
        finally:
            os.close(fd)
        for one in found:
            if one.sound and one.here:
                return one.uuid
    return ""
