"""A machine that has booted once for all: its memory in a file, from which each host begins in a second."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import requirements
from hakit.lab.cgroup import cgroup_root, kill, launch, populated, remove_cgroup
from hakit.lab.qemu import bootdisk
from hakit.lab.qemu.command import AGENT, MONITOR, QEMU, command
from hakit.lab.qemu.guest import Guest
from hakit.lab.qemu.qmp import Monitor
from hakit.lab.state import locked

if TYPE_CHECKING:
    from collections.abc import Callable

CGROUP: Final = "hakit-freeze"
BOOT_TIMEOUT: Final = 600.0
"""Seconds for the first boot; emulated on a quiet machine it takes 35, on a busy one minutes."""
STATE_TIMEOUT: Final = 300.0
"""Seconds to write the state out, or to read it; 70 MB take one."""
STATE: Final = "state.zst"
MODULES: Final = ("virtio_net", "sd_mod")
"""Drivers of what is plugged into every machine afterwards; they load faster before than after."""


def key(memory: int, accelerator: str) -> str:
    """Names the frozen machine: a hash of all that a machine must have in common with it to be restored from it."""
    parts = (version(), *command(Path("/"), "", memory, accelerator, restore=False), *MODULES, _processor(accelerator))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def version() -> str:
    """QEMU's version: its machines are not the same in each."""
    return subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout


def _processor(accelerator: str) -> str:
    """The model of this machine's processor, where guests see it."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if accelerator == "kvm" else ""
    return next((line for line in text.splitlines() if line.startswith("model name")), "")


def find(image: Path, memory: int, accelerator: str) -> Path | None:
    """The folder of a frozen machine: its disk and its state. None when there is none."""
    folder = image / f"frozen-{key(memory, accelerator)}"
    return folder if (folder / STATE).exists() else None


def ensure(image: Path, memory: int, accelerator: str, progress: Callable[[str], None]) -> None:
    """Freeze a machine of so much memory (MiB), if none is; says so where that can't be done: hosts boot alone then."""
    if find(image, memory, accelerator):
        return
    with locked(image, "another lab boots this image for the first time", progress):
        if find(image, memory, accelerator):
            return
        progress(f"booting the base image once, with {memory} MiB of memory; hosts begin where it ends")
        name = key(memory, accelerator)
        building = image / f".frozen-{name}"
        group = cgroup_root() / f"{CGROUP}-{name}"
        made = image.stat()
        try:
            _clean(building, group)
            building.mkdir()
            _freeze(image, building, group, memory, accelerator)
            building.rename(image / f"frozen-{name}")
        except LabError as error:
            progress(f"no machine can be frozen, each host boots by itself: {error.message}: {error.why}")
        finally:
            _clean(building, group)
            # The image's own age is told by its folder's time.
            os.utime(image, (made.st_atime, made.st_mtime))


def _clean(building: Path, group: Path) -> None:
    kill(group)
    remove_cgroup(group)
    shutil.rmtree(building, ignore_errors=True)


def _freeze(image: Path, folder: Path, group: Path, memory: int, accelerator: str) -> None:
    bootdisk.overlay(folder / "disk.qcow2", image / "disk.qcow2")
    with (folder / "qemu.log").open("wb") as log:
        launch(group, command(folder, "hakit-freeze", memory, accelerator, restore=False), log)

    def alive() -> bool:
        return populated(group)

    with Monitor(folder / MONITOR, alive, "the first boot") as monitor:
        monitor.execute("cont")
        with Guest(folder, alive, "the first boot").talk(BOOT_TIMEOUT) as talk:
            # It says "degraded" where a unit failed: what hosts are made of is then no better when they boot alone.
            talk.run(["systemctl", "is-system-running", "--wait"], timeout=BOOT_TIMEOUT)
            talk.must(["modprobe", "--all", *MODULES])
            talk.must(["sync"])
        save(monitor, folder / STATE)
        monitor.execute("quit")
    for name in (MONITOR, AGENT, "qga.lock", "qemu.log", "console.log"):
        (folder / name).unlink(missing_ok=True)


def save(monitor: Monitor, target: Path) -> None:
    """Stop a machine and write its state, without its disks, into a file. Raises LabError."""
    new = target.with_suffix(".new")
    monitor.execute("stop")
    monitor.execute("migrate-set-parameters", {"max-bandwidth": 1 << 40})
    monitor.execute("migrate", {"uri": f"exec:{_zstd()} -q -1 > '{new}'"})
    monitor.await_migration(STATE_TIMEOUT)
    new.rename(target)


def restore(monitor: Monitor, source: Path) -> None:
    """Read a machine's state; it is paused afterwards. Raises LabError."""
    monitor.execute("migrate-incoming", {"uri": f"exec:{_zstd()} -q -d -c '{source}'"})
    monitor.await_status("paused", STATE_TIMEOUT)


def _zstd() -> str:
    """Where zstd is: QEMU runs it by a shell with the PATH of whoever started it."""
    return shutil.which("zstd", path=requirements.PATH) or "zstd"
