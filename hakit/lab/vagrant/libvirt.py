"""A libvirt of the lab's own: its daemon lives in the lab's network and keeps to the lab's folder. Needs root.

Nothing of the machine's own libvirt is touched, whether there is one or not; the lab's ends with the lab.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import namespace, requirements
from hakit.lab.cgroup import entering, kill, lab_cgroup, launch, populated
from hakit.lab.machine import COLOURS
from hakit.lab.state import boot_id
from hakit.lab.vagrant import box
from hakit.lab.vagrant.shape import domain

if TYPE_CHECKING:
    from hakit.lab.state import Place

WITHIN: Final = Path(__file__).with_name("within.sh")
CGROUP: Final = ".libvirt"
VAGRANT_CGROUP: Final = ".vagrant"
"""The cgroups of the daemon and of Vagrant, beside those of the hosts; no host name begins with a dot."""
PATIENCE: Final = 60.0
"""Seconds for the daemon to answer; on a quiet machine it takes one."""
NOTICE: Final = 30.0
"""Seconds for the daemon to notice that a machine's process has gone; it takes a tenth."""
NOISE: Final = re.compile(r"\s+from /\S+:\d+:in |.*Progress: \d+%$|\s*$")
"""Lines that tell nobody what went wrong: those of a Ruby traceback below its first, and how far an upload was."""
POOL: Final = "default"
"""Where vagrant-libvirt keeps the disks of machines."""
URI: Final = "qemu:///system"
QEMU_CONF: Final = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
"""
"""The lab is root's and has a network of its own: machines need no user, label or cgroup of libvirt's, nor virtlogd."""
LIBVIRTD_CONF: Final = (
    'auth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_ro_perms = "0700"\nunix_sock_rw_perms = "0700"\n'
)


def network_xml(name: str) -> str:
    """The lab's bridge as a network of libvirt's, which makes nothing of its own."""
    return f"<network><name>{name}</name><forward mode='bridge'/><bridge name='{namespace.BRIDGE}'/></network>\n"


def gist(said: str, lines: int = 8) -> str:
    """The end of what Vagrant said, without noise."""
    kept = [line for line in COLOURS.sub("", said).splitlines() if not NOISE.match(line)]
    return "\n  ".join(kept[-lines:])


@dataclass(frozen=True, slots=True)
class Libvirt:
    """The libvirt of a lab, whether it runs or not."""

    place: Place

    @property
    def folder(self) -> Path:
        """What it has in place of /etc/libvirt, /var/lib/libvirt and others."""
        return self.place.folder / "libvirt"

    @property
    def machines(self) -> Path:
        """What Vagrant knows of each machine."""
        return self.place.folder / "vagrant" / "machines"

    def enter(self, *command: str) -> list[str]:
        """A command that runs where this libvirt is."""
        words = ["nsenter", f"--net={self.place.namespace_file}", "unshare", "--mount", "--propagation=private"]
        return [*words, "sh", str(WITHIN), str(self.folder), *command]

    def start(self) -> None:
        """Start the daemon, unless it answers, and have the lab's network known. Raises LabError."""
        group = lab_cgroup(self.place) / CGROUP
        if not populated(group):
            self._configure()
            with (self.place.folder / "libvirt.log").open("ab") as log:
                launch(group, self.enter("env", "-i", f"PATH={requirements.PATH}", "LC_ALL=C.UTF-8", "libvirtd"), log)
        deadline = time.monotonic() + PATIENCE
        while self.ask("uri") is None:
            if not populated(group) or time.monotonic() > deadline:
                log_file = self.place.folder / "libvirt.log"
                tail = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-6:]
                raise LabError("libvirtd does not answer", why="\n  ".join(tail), hint=f"Its log: {log_file}")
            time.sleep(0.1)
        self._networks()

    def ask(self, *words: str) -> str | None:
        """What virsh says; None when it fails."""
        done = self._virsh(*words)
        return None if done.returncode else done.stdout

    def virsh(self, *words: str) -> str:
        """What virsh says. Raises LabError."""
        done = self._virsh(*words)
        if done.returncode:
            raise LabError(f"virsh {' '.join(words)} failed", why=done.stderr.strip())
        return done.stdout

    def process(self, host: str) -> int | None:
        """The process of a host's machine; None when it is off."""
        name = domain(self.place.id, host)
        try:
            number = int((self.folder / "run/qemu" / f"{name}.pid").read_text(encoding="ascii"))
            words = Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        except (OSError, ValueError):
            return None
        # Where libvirt was killed, its file outlives the process, and the number may be another's by now.
        return number if any(word.startswith(f"guest={name},") for word in words) else None

    def await_off(self, host: str) -> None:
        """Wait until the daemon knows that a host's machine is off. Raises LabError."""
        deadline = time.monotonic() + NOTICE
        while self.virsh("domstate", domain(self.place.id, host)).strip() not in ("shut off", "crashed"):
            if time.monotonic() > deadline:
                raise LabError(f"libvirt takes {host} for running still, though it is off")
            time.sleep(0.1)

    def forget(self, host: str) -> None:
        """Remove what there is of a host's machine, however far its making went. Raises LabError.

        Not by Vagrant: it knows neither a machine whose number it has not written down yet, nor disks without one.
        """
        name = domain(self.place.id, host)
        shutil.rmtree(self.machines / host, ignore_errors=True)
        if self.ask("domstate", name) is not None:
            self.ask("destroy", name)
            self.virsh("undefine", name)
        disks = re.compile(rf"{re.escape(name)}(\.img|-vd[a-z]+\.qcow2)")
        for volume in self._volumes():
            if disks.fullmatch(volume.name):
                self.virsh("vol-delete", "--pool", POOL, volume.name)

    def forget_half_uploaded(self, image: Path) -> None:
        """Remove a copy of a box that a killed `up` has left unfinished: Vagrant would take it for whole."""
        whole = (image / "box.img").stat().st_size
        begins = box.name_in_labs(image).replace("/", "-VAGRANTSLASH-")
        for volume in self._volumes():
            if volume.name.startswith(f"{begins}_vagrant_box_image_") and volume.stat().st_size != whole:
                self.virsh("vol-delete", "--pool", POOL, volume.name)

    def vagrant(self, log: Path, vagrantfile: Path, *words: str) -> None:
        """Run Vagrant on the lab's machines; what it says is in `log`. Raises LabError."""
        settings = {
            **box.environment(),
            "VAGRANT_CWD": str(vagrantfile.parent),
            "VAGRANT_VAGRANTFILE": vagrantfile.name,
            "VAGRANT_DOTFILE_PATH": str(self.machines.parent),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "HAKIT_LAB_PLAN": str(self.place.folder / "vagrant.json"),
        }
        group = lab_cgroup(self.place) / VAGRANT_CGROUP
        # Whoever holds the lab's lock is alone here: a Vagrant that still runs was left by a killed `up`.
        kill(group)
        with log.open("ab") as out:
            done = subprocess.run(
                [*entering(group), *self.enter("vagrant", *words)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                env=settings,
                check=False,
            )
        if done.returncode:
            raise LabError(
                f"vagrant {words[0]} {words[-1]} failed",
                why=gist(log.read_text(encoding="utf-8", errors="replace")) or None,
                hint=f"Its log: {log}",
            )

    def _volumes(self) -> tuple[Path, ...]:
        return tuple(sorted((self.folder / "lib/images").glob("*")))

    def _virsh(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.enter("virsh", "--quiet", "--connect", URI, *words)
        return subprocess.run(
            command, capture_output=True, text=True, cwd="/", env=box.environment(), check=False, timeout=120
        )

    def _configure(self) -> None:
        boot = self.folder / "boot"
        if not boot.exists() or boot.read_text(encoding="ascii") != boot_id():
            # What ran in another boot of this machine does not run any more.
            shutil.rmtree(self.folder / "run", ignore_errors=True)
        (self.folder / "etc").mkdir(parents=True, exist_ok=True)
        (self.folder / "etc/qemu.conf").write_text(QEMU_CONF, encoding="ascii")
        (self.folder / "etc/libvirtd.conf").write_text(LIBVIRTD_CONF, encoding="ascii")
        boot.write_text(boot_id(), encoding="ascii")

    def _networks(self) -> None:
        name = self.place.namespace
        known = self.virsh("net-list", "--all", "--name").split()
        if name not in known:
            file = self.folder / "network.xml"
            file.write_text(network_xml(name), encoding="ascii")
            self.virsh("net-define", str(file))
        for asleep in self.virsh("net-list", "--inactive", "--name").split():
            self.virsh("net-start", asleep)
        for line in self.virsh("pool-list", "--inactive", "--name").split():
            self.virsh("pool-start", line)
