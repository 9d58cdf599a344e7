"""One host of a lab on this machine: its disk, its processes, its power switch. Needs root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hakit.lab.disk import DiskFile
    from hakit.lab.plan import HostPlan
    from hakit.lab.state import Place

SCRIPT: Final = Path(__file__).with_name("host.sh")
POWER_OFF: Final = signal.SIGRTMIN + 4
"""What systemd takes for "power off" (systemd(1), signals)."""
MACHINE_NAME_MAX: Final = 64
"""nspawn's limit on a machine name: that of a host name."""


def cgroup_root() -> Path:
    """Where the unified hierarchy (cgroup v2) is mounted. Raises LabError when it is not.

    /sys/fs/cgroup on most machines, /sys/fs/cgroup/unified on those that mix both versions.
    """
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    raise LabError(
        "no cgroup v2 hierarchy is mounted on this machine",
        why="systemd on the lab's hosts needs one.",
        hint="mount -t cgroup2 none /sys/fs/cgroup",
    )


def lab_cgroup(place: Place) -> Path:
    """The cgroup that holds everything of a lab."""
    return cgroup_root() / place.namespace


@dataclass(frozen=True, slots=True)
class Machine:
    """A host of the lab."""

    place: Place
    host: HostPlan

    @property
    def folder(self) -> Path:
        """Where its disk and its console log lie."""
        return self.place.host(self.host.name)

    @property
    def console(self) -> Path:
        """What its systemd said since it was last powered on."""
        return self.folder / "console.log"

    @property
    def cgroup(self) -> Path:
        """All its processes are below this cgroup."""
        return lab_cgroup(self.place) / self.host.name

    @property
    def exists(self) -> bool:
        """Whether it has a disk."""
        return self.folder.is_dir()

    @property
    def running(self) -> bool:
        """Whether any process of the host lives."""
        return populated(self.cgroup)

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
        """Pull the power: the cables are dead at once, no process gets to say goodbye, the disk stays."""
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
        for pid in _pids(self.cgroup):
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                if len(numbers) > 1 and numbers[-1] == "1":
                    return pid
        raise LabError(f"{self.host.name} is not running", hint=f"hakit lab power on {self.host.name}")

    def remove(self) -> None:
        """Pull the power and throw the disk away."""
        kill(self.cgroup)
        remove_cgroup(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)

    def console_tail(self, lines: int = 8) -> str:
        """The end of the console log."""
        with suppress(OSError):
            text = self.console.read_text(encoding="utf-8", errors="replace")
            return "\n  ".join(text.strip().splitlines()[-lines:])
        return ""


def populated(cgroup: Path) -> bool:
    """Whether any process lives in a cgroup or below."""
    try:
        return "populated 1" in (cgroup / "cgroup.events").read_text(encoding="ascii")
    except OSError:
        return False


def entering(cgroup: Path) -> list[str]:
    """The words before a command that put it into a cgroup, which is made."""
    cgroup.mkdir(parents=True, exist_ok=True)
    return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', str(cgroup)]


def launch(
    cgroup: Path, command: Sequence[str], log: IO[bytes], *, given: bytes = b"", pass_fds: tuple[int, ...] = ()
) -> None:
    """Start a program that outlives this process, in a cgroup, with `given` as its stdin; returns at once.

    It is in the cgroup before this returns, in a session of its own, and a child of nobody here.
    """
    subprocess.run(
        [*entering(cgroup), "setsid", "--fork", *command],
        input=given,
        stdout=log,
        stderr=log,
        cwd="/",
        pass_fds=pass_fds,
        check=True,
    )


def kill(cgroup: Path, timeout: float = 10.0) -> None:
    """Kill all processes below a cgroup at once, and wait until they are gone. Raises LabError."""
    try:
        (cgroup / "cgroup.kill").write_text("1", encoding="ascii")
    except FileNotFoundError:
        return
    deadline = time.monotonic() + timeout
    while populated(cgroup):
        if time.monotonic() > deadline:
            raise LabError(f"processes in {cgroup} did not die within {timeout:.0f} s")
        time.sleep(0.005)


def remove_cgroup(cgroup: Path, timeout: float = 5.0) -> None:
    """Remove an empty cgroup with all below it; the kernel frees them a moment after the last process is gone."""
    deadline = time.monotonic() + timeout
    while cgroup.exists():
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > deadline:
            raise LabError(f"{cgroup} can't be removed", why="Processes live in it still.")


def _pids(cgroup: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(cgroup):
        with suppress(OSError):
            yield from map(int, (Path(folder) / "cgroup.procs").read_text(encoding="ascii").split())


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
