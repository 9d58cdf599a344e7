"""QEMU's command line: the machine without its NICs and data disks, which are plugged in over QMP. Pure.

A frozen machine can be restored only into one with the same devices, so all machines have the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

QEMU: Final = "qemu-system-x86_64"
MONITOR: Final = "qmp"
AGENT: Final = "qga"
"""Sockets in a machine's folder. Short: a path of a socket has 107 characters, a host's name up to 63."""
FIRST_SLOT: Final = 7
"""Where NICs begin on the PCI bus: each has the same place after every boot."""
CPU: Final = {"kvm": "host", "tcg": "qemu64,-svm"}
"""Emulated, a plain processor is the fastest: programs do not choose instructions that cost much to emulate, and
without svm nothing loads the drivers of KVM."""
CACHE: Final = {"kvm": "kvm", "tcg": "tcg,tb-size=256"}
"""MiB of translated code that an emulated machine keeps; by default it is 1 GiB."""


def command(folder: Path, name: str, memory: int, accelerator: str, *, restore: bool) -> list[str]:
    """QEMU for a machine of `memory` MiB whose disk, console and sockets are in a folder; it starts paused.

    With `restore` it waits for the state of a frozen machine. Writes that the guest has not flushed are lost with the
    power, flushed ones are not: QEMU's cache is write-back, and a flush goes down to the disk of this machine.
    """
    return [
        QEMU,
        *("-name", name),
        *("-nodefaults", "-no-user-config"),
        *("-display", "none", "-vga", "none"),
        *("-machine", "pc", "-accel", CACHE[accelerator], "-cpu", CPU[accelerator]),
        *("-smp", "1", "-m", str(memory)),
        "-S",
        *("-chardev", f"file,id=console,path={quoted(folder / 'console.log')}", "-serial", "chardev:console"),
        *("-qmp", f"unix:{quoted(folder / MONITOR)},server=on,wait=off"),
        *("-blockdev", f"driver=file,node-name=file,filename={quoted(folder / 'disk.qcow2')},discard=unmap"),
        *("-blockdev", "driver=qcow2,node-name=system,file=file,discard=unmap"),
        # The BIOS looks at the first disk alone, and without an index takes a data disk for it.
        *("-device", "virtio-blk-pci,id=system-disk,drive=system,bus=pci.0,addr=3,bootindex=0"),
        *("-device", "virtio-serial-pci,id=serial,bus=pci.0,addr=4"),
        *("-chardev", f"socket,id=agent,path={quoted(folder / AGENT)},server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-device", "virtio-rng-pci,id=random,bus=pci.0,addr=5"),
        *("-device", "virtio-scsi-pci,id=scsi,bus=pci.0,addr=6"),
        *(("-incoming", "defer") if restore else ()),
    ]


def quoted(path: Path) -> str:
    """A path inside an option of QEMU's: a comma is doubled."""
    return str(path).replace(",", ",,")
