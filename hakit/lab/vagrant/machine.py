"""One host of a lab as a machine that Vagrant makes with libvirt. Needs root."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.errors import LabError
from hakit.lab.cgroup import kill, remove_cgroup
from hakit.lab.qemu import accelerator
from hakit.lab.qemu.command import AGENT
from hakit.lab.qemu.disks import declared
from hakit.lab.qemu.machine import VirtualMachine, mac
from hakit.lab.state import read_record
from hakit.lab.vagrant import box, setup, shape
from hakit.lab.vagrant.libvirt import Libvirt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.lab.disk import DiskFile
    from hakit.lab.plan import DataDisk
    from hakit.lab.qemu.drawer import Drawer
    from hakit.lab.state import Place


def vagrantfile() -> Path:
    """The Vagrantfile that hakit brings: inside the installed package, or at the root of a checkout."""
    installed = Path(__file__).with_name("Vagrantfile")
    return installed if installed.is_file() else Path(__file__).resolve().parents[3] / "Vagrantfile"


@dataclass(frozen=True, slots=True)
class VagrantMachine(VirtualMachine):
    """A virtual machine that Vagrant makes; its power, cables and the way in are those of every virtual machine.

    In its folder: a link to the `image` of its box, `setup`, what makes a machine this host, until it has run there,
    and `vagrant.log`. Its disks are libvirt's, in the lab's folder.
    """

    @property
    def libvirt(self) -> Libvirt:
        """The lab's libvirt."""
        return Libvirt(self.place)

    @property
    def disks(self) -> tuple[DataDisk, ...]:
        """Its data disks, as they are declared: they stay where Vagrant has put them."""
        return declared(self.host.disks) if self.exists else ()

    @property
    def drawer(self) -> Drawer:
        """Raises LabError: what Vagrant has made is all plugged in."""
        raise LabError(
            f"the disks of {self.host.name} can't be pulled: Vagrant has made them",
            why="Disks are plugged in and out, and arranged, in a lab of the qemu driver.",
            hint="hakit.lab: {driver: qemu, …}, or hakit lab --driver qemu up",
        )

    def make_disk(self, image: Path, files: Iterable[DiskFile]) -> None:
        """Write down what will make it this host when it first runs; its disk is made by Vagrant then."""
        own = {file.path: file for file in files}
        public = own["/etc/ssh/ssh_host_ed25519_key.pub"].content.decode("ascii")
        client = own["/root/.ssh/authorized_keys"].content.decode("ascii").strip()
        new = self.folder.with_name(f".new-{self.host.name}")
        shutil.rmtree(new, ignore_errors=True)
        (new / "unplugged").mkdir(parents=True)
        (new / "image").symlink_to(image)
        (new / "host.pub").write_text(" ".join(public.split()[:2]), encoding="ascii")
        _write_private(new / "setup", setup.in_a_lab(self.place.id, self.host, own.values(), client))
        new.replace(self.folder)

    def start(self) -> None:
        """Power on. The first time it returns when the machine has become this host, later while it boots."""
        # A killed start may have left it running where this does not see it.
        self.pull()
        remove_cgroup(self.cgroup)
        for left in (self.folder / AGENT, self.console):
            left.unlink(missing_ok=True)
        if self._first.exists():
            self._begin()
        else:
            self.libvirt.await_off(self.host.name)
            self.libvirt.virsh("start", self._domain)
        self._adopt()
        for nic in self.host.nics:
            if self.unplugged(nic.name).exists():
                self.plug(nic.name, up=False)

    def pull(self) -> None:
        """Pull the power: QEMU is killed, and with it everything that was not flushed to a disk."""
        self._adopt()
        kill(self.cgroup)

    @property
    def _first(self) -> Path:
        return self.folder / "setup"

    @property
    def _domain(self) -> str:
        return shape.domain(self.place.id, self.host.name)

    def _begin(self) -> None:
        """Have Vagrant make the machine, anew where a killed `up` has left one half made."""
        write_plan(self.place)
        log = self.folder / "vagrant.log"
        log.unlink(missing_ok=True)
        self.libvirt.forget(self.host.name)
        self.libvirt.forget_half_uploaded((self.folder / "image").readlink())
        self.libvirt.vagrant(log, vagrantfile(), "up", "--no-destroy-on-error", "--no-color", self.host.name)
        self._first.unlink()
        write_plan(self.place)

    def _adopt(self) -> None:
        """Put QEMU, which libvirt's daemon has started, into the host's own cgroup: what is there can be pulled."""
        process = self.libvirt.process(self.host.name)
        if process is not None:
            self.cgroup.mkdir(parents=True, exist_ok=True)
            (self.cgroup / "cgroup.procs").write_text(str(process), encoding="ascii")

    def _carrier(self, nic: str, *, up: bool) -> None:
        if self.running:
            found = next(one for one in self.host.nics if one.name == nic)
            state = "up" if up else "down"
            self.libvirt.virsh("domif-setlink", self._domain, mac(self.place.id, self.host.name, found), state)


def write_plan(place: Place) -> None:
    """What the Vagrantfile is to make of the lab: its machines, and the scripts of those that are not hosts yet.

    Raises LabError when the lab has no record.
    """
    record = read_record(place)
    if record is None:
        raise LabError("the lab is down")
    plan = record.plan
    setups, local = {}, {}
    for host in plan.hosts:
        folder = place.host(host.name)
        if folder.is_dir():
            local[host.name] = shape.Local(box.name_in_labs((folder / "image").readlink()), folder)
        if (folder / "setup").exists():
            setups[host.name] = (folder / "setup").read_text(encoding="utf-8")
    value = shape.shape(plan, accelerator.choose(), setups, local)
    value["hosts"] = [host for host in value["hosts"] if host["name"] in local]
    _write_private(place.folder / "vagrant.json", json.dumps(value))


def _write_private(path: Path, text: str) -> None:
    """Only root reads it: it holds the private keys of hosts."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
