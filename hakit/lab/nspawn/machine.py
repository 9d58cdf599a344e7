"""One host of a lab as a container on this machine. Needs root."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import namespace
from hakit.lab.cgroup import kill, launch, pids, remove_cgroup
from hakit.lab.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.lab.disk import DiskFile

SCRIPT: Final = Path(__file__).with_name("host.sh")
POWER_OFF: Final = signal.SIGRTMIN + 4
"""What systemd takes for "power off" (systemd(1), signals)."""
MACHINE_NAME_MAX: Final = 64
"""nspawn's limit on a machine name: that of a host name."""


@dataclass(frozen=True, slots=True)
class Container(Machine):
    """A host of the lab: an overlay on the base image, and systemd-nspawn's processes."""

    @property
    def host_key(self) -> str:
        """The public key on its disk."""
        public = self.folder / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        return " ".join(public.read_text(encoding="ascii").split()[:2])

    def make_disk(self, image: Path, files: Iterable[DiskFile]) -> None:
        """Make the host's disk, whole or not at all."""
        new = self.folder.with_name(f".new-{self.host.name}")
        shutil.rmtree(new, ignore_errors=True)
        for name in ("upper", "work", "root", "unplugged"):
            (new / name).mkdir(parents=True)
        for file in files:
            _write(new / "upper", image, file)
        (new / "image").symlink_to(image)
        new.replace(self.folder)

    def start(self) -> None:
        """Power on; returns at once, the host boots in the background. Raises LabError."""
        image = self.folder / "image"
        if not image.is_dir():
            raise LabError(
                f"{self.host.name}: the base image under its disk is gone: {image.readlink()}",
                hint="Make the lab anew:  hakit lab down, then up",
            )
        # A fresh cgroup: Linux 6.18 kills what is cloned into one that was killed before, as systemd of Debian 13 does.
        remove_cgroup(self.cgroup)
        cables = [f"{nic.name}={namespace.cable(self.host.name, nic.name)}" for nic in self.host.nics]
        machine = f"{self.place.namespace}-{self.host.name}"[:MACHINE_NAME_MAX].rstrip("-.")
        command = [
            "nsenter",
            f"--net={self.place.namespace_file}",
            "unshare",
            "--mount",
            "--propagation=slave",
            "sh",
            str(SCRIPT),
        ]
        arguments = [self.folder, image.readlink(), machine, self.host.name, namespace.BRIDGE, *cables]
        with self.console.open("wb") as console:
            launch(self.cgroup, [*command, *map(str, arguments)], console)

    def pull(self) -> None:
        """Cables first: the kernel takes them away some time after the last process."""
        present = namespace.cables(self.place)
        mine = [namespace.cable(self.host.name, nic.name) for nic in self.host.nics]
        for cable in mine:
            if cable in present:
                namespace.ip("-n", self.place.namespace, "link", "delete", cable, check=False)
        kill(self.cgroup)

    def power_off(self, timeout: float) -> None:
        """Shut down in order. Raises LabError when the host has not ended after `timeout` seconds."""
        os.kill(self.leader(), POWER_OFF)
        deadline = time.monotonic() + timeout
        while self.running:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.host.name} has not shut down after {timeout:.0f} s",
                    hint=f"See {self.console}, or pull its power:  hakit lab power pull {self.host.name}",
                )
            time.sleep(0.02)

    def leader(self) -> int:
        """The process that is number 1 inside the host. Raises LabError when there is none."""
        for pid in pids(self.cgroup):
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                if len(numbers) > 1 and numbers[-1] == "1":
                    return pid
        raise self.off()

    def enter(self) -> list[str]:
        """Into all its namespaces, by way of its first process."""
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        return ["nsenter", f"--target={self.leader()}", *spaces, "--"]


def _write(upper: Path, image: Path, file: DiskFile) -> None:
    """Write a file into an overlay's upper layer; known folders get the image's mode, new ones the file's owner."""
    target = upper / file.path.lstrip("/")
    for folder in reversed(target.relative_to(upper).parents):
        here = upper / folder
        if here == upper or here.is_dir():
            continue
        here.mkdir()
        below = image / folder
        if below.is_dir():
            shutil.copystat(below, here)
        else:
            here.chmod(0o700 if folder.name == ".ssh" else 0o755)
            os.chown(here, file.owner, file.owner)
    target.write_bytes(file.content)
    target.chmod(file.mode)
    os.chown(target, file.owner, file.group)
