"""The disks of this host as they are called at this moment, and the one that a word of the inventory means.

Everything is read from files: sysfs, and udev's own records (`/run/udev/data/b<major>:<minor>`). A `Disk` is good for
the step that it was read for, no longer: after a boot, or a cable pulled and put back, its name may be another disk's.
"""

from __future__ import annotations

import os

from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.work import Work

CLASS = "/sys/class/block"
BY_ID = "/dev/disk/by-id/"
SERIAL, WWN = "serial:", "wwn:"
SECTOR = 512  # sysfs counts in these, whatever the disk's own sectors are


class Disk:
    """A disk, or a partition of one (`parent` is the disk's name then, else empty), as the kernel calls it now.

    `serials` are all that it is known by, the shortest first; `links` its names in /dev/disk/by-id. `size` is in bytes.
    `bus` is `ata`, `scsi`, `nvme`, `virtio`, `usb`, or empty; `whole` udev's name of model and serial.
    """

    __slots__ = ("bus", "links", "model", "name", "number", "parent", "removable", "serials", "size", "whole", "wwn")

    def __init__(self, name: str, number: str, size: int) -> None:
        self.name = name
        self.number = number
        self.size = size
        self.parent = ""
        self.serials: tuple[str, ...] = ()
        self.links: tuple[str, ...] = ()
        self.wwn = ""
        self.model = ""
        self.whole = ""
        self.bus = ""
        self.removable = False

    @property
    def serial(self) -> str:
        """What is printed on it, as far as it tells; empty where it tells none."""
        return self.serials[0] if self.serials else ""

    @property
    def identity(self) -> str:
        """What no other disk says of itself: serial, WWN, or udev's name for it; empty where it tells nothing."""
        return self.serial or self.wwn or self.whole

    @property
    def path(self) -> str:
        """Its device node."""
        return f"/dev/{self.name}"

    def text(self) -> str:
        """For a person who has to find it: the model, the serial, and what the kernel calls it just now."""
        told = " ".join(part for part in (self.model, f"serial {self.serial}" if self.serial else "") if part)
        return f"{told or 'a disk without a serial'}, now {self.name}"


def disks(work: Work) -> list[Disk]:
    """All disks with their partitions: what has hardware, or a hypervisor, behind it. Raises OSError."""
    folder = work.at(CLASS)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    links = _links(work)
    found: dict[str, Disk] = {}
    for name in names:
        if os.path.exists(f"{folder}/{name}/device") and not os.path.exists(f"{folder}/{name}/partition"):
            found[name] = _read(name, links, work)
    for name in names:
        parent = os.path.basename(os.path.dirname(os.path.realpath(f"{folder}/{name}")))
        if parent in found and os.path.exists(f"{folder}/{name}/partition"):
            one = found[name] = _read(name, links, work)
            whole = found[parent]
            one.parent, one.serials, one.wwn, one.whole = parent, whole.serials, whole.wwn, whole.whole
            one.model, one.bus, one.removable = whole.model, whole.bus, whole.removable
    return [one for one in found.values() if one.size]


def _read(name: str, links: dict[str, tuple[str, ...]], work: Work) -> Disk:
    folder = f"{CLASS}/{name}"
    size = text(f"{folder}/size", work)
    one = Disk(name, text(f"{folder}/dev", work), int(size) * SECTOR if size.isdigit() else 0)
    known = udev(one.number, work)
    told = (
        known.get("ID_SCSI_SERIAL", ""),
        known.get("ID_SERIAL_SHORT", ""),
        text(f"{folder}/serial", work),
        text(f"{folder}/device/serial", work),
        _unit_serial(f"{folder}/device/vpd_pg80", work),
        known.get("ID_SERIAL", ""),
    )
    one.serials = tuple(dict.fromkeys(word for word in told if word))
    one.links = links.get(name, ())
    one.wwn = known.get("ID_WWN_WITH_EXTENSION") or known.get("ID_WWN") or text(f"{folder}/wwid", work)
    one.model = text(f"{folder}/device/model", work) or known.get("ID_MODEL", "")
    one.whole = known.get("ID_SERIAL", "")
    one.bus = known.get("ID_BUS", "") or _bus(f"{folder}/device", work)
    one.removable = text(f"{folder}/removable", work) == "1"
    return one


def _links(work: Work) -> dict[str, tuple[str, ...]]:
    """The names in /dev/disk/by-id of each device."""
    folder = work.at(BY_ID)
    found: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            target = os.readlink(folder + name)
        except OSError:
            continue
        found.setdefault(os.path.basename(target), []).append(name)
    return {name: tuple(links) for name, links in found.items()}


def _unit_serial(path: str, work: Work) -> str:
    """The unit serial number of a SCSI disk: page 80h of its vital product data, four bytes and then the text."""
    try:
        with open(work.at(path), "rb") as file:
            return file.read(260)[4:].decode("ascii", "replace").strip("\0 ")
    except OSError:
        return ""


def _bus(path: str, work: Work) -> str:
    subsystem = os.path.basename(os.path.realpath(work.at(f"{path}/subsystem")))
    return subsystem if subsystem in {"scsi", "nvme", "virtio"} else ""


def udev(number: str, work: Work) -> dict[str, str]:
    """What udev knows of a block device, as `udevadm info` shows it; `number` is major:minor."""
    found = {}
    for line in text(f"/run/udev/data/b{number}", work).splitlines():
        kind, _, rest = line.partition(":")
        name, equals, value = rest.partition("=")
        if kind == "E" and equals:
            found[name] = value
    return found


def text(path: str, work: Work) -> str:
    """A small file of the kernel's without the spaces around it; empty where there is none."""
    try:
        with open(work.at(path), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def meant(word: str, there: list[Disk]) -> list[Disk]:
    """The disks (and partitions, by a link of their own) that a word of the inventory fits."""
    if word.startswith(SERIAL):
        return [one for one in there if not one.parent and word[len(SERIAL) :] in one.serials]
    if word.startswith(WWN):
        return [one for one in there if not one.parent and word[len(WWN) :].lower() == one.wwn.lower()]
    return [one for one in there if word[len(BY_ID) :] in one.links] if word.startswith(BY_ID) else []


def resolve(word: str, there: list[Disk]) -> Disk | None:
    """The disk that a word means; None where there is none just now. Raises Failure where it could be another one.

    Two disks that tell the same serial or WWN are two clones, or one disk on two paths: neither may be taken for the
    other, and udev's links point at whichever came last.
    """
    found = meant(word, there)
    if len(found) > 1:
        raise Failure(f"{word} is {len(found)} disks: {'; '.join(one.text() for one in found)}")
    if not found:
        return None
    one = found[0]
    for other in there:
        if not other.parent and other.name not in (one.name, one.parent) and (same := _alike(one, other)):
            raise Failure(
                f"{word}: {one.text()} and {other.text()} both say that they are {same}: clones of one disk, or one "
                "disk on two paths"
            )
    return one


def _alike(one: Disk, other: Disk) -> str:
    """What two disks both claim to be, that only one can be."""
    if one.wwn and one.wwn.lower() == other.wwn.lower():
        return f"WWN {one.wwn}"
    if one.serial and one.serial == other.serial:
        return f"serial {one.serial}"
    return ""
