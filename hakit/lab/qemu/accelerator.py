"""Whether the processor of this machine runs virtual machines by itself (KVM) or QEMU emulates one (TCG)."""

from __future__ import annotations

import platform
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab.qemu.command import CPU, QEMU
from hakit.lab.state import CACHE, boot_id

if TYPE_CHECKING:
    from collections.abc import Callable

DEVICE: Final = Path("/dev/kvm")
PROBE: Final = bytes.fromhex("baf400b03fee") + b"\xf4\xeb\xfd"
"""A boot sector: mov dx,0xf4; mov al,0x3f; out dx,al; hlt; jmp. It ends QEMU with the exit code below."""
ENDED: Final = (0x3F << 1) | 1
"""What isa-debug-exit makes of 0x3f."""
PATIENCE: Final = 10.0
"""Seconds for the firmware and a boot sector. Emulated they take 0.3 on a quiet machine."""
SLOWER: Final = 5.0
"""How many times an emulated machine's time KVM may take. A good one takes no longer; one inside another virtual
machine, without the processor's help, was seen to take 30 times as long, and to boot Debian in minutes."""


def _silent(_: str) -> None:
    """For callers who want no progress."""


def require_processor() -> None:
    """See that this machine has the processor that the machines have. Raises LabError."""
    if platform.machine() != "x86_64":
        raise LabError(
            f"virtual machines need a machine with an amd64 processor, this one is {platform.machine()}",
            hint="Containers work here:  lab: {driver: nspawn, …}",
        )


def choose(progress: Callable[[str], None] = _silent, kept: Path = CACHE / "accelerator") -> str:
    """`kvm` or `tcg`; found out once per boot of this machine.

    By booting: a /dev/kvm may be there and refuse, or not know the processor that machines are given, or accept and
    never run anything, or do that more slowly than emulation, as in some virtual machines.
    """
    try:
        boot, chosen = kept.read_text(encoding="ascii").split()
        if boot == boot_id() and chosen in ("kvm", "tcg"):
            return chosen
    except (OSError, ValueError):
        pass
    chosen = "kvm" if DEVICE.exists() and _helps() else "tcg"
    if chosen == "tcg":
        progress("virtual machines are emulated, which is slow: this machine has no KVM that works")
    # Only root keeps it: others find out each time, or read what root has found.
    with suppress(PermissionError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{boot_id()} {chosen}\n", encoding="ascii")
    return chosen


def _helps() -> bool:
    """Whether KVM runs machines, and not more slowly than emulation does."""
    kvm = boots("kvm")
    return kvm is not None and kvm < SLOWER * (boots("tcg") or PATIENCE)


def boots(accelerator: str) -> float | None:
    """The seconds in which QEMU runs a boot sector with an accelerator and its processor; None where it does not."""
    with tempfile.NamedTemporaryFile(prefix="hakit-probe-") as disk:
        disk.write(PROBE.ljust(510, b"\0") + b"\x55\xaa")
        disk.flush()
        drive = f"driver=raw,node-name=disk,file.driver=file,file.filename={disk.name}"
        command = [
            *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", accelerator),
            *("-cpu", CPU[accelerator], "-m", "16", "-blockdev", drive, "-device", "ide-hd,drive=disk", "-no-reboot"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        ]
        began = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - began if done.returncode == ENDED else None
