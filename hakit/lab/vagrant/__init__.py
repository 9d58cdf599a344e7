"""Hosts as machines that Vagrant makes with libvirt, by the Vagrantfile that people can use by themselves too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hakit.lab import requirements
from hakit.lab.machine import Driver
from hakit.lab.qemu import Qemu, accelerator
from hakit.lab.qemu.command import QEMU
from hakit.lab.vagrant import setup, shape
from hakit.lab.vagrant.box import Box, add_for_labs
from hakit.lab.vagrant.libvirt import Libvirt
from hakit.lab.vagrant.machine import VagrantMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakit.lab.plan import HostPlan, LabPlan
    from hakit.lab.sources import Upstream
    from hakit.lab.state import Place


def described(plan: LabPlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """The machines of a plan for a Vagrantfile that people use by themselves (`shape.shape`). Raises LabError."""
    shape.check(plan)
    keys = [path.read_text(encoding="utf-8").strip() for path in sorted(Path.home().glob(".ssh/*.pub"))]
    setups = {host.name: setup.by_itself(plan.id, host, keys) for host in plan.hosts}
    # Without QEMU they are VirtualBox's, which sees to that itself.
    kind = accelerator.choose(progress) if shutil.which(QEMU, path=requirements.PATH) else "kvm"
    return shape.shape(plan, kind, setups)


class Vagrant(Driver):
    """The driver `vagrant`."""

    image: ClassVar = Box
    boot_timeout: ClassVar = Qemu.boot_timeout
    shutdown_timeout: ClassVar = Qemu.shutdown_timeout
    greeting: ClassVar = Qemu.greeting
    at_once: ClassVar = 1
    """Two processes of Vagrant would both make what the first machine needs: networks, the box's volume."""

    def prepare(
        self,
        plan: LabPlan,
        place: Place,
        upstreams: Mapping[int, Upstream],
        proxy: str,
        progress: Callable[[str], None],
    ) -> Mapping[int, Path]:
        """A box of each release, and a libvirt of the lab's own."""
        accelerator.require_processor()
        shape.check(plan)
        accelerator.choose(progress)
        images = self.images(plan, place, upstreams, proxy, progress)
        for image in images.values():
            add_for_labs(image, progress)
        Libvirt(place).start()
        return images

    def machine(self, place: Place, host: HostPlan) -> VagrantMachine:
        """A machine of Vagrant's."""
        return VagrantMachine(place, host)
