"""The box that machines of Vagrant are made of: the virtual machines' Debian with a way in for Vagrant."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from hakit.errors import LabError
from hakit.lab import image as base
from hakit.lab import requirements
from hakit.lab.disk import DiskFile, KeyPair
from hakit.lab.qemu import bootdisk
from hakit.lab.qemu.image import FILES, DiskImage
from hakit.lab.qemu.machine import packed
from hakit.lab.state import CACHE, locked
from hakit.lab.vagrant.setup import USER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hakit.lab.disk import Accounts

RECIPE: Final = 1
"""Part of the box's key: raise it whenever this module makes another box of the same files."""
USER_ID: Final = 900
"""Below 1000, which is the first person's: an inventory's own user."""
SLOT: Final = "0x1e"
"""Where Vagrant's own NIC is on the PCI bus: among the last, so that it takes no other device's place."""
LINK: Final = f"[Match]\nPath=pci-0000:00:{SLOT[2:]}.0*\n\n[Link]\nName=vagrant0\n"
LEASE: Final = """\
#!/bin/sh
# What udhcpc has of a lease, for the NIC by which Vagrant comes in.
case $1 in
deconfig)
    ip address flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    ip address replace "$ip/$mask" dev "$interface" valid_lft "$lease" preferred_lft "$lease"
    if [ -n "${router:-}" ]; then
        ip route replace default via "${router%% *}" dev "$interface" metric 1024
        for server in ${dns:-}; do echo "nameserver $server"; done >/etc/resolv.conf
    fi
    ;;
esac
"""
DHCP: Final = """\
[Unit]
Description=The NIC by which Vagrant comes in
BindsTo=sys-subsystem-net-devices-vagrant0.device
After=sys-subsystem-net-devices-vagrant0.device

[Service]
ExecStart=/bin/busybox udhcpc -f -i vagrant0 -t 30 -T 1 -A 5 -s /usr/local/lib/vagrant-lease
Restart=always
RestartSec=1
"""
KEYS: Final = """\
[Unit]
Description=A key of its own for sshd
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
"""
WANTED: Final = {
    "sys-subsystem-net-devices-vagrant0.device.wants/vagrant-nic.service": "../vagrant-nic.service",
    "ssh.service.wants/vagrant-keys.service": "../vagrant-keys.service",
}
"""What starts the units: links below /etc/systemd/system."""
VAGRANTFILE: Final = f"""\
Vagrant.configure("2") do |config|
  config.ssh.private_key_path = File.expand_path("vagrant_private_key", __dir__)
  config.ssh.insert_key = false # the key is this box's own already
  config.vm.provider :libvirt do |libvirt|
    libvirt.management_network_pci_bus = "0x00"
    libvirt.management_network_pci_slot = "{SLOT}"
  end
end
"""
"""Comes with the box: whoever uses it gets these settings (Vagrant's box format)."""
PRIVATE_KEY: Final = "vagrant_private_key"


def box_files(public_key: str, accounts: Accounts) -> tuple[DiskFile, ...]:
    """What the box has beyond the image: Vagrant's user, who becomes root without a password, by the box's own key."""
    home = f"/home/{USER}"
    return (
        DiskFile("/etc/passwd", f"{accounts.passwd}{USER}:x:{USER_ID}:{USER_ID}::{home}:/bin/bash\n".encode()),
        DiskFile("/etc/shadow", f"{accounts.shadow}{USER}:*:19000:0:99999:7:::\n".encode(), 0o640, 0, 42),
        DiskFile("/etc/group", f"{accounts.group}{USER}:x:{USER_ID}:\n".encode()),
        DiskFile(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n".encode(), 0o440),
        DiskFile(f"{home}/.ssh/authorized_keys", f"{public_key} hakit-box\n".encode(), 0o600, USER_ID, USER_ID),
        DiskFile("/usr/local/lib/vagrant-lease", LEASE.encode(), 0o755),
    )


@dataclass(frozen=True)
class Box(DiskImage):
    """The image of a box; its folder holds what a box for libvirt consists of, and the account files."""

    kind: ClassVar[str] = "-box"
    recipe: ClassVar[tuple[str, ...]] = (*DiskImage.recipe, str(RECIPE), LEASE, VAGRANTFILE, *WANTED)
    files: ClassVar[Mapping[str, str]] = {
        **DiskImage.files,
        **FILES,
        "etc/systemd/network/10-vagrant.link": LINK,
        "etc/systemd/system/vagrant-nic.service": DHCP,
        "etc/systemd/system/vagrant-keys.service": KEYS,
    }

    def finish(self, root: Path) -> None:
        """Turn the Debian in a folder into a folder with the box's parts."""
        pair = KeyPair.new()
        unpack = ["tar", "--extract", "--preserve-permissions", "--no-overwrite-dir", f"--directory={root}", "--file=-"]
        subprocess.run(unpack, input=packed(box_files(pair.public, base.accounts(root))), check=True)
        for name, target in WANTED.items():
            link = root / "etc/systemd/system" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        super().finish(root)
        (root / "disk.qcow2").rename(root / "box.img")
        metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": bootdisk.SIZE >> 30}
        (root / "metadata.json").write_text(f"{json.dumps(metadata)}\n", encoding="ascii")
        (root / "Vagrantfile").write_text(VAGRANTFILE, encoding="ascii")
        key = root / PRIVATE_KEY
        key.touch(0o600)
        key.write_bytes(pair.private)


PARTS: Final = ("metadata.json", "Vagrantfile", PRIVATE_KEY, "box.img")
HOME: Final = CACHE / "vagrant"
"""Where the Vagrant of labs keeps its boxes; people's own are in their homes."""


def pack(image: Path, target: Path, owner: tuple[int, int]) -> None:
    """Write the box of an image into one file, which belongs to `owner` alone: it holds the box's key."""
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with (
            os.fdopen(handle, "wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive,
        ):
            for name in PARTS:
                archive.add(image / name, name)
            os.fchown(file.fileno(), *owner)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def name_in_labs(image: Path) -> str:
    """What the Vagrant of labs calls the box of an image: each image is a box of its own."""
    return f"hakit/{image.name}"


def add_for_labs(image: Path, progress: Callable[[str], None]) -> str:
    """Have the Vagrant of labs know the box of an image; returns its name. Raises LabError."""
    name = name_in_labs(image)
    if _known(name):
        return name
    with locked(HOME, "another lab adds its box", progress):
        for folder in (HOME / "boxes").glob("hakit-VAGRANTSLASH-*"):
            old = folder.name.replace("-VAGRANTSLASH-", "/")
            if not (image.parent / old.removeprefix("hakit/")).exists():
                vagrant("box", "remove", "--force", "--all", old)
        if not _known(name):
            file = HOME / f"{image.name}.box"
            try:
                pack(image, file, (0, 0))
                vagrant("box", "add", "--force", "--name", name, str(file))
            finally:
                file.unlink(missing_ok=True)
    return name


def _known(name: str) -> bool:
    return (HOME / "boxes" / name.replace("/", "-VAGRANTSLASH-") / "0/libvirt/metadata.json").exists()


def environment() -> dict[str, str]:
    """What Vagrant gets of this process's environment: nothing; it asks nobody for news."""
    return {
        "PATH": requirements.PATH,
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "VAGRANT_HOME": str(HOME),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_NO_COLOR": "1",
    }


def vagrant(*words: str) -> None:
    """Run a command of the labs' Vagrant that is about no machine. Raises LabError."""
    done = subprocess.run(["vagrant", *words], capture_output=True, text=True, cwd="/", env=environment(), check=False)
    if done.returncode:
        raise LabError(f"vagrant {' '.join(words[:2])} failed", why=(done.stderr or done.stdout).strip()[-2000:])
