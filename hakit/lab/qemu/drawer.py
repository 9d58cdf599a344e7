"""The data disks of one virtual machine: what each holds, and plugging them in and out. Needs root.

A disk is a sparse file of the bytes that the machine sees, `NAME.raw`; the file `list` says which there are, and where
each is plugged in. One that is unplugged keeps its content, as in a drawer.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from hakit.errors import LabError
from hakit.lab.plan import DataDisk
from hakit.lab.qemu import disks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from hakit.lab.plan import Disk, NewDisk
    from hakit.lab.qemu.qmp import Monitor

BLOCK: Final = 1 << 16
"""Bytes that are read at once; holes are not read."""
PREFIX: Final = "disk-"
"""Begins the names of QEMU's devices and nodes that are data disks."""


@dataclass(frozen=True, slots=True)
class Drawer:
    """The data disks of a machine: their folder, the machine's name, whether it runs, its control socket."""

    folder: Path
    who: str
    running: Callable[[], bool]
    monitor: Callable[[], Monitor]

    @property
    def disks(self) -> tuple[DataDisk, ...]:
        """All disks, plugged in or not. Raises OSError."""
        return tuple(DataDisk(**one) for one in json.loads((self.folder / "list").read_text(encoding="ascii")))

    def fill(self, declared: Iterable[Disk]) -> None:
        """Make the disks that a new machine has, all blank and plugged in. Raises OSError."""
        made = disks.declared(declared)
        for disk in made:
            self._make(disk)
        self._write(made)

    def add(self, name: str, new: NewDisk, image: Path | None) -> None:
        """Put a new disk in: blank, or with the bytes of a file. Raises LabError, OSError."""
        size = image.stat().st_size if image else new.size
        wanted = disks.added(self.disks, name, size, new.serial, new.wwn)
        self._make(disks.named(wanted, name), image)
        self._write(wanted)

    def plug(self, name: str, place: int | None) -> None:
        """Plug a disk in, at once where the machine runs; without a place where it was, or where one is free.

        Raises LabError.
        """
        self._have(disks.plugged(self.disks, name, place))

    def unplug(self, name: str) -> None:
        """Take a disk out as a hand does it: at once, whatever the machine is doing with it. Raises LabError."""
        self._have(disks.unplugged(self.disks, name))

    def arrange(self, names: Sequence[str]) -> None:
        """Have exactly these disks plugged in, in this order, while the machine is off. Raises LabError."""
        if self.running():
            raise LabError(
                f"{self.who} runs: disks get another order while it is off",
                hint=f"hakit lab power off {self.who}",
            )
        self._have(disks.arranged(self.disks, names))

    def checksum(self, name: str) -> str:
        """Tells whether a disk is what it was. Raises LabError while it is in a machine that runs, OSError."""
        if disks.named(self.disks, name).plugged and self.running():
            raise LabError(
                f"{self.who}: {name} is in use while the machine runs",
                hint=f"hakit lab unplug {self.who} {name}, or  hakit lab power off {self.who}",
            )
        return checksum(self._file(name))

    def settle(self, monitor: Monitor) -> None:
        """Make the machine have exactly the disks that are plugged in, whatever is in it now. Raises LabError."""
        wanted = {node(disk): disk for disk in self.disks if disk.plugged}
        inside = {one["qdev"] for one in monitor.execute("query-block") if one.get("qdev", "").startswith(PREFIX)}
        for name in sorted(inside - set(wanted)):
            monitor.execute("device_del", {"id": name})
            monitor.await_event("DEVICE_DELETED", name)
        nodes = {one["node-name"] for one in monitor.execute("query-named-block-nodes", {"flat": True})}
        for name in sorted(one for one in nodes if one.startswith(PREFIX) and one not in wanted):
            monitor.execute("blockdev-del", {"node-name": name})
        for name, disk in sorted(wanted.items(), key=lambda item: item[1].place):
            if name not in nodes:
                file = {"driver": "file", "filename": str(self._file(disk.name))}
                monitor.execute("blockdev-add", {"driver": "raw", "node-name": name, "file": file})
            if name not in inside:
                monitor.execute("device_add", device(disk))

    def _have(self, wanted: tuple[DataDisk, ...]) -> None:
        # Written first: what a killed command leaves undone, the next one or the next boot does.
        self._write(wanted)
        if self.running():
            with self.monitor() as monitor:
                self.settle(monitor)

    def _write(self, wanted: Iterable[DataDisk]) -> None:
        new = self.folder / "list.new"
        new.write_text(json.dumps([asdict(disk) for disk in wanted], indent=1), encoding="ascii")
        new.replace(self.folder / "list")

    def _make(self, disk: DataDisk, image: Path | None = None) -> None:
        """Make a disk's bytes, whole or not at all: zeros, which take no room, or those of a file."""
        target = self._file(disk.name)
        new = target.with_suffix(".new")
        with new.open("wb") as made:
            os.fchmod(made.fileno(), 0o600)
            if image:
                with image.open("rb") as given:
                    for offset, data in blocks(given.fileno()):
                        made.seek(offset)
                        made.write(data)
            made.truncate(disk.size)
        new.replace(target)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.raw"


def node(disk: DataDisk) -> str:
    """What QEMU calls a disk: its bytes and its device alike."""
    return f"{PREFIX}{disk.name}"


def device(disk: DataDisk) -> dict[str, Any]:
    """QMP's arguments that plug a disk in."""
    options: dict[str, Any] = {"driver": "scsi-hd", "id": node(disk), "drive": node(disk), "serial": disk.serial}
    if disk.wwn:
        options["wwn"] = int(disk.wwn, 16)
    return {**options, "bus": "scsi.0", "scsi-id": disk.place, "lun": 0}


def checksum(path: Path) -> str:
    """A hash of a file's size and of its blocks that hold anything, with their places. Raises OSError.

    A hole and a block of zeros are the same.
    """
    found = hashlib.sha256()
    with path.open("rb") as opened:
        found.update(b"%d\n" % os.fstat(opened.fileno()).st_size)
        for offset, data in blocks(opened.fileno()):
            found.update(b"%d\n" % offset)
            found.update(data)
    return found.hexdigest()


def blocks(handle: int) -> Iterator[tuple[int, bytes]]:
    """The blocks of an open file that hold anything but zeros, with their offsets; holes are not read."""
    end, offset = os.fstat(handle).st_size, 0
    while offset < end:
        try:
            start = os.lseek(handle, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            return
        offset = start - start % BLOCK
        stop = os.lseek(handle, start, os.SEEK_HOLE)
        while offset < stop:
            data = os.pread(handle, BLOCK, offset)
            if data.count(0) != len(data):
                yield offset, data
            offset += BLOCK
