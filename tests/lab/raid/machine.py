"""A virtual machine of a lab that has disks, and what tests of arrays do with it and want to know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.lab.conftest import LabHandle

HOST: Final = "one"
PATIENCE: Final = 900.0
"""Seconds for what a quiet machine does in ten, emulated beside others."""
BAKED: Final = ("mdadm",)
"""In the image where its installation is not what a test is about: it makes an early boot, which takes minutes."""
QUICK: Final = "echo MODULES=dep >/etc/initramfs-tools/conf.d/quick"
"""Shell: an early boot with the modules of this machine alone takes a fraction of the time to make."""
FILLED: Final = "cd {mount} && dd if=/dev/urandom of=data bs=1M count=60 status=none && sha256sum data >sum && sync"
"""Shell: 60 MiB that are known again."""
SLOW: Final = "echo 1000 >/proc/sys/dev/raid/speed_limit_max"
FAST: Final = "echo 200000 >/proc/sys/dev/raid/speed_limit_max"
"""KiB a second: slow enough for a rebuild to be seen, and the kernel's own."""


def inventory(
    raid: Mapping[str, Any] | None = None,
    disks: Mapping[str, str] | None = None,
    packages: Sequence[str] = (),
    release: int = 12,
) -> str:
    """The one host, its disks (name → size), its arrays, what its image holds; a JSON text, which is YAML too."""
    host: dict[str, Any] = {"hardware": {"disks": {name: {"size": size} for name, size in (disks or {}).items()}}}
    if raid is not None:
        host["raid"] = {"monitor": {"mail": "root"}, **raid}
    lab = {"lab": {"driver": "qemu", "network": "10.79.0.0/24", "packages": list(packages), "release": release}}
    hosts = {HOST: {"ansible_host": "10.79.0.11", "hakit": host}}
    return json.dumps({"all": {"vars": {"hakit": lab}, "hosts": hosts}}, indent=1)


@dataclass(frozen=True)
class Machine:
    """The host of a lab of one."""

    lab: LabHandle

    def declare(self, text: str) -> None:
        """Change the inventory."""
        (self.lab.inventory / "hosts.yml").write_text(text, encoding="utf-8")

    def sh(self, script: str, timeout: float = PATIENCE) -> str:
        """What a shell script prints that must end well, without SSH."""
        done = self.lab.lab.exec(HOST, ["sh", "-c", script], timeout=timeout)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def true(self, script: str) -> bool:
        """Whether a shell script ends well."""
        return self.lab.lab.exec(HOST, ["sh", "-c", script], timeout=PATIENCE).returncode == 0

    def eventually(self, script: str, what: str) -> None:
        """Wait until a shell script ends well."""
        self.lab.eventually(lambda: self.true(script), what, timeout=PATIENCE)

    def await_disks(self, serials: tuple[str, ...]) -> None:
        """Wait until the kernel and udev have found the disks with these serials."""
        wanted = " && ".join(f"test -e /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{serial}" for serial in serials)
        self.eventually(wanted, f"{', '.join(serials)} are found")
        self.sh("udevadm settle --timeout=600")

    def power_cycle(self, between: Callable[[], None] = lambda: None) -> None:
        """Off in order, and on again."""
        self.lab.lab.power(HOST, "off")
        between()
        self.lab.lab.power(HOST, "on")

    def apply(self, *arguments: str) -> str:
        """`hakit apply`, which must end well; what it said."""
        done = self.lab.hakit("apply", "--yes", *arguments, timeout=2 * PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def settled(self) -> None:
        """A second apply finds nothing to do."""
        assert "0 hosts changed, 1 unchanged" in (said := self.apply()), said

    def md(self, array: str) -> str:
        """The kernel's name of an array that runs under its own name, such as `md127`."""
        return self.sh(f"basename $(readlink -f /dev/md/{array})").strip()

    def state(self, array: str, name: str) -> str:
        """A value of an array in sysfs, as `degraded`."""
        return self.sh(f"cat /sys/class/block/$(basename $(readlink -f /dev/md/{array}))/md/{name}").strip()

    def members(self, array: str) -> set[str]:
        """The serials of the disks that are in an array and in step with it."""
        script = (
            f"md=$(basename $(readlink -f /dev/md/{array})); for one in /sys/class/block/$md/md/dev-*; do"
            " grep -q in_sync $one/state && lsblk --nodeps --noheadings --output SERIAL"
            " /dev/$(lsblk --noheadings --nodeps --output PKNAME /dev/${one##*/dev-} | grep . || echo ${one##*/dev-});"
            " done; true"
        )
        return set(self.sh(script).split())

    def holds(self, mount: str) -> bool:
        """Whether a mount, once it is there, holds what `FILLED` wrote; a host boots without waiting for it."""
        self.eventually(f"mountpoint -q {mount}", f"{mount} is mounted")
        return self.true(f"cd {mount} && sha256sum -c sum")

    def idle(self, array: str) -> None:
        """Wait until an array neither builds, rebuilds nor reshapes."""
        script = (
            f"md=/sys/class/block/$(basename $(readlink -f /dev/md/{array}))/md;"
            " grep -qx idle $md/sync_action && grep -qx 0 $md/degraded"
        )
        self.eventually(script, f"{array} has all its members, in step")
