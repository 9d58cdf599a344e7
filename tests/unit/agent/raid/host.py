"""A host of files with disks, and md as far as an array that is made, assembled and stopped: this machine has no md.

The superblocks that it writes are those that mdadm judges in `test_superblock`. `Host.kill` ends the agent right before
its n-th change of anything on disk, `boot` is what a power cut leaves.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hakit.agent import disk as files
from hakit.agent import process
from hakit.agent.process import Result
from hakit.agent.raid import making, proof, table
from hakit.agent.raid.superblock import Member, members
from hakit.agent.resources.raid import Array
from hakit.agent.work import Work
from tests.unit.agent.raid import images
from tests.unit.agent.raid.images import MIB, UUID_TEXT, disk, put, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pytest

SIZE = 48 * MIB


class Killed(BaseException):
    """The agent is no more."""


class Host:
    """Disks by their names now, the arrays that run, all commands that were run, and what was said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.ran: list[list[str]] = []
        self.left = -1
        self.refuses = ""
        self.asks = ""  # what mdadm says before it creates, and wants an answer to
        self.programs: dict[str, Callable[[list[str]], Result]] = {}
        self.before = 0  # sectors of each member that are free before its data
        self.torn = -1  # the member before which a creation by mdadm ends
        for name in ("dev/md", "sys/class/block", "run/udev/data", "proc/self", "proc/1/fd", "var/lib/hakit", "boot"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "proc/self/ns").mkdir()
        (root / "proc/self/ns/mnt").symlink_to("mnt:[1]")
        (root / "proc/self/mountinfo").write_text("")
        self._numbers = iter(range(16, 16000, 16))
        self.work = self.session()

    def session(self) -> Work:
        """A new agent."""
        self.work = Work(str(self.root), self.said.append)
        self.work.run = self.run  # type: ignore[method-assign]  # the commands of a host of files
        return self.work

    def path(self, name: str) -> Path:
        return self.root / "dev" / name

    def add(self, name: str, serial: str, size: int = SIZE, wwn: str = "", image: Path | None = None) -> Path:
        """Plug a disk in; blank, or with an image's content."""
        path = self.path(name)
        if image is None:
            disk(path, size)
        else:
            shutil.copyfile(image, path)
        folder = self._device(name, path.stat().st_size, {"ID_SERIAL_SHORT": serial, "ID_WWN": wwn})
        (folder / "device").mkdir()
        (folder / "device/model").write_text("TOSHIBA MG08\n")
        return path

    def _device(self, name: str, size: int, known: dict[str, str], parent: str = "") -> Path:
        number = f"8:{next(self._numbers)}"
        folder = self.root / "sys/devices" / parent / name
        folder.mkdir(parents=True)
        (folder / "holders").mkdir()
        (folder / "size").write_text(f"{size // 512}\n")
        (folder / "dev").write_text(f"{number}\n")
        (self.root / "sys/class/block" / name).symlink_to(folder)
        lines = "".join(f"E:{key}={value}\n" for key, value in known.items() if value)
        (self.root / f"run/udev/data/b{number}").write_text(lines)
        return folder

    def pull(self, name: str) -> Path:
        """Take a disk out; its content stays in the answer."""
        kept = self.root / f"pulled-{name}"
        self.path(name).rename(kept)
        shutil.rmtree(self.root / "sys/devices" / name)
        for entry in (self.root / "sys/class/block").iterdir():
            if not entry.exists():
                entry.unlink()
        return kept

    def rename(self, pairs: dict[str, str]) -> None:
        """Have the kernel call disks otherwise, as after a boot."""
        serials = {new: self.serial(old) for old, new in pairs.items()}
        pulled = {new: self.pull(old) for old, new in pairs.items()}
        for name, content in pulled.items():
            self.add(name, serials[name], image=content)

    def serial(self, name: str) -> str:
        number = (self.root / "sys/class/block" / name / "dev").read_text().strip()
        for line in (self.root / f"run/udev/data/b{number}").read_text().splitlines():
            if line.startswith("E:ID_SERIAL_SHORT="):
                return line.partition("=")[2]
        return ""

    def boot(self) -> None:
        """Everything that ran is gone; records and disks stay."""
        for name in [one.name for one in (self.root / "sys/class/block").iterdir() if (one / "md").exists()]:
            self._stop(name)
        self.left = -1
        self.session()

    def digests(self) -> dict[str, str]:
        """A hash of each disk by its serial."""
        names = [one.name for one in self.path("").iterdir() if one.is_file()]
        return {self.serial(name): digest(self.path(name)) for name in names if name.startswith("sd")}

    def kill(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        """End the agent before its change number `after`, counted from 0."""
        self.left = after

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                self.step()
                return real(*arguments, **options)

            return call

        for name in ("pwrite", "fsync", "rename", "unlink"):
            monkeypatch.setattr(os, name, counted(getattr(os, name)))

    def step(self) -> None:
        """One change of anything."""
        if self.left == 0:
            raise Killed
        self.left -= 1

    def scan(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the kernel see the partitions that are made."""

        def reread(_fd: int, one: Any) -> None:
            (part,) = [1 for offset, data in table.table(one.size, 512, 0, "data", UUID_TEXT, one.serial) if not offset]
            name = f"{one.name}{part}"
            begin, length = table.extent(one.size, 0)
            whole = self.path(one.name)
            if reader(whole)(512, 8) == b"EFI PART" and not self.path(name).exists():
                disk(self.path(name), length)
                put(self.path(name), 0, reader(whole)(begin, MIB))
                folder = self._device(name, length, {}, parent=one.name)
                (folder / "partition").write_text("1\n")

        monkeypatch.setattr(making, "reread", reread)

    # What the host's programs do.

    def run(self, argv: Iterable[str], timeout: float = 60.0, stdin: bytes = b"", **_: Any) -> Result:
        del timeout
        words = list(argv)
        self.ran.append(words)
        if words[0] == "mdadm":
            return (
                Result(1, "", self.asks)
                if "--create" in words and self.asks and stdin != b"y\n"
                else self._mdadm(words)
            )
        if words[0] in {"wipefs", "udevadm", "journalctl"}:
            return Result(0, "", "")
        if words[0].startswith("mkfs.") or words[0] in {"e2fsck", "xfs_repair"}:
            self.step()
            return process.run(words, 60.0)
        if words[0] in self.programs:
            return self.programs[words[0]](words)
        return Result(127, "", f"{words[0]}: not installed")

    def _mdadm(self, words: list[str]) -> Result:
        if self.refuses:
            return Result(1, "", self.refuses)
        devices = [one.removeprefix(f"{self.root}/dev/") for one in words if one.startswith(f"{self.root}/dev/")]
        options = {word.partition("=")[0]: word.partition("=")[2] for word in words if word.startswith("--")}
        if "--create" in words:
            return self._create(options, words[2].rpartition("/")[2], devices)
        if "--assemble" in words:
            return self._assemble(options, words[2].rpartition("/")[2], devices)
        if "--stop" in words:
            self._stop(devices[0])
        if "--examine" in words:
            return Result(0, f"   Unused Space : before={self.before} sectors, after=0 sectors\n", "")
        return Result(0, "", "")

    def _create(self, options: dict[str, str], name: str, devices: list[str]) -> Result:
        count, level = int(options["--raid-devices"]), int(options["--level"])
        for final in (False, True):
            for slot, device in enumerate(devices):
                self.step()
                if slot == self.torn:
                    raise Killed
                more = {"slot": slot, "slots": count, "level": level, "events": int(final)}
                self._member(device, f"{options['--homehost']}:{options['--name']}", options["--uuid"], more)
        self.start(name, devices)
        return Result(0, "", "")

    def _member(self, device: str, title: str, uuid: str, more: dict[str, Any]) -> None:
        path = self.path(device)
        size = path.stat().st_size
        place, data = images.new(size, name=title, uuid=UUID(uuid.replace(":", "")), **more)
        put(path, place, data)
        put(path, place + 4096, b"bitm\4\0\0\0" + bytes(504))
        whole = device.rstrip("0123456789")
        if whole != device:
            put(self.path(whole), MIB + place, data)
            put(self.path(whole), MIB + place + 4096, b"bitm\4\0\0\0" + bytes(504))

    def members(self, device: str) -> list[Member]:
        path = self.path(device)
        return members(reader(path), path.stat().st_size)

    def _assemble(self, options: dict[str, str], name: str, devices: list[str]) -> Result:
        found = {one: self.members(one) for one in devices}
        if any(not one or one[0].uuid != options["--uuid"] for one in found.values()):
            return Result(1, "", "mdadm: no RAID superblock")
        newest = max(one[0].events for one in found.values())
        fresh = [device for device, one in found.items() if one[0].events >= newest - 1]
        expected = len(next(iter(found.values()))[0].active)
        if len(fresh) < expected:
            return Result(1, "", f"mdadm: assembled from {len(fresh)} drives - need all {expected} to start it")
        self.start(name, fresh)
        return Result(0, "", "")

    def start(self, called: str, devices: list[str], node: str = "md127") -> None:
        """An array runs."""
        first = self.members(devices[0])[0]
        known = {"MD_UUID": first.uuid, "MD_NAME": first.name, "MD_DEVNAME": called}
        disk(self.path(node), SIZE // 2)
        folder = self._device(node, SIZE // 2, known) / "md"
        folder.mkdir()
        missing = first.devices - sum(1 for one in devices if self.members(one)[0].role.isdigit())
        pairs = {
            "array_state": "clean",
            "level": f"raid{first.level}",
            "raid_disks": first.devices,
            "degraded": missing,
        }
        pairs.update(sync_action="idle", sync_completed="none", metadata_version="1.2", consistency_policy="bitmap")
        pairs.update(chunk_size=0, layout=0, component_size=SIZE // 1024, mismatch_cnt=0)
        for name, value in pairs.items():
            (folder / name).write_text(f"{value}\n")
        for slot, device in enumerate(devices):
            self._place(folder, node, device, slot)
        (self.path("md") / called).symlink_to(f"../{node}")

    def _place(self, folder: Path, node: str, device: str, slot: int) -> None:
        place = folder / f"dev-{device}"
        place.mkdir()
        for name, value in (("state", "in_sync"), ("slot", slot), ("errors", 0)):
            (place / name).write_text(f"{value}\n")
        target = (self.root / "sys/class/block" / device).resolve()
        (place / "block").symlink_to(target)
        (target / "holders" / node).mkdir()

    def says(self, **files: object) -> None:
        """Have the array's folder in sysfs say something else; `dev_sda__state` is a file of a member."""
        folder = self.root / "sys/devices/md127/md"
        for name, value in files.items():
            (folder / name.replace("__", "/").replace("dev_", "dev-")).write_text(f"{value}\n")

    def _stop(self, node: str) -> None:
        folder = self.root / "sys/devices" / node
        for place in (folder / "md").glob("dev-*"):
            shutil.rmtree((place / "block").resolve() / "holders" / node, ignore_errors=True)
        shutil.rmtree(folder)
        (self.root / "sys/class/block" / node).unlink()
        self.path(node).unlink()
        for link in self.path("md").iterdir():
            link.unlink()


def digest(path: Path) -> str:
    """A hash of what is on a disk, and where; zeros are skipped, for most is that."""
    parts = []
    with path.open("rb") as file:
        for number in range(path.stat().st_size // MIB + 1):
            data = file.read(MIB)
            if data != proof.ZEROS[: len(data)]:
                parts += [b"%d:" % number, data]
    return files.digest(b"".join(parts))


def array(**more: Any) -> Array:
    """A declaration of a mirror of the disks with the serials A and B."""
    fields: dict[str, Any] = {"array": "data", "host": "alpha", "uuid": UUID_TEXT, "level": 1}
    return Array(**{**fields, "devices": ("serial:A", "serial:B"), **more})
