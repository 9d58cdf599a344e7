"""How directories and symbolic links are read, made and removed."""

from __future__ import annotations

import os
import stat

from hakit.agent import disk
from hakit.agent.errors import Failure, from_os
from hakit.agent.loaded import SYSTEMD, Writing, users_of
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.paths import Directory, Symlink
    from hakit.agent.work import Work


class Directories:
    """The handler of `Directory`."""

    def read(self, resources: list[Directory], work: Work) -> dict[str, os.stat_result | None]:
        """What stands at the paths. Raises Failure."""
        return {one.key: disk.look(work.at(one.path)) for one in resources}

    def diff(self, resource: Directory, state: os.stat_result | None, work: Work) -> Change:
        """What differs in existence, mode and owner. Raises Failure."""
        if state is not None and not stat.S_ISDIR(state.st_mode):
            raise Failure(f"{resource.path} is {disk.kind(state)}, not a directory", path=resource.path)
        try:
            uid, gid = work.uid(resource.owner), work.gid(resource.group)
        except Failure as failure:
            after = f"known after {work.require(resource, failure.message)}"
            word = "create" if state is None else "owner"
            return Change(summary=(word,), impact=resource.impact, after=after, new=state is None)
        if state is None:
            return Change(summary=("create",), impact=resource.impact, new=True)
        lines = []
        mode = stat.S_IMODE(state.st_mode)
        if mode != resource.mode:
            lines.append(f"mode {mode:04o} → {resource.mode:04o}")
        if (state.st_uid, state.st_gid) != (uid, gid):
            was = f"{work.user_name(state.st_uid)}:{work.group_name(state.st_gid)}"
            lines.append(f"owner {was} → {resource.owner}:{resource.group}")
        return Change(summary=tuple(lines), impact=resource.impact if lines else "none")

    def apply(self, resource: Directory, change: Change, work: Work) -> tuple[str, ...]:
        """Make it, or mend its owner and mode. Raises Failure."""
        path = work.at(resource.path)
        try:
            if not os.path.lexists(path):
                work.state.own(resource.key, resource.component, {"made": True})
                disk.make_folder(os.path.dirname(path), 0o755)
                # Nobody but us may enter before owner and mode are right.
                os.mkdir(path, 0o700)
                disk.sync_folder(os.path.dirname(path))
            else:
                work.state.own(resource.key, resource.component, {"made": False})
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                disk.own(fd, work.uid(resource.owner), work.gid(resource.group), resource.mode)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os(error, "making a directory", (resource.path,)) from None
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """Whether it would be removed."""
        del work
        return Change(summary=(f"delete {key.partition(':')[2]}, if it is empty" if record.get("made") else "forget",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Remove it when hakit made it and it is empty. Raises Failure."""
        path = key.partition(":")[2]
        if not record.get("made"):
            return ("was here before hakit: left alone",)
        try:
            os.rmdir(work.at(path))
        except FileNotFoundError:
            return ()
        except OSError as error:
            return (f"kept {path}: {(error.strerror or '').lower()}",)
        return ()


class Symlinks:
    """The handler of `Symlink`."""

    def read(self, resources: list[Symlink], work: Work) -> dict[str, str | None]:
        """The targets, None where nothing is. Raises Failure."""
        return {one.key: self._target(one.path, work) for one in resources}

    def _target(self, path: str, work: Work) -> str | None:
        info = disk.look(work.at(path))
        if info is None:
            return None
        if stat.S_ISLNK(info.st_mode):
            return os.readlink(work.at(path))
        if stat.S_ISREG(info.st_mode) and not work.state.files.get(path, {"existed": True})["existed"]:
            return None
        raise Failure(f"{path} is {disk.kind(info)} that hakit did not make: move it away", path=path)

    def diff(self, resource: Symlink, state: str | None, work: Work) -> Change:
        """Whether it points elsewhere."""
        del work
        if state == resource.target:
            return Change()
        line = f"create → {resource.target}" if state is None else f"{state} → {resource.target}"
        return Change(summary=(line,), impact=resource.impact, new=state is None)

    def apply(self, resource: Symlink, change: Change, work: Work) -> tuple[str, ...]:
        """Replace it atomically. Raises Failure."""
        path = work.at(resource.path)
        was = self._target(resource.path, work)
        work.state.unread |= resource.path.startswith(SYSTEMD)
        work.state.own(resource.key, resource.component, {"was": was})
        try:
            disk.make_folder(os.path.dirname(path), disk.OPEN)
            writing = Writing(_contents(resource.path, resource.target, work), work)
            writing.before()
            _point(resource.path, resource.target, work)
            writing.after()
        except OSError as error:
            raise from_os(error, "making a symbolic link", (resource.path,)) from None
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do."""
        del work
        path = key.partition(":")[2]
        was = record.get("was")
        return Change(summary=(f"{path} → {was} again" if was else f"delete {path}",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Delete it, or point it where it pointed before. Raises Failure."""
        path = key.partition(":")[2]
        info = disk.look(work.at(path))
        if info is None:
            return ()
        if not stat.S_ISLNK(info.st_mode):
            return (f"{path} is {disk.kind(info)} now and was left alone",)
        was = record.get("was")
        if path.startswith(SYSTEMD):
            work.state.unread = True
            work.state.save_manifest()
        try:
            writing = Writing(_contents(path, was, work), work)
            writing.before()
            if was:
                _point(path, was, work)
            else:
                disk.delete(work.at(path))
            writing.after()
        except OSError as error:
            raise from_os(error, "removing a symbolic link", (path,)) from None
        return ()


def _contents(path: str, target: str | None, work: Work) -> dict[str, tuple[str, str]]:
    """What units load through a link, before and after it points to `target`; nothing where no unit does."""
    if not users_of([path], work):
        return {}
    from hakit.agent.leaving import target_hash

    return {path: (disk.hash_of(work.at(path)), target_hash(path, target, work))}


def _point(path: str, target: str, work: Work) -> None:
    """Make or replace a link atomically. Raises OSError, Failure."""
    name = work.state.temporary(path)
    work.state.save_manifest()
    parent = os.path.dirname(work.at(path))
    os.symlink(target, f"{parent}/{name}")
    os.rename(f"{parent}/{name}", work.at(path))
    disk.sync_folder(parent)
