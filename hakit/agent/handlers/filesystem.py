"""How file systems on arrays and volumes are recognised or made: only where nothing is, or what we began ourselves."""

from __future__ import annotations

import os

from hakit.agent import disk, jsonlite
from hakit.agent.errors import Failure
from hakit.agent.raid import filesystems
from hakit.agent.raid import intent as intents
from hakit.agent.raid.arrays import reader, running
from hakit.agent.raid.disks import CLASS, Disk, text
from hakit.agent.raid.finding import DATA, HELD, MIB, texts
from hakit.agent.raid.holding import held
from hakit.agent.raid.looking import prove
from hakit.agent.raid.making import Exclusive
from hakit.agent.raid.proof import nonzero
from hakit.agent.raid.signatures import signatures
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.raid.filesystems import Seen
    from hakit.agent.raid.finding import Finding
    from hakit.agent.raid.intent import Intent
    from hakit.agent.resources.raid import Filesystem
    from hakit.agent.work import Work

UDEV = 120.0  # seconds
SUPERBLOCK = 2048  # bytes that hold what begins a file system, and that no cut-short mkfs leaves otherwise than zero
MKFS = 3600.0  # seconds: ext4 on many TB without lazy initialisation
MAKE, AGAIN, REMEMBER = "make", "again", "remember"


class State:
    """The device as it is called now (None: not there yet), and the file system on it."""

    __slots__ = ("device", "seen")

    def __init__(self, device: Disk | None, seen: Seen | None) -> None:
        self.device = device
        self.seen = seen


class Filesystems:
    """The handler of `Filesystem`."""

    def read(self, resources: list[Filesystem], work: Work) -> dict[str, State]:
        """What is on the devices. Raises Failure, OSError."""
        return {one.key: _state(one, work) for one in resources}

    def diff(self, resource: Filesystem, state: State, work: Work) -> Change:
        """Whether it is to be made. Raises Failure for a device that bears anything else."""
        line = f"make {resource.kind}{f' {resource.label!r}' if resource.label else ''} on {resource.device}"
        if state.device is None:
            after = work.require(resource, f"there is no {resource.device} on this host")
            return Change(summary=(f"{line}, unless it has it",), after=f"known after {after}", new=True)
        begun, seen = _begun(resource, work), state.seen
        if seen is not None and (seen.uuid, seen.kind) == (resource.uuid, resource.kind):
            return self._there(resource, state.device, seen, begun, work)
        if begun is not None:
            if seen is None and not _foreign(state.device, work):
                return Change(summary=(f"{line}, which was cut short",), steps=(AGAIN,), new=True)
        elif not (found := _bears(resource, state.device, work)):
            return Change(summary=(line,), steps=(MAKE,), new=True)
        else:
            raise _refusal(resource, texts(found))
        raise _refusal(resource, [seen.kind + " " + seen.uuid] if seen else _foreign(state.device, work))

    def _there(
        self, resource: Filesystem, device: Disk, seen: Seen, begun: dict[str, Any] | None, work: Work
    ) -> Change:
        if begun is not None and (seen.begun or (not seen.used and not _whole(resource, device, work))):
            return Change(summary=(f"make {resource.kind} on {resource.device}, which was cut short",), steps=(AGAIN,))
        if resource.label != seen.label:
            work.say(f"the file system on {resource.device} is called {seen.label!r}, not {resource.label!r}")
        intent = _intent(resource, work)
        if begun is not None or (intent is not None and (intent.fresh or _volume(resource) in intent.volumes)):
            return Change(summary=("remember that it is made",), steps=(REMEMBER,), memory=True)
        return Change()

    def apply(self, resource: Filesystem, change: Change, work: Work) -> tuple[str, ...]:
        """Make it, with the proof repeated while nobody else can use the device. Raises Failure, OSError."""
        device = _state(resource, work).device
        if device is None:
            raise Failure(f"there is no {resource.device} on this host")
        (step,) = change.steps
        work.state.own(resource.key, resource.component, {"uuid": resource.uuid})
        if step != REMEMBER:
            with Exclusive([device], work) as opened:
                fd = opened.fds[device.name]
                found = _bears(resource, device, work, fd) if step == MAKE else []
                if found:
                    raise _refusal(resource, texts(found))
                _begin(resource, work)
                if step == AGAIN:
                    os.pwrite(fd, bytes(min(MIB, device.size)), 0)
                    os.fsync(fd)
            work.must(filesystems.command(resource, work.at(device.path)), f"make {resource.kind}", MKFS)
            # udev hears of it when mkfs hangs up, some time later; a mount looks for the link that udev makes.
            seen = ["udevadm", "trigger", "--action=change", "--settle", f"--name-match={work.at(device.path)}"]
            work.run(seen, UDEV)
        intent = _intent(resource, work)
        if intent is not None:
            left = tuple(one for one in intent.volumes if one != _volume(resource))
            intents.settle(intent, work, fresh=False, volumes=left)
        disk.delete(_record(resource, work))
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing to the data."""
        del record, work
        return Change(summary=(f"forget; the file system on {key.partition(':')[2]} stays",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave it alone; that was said."""
        del key, record, work
        return ()


def _refusal(resource: Filesystem, found: list[str]) -> Failure:
    return Failure(
        f"{resource.device} is left alone, it is to hold {resource.kind} {resource.uuid}: {', '.join(found)}"
    )


def _state(resource: Filesystem, work: Work) -> State:
    device = target(resource.device, resource.array, work)
    if device is None:
        return State(None, None)
    fd = os.open(work.at(device.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return State(device, filesystems.seen(reader(fd)))
    finally:
        os.close(fd)


def target(device: str, array: str, work: Work) -> Disk | None:
    """The array with this UUID, or the volume of this name, as the kernel calls it now; None where it is not there."""
    if array:
        live = running(array, work)
        if live is None or not live.started:
            return None
        return Disk(live.name, live.number, live.size)
    if not os.path.exists(work.at(device)):
        return None
    name = os.path.basename(os.path.realpath(work.at(device)))
    if not os.path.isdir(work.at(f"{CLASS}/{name}")):
        return None
    sectors = text(f"{CLASS}/{name}/size", work)
    return Disk(name, text(f"{CLASS}/{name}/dev", work), int(sectors or "0") * 512)


def _bears(resource: Filesystem, device: Disk, work: Work, fd: int = -1) -> list[Finding]:
    """What a device bears; of one that was made of disks that were wiped, what has no name is only old blocks."""
    found = prove(device, [device], work, fd)
    intent = _intent(resource, work)
    volume = _volume(resource)
    if intent is not None and intent.wiped and (volume in intent.volumes if volume else intent.fresh):
        found = [one for one in found if one.kind == HELD or (one.kind != DATA and one.where <= 0)]
    return found


def _foreign(device: Disk, work: Work) -> list[str]:
    """What stands on a device on which mkfs was cut short that is not its doing.

    mke2fs clears the beginning first and writes the superblock last; mkfs.xfs begins with one that says so.
    """
    found = [one.text() for one in held(device, [device], work) if one.kind == HELD]
    fd = os.open(work.at(device.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        read = reader(fd)
        if nonzero(read, 0, SUPERBLOCK) >= 0:
            found.append("data at the beginning")
        return found + [one.text() for one in signatures(read)]
    finally:
        os.close(fd)


def _volume(resource: Filesystem) -> str:
    return "" if resource.array else resource.device[len("/dev/") :]


def _intent(resource: Filesystem, work: Work) -> Intent | None:
    """What hakit remembers of the array that is, or is beneath, a device."""
    known = intents.all_intents(work)
    if resource.array:
        return next((one for one in known if one.uuid == resource.array), None)
    return next((one for one in known if _volume(resource) in one.volumes), None)


def _whole(resource: Filesystem, device: Disk, work: Work) -> bool:
    return work.run(filesystems.check(resource.kind, work.at(device.path)), MKFS).code == 0


def _record(resource: Filesystem, work: Work) -> str:
    return f"{intents.folder(work)}/mkfs-{resource.uuid}"


def _begun(resource: Filesystem, work: Work) -> dict[str, Any] | None:
    """The record of a making that was begun here, for this array, and not ended."""
    try:
        found = jsonlite.loads(disk.read_own(_record(resource, work)).decode("utf-8").strip())
    except FileNotFoundError:
        return None
    except ValueError:
        return None
    same = isinstance(found, dict) and (found.get("device"), found.get("array")) == (resource.device, resource.array)
    return found if same else None


def _begin(resource: Filesystem, work: Work) -> None:
    disk.make_folder(intents.folder(work))
    words = {"device": resource.device, "array": resource.array, "kind": resource.kind}
    disk.write(_record(resource, work), (jsonlite.dumps(words) + "\n").encode(), 0o600)
