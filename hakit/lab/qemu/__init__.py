"""Hosts as virtual machines of QEMU: each has Debian's own kernel, NICs and disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.lab.machine import Driver
from hakit.lab.qemu import accelerator, freeze
from hakit.lab.qemu.image import DiskImage
from hakit.lab.qemu.machine import BOOT_TIMEOUT, VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hakit.lab.plan import HostPlan, LabPlan
    from hakit.lab.sources import Upstream
    from hakit.lab.state import Place


class Qemu(Driver):
    """The driver `qemu`."""

    image: ClassVar = DiskImage
    boot_timeout: ClassVar = BOOT_TIMEOUT
    shutdown_timeout: ClassVar = BOOT_TIMEOUT
    greeting: ClassVar = 20.0
    """Emulated, sshd takes a second to fork, on a busy machine many; who hangs up before only adds to its work."""
    at_once: ClassVar = 2
    """More boot no faster on two processors, and slower on a busy machine."""

    def prepare(
        self,
        plan: LabPlan,
        place: Place,
        upstreams: Mapping[int, Upstream],
        proxy: str,
        progress: Callable[[str], None],
    ) -> Mapping[int, Path]:
        """A base image of each release, and a frozen machine of each amount of memory."""
        accelerator.require_processor()
        kind = accelerator.choose(progress)
        images = self.images(plan, place, upstreams, proxy, progress)
        for release, memory in sorted({(machine.release, machine.memory) for machine in plan.machines}):
            freeze.ensure(images[release], memory, kind, progress)
        return images

    def machine(self, place: Place, host: HostPlan) -> VirtualMachine:
        """A virtual machine."""
        return VirtualMachine(place, host)
