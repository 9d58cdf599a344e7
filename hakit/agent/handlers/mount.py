"""How mounts by UUID are read, compared and made: as a systemd unit, never over anything, never taken away."""

from __future__ import annotations

import os
import stat

from hakit.agent import disk, loaded
from hakit.agent.errors import Failure
from hakit.agent.handlers.shown import shown
from hakit.agent.raid.disks import text, udev
from hakit.agent.work import Change, FileDiff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.raid import Mount
    from hakit.agent.work import Work

WRITE, READ, ENABLE, START, REMOUNT = "write", "read", "enable", "mount", "remount"
MOUNTING = 300.0  # seconds: a journal of many GiB may have to be replayed
SHOWN = 3  # names in a mount point that a message quotes
BY_UUID = "/dev/disk/by-uuid/"


class State:
    """What is mounted at the path (its UUID, `?` for what has none, empty: nothing), and the unit's properties."""

    __slots__ = ("mounted", "unit")

    def __init__(self, mounted: str, unit: dict[str, str]) -> None:
        self.mounted = mounted
        self.unit = unit


class Mounts:
    """The handler of `Mount`."""

    def read(self, resources: list[Mount], work: Work) -> dict[str, State]:
        """What is mounted, and the units. Raises Failure."""
        units = loaded.show([one.unit for one in resources], work)
        return {one.key: State(mounted(one.path, work), units[one.unit]) for one in resources}

    def diff(self, resource: Mount, state: State, work: Work) -> Change:
        """What is to be done. Raises Failure where something else is, or would be hidden."""
        if state.mounted and state.mounted != resource.uuid:
            raise Failure(
                f"{resource.path}: another file system is mounted there ({state.mounted}), not {resource.uuid}; hakit "
                "unmounts nothing"
            )
        if not state.mounted:
            _must_be_free(resource, work)
        line, diff = _file(resource, work)
        steps, lines = [], []
        unread = state.unit.get("NeedDaemonReload") == "yes"  # written by a run that was killed, or by somebody else
        if line:
            steps.append(WRITE)
            lines.append(line)
        elif unread:
            steps.append(READ)
            lines.append(f"have systemd read {resource.file.path}")
        if state.unit.get("UnitFileState") not in {"enabled", "enabled-runtime"}:
            steps.append(ENABLE)
            lines.append("mount it at boot")
        if not state.mounted:
            steps.append(START)
            lines.append(f"mount {resource.uuid} on {resource.path}")
        elif unread or (line and not _is_new(diff)):
            steps.append(REMOUNT)
            lines.append("remount")
        after = "" if state.mounted or not lines else self._after(resource, work)
        return Change(summary=tuple(lines), steps=tuple(steps), files=(diff,) if diff else (), after=after)

    def _after(self, resource: Mount, work: Work) -> str:
        """What must be done before the file system is there. Raises Failure."""
        if os.path.lexists(work.at(BY_UUID + resource.uuid)):
            return ""
        key = work.require(resource, f"there is no file system {resource.uuid} on this host")
        return f"known after {key}"

    def apply(self, resource: Mount, change: Change, work: Work) -> tuple[str, ...]:
        """Carry it out, and see the right file system there. Raises Failure, OSError."""
        work.state.own(resource.key, resource.component, {"unit": resource.unit})
        for step in change.steps:
            if step == WRITE:
                file = resource.file
                owner = (work.uid(file.owner), work.gid(file.group))
                work.state.replace(file.path, file.content.reveal().encode("utf-8"), file.mode, owner)
            if step in {WRITE, READ}:
                work.must(["systemctl", "daemon-reload"], "have systemd read its units")
            elif step == ENABLE:
                work.must(["systemctl", "enable", "--quiet", "--", resource.unit], f"enable {resource.unit}")
            elif step == START:
                disk.make_folder(work.at(resource.path), disk.OPEN)
                work.must(["systemctl", "start", "--", resource.unit], f"mount {resource.path}", MOUNTING)
            else:
                work.must(["systemctl", "reload", "--", resource.unit], f"remount {resource.path}", MOUNTING)
        there = mounted(resource.path, work)
        if there != resource.uuid:
            raise Failure(f"{resource.path}: {there or 'nothing'} is mounted there, not {resource.uuid}")
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing, what is mounted stays."""
        del record, work
        return Change(summary=(f"forget; {key.partition(':')[2]} stays mounted, also after a boot",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave it mounted; that was said."""
        del key, record, work
        return ()


def mounted(path: str, work: Work) -> str:
    """The UUID of the file system that is mounted at a path, `?` for one without; empty where nothing is."""
    found = ""
    for line in text("/proc/self/mountinfo", work).splitlines():
        words = line.split()
        if len(words) > 4 and _plain(words[4]) == path:  # noqa: PLR2004 - the mount point, proc(5)
            found = udev(words[2], work).get("ID_FS_UUID") or _by_link(words[2], work) or "?"
    return found


def _plain(word: str) -> str:
    """A path of mountinfo, whose spaces and the like are octal."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, char)
    return word


def _by_link(number: str, work: Work) -> str:
    """The name in /dev/disk/by-uuid of a device, where udev's record does not say."""
    major, _, minor = number.partition(":")
    folder = work.at(BY_UUID)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            device = os.stat(folder + name).st_rdev
        except OSError:
            continue
        if (os.major(device), os.minor(device)) == (int(major), int(minor)):
            return name
    return ""


def _must_be_free(resource: Mount, work: Work) -> None:
    """See that nothing would be hidden. Raises Failure."""
    path = work.at(resource.path)
    info = disk.look(path)
    if info is None:
        return
    if not stat.S_ISDIR(info.st_mode):
        raise Failure(f"{resource.path} is {disk.kind(info)}, not a directory", path=resource.path)
    names = sorted(os.listdir(path))
    if names:
        told = f"{', '.join(names[:SHOWN])}{' and more' if len(names) > SHOWN else ''}"
        raise Failure(f"{resource.path} holds {told}: a mount would hide that. Move it away", path=resource.path)


def _file(resource: Mount, work: Work) -> tuple[str, FileDiff | None]:
    """What is to be done to the unit's file."""
    file = resource.file
    info = disk.look(work.at(file.path))
    if info is None:
        return f"create {file.path}", FileDiff(path=file.path)
    if not stat.S_ISREG(info.st_mode):
        raise Failure(f"{file.path} is {disk.kind(info)}: hakit does not replace it with a file", path=file.path)
    data = disk.read(work.at(file.path))
    if data == file.content.reveal().encode("utf-8"):
        return "", None
    mode = stat.S_IMODE(info.st_mode)
    return f"write {file.path}", shown(file.path, data, mode, [], disk.digest(data), secret=False)


def _is_new(diff: FileDiff | None) -> bool:
    """Whether a file is made, not changed: a mount that somebody else made has nothing to be remounted for."""
    return diff is None or diff.mode is None
