"""What the lab needs on this machine, and how to get it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS: Final = {
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
}
"""Program → the Debian package that brings it, whatever hosts are made of."""
DRIVERS: Final[Mapping[str, Mapping[str, str]]] = {
    "nspawn": {"systemd-nspawn": "systemd-container"},
    "qemu": {
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "mkfs.ext4": "e2fsprogs",
        "zstd": "zstd",
    },
    "vagrant": {
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "mkfs.ext4": "e2fsprogs",
        "vagrant": "vagrant",
        "/usr/share/vagrant-plugins/plugins.d/vagrant-libvirt.json": "vagrant-libvirt",
        "libvirtd": "libvirt-daemon",
        "/usr/lib/systemd/system/libvirtd.service": "libvirt-daemon-system",
        "virsh": "libvirt-clients",
        "dnsmasq": "dnsmasq-base",
        "iptables": "iptables",
        "dmidecode": "dmidecode",
    },
}
"""The same by driver: what its hosts are made of. A package without programs is known by a file. The Makefile installs
the same packages."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where root's programs are; the PATH of a user, and of root behind `su`, lacks half of it."""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def missing(driver: str) -> tuple[str, ...]:
    """The Debian packages that a driver needs and that are not installed on this machine."""
    programs = {**PROGRAMS, **DRIVERS[driver]}
    packages = {package for program, package in programs.items() if not _there(program)}
    if not KEYRING.exists():
        packages.add("debian-archive-keyring")
    return tuple(sorted(packages))


def _there(program: str) -> bool:
    """Whether a program is on the PATH, or a file where its path says."""
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=PATH) is not None


def check(driver: str) -> None:
    """Raises LabError, with the command that installs what is missing."""
    packages = missing(driver)
    if packages:
        raise LabError(
            f"the lab needs Debian packages that this machine lacks: {', '.join(packages)}",
            hint=f"apt-get install --no-install-recommends {' '.join(packages)}",
        )


if __name__ == "__main__":
    print(*sorted({package for name in sys.argv[1:] for package in missing(name)}))  # noqa: T201 - for the Makefile
