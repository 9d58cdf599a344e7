"""The disk of a virtual machine, made from a Debian in a folder: bootable by any BIOS, without a loop mount."""

from __future__ import annotations

import os
import struct
import subprocess
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import requirements

if TYPE_CHECKING:
    from pathlib import Path

SECTOR: Final = 512
SIZE: Final = 16 << 30
"""Bytes; the file takes room only for what is written."""
START: Final = 2048
"""Sectors before the file system, where GRUB lies: 1 MiB, as partitioning tools leave it."""
FEATURES: Final = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
"""Those of Debian 12's mkfs.ext4: newer ones add what its GRUB can't read."""
LINUX: Final = 0x83
BOOT_CODE: Final = 440
"""Bytes of the master boot record before the disk's signature."""
MODULES: Final = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "echo", "test", "boot")
KERNEL_OPTIONS: Final = (
    "root=/dev/vda1",
    "ro",
    "console=ttyS0",
    "net.ifnames=0",
    "quiet",
    "systemd.show_status=true",
    # What costs an emulated machine seconds at each boot and nobody a lab is made for.
    "nokaslr",
    "mitigations=off",
    "cryptomgr.notests",
    "apparmor=0",
)
GRUB: Final = f"linux /vmlinuz {' '.join(KERNEL_OPTIONS)}\ninitrd /initrd.img\nboot\n"
"""Debian keeps these two links at its newest kernel, so an upgraded one is booted, with its own initramfs."""


def boot_record(code: bytes, sectors: int, signature: bytes) -> bytes:
    """A master boot record: GRUB's code, and one active Linux partition up to the disk's end. Pure.

    GRUB's boot.img finds its core in the second sector unless it is told otherwise, which is where it is put.
    """
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", LINUX, b"\xfe\xff\xff", START, sectors - START)
    return code[:BOOT_CODE].ljust(BOOT_CODE, b"\0") + signature[:4] + b"\0\0" + entry + bytes(48) + b"\x55\xaa"


def make(root: Path, target: Path, size: int = SIZE) -> None:
    """Write the Debian in `root` to a qcow2 image. It must hold a kernel and grub-pc-bin. Raises LabError."""
    grub = root / "boot/grub"
    grub.mkdir(exist_ok=True)
    (grub / "grub.cfg").write_text(GRUB, encoding="ascii")
    core = ["-O", "i386-pc", "-o", "/boot/grub/core.img", "-p", "(hd0,msdos1)/boot/grub", *MODULES]
    _run("chroot", str(root), "grub-mkimage", *core)
    raw = target.with_suffix(".raw")
    try:
        with raw.open("wb") as disk:
            disk.truncate(size)
            code = (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()
            disk.write(boot_record(code, size // SECTOR, os.urandom(4)))
            core_image = (grub / "core.img").read_bytes()
            if len(core_image) > (START - 1) * SECTOR:
                raise LabError("GRUB does not fit before the first partition")
            disk.write(core_image)
        offset = START * SECTOR
        # Whole inode tables now: else the kernel writes them in each machine, for minutes.
        options = f"offset={offset},nodiscard,lazy_itable_init=0,lazy_journal_init=0"
        kib = (size - offset) // 1024
        shape = ["-m", "0", "-i", "32768", "-O", FEATURES, "-E", options]
        _run("mkfs.ext4", "-q", "-F", *shape, "-d", str(root), str(raw), f"{kib}k")
        _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(target))
    finally:
        raw.unlink(missing_ok=True)


def overlay(target: Path, below: Path) -> None:
    """A new disk that begins as another one and keeps its own changes; only root reads it. Raises LabError."""
    target.unlink(missing_ok=True)
    _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(below), str(target))
    target.chmod(0o600)


def _run(*command: str) -> None:
    environment = {"PATH": requirements.PATH, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise LabError(f"{command[0]} failed while a disk was made", why=(done.stderr or done.stdout).strip())
