"""Hosts as containers of systemd-nspawn: a full Debian each, on the kernel of the machine that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hakit.lab.image import Image
from hakit.lab.machine import Driver
from hakit.lab.nspawn.identity import ensure_identity
from hakit.lab.nspawn.limits import raise_watchers
from hakit.lab.nspawn.machine import Container

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hakit.lab.plan import HostPlan, LabPlan
    from hakit.lab.sources import Upstream
    from hakit.lab.state import Place


class Nspawn(Driver):
    """The driver `nspawn`."""

    image: ClassVar = Image
    boot_timeout: ClassVar = 90.0
    """2 s are usual, a machine that is busy with something else takes longer."""
    shutdown_timeout: ClassVar = 90.0
    """systemd's own DefaultTimeoutStopSec."""
    greeting: ClassVar = 0.3
    at_once: ClassVar = 16

    def prepare(
        self,
        plan: LabPlan,
        place: Place,
        upstreams: Mapping[int, Upstream],
        proxy: str,
        progress: Callable[[str], None],
    ) -> Mapping[int, Path]:
        """A base image of each release, and what many containers need of this machine."""
        roots = self.images(plan, place, upstreams, proxy, progress)
        ensure_identity(progress)
        raise_watchers(len(plan.hosts), progress)
        return roots

    def machine(self, place: Place, host: HostPlan) -> Container:
        """A container."""
        return Container(place, host)
