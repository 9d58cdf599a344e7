"""What every host of a lab can do, and what a driver brings, whatever hosts are made of. Needs root."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from hakit.errors import LabError
from hakit.lab import namespace
from hakit.lab.cgroup import kill, lab_cgroup, populated
from hakit.lab.image import ensure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from hakit.lab.disk import DiskFile
    from hakit.lab.image import Image
    from hakit.lab.plan import DataDisk, HostPlan, LabPlan
    from hakit.lab.qemu.drawer import Drawer
    from hakit.lab.sources import Upstream
    from hakit.lab.state import Place


COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What a console says to a terminal alone (ECMA-48, control sequences)."""


@dataclass(frozen=True, slots=True)
class Machine(ABC):
    """A host of the lab: its disk, its processes, its power switch, its cables."""

    place: Place
    host: HostPlan

    @property
    def folder(self) -> Path:
        """Where its disk and its console log lie."""
        return self.place.host(self.host.name)

    @property
    def console(self) -> Path:
        """What it said on its console since it was last powered on."""
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

    @property
    def started(self) -> bool:
        """Whether it runs and its last start was carried to its end: a killed `up` may leave one half made."""
        return self.running

    @property
    @abstractmethod
    def host_key(self) -> str:
        """The public key of its sshd, as `ssh-ed25519 AAAA…`."""

    @abstractmethod
    def make_disk(self, image: Path, files: Iterable[DiskFile]) -> None:
        """Make the host's disk on an image of the driver's, whole or not at all. Raises LabError."""

    @abstractmethod
    def start(self) -> None:
        """Power on. May return while the host boots; sshd answers some time later. Raises LabError."""

    def pull(self) -> None:
        """Pull the power: the cables are dead at once, no process gets to say goodbye, the disk stays."""
        kill(self.cgroup)

    @abstractmethod
    def power_off(self, timeout: float) -> None:
        """Shut down in order. Raises LabError when the host has not ended after `timeout` seconds."""

    @abstractmethod
    def enter(self) -> list[str]:
        """The words before a command that make it run inside the host as root. Raises LabError when it is off."""

    def plug(self, nic: str, *, up: bool) -> None:
        """Plug a NIC's cable in or pull it out, also for the next time the host is powered on."""
        mark = self.unplugged(nic)
        if up:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()
        if namespace.cable(self.host.name, nic) in namespace.cables(self.place):
            namespace.plug(self.place, self.host.name, nic, up=up)

    def unplugged(self, nic: str) -> Path:
        """A file that exists while the NIC's cable is pulled."""
        return self.folder / "unplugged" / namespace.cable(self.host.name, nic)

    @property
    def disks(self) -> tuple[DataDisk, ...]:
        """Its data disks, plugged in or not."""
        return ()

    @property
    def drawer(self) -> Drawer:
        """Its data disks. Raises LabError where it has none of its own."""
        raise LabError(
            f"{self.host.name} has no disks of its own", why="Virtual machines have: hakit.lab: {driver: qemu, …}."
        )

    def console_tail(self, lines: int = 8) -> str:
        """The end of the console log."""
        with suppress(OSError):
            text = COLOURS.sub("", self.console.read_text(encoding="utf-8", errors="replace"))
            return "\n  ".join(text.strip().splitlines()[-lines:])
        return ""

    def off(self) -> LabError:
        """The error of whoever needs the host to be on."""
        return LabError(f"{self.host.name} is not running", hint=f"hakit lab power on {self.host.name}")


class Driver(ABC):
    """How the hosts of a lab are made.

    `boot_timeout` are the seconds within which a host's sshd must answer after it was powered on, `shutdown_timeout`
    those for an orderly shutdown, `greeting` those that sshd may take to greet who connects; `at_once` is how many
    hosts are started side by side, `image` the kind of base image that their disks are made on.
    """

    image: ClassVar[type[Image]]
    boot_timeout: ClassVar[float]
    shutdown_timeout: ClassVar[float]
    greeting: ClassVar[float]
    at_once: ClassVar[int] = 1

    @abstractmethod
    def prepare(
        self,
        plan: LabPlan,
        place: Place,
        upstreams: Mapping[int, Upstream],
        proxy: str,
        progress: Callable[[str], None],
    ) -> Mapping[int, Path]:
        """Make this machine ready for the hosts: what their disks are made on, by release. Raises LabError.

        `upstreams` are Debian's sources by release, `proxy` the lab's package proxy, which must run.
        """

    def images(
        self,
        plan: LabPlan,
        place: Place,
        upstreams: Mapping[int, Upstream],
        proxy: str,
        progress: Callable[[str], None],
    ) -> dict[int, Path]:
        """The base image of each release, made where there is none. Raises LabError."""
        return {
            release: ensure(self.image(release, plan.packages, upstream), place, proxy, progress)
            for release, upstream in upstreams.items()
        }

    @abstractmethod
    def machine(self, place: Place, host: HostPlan) -> Machine:
        """A host of a lab, whether it is there or not."""
