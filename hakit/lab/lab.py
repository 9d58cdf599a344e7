"""The lab as the rest of hakit sees it: the same operations for root and, through sudo, for a user."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

from hakit.errors import LabError
from hakit.lab import privilege
from hakit.lab.plan import HostStatus, LabPlan, lab_plan
from hakit.lab.state import Place, is_up, read_record

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hakit.inventory.model import Site
    from hakit.lab.plan import NewDisk, Power


def _silent(_: str) -> None:
    """For callers who want no progress."""


class Lab:
    """The lab of an inventory, whether it is up or not."""

    def __init__(self, plan: LabPlan) -> None:
        self.plan = plan
        self._place = Place(plan.id)

    @classmethod
    def of(cls, site: Site, driver: str | None = None) -> Self:
        """The lab that a site declares; starts nothing. Raises LabError when it declares none.

        With a `driver`, its hosts are made by that one whatever the site says. Where none is named, a lab that was made
        so is known by its record.
        """
        plan = lab_plan(site)
        record = read_record(Place(plan.id))
        if driver is None and record is not None and record.plan.chosen:
            driver = record.plan.driver
        if driver == "nspawn" and any(host.hardware for host in site.hosts.values()):
            raise LabError(
                f"{site.source}: hakit.hardware: containers have none of their own",
                hint="Make the lab of virtual machines:  --driver qemu  or  vagrant.",
            )
        if driver is not None and driver != plan.driver:
            plan = replace(plan, driver=driver, chosen=True)
        return cls(plan)

    @property
    def namespace(self) -> str:
        """The name of the lab's network namespace."""
        return self._place.namespace

    @property
    def identity_file(self) -> Path:
        """The private key that the lab's hosts accept."""
        return self._place.identity_file

    @property
    def known_hosts(self) -> Path:
        """The lab's host keys."""
        return self._place.known_hosts

    def console(self, host: str) -> Path:
        """A host's console log."""
        return self._place.host(host) / "console.log"

    def is_up(self) -> bool:
        """Whether the lab was brought up completely and its network is there."""
        return is_up(self._place)

    def up(self, progress: Callable[[str], None] = _silent) -> None:
        """Bring up what is missing; returns when sshd answers on every host. Raises LabError."""
        privilege.call("up", self.plan, {"owner": list(privilege.invoking_user())}, progress)

    def box(self, release: int, target: Path, progress: Callable[[str], None] = _silent) -> None:
        """Make a box of Vagrant's of one of the hosts' releases of Debian, in a file. Raises LabError."""
        arguments = {"release": release, "target": str(target.absolute()), "owner": list(privilege.invoking_user())}
        privilege.call("box", self.plan, arguments, progress)

    def down(self, progress: Callable[[str], None] = _silent) -> None:
        """Remove the lab and everything on its disks. Raises LabError."""
        privilege.call("down", self.plan, {}, progress)
        privilege.hang_up(self.plan.id)

    def status(self) -> tuple[HostStatus, ...]:
        """How every host stands. Raises LabError."""
        found: list[dict[str, Any]] = privilege.call("status", self.plan, {}, _silent)
        return tuple(HostStatus.from_json(one) for one in found)

    def power(self, host: str, action: Power, progress: Callable[[str], None] = _silent) -> None:
        """Switch a host `on` (returns when sshd answers), `off` in order, or `pull` its power. Raises LabError."""
        privilege.call("power", self.plan, {"name": host, "action": action}, progress)

    def link(self, host: str, nic: str | None, *, up: bool) -> tuple[str, ...]:
        """Plug in or pull a NIC's cable, all of the host's when `nic` is None; returns their names. Raises LabError."""
        return tuple(privilege.call("link", self.plan, {"name": host, "nic": nic, "up": up}, _silent))

    def plug(self, host: str, disk: str, *, place: int | None = None, new: NewDisk | None = None) -> int:
        """Plug a disk in, at once where the host runs; returns its place. Raises LabError.

        Without `place` it comes where it was, or into the first place that is free. `new` makes it first.
        """
        arguments = {"name": host, "disk": disk, "place": place, "new": asdict(new) if new else None}
        made: int = privilege.call("plug", self.plan, arguments, _silent)
        return made

    def unplug(self, host: str, disk: str) -> None:
        """Take a disk out, at once where the host runs; it keeps its content, as in a drawer. Raises LabError."""
        privilege.call("unplug", self.plan, {"name": host, "disk": disk}, _silent)

    def arrange(self, host: str, disks: Sequence[str]) -> None:
        """Have exactly these disks plugged in, in this order, while the host is off. Raises LabError."""
        privilege.call("arrange", self.plan, {"name": host, "disks": list(disks)}, _silent)

    def checksum(self, host: str, disk: str) -> str:
        """Tells whether a disk's bytes are what they were. Raises LabError while it is in a host that runs."""
        found: str = privilege.call("checksum", self.plan, {"name": host, "disk": disk}, _silent)
        return found

    def dial(self, address: str, port: int, timeout: float) -> socket.socket:
        """A TCP connection made inside the lab's network, to an address or a host's name. Raises OSError, LabError."""
        self._need_up()
        address = self.plan.resolve(address)
        made = privilege.open_socket(self.plan, ipv6=":" in address)
        try:
            made.settimeout(timeout)
            made.connect((address, port))
            made.settimeout(None)
        except BaseException:
            made.close()
            raise
        return made

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab's network, on no host; `options` are those of `subprocess.run`. Raises LabError."""
        self._need_up()
        return _run([*self.enter(), *command], options)

    def enter(self) -> list[str]:
        """The words before a command that make it run in the lab's network."""
        return [*privilege.sudo(), "nsenter", f"--net={self._place.namespace_file}", "--"]

    def exec(self, host: str, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside a host as root, without ssh; `options` as for `run`. Raises LabError."""
        return _run([*self.enter_host(host), *command], options)

    def enter_host(self, host: str) -> list[str]:
        """The words before a command that make it run inside a host as root, without ssh. Raises LabError."""
        self._need_up()
        words: list[str] = privilege.call("enter", self.plan, {"name": host}, _silent)
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*privilege.sudo(), *words, "env", "-i", path, "HOME=/root"]

    def ssh(self, host: str, command: Sequence[str] = ()) -> list[str]:
        """The ssh command that logs in on a host; sockets come from the lab's network by OpenSSH's fd passing.

        Raises LabError.
        """
        self._need_up()
        target = self.plan.host(host)
        if not target.address:
            raise LabError(f"{host} is the lab's switch, which has no address to log in at")
        # ssh runs this by the user's shell, with "exec" before it.
        program = ["env", f"--chdir={privilege.PACKAGE}", *privilege.PROGRAM, "connect", self.plan.id]
        options = {
            "ProxyCommand": f"{shlex.join(program)} %h %p",
            "ProxyUseFdpass": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self.identity_file),
            "ServerAliveInterval": "5",
            # An emulated machine on a busy computer may say nothing for longer than the usual 15 s.
            "ServerAliveCountMax": "12" if self.plan.virtual else "3",
            "LogLevel": "ERROR",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", *words, "-p", str(target.port), f"{target.user}@{target.address}", *command]

    def _need_up(self) -> None:
        if not self.is_up():
            raise down(self.plan)


def down(plan: LabPlan) -> LabError:
    """The error that says how to bring the lab up."""
    return LabError(
        "the lab of this inventory is down",
        why="An inventory that declares a lab is reached only in it, never over this machine's own network.",
        hint=f"Bring it up with  hakit lab up -i {_short(plan.inventory)}",
    )


def _short(path: str) -> str:
    """The path as a user would type it: relative where that is shorter, the folder where it holds hosts.yml."""
    shown = path.removesuffix("/hosts.yml").removesuffix("/hosts.yaml")
    relative = os.path.relpath(shown)
    return relative if len(relative) < len(shown) else shown


def _run(words: list[str], options: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "stdin": subprocess.DEVNULL}
    if "input" in options:
        del defaults["stdin"]
    done: subprocess.CompletedProcess[str] = subprocess.run(words, **(defaults | options))  # noqa: PLW1510 - in defaults
    return done
