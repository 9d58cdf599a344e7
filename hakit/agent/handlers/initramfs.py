"""Whether the early boot knows the arrays by their names, and how it learns them."""

from __future__ import annotations

import os

from hakit.agent import disk, jsonlite
from hakit.agent.errors import Failure
from hakit.agent.process import find
from hakit.agent.raid import intent as intents
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.raid import Initramfs
    from hakit.agent.work import Work

BOOT = "/boot"
PREFIX = "initrd.img-"
ASIDE = (".bak", ".dpkg-bak", ".old", ".new", "-old")
PROGRAM = "update-initramfs"
UNPACKED = "initramfs-"
UNPACK, BUILD = 600.0, 3600.0  # seconds on a slow or an emulated machine, with all its kernels


class Initramfses:
    """The handler of `Initramfs`."""

    def read(self, resources: list[Initramfs], work: Work) -> dict[str, tuple[str, ...]]:
        """The images that hold another copy than is on the disk."""
        return {one.key: tuple(_outdated(one.path, work)) for one in resources}

    def diff(self, resource: Initramfs, state: tuple[str, ...], work: Work) -> Change:
        """Whether the images have to be made anew. Raises Failure."""
        images = _images(work)
        if not images:
            return Change()
        if work.pending(resource) is not None:
            return Change(summary=("have the early boot know the arrays",), steps=(PROGRAM,))
        if not state:
            return Change()
        if find(PROGRAM) is None:
            raise Failure(f"{', '.join(state)} can't be made anew: {PROGRAM} is not installed (initramfs-tools)")
        return Change(summary=(f"have the early boot know the arrays: {', '.join(state)}",), steps=(PROGRAM,))

    def apply(self, resource: Initramfs, change: Change, work: Work) -> tuple[str, ...]:
        """Make them anew. Raises Failure."""
        work.state.own(resource.key, resource.component, {})
        if work.pending(resource) is not None:
            raise Failure(f"it can't be done yet: {work.pending(resource)} is not in place")
        work.must([PROGRAM, "-u", "-k", "all"], "tell the early boot of the arrays", BUILD)
        left = _outdated(resource.path, work)
        if left:
            raise Failure(f"{', '.join(left)} still holds another {resource.path}")
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing."""
        del key, record, work
        return Change(summary=("forget",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave it; that was said."""
        del key, record, work
        return ()


def _images(work: Work) -> list[str]:
    folder = work.at(BOOT)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(f"{BOOT}/{name}" for name in names if name.startswith(PREFIX) and not name.endswith(ASIDE))


def _stamp(image: str, work: Work) -> list[int]:
    """What nobody can set back."""
    info = os.stat(work.at(image))
    return [info.st_ino, info.st_size, info.st_ctime_ns]


def _outdated(path: str, work: Work) -> list[str]:
    """The images whose copy of a file is another than is on the disk. Raises OSError."""
    wanted = disk.digest(relevant(_data(work.at(path))))
    known = _known(work)
    found = {}
    for image in _images(work):
        stamp = _stamp(image, work)
        before = known.get(image, {})
        found[image] = before if before.get("stamp") == stamp else {"stamp": stamp, "holds": _holds(image, path, work)}
    if found != known and os.geteuid() == 0:
        _remember(found, work)
    return [image for image, one in found.items() if one["holds"] != wanted]


def relevant(data: bytes) -> bytes:
    """What of a mdadm.conf the early boot gets: Debian's hook leaves CREATE lines out, and space may differ."""
    lines = (b" ".join(line.split()) for line in data.splitlines())
    return b"\n".join(line for line in lines if line and not line.startswith((b"CREATE", b"#")))


def _data(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _holds(image: str, path: str, work: Work) -> str:
    """The hash of what an image holds of a file; empty where that can't be seen."""
    if find("unmkinitramfs") is None:
        return ""
    _tidy(work)
    folder = f"{intents.folder(work)}/{UNPACKED}{os.getpid()}"
    disk.make_folder(os.path.dirname(folder))
    try:
        result = work.run(["unmkinitramfs", work.at(image), folder], UNPACK)
        if result.code:
            return ""
        for inner in ("", "/main"):
            if os.path.lexists(f"{folder}{inner}{path}"):
                return disk.digest(relevant(_data(f"{folder}{inner}{path}")))
        return disk.digest(b"")
    finally:
        disk.delete_tree(folder)


def _tidy(work: Work) -> None:
    """Delete what killed runs have unpacked."""
    parent = intents.folder(work)
    for name in os.listdir(parent) if os.path.isdir(parent) else ():
        if name.startswith(UNPACKED) and not os.path.exists(f"/proc/{name[len(UNPACKED) :]}"):
            disk.delete_tree(f"{parent}/{name}")


def _known(work: Work) -> dict[str, Any]:
    try:
        found = jsonlite.loads(disk.read_own(f"{intents.folder(work)}/early-boot").decode("utf-8").strip())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(found: dict[str, Any], work: Work) -> None:
    disk.make_folder(intents.folder(work))
    disk.write(f"{intents.folder(work)}/early-boot", (jsonlite.dumps(found) + "\n").encode(), 0o600)
