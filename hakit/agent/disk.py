"""Files on disk: read without following links, written whole or not at all."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Digest(Protocol):
        """What a hash constructor returns."""

        def hexdigest(self) -> str:
            """The hash in hexadecimal."""

    sha256: Callable[[bytes], Digest]
else:
    try:
        from _sha256 import sha256  # Python 3.9 to 3.11; `hashlib` loads OpenSSL for 3 ms
    except ImportError:
        try:
            from _sha2 import sha256  # Python 3.12 and newer
        except ImportError:
            from hashlib import sha256

TEMPORARY = ".hakit-"
ABSENT = "absent"
OPEN = 0o755  # of directories that hakit makes on the way to a file
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def digest(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return sha256(data).hexdigest()


def read(path: str, folder: int | None = None) -> bytes:
    """All of a regular file; a link at its name is not followed. Raises OSError."""
    fd = os.open(path, _OLD, dir_fd=folder)
    with open(fd, "rb") as file:
        return file.read()


def read_own(path: str) -> bytes:
    """All of a regular file that nobody else could have written. Raises OSError, PermissionError for one of others."""
    fd = os.open(path, _OLD)
    with open(fd, "rb") as file:
        info = os.fstat(fd)
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise PermissionError(0, "others could write it", path)
        return file.read()


def hash_of(path: str) -> str:
    """The hash of a file's content, `absent` when nothing is there."""
    try:
        with open(path, "rb") as file:
            return digest(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT


def look(path: str, folder: int | None = None) -> os.stat_result | None:
    """What is at a path, links not followed; None when nothing is."""
    try:
        return os.stat(path, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def kind(info: os.stat_result) -> str:
    """What a thing on disk is, in words."""
    for test, word in (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISFIFO, "a FIFO"),
    ):
        if test(info.st_mode):
            return word
    return "a socket"


def open_folder(path: str) -> int:
    """A descriptor of a directory, links in its path followed. Raises OSError."""
    return os.open(path or "/", _DIR)


def sync_folder(path: str) -> None:
    """Make the names in a directory durable."""
    fd = open_folder(path)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def own(fd: int, uid: int, gid: int, mode: int) -> None:
    """Set owner and mode so that at no moment anyone may more than before or after."""
    info = os.fstat(fd)
    if (info.st_uid, info.st_gid) != (uid, gid):
        os.fchmod(fd, stat.S_IMODE(info.st_mode) & mode & 0o777)
        os.fchown(fd, uid, gid)
    os.fchmod(fd, mode)


def stage(folder: int, name: str, data: bytes, owner: tuple[int, int], mode: int) -> None:
    """Make a new file with its final owner and mode before its content lands, durable. Raises OSError."""
    fd = os.open(name, _NEW, 0o600, dir_fd=folder)
    try:
        with open(fd, "wb", closefd=False) as file:
            own(fd, *owner, mode)
            file.write(data)
            file.flush()
            os.fsync(fd)
    except OSError as error:
        error.filename = name  # a write knows only its descriptor
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(fd)


def final(path: str) -> str:
    """The path that a new version on its way is meant for; any other path as it is."""
    parent, name = os.path.split(path)
    if not name.startswith(TEMPORARY):
        return path
    return os.path.join(parent, name[len(TEMPORARY) :].rpartition(".")[0])


def temporary(name: str) -> str:
    """A name beside `name` that nobody can guess."""
    return f"{TEMPORARY}{name[:200]}.{os.urandom(8).hex()}"


def write(path: str, data: bytes, mode: int, owner: tuple[int, int] | None = None, staged: str = "") -> None:
    """Replace a file atomically and durably. Raises OSError.

    Without owner (uid, gid) it is ours; `staged` names the new version on its way.
    """
    parent, name = os.path.split(path)
    folder = open_folder(parent)
    staged = staged or temporary(name)
    try:
        put(folder, name, staged, data, owner=owner or (os.geteuid(), os.getegid()), mode=mode)
    finally:
        os.close(folder)


def put(folder: int, name: str, staged: str, data: bytes, *, owner: tuple[int, int], mode: int) -> None:
    """Replace a file of an open folder atomically and durably, by way of `staged`. Raises OSError."""
    stage(folder, staged, data, owner, mode)
    try:
        os.rename(staged, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(staged, dir_fd=folder)
        raise
    os.fsync(folder)


def make_folder(path: str, mode: int = 0o700) -> None:
    """Make a directory and its parents with this mode where they are missing. Raises OSError."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path), mode)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)
    sync_folder(os.path.dirname(path))


def delete(path: str) -> bool:
    """Delete a name durably; False when it was gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_folder(os.path.dirname(path))
    return True


def reason(number: int, path: str) -> str:
    """What the kernel's refusal of a change at `path` means there, and what to look at; empty where nothing is known.

    `number` is an errno: ENOSPC, EROFS, EPERM.
    """
    from errno import ENOSPC, EPERM, EROFS

    there = path
    while there != "/" and not os.path.lexists(there):
        there = os.path.dirname(there)
    if number == ENOSPC:
        room = os.statvfs(there)
        if room.f_files and not room.f_favail:
            return f"its file system has no inodes left; see  df -i {there}"
        return f"{_size(room.f_bavail * room.f_frsize)} of {_size(room.f_blocks * room.f_frsize)} are free there"
    if number == EROFS:
        return f"see  findmnt -T {there}  and the kernel's log"
    if number == EPERM:
        for one in (there, os.path.dirname(there)):
            if _immutable(one):
                return f"{one} is immutable; take that away with  chattr -i -a {one}"
    return ""


def _size(count: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004 - where one unit ends
            return f"{count} {unit}"
        count //= 1024
    return f"{count} GiB"


def _immutable(path: str) -> bool:
    """Whether attributes keep a file or directory as it is: FS_IMMUTABLE_FL or FS_APPEND_FL (ioctl_iflags(2))."""
    import fcntl

    try:
        fd = os.open(path, _OLD)
    except OSError:
        return False
    try:
        flags = bytearray(8)
        fcntl.ioctl(fd, 0x80086601, flags)  # FS_IOC_GETFLAGS of 64-bit Linux
    except OSError:
        return False
    else:
        return bool(flags[0] & 0x30)
    finally:
        os.close(fd)


def delete_tree(path: str) -> None:
    """Delete a directory of our own and what is in it."""
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            delete_tree(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(path)
