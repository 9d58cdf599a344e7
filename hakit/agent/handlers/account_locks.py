"""Locks and unfinished files of account tools that died half-way: after a power cut, or killed."""

from __future__ import annotations

import os

from hakit.agent import disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.work import Work

FILES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
TOOLS = {
    *("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "groupmems", "gpasswd", "newusers"),
    *("passwd", "chpasswd", "chgpasswd", "chage", "chfn", "chsh", "vipw", "vigr", "pwck", "grpck"),
    *("pwconv", "pwunconv", "grpconv", "grpunconv"),
}
"""Debian's programs of shadow that take these locks."""


def clear(work: Work) -> None:
    """Remove `/etc/passwd.lock` and its like where no account tool holds it, and `/etc/passwd.PID` where none makes it.

    The tools write their number into `passwd.PID` and link that to `passwd.lock`. They take a lock for dead only when
    no process has that number (do_lock_file in shadow's lib/commonio.c): after a boot some daemon may have it, and
    then every change of an account fails for as long as that one lives.
    """
    for name in os.listdir(work.at("/etc")):
        base, _, end = name.partition(".")
        path = work.at(f"/etc/{name}")
        if base in FILES and (end == "lock" or _is_number(path, end)) and not _held(path, end):
            os.unlink(path)


def _is_number(path: str, end: str) -> bool:
    """Whether a file holds nothing but the number that ends its name, or not even that yet.

    Whatever else is in `/etc/shadow.20240131` or `/etc/group.1` is somebody's copy.
    """
    try:
        return end.isdigit() and disk.read(path).strip(b"\0\n ") in {b"", end.encode("ascii")}
    except OSError:
        return False


def _held(path: str, end: str) -> bool:
    """Whether the tool that made it lives."""
    try:
        if end == "lock":
            with open(path, "rb") as file:
                end = file.read(32).strip(b"\0\n ").decode("ascii")
        with open(f"/proc/{int(end)}/comm", encoding="utf-8") as file:
            return file.read().strip() in TOOLS
    except (OSError, ValueError):
        return False
