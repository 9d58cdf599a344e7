"""The base image of virtual machines: the containers' Debian with a kernel, a boot loader and the guest agent."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from hakit.lab import image as base
from hakit.lab.qemu import bootdisk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECIPE: Final = 1
"""Part of the image's key: raise it whenever this module or `bootdisk` makes another disk of the same packages."""
PACKAGES: Final = (
    "busybox",
    "grub-pc-bin",
    "initramfs-tools",
    "kmod",
    "linux-image-cloud-amd64",
    "qemu-guest-agent",
    "udev",
    "zstd",
)
"""What a machine needs beyond a container to boot by itself; the kernel is Debian's for virtual machines."""
MASKED: Final = (
    "dev-hugepages.mount",
    "grub-common.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "serial-getty@ttyS0.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
)
"""Units without a purpose on a server in a lab that cost an emulated boot seconds; modules are loaded when needed."""
PLACEHOLDER: Final = "0123456789abcdef0123456789abcdef"
"""The machine-id until a machine gets its own: with none, systemd would take each boot for the first."""
FILES: Final = {
    "etc/machine-id": f"{PLACEHOLDER}\n",
    "etc/fstab": "/dev/vda1 / ext4 noatime,errors=remount-ro 0 1\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n",
    "etc/systemd/system/ssh.service.d/hakit-lab.conf": (
        "# A machine's own keys come after its first boot.\n[Unit]\nConditionPathExists=/etc/ssh/ssh_host_ed25519_key\n"
    ),
}


@dataclass(frozen=True)
class DiskImage(base.Image):
    """A base image of virtual machines; its folder holds `disk.qcow2` and the account files."""

    kind: ClassVar[str] = "-vm"
    takes: ClassVar[str] = "two minutes, on a busy machine five"
    recipe: ClassVar[tuple[str, ...]] = (
        *base.Image.recipe,
        str(RECIPE),
        bootdisk.GRUB,
        bootdisk.FEATURES,
        str(bootdisk.SIZE),
    )
    own: ClassVar[tuple[str, ...]] = (*base.PACKAGES, *PACKAGES)
    masked: ClassVar[tuple[str, ...]] = (*base.MASKED, *MASKED)
    files: ClassVar[Mapping[str, str]] = {**base.FILES, **FILES}

    def finish(self, root: Path) -> None:
        """Turn the Debian in a folder into a folder with its disk."""
        super().finish(root)
        tree = root.with_name(f"{root.name}-root")
        root.rename(tree)
        (root / "etc").mkdir(parents=True)
        for name in ("passwd", "shadow", "group"):
            shutil.copy2(tree / "etc" / name, root / "etc" / name)
        bootdisk.make(tree, root / "disk.qcow2")
        shutil.rmtree(tree)
