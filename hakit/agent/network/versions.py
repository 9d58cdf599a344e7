"""Versions of the network's files: kept beside a change, and put in their places, whole, by whoever comes to it."""

from __future__ import annotations

import os
import stat

from hakit.agent import disk, jsonlite
from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure, from_os
from hakit.agent.network.place import FOLDERS, INTERFACES, STALE
from hakit.agent.resources.network import IFUPDOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work

FILE, LINK, NONE = "file", "link", "none"


class Version(Declaration):
    """What is, or shall be, at a path: a file (its content in `copy`), a symbolic link to `target`, or nothing."""

    path: str
    kind: str = NONE
    uid: int = 0
    gid: int = 0
    mode: int = 0o644
    target: str = ""
    copy: str = ""


def aside(network: Network, work: Work) -> tuple[str, ...]:
    """Files that configure links too, of the manager that is to be and of the one before: they go."""
    declared = {file.path for file in network.files}
    found: list[str] = []
    for manager in dict.fromkeys((network.manager, network.before)):
        if manager == IFUPDOWN:
            found += [INTERFACES] if os.path.lexists(work.at(INTERFACES)) else []
        elif manager in FOLDERS:
            folder, ends = FOLDERS[manager]
            names = sorted(os.listdir(work.at(folder))) if os.path.isdir(work.at(folder)) else []
            found += [
                f"{folder}/{name}"
                for name in names
                if name.endswith(ends) or (name.startswith(STALE) and name.endswith(".link"))
            ]
    return tuple(path for path in found if path not in declared)


def save(paths: Iterable[str], folder: str, work: Work) -> None:
    """Keep what is at these paths of the host in a folder of ours. Raises Failure, OSError."""
    found = []
    for number, path in enumerate(paths):
        info = disk.look(work.at(path))
        if info is None:
            found.append(Version(path=path))
        elif stat.S_ISLNK(info.st_mode):
            found.append(Version(path=path, kind=LINK, target=os.readlink(work.at(path))))
        elif stat.S_ISREG(info.st_mode):
            mode = stat.S_IMODE(info.st_mode)
            disk.write(f"{folder}/{number}", disk.read(work.at(path)), mode, (info.st_uid, info.st_gid))
            found.append(Version(path=path, kind=FILE, uid=info.st_uid, gid=info.st_gid, mode=mode, copy=str(number)))
        else:
            raise Failure(f"{path} is {disk.kind(info)}: hakit does not replace it with a file", path=path)
    _list(found, folder)


def lay(network: Network, gone: Iterable[str], folder: str, work: Work) -> None:
    """Lay out the files that are to come, and note those that are to go. Raises Failure, OSError."""
    found = []
    for number, file in enumerate(network.files):
        disk.write(f"{folder}/{number}", file.content.reveal().encode("utf-8"), 0o600)
        uid, gid = work.uid(file.owner), work.gid(file.group)
        found.append(Version(path=file.path, kind=FILE, uid=uid, gid=gid, mode=file.mode, copy=str(number)))
    _list([*found, *(Version(path=path) for path in gone)], folder)


def _list(versions: list[Version], folder: str) -> None:
    rows = [{name: getattr(one, name) for name in one._fields} for one in versions]
    disk.write(f"{folder}/files.json", jsonlite.dumps(rows).encode(), 0o600)


def listed(folder: str) -> tuple[Version, ...]:
    """The versions in a folder of ours. Raises Failure."""
    path = f"{folder}/files.json"
    try:
        rows = jsonlite.loads(disk.read_own(path).decode("utf-8"))
        return tuple(Version(**row) for row in rows)
    except OSError as error:
        raise from_os(error, "reading what the network's files were", (path,)) from None
    except (ValueError, TypeError) as error:
        raise Failure(f"{path} is damaged: {error}", path=path) from None


def content(version: Version, folder: str) -> bytes:
    """What a file is to hold. Raises OSError."""
    return disk.read(f"{folder}/{version.copy}")


def stands(version: Version, folder: str, work: Work) -> bool:
    """Whether a version is in its place already."""
    path = work.at(version.path)
    info = disk.look(path)
    if info is None or version.kind == NONE:
        return info is None and version.kind == NONE
    if version.kind == LINK:
        return stat.S_ISLNK(info.st_mode) and os.readlink(path) == version.target
    same = (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (version.uid, version.gid, version.mode)
    return stat.S_ISREG(info.st_mode) and same and disk.read(path) == content(version, folder)


def put(folder: str, work: Work) -> tuple[str, ...]:
    """Put the versions of a folder in their places; the paths that were not so before. Raises Failure, OSError."""
    changed = []
    for version in listed(folder):
        path = work.at(version.path)
        parent, name = os.path.split(path)
        # The name is always the same: what a killed one left is known, and goes.
        staged = f"{disk.TEMPORARY}{name}.network"
        disk.delete(f"{parent}/{staged}")
        if stands(version, folder, work):
            continue
        changed.append(version.path)
        if version.kind == NONE:
            disk.delete(path)
            continue
        disk.make_folder(parent, disk.OPEN)
        if version.kind == LINK:
            os.symlink(version.target, f"{parent}/{staged}")
            os.rename(f"{parent}/{staged}", path)
            disk.sync_folder(parent)
        else:
            disk.write(path, content(version, folder), version.mode, (version.uid, version.gid), staged)
    return tuple(changed)
