"""The early boot of a host, its initramfs images, and what they hold of the host's files."""

from __future__ import annotations

import os

from hakit.agent import disk, jsonlite
from hakit.agent.process import find
from hakit.agent.raid import intent as intents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

BOOT = "/boot"
PREFIX = "initrd.img-"
ASIDE = (".bak", ".dpkg-bak", ".old", ".new", "-old")
UNPACKED = "initramfs-"
UNPACK = 600.0  # seconds on a slow or an emulated machine


def images(work: Work) -> list[str]:
    """The images of all kernels, by path."""
    folder = work.at(BOOT)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(f"{BOOT}/{name}" for name in names if name.startswith(PREFIX) and not name.endswith(ASIDE))


def _stamp(image: str, work: Work) -> list[int]:
    """What nobody can set back."""
    info = os.stat(work.at(image))
    return [info.st_ino, info.st_size, info.st_ctime_ns]


def outdated(paths: tuple[str, ...], work: Work) -> list[str]:
    """The images whose copy of one of some files is another than is on the disk. Raises OSError."""
    wanted = {path: disk.digest(relevant(_data(work.at(path)))) for path in paths}
    known = _known(work)
    found = {image: _seen(image, paths, known.get(image, {}), work) for image in images(work)}
    if found != known and os.geteuid() == 0:
        _remember(found, work)
    return [image for image, one in found.items() if any(one["holds"].get(path) != wanted[path] for path in paths)]


def _seen(image: str, paths: tuple[str, ...], before: dict[str, Any], work: Work) -> dict[str, Any]:
    """An image's stamp, and the hashes of what it holds of files by their paths: from memory, or looked up."""
    stamp, holds = _stamp(image, work), before.get("holds")
    if before.get("stamp") != stamp or not isinstance(holds, dict):
        holds = {}
    if not all(path in holds for path in paths):
        holds = {**holds, **_holds(image, paths, work)}
    return {"stamp": stamp, "holds": holds}


def relevant(data: bytes) -> bytes:
    """What of a file the early boot gets: Debian's hook leaves CREATE lines of mdadm.conf out, and space may differ."""
    lines = (b" ".join(line.split()) for line in data.splitlines())
    return b"\n".join(line for line in lines if line and not line.startswith((b"CREATE", b"#")))


def _data(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _holds(image: str, paths: tuple[str, ...], work: Work) -> dict[str, str]:
    """The hashes of what an image holds of files; empty ones where that can't be seen."""
    blind = dict.fromkeys(paths, "")
    if find("unmkinitramfs") is None:
        return blind
    _tidy(work)
    folder = f"{intents.folder(work)}/{UNPACKED}{os.getpid()}"
    disk.make_folder(os.path.dirname(folder))
    try:
        result = work.run(["unmkinitramfs", work.at(image), folder], UNPACK)
        return blind if result.code else {path: disk.digest(relevant(_unpacked(folder, path))) for path in paths}
    finally:
        disk.delete_tree(folder)


def _unpacked(folder: str, path: str) -> bytes:
    """A file of an image that is one archive, or of one that begins with microcode."""
    inner = next((one for one in ("", "/main") if os.path.lexists(f"{folder}{one}{path}")), "")
    return _data(f"{folder}{inner}{path}")


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
