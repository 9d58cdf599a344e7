"""One host of a lab as a virtual machine. Needs root."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import namespace
from hakit.lab.cgroup import kill, launch, remove_cgroup
from hakit.lab.disk import DiskFile
from hakit.lab.machine import Machine
from hakit.lab.plan import SWITCH
from hakit.lab.privilege import PACKAGE, PROGRAM
from hakit.lab.qemu import accelerator, bootdisk, freeze, switch, tap
from hakit.lab.qemu.command import AGENT, FIRST_SLOT, MONITOR, command
from hakit.lab.qemu.drawer import Drawer
from hakit.lab.qemu.guest import Guest
from hakit.lab.qemu.qmp import LOOK, Monitor
from hakit.lab.state import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.lab.plan import DataDisk, Nic

BOOT_TIMEOUT: Final = 600.0
"""Seconds until the guest agent must answer; emulated on a quiet machine it takes 35, on a busy one minutes."""
NICE: Final = 10
"""An emulated processor is busy where a real one rests: it gives way to containers and to whoever is at work here."""
POWER_OFF: Final = ("systemctl", "--no-block", "poweroff")
IDENTITY: Final = Path(__file__).with_name("first.sh")
NETWORK: Final = Path(__file__).with_name("network.sh")
SPEED: Final = {"speed": 1000, "duplex": "full"}
"""What a NIC says of its cable; LACP bonds only ports of known and equal speed."""


@dataclass(frozen=True, slots=True)
class VirtualMachine(Machine):
    """A host of the lab: an overlay on the base image's disk, and QEMU's process.

    In its folder: `disk.qcow2`, its data disks in `disks`, links to its `image` and to the `frozen` machine it began
    as; `first.tar`, what makes a copy this host, until it has been unpacked; `plan`, a hash of what it was made for.
    """

    @property
    def exists(self) -> bool:
        """Whether it has a disk; that of a switch must have been made for the same ports."""
        if self.host.name != SWITCH:
            return self.folder.is_dir()
        with suppress(OSError):
            return (self.folder / "plan").read_text(encoding="ascii") == self._digest
        return False

    @property
    def started(self) -> bool:
        """Whether it runs, and is the host it is to be."""
        return self.running and not self._first.exists()

    @property
    def host_key(self) -> str:
        """The public key that its disk was made with."""
        return (self.folder / "host.pub").read_text(encoding="ascii").strip()

    @property
    def guest(self) -> Guest:
        """Its guest agent."""
        return Guest(self.folder, lambda: self.running, self.host.name)

    def make_disk(self, image: Path, files: Iterable[DiskFile]) -> None:
        """Make its disks, and write down what will make it this host when it first runs."""
        if self.folder.exists():
            kill(self.cgroup)
            shutil.rmtree(self.folder)
        new = self.folder.with_name(f".new-{self.host.name}")
        shutil.rmtree(new, ignore_errors=True)
        for name in ("unplugged", "disks"):
            (new / name).mkdir(parents=True)
        (new / "image").symlink_to(image)
        if frozen := freeze.find(image, self.host.memory, accelerator.choose()):
            (new / "frozen").symlink_to(frozen)
        replace(self.drawer, folder=new / "disks").fill(self.host.disks)
        own = {file.path: file for file in (*files, *link_files(self.place.id, self.host.name, self.host.nics))}
        if self.host.name == SWITCH:
            own.update((file.path, file) for file in switch.files(self.host))
        public = own["/etc/ssh/ssh_host_ed25519_key.pub"].content.decode("ascii")
        (new / "host.pub").write_text(" ".join(public.split()[:2]), encoding="ascii")
        (new / "plan").write_text(self._digest, encoding="ascii")
        with (new / "first.tar").open("xb") as archive:
            os.fchmod(archive.fileno(), 0o600)
            archive.write(packed(own.values()))
        new.replace(self.folder)

    def start(self) -> None:
        """Power on. The first time it returns when the machine has become this host, later while it boots."""
        image = self.folder / "image"
        if not (image / "disk.qcow2").exists():
            raise LabError(
                f"{self.host.name}: the base image under its disk is gone: {image.readlink()}",
                hint="Make the lab anew:  hakit lab down, then up",
            )
        kill(self.cgroup)
        remove_cgroup(self.cgroup)
        for name in (MONITOR, AGENT):
            (self.folder / name).unlink(missing_ok=True)
        if self._first.exists():
            self._begin()
        else:
            with self._launch(restore=False) as monitor:
                self._plug_in(monitor)
                monitor.execute("cont")
        self._partners(up=True)

    def pull(self) -> None:
        """Pull the power: QEMU is killed, and with it everything that was not flushed to a disk."""
        self._partners(up=False)
        kill(self.cgroup)

    def power_off(self, timeout: float) -> None:
        """Shut down in order. Raises LabError when the host has not ended after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self.guest.talk(timeout) as talk:
            # Nobody asks how it ended: the agent is among the first to go.
            talk.begin(POWER_OFF)
        while self.running:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.host.name} has not shut down after {timeout:.0f} s",
                    hint=f"See {self.console}, or pull its power:  hakit lab power pull {self.host.name}",
                )
            time.sleep(LOOK)
        self._partners(up=False)

    def enter(self) -> list[str]:
        """By way of its guest agent, which needs no network."""
        if not self.running:
            raise self.off()
        return ["env", f"--chdir={PACKAGE}", *PROGRAM, "inside", self.place.id, self.host.name]

    def plug(self, nic: str, *, up: bool) -> None:
        """A cable has two ends: the host's NIC, and the lab's bridge or the switch's port; both lose their carrier."""
        super(VirtualMachine, self).plug(nic, up=up)
        self._carrier(nic, up=up)
        if far := self._far_end(self._nic(nic)):
            far[0].plug(far[1], up=up)

    @property
    def disks(self) -> tuple[DataDisk, ...]:
        """Its data disks, plugged in or not."""
        return self.drawer.disks if self.exists else ()

    @property
    def drawer(self) -> Drawer:
        """Its data disks."""
        return Drawer(self.folder / "disks", self.host.name, lambda: self.running, self._monitor)

    def _monitor(self) -> Monitor:
        return Monitor(self.folder / MONITOR, lambda: self.running, self.host.name)

    @property
    def _first(self) -> Path:
        return self.folder / "first.tar"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(repr(self.host).encode()).hexdigest()

    def _nic(self, name: str) -> Nic:
        return next(nic for nic in self.host.nics if nic.name == name)

    def _launch(self, *, restore: bool) -> Monitor:
        """QEMU, paused before its first instruction, with its data disks."""
        kind = accelerator.choose()
        with (self.folder / "qemu.log").open("wb") as log:
            words = command(self.folder, self.host.name, self.host.memory, kind, restore=restore)
            launch(self.cgroup, words, log, nice=NICE)
        try:
            return self._monitor()
        except LabError as error:
            said = (self.folder / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()
            raise LabError(error.message, why=said[-2000:] or error.why) from error

    def _begin(self) -> None:
        """Be a copy of the frozen machine, or boot the image, and become this host."""
        frozen = self.folder / "frozen"
        below = frozen if (frozen / freeze.STATE).exists() else self.folder / "image"
        bootdisk.overlay(self.folder / "disk.qcow2", below.resolve() / "disk.qcow2")
        with self._launch(restore=below == frozen) as monitor:
            if below == frozen:
                freeze.restore(monitor, frozen.resolve() / freeze.STATE)
            monitor.execute("cont")
            with self.guest.talk(BOOT_TIMEOUT) as talk:
                now = f"{time.time():.3f}"
                script = IDENTITY.read_text(encoding="utf-8")
                talk.must(["sh", "-c", script, IDENTITY.name, now, self.host.name], given=self._first.read_bytes())
                self._plug_in(monitor)
                script = NETWORK.read_text(encoding="utf-8")
                talk.must(["sh", "-c", script, NETWORK.name, *(nic.name for nic in self.host.nics)])
        self._first.unlink()

    def _plug_in(self, monitor: Monitor) -> None:
        """Put the disks and NICs in, each in its place."""
        self.drawer.settle(monitor)
        for number, nic in enumerate(self.host.nics):
            self._plug_nic(monitor, number, nic)

    def _plug_nic(self, monitor: Monitor, number: int, nic: Nic) -> None:
        cable = namespace.cable(self.host.name, nic.name)
        plugged = not self.unplugged(nic.name).exists()
        handle = tap.open_tap(self.place, cable)
        try:
            if nic.lag and self.host.name == SWITCH:
                host, name, _ = nic.lag.split("/")
                tap.patch(self.place, cable, host, name, up=plugged)
            elif nic.lag:
                tap.patch(self.place, cable, self.host.name, nic.name, up=plugged)
            else:
                tap.connect(self.place, cable, namespace.BRIDGE, up=plugged)
            monitor.execute("getfd", {"fdname": f"tap{number}"}, handle=handle)
        finally:
            os.close(handle)
        monitor.execute("netdev_add", {"type": "tap", "id": f"net{number}", "fd": f"tap{number}"})
        options = {"driver": "virtio-net-pci", "id": f"nic{number}", "netdev": f"net{number}", "romfile": ""}
        place = {"bus": "pci.0", "addr": hex(FIRST_SLOT + number), "mac": mac(self.place.id, self.host.name, nic)}
        monitor.execute("device_add", {**options, **place, **SPEED})
        if not plugged:
            monitor.execute("set_link", {"name": f"nic{number}", "up": False})

    def _carrier(self, nic: str, *, up: bool) -> None:
        if self.running:
            number = next(index for index, one in enumerate(self.host.nics) if one.name == nic)
            with self._monitor() as monitor:
                monitor.execute("set_link", {"name": f"nic{number}", "up": up})

    def _far_end(self, nic: Nic) -> tuple[VirtualMachine, str] | None:
        """The switch and its port that a NIC is plugged into; None for one on the lab's bridge."""
        record = read_record(self.place) if nic.lag and self.host.name != SWITCH else None
        if record is None or record.plan.switch is None:
            return None
        wanted = f"{self.host.name}/{nic.name}/{nic.lag}"
        port = next(one.name for one in record.plan.switch.nics if one.lag == wanted)
        return VirtualMachine(self.place, record.plan.switch), port

    def _partners(self, *, up: bool) -> None:
        """Ports of the switch have no carrier while this host is off."""
        for nic in self.host.nics:
            far = self._far_end(nic)
            if far and far[0].started and not self.unplugged(nic.name).exists():
                far[0]._carrier(far[1], up=up)  # noqa: SLF001 - of another machine of this class


def mac(lab: str, host: str, nic: Nic) -> str:
    """A NIC's address: what the inventory says, or one of QEMU's own range that no other NIC of any lab has."""
    if nic.mac:
        return nic.mac
    digest = hashlib.sha256(f"{lab}/{host}/{nic.name}".encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def packed(files: Iterable[DiskFile]) -> bytes:
    """A tar archive of files with their owners and modes; folders of their own belong to the file's owner."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            for folder in _own_folders(file):
                archive.addfile(folder)
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.owner, file.group
            archive.addfile(entry, io.BytesIO(file.content))
    return made.getvalue()


def _own_folders(file: DiskFile) -> Iterable[tarfile.TarInfo]:
    """The folders that a base image may lack: .ssh, and a user's home."""
    path = Path(file.path)
    for folder in reversed(path.parents):
        if folder.name == ".ssh" or (folder.parent.name == "home" and folder.parent.parent == Path("/")):
            entry = tarfile.TarInfo(str(folder).lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700 if folder.name == ".ssh" else 0o755
            entry.uid = entry.gid = file.owner
            yield entry


def link_files(lab: str, host: str, nics: tuple[Nic, ...]) -> Iterable[DiskFile]:
    """What gives each NIC its name, wherever it is plugged in (systemd.link(5)).

    By the address that it was made with: bonds and VLANs take over an address, and not this one. The files are the
    hardware's, and must not look like those of a network that hakit wrote: these go when another comes.
    """
    for nic in nics:
        text = f"[Match]\nPermanentMACAddress={mac(lab, host, nic)}\n\n[Link]\nName={nic.name}\n"
        yield DiskFile(f"/etc/systemd/network/10-lab-{nic.name}.link", text.encode())
