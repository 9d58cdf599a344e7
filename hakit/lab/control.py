"""The privileged half of the lab: brings it up, takes it down, breaks it. Everything here needs root.

Each step first looks at what is there, so that `up` and `down` recover from whatever a killed command, a crash or a
restart of the machine has left behind.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from hakit.errors import LabError
from hakit.lab import image as base
from hakit.lab import namespace, packages, requirements, sources
from hakit.lab.cgroup import kill, lab_cgroup, launch, populated, remove_cgroup
from hakit.lab.disk import KeyPair, host_files, known_hosts
from hakit.lab.drivers import driver
from hakit.lab.plan import HostStatus
from hakit.lab.state import CACHE, Place, Record, boot_id, locked, need_root, read_record
from hakit.lab.workers import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hakit.lab.machine import Machine
    from hakit.lab.plan import HostPlan, LabPlan, NewDisk, Power
    from hakit.lab.qemu.drawer import Drawer

PROXY_PORT: Final = 3142
"""Where hosts find the package proxy: the port that Debian's own caching proxies use."""
LONG: Final = 3.0
"""Seconds after which a host that has come up is worth a line of its own."""
PACKAGES_CGROUP: Final = ".packages"
"""The package proxy's cgroup, beside those of the hosts; no host name begins with a dot."""


class Control:
    """The lab of a plan, in the hands of root."""

    def __init__(self, plan: LabPlan) -> None:
        need_root()
        self.plan = plan
        self.place = Place(plan.id)
        self.driver = driver(plan.driver)

    def up(self, owner: tuple[int, int], progress: Callable[[str], None]) -> None:
        """Make what is missing of the lab and power every host on; returns when sshd answers on all. Raises LabError.

        `owner` is the user and group who may use the lab's key.
        """
        requirements.check(self.plan.driver)
        with self._locked(progress):
            upstreams = {release: sources.read(release) for release in self.plan.releases}
            self._check_unchanged()
            Record(self.plan, boot_id(), owner, complete=False).write(self.place)
            namespace.create(self.place, self.plan)
            self._start_packages(tuple(upstreams.values()))
            images = self.driver.prepare(self.plan, self.place, upstreams, self._proxy, progress)
            self._keys(owner)
            self._remove_strangers(progress)
            self._make_disks(images)
            started = self._power_on_all(progress)
            self._await(self.plan.hosts)
            Record(self.plan, boot_id(), owner, complete=True).write(self.place)
        names = ", ".join(started)
        progress(f"powered on {names}" if started else "already up: every host is on and answers")

    def down(self, progress: Callable[[str], None]) -> None:
        """Remove everything of the lab, whatever state it is in. Raises LabError."""
        if not self.place.folder.exists() and not self.place.namespace_file.exists():
            progress("nothing to remove: the lab is down")
            return
        with self._locked(progress):
            with suppress(FileNotFoundError):
                self.place.record.unlink()
            group = lab_cgroup(self.place)
            kill(group)
            remove_cgroup(group)
            namespace.delete(self.place)
            shutil.rmtree(self.place.folder)
        progress("removed: hosts, their disks, the network")

    def box(self, release: int, target: Path, owner: tuple[int, int], progress: Callable[[str], None]) -> None:
        """Make a box of Vagrant's in a file that belongs to `owner`; the lab is as before. Raises LabError."""
        from hakit.lab.vagrant.box import Box, pack  # noqa: PLC0415 - of one driver alone

        requirements.check("qemu")
        there = self.place.folder.exists()
        try:
            with self._locked(progress):
                upstream = sources.read(release)
                namespace.create(self.place, self.plan)
                self._start_packages((upstream,))
                image = base.ensure(Box(release, self.plan.packages, upstream), self.place, self._proxy, progress)
                pack(image, target, owner)
        finally:
            if not there:
                self.down(lambda _: None)

    def status(self) -> tuple[HostStatus, ...]:
        """How every host of the inventory stands."""
        plugged = namespace.cables(self.place)
        return tuple(self._status(host, plugged) for host in self.plan.hosts)

    def power(self, name: str, action: Power, progress: Callable[[str], None]) -> None:
        """Switch a host on (and wait for its sshd), off in order, or pull its power. Raises LabError."""
        machine = self._machine(name)
        with self._locked(progress):
            self._up()
            if action == "on":
                if not machine.started:
                    machine.start()
            elif action == "pull":
                machine.pull()
            elif machine.running:
                machine.power_off(self.driver.shutdown_timeout)
        # Without the lock: another host may be broken while this one boots.
        if action == "on":
            self._await((machine.host,))

    def link(self, name: str, nic: str | None, *, up: bool) -> tuple[str, ...]:
        """Plug a host's cable in or pull it (all its cables when `nic` is None); returns the NICs. Raises LabError."""
        machine = self._machine(name)
        names = tuple(one.name for one in machine.host.nics)
        if nic is not None and nic not in names:
            raise LabError(f"{name} has no NIC {nic}", hint=f"It has {', '.join(names)}.")
        self._up()
        chosen = names if nic is None else (nic,)
        for one in chosen:
            machine.plug(one, up=up)
        return chosen

    def plug(self, name: str, disk: str, place: int | None, new: NewDisk | None) -> int:
        """Plug a disk in, made before where it is new; returns its place. Raises LabError."""
        with self._drawer(name) as drawer:
            if new:
                drawer.add(disk, new, Path(new.image) if new.image else None)
            drawer.plug(disk, place)
            return next(one.place for one in drawer.disks if one.name == disk)

    def unplug(self, name: str, disk: str) -> None:
        """Take a disk out of a host. Raises LabError."""
        with self._drawer(name) as drawer:
            drawer.unplug(disk)

    def arrange(self, name: str, disks: Sequence[str]) -> None:
        """Have exactly these disks plugged in, in this order, from the next boot on. Raises LabError."""
        with self._drawer(name) as drawer:
            drawer.arrange(disks)

    def checksum(self, name: str, disk: str) -> str:
        """Tells whether a disk is what it was. Raises LabError while it is in use."""
        with self._drawer(name) as drawer:
            return drawer.checksum(disk)

    def enter(self, name: str) -> list[str]:
        """The words before a command that make it run inside a host. Raises LabError when the host is off."""
        return self._machine(name).enter()

    def _machine(self, name: str) -> Machine:
        return self.driver.machine(self.place, self.plan.host(name))

    def _machines(self) -> tuple[Machine, ...]:
        return tuple(self.driver.machine(self.place, host) for host in self.plan.machines)

    @contextmanager
    def _drawer(self, name: str) -> Iterator[Drawer]:
        """The disks of a host of a lab that is up, while nobody else works on it. Raises LabError."""
        drawer = self._machine(name).drawer
        with self._locked(lambda _: None):
            self._up()
            yield drawer

    def _locked(self, progress: Callable[[str], None]) -> Any:
        return locked(self.place.folder, "another command works on this lab", progress)

    def _up(self) -> None:
        record = read_record(self.place)
        if record is None or record.boot != boot_id() or not self.place.namespace_file.exists():
            raise LabError("the lab is down", hint=f"Bring it up with  hakit lab up -i {self.plan.inventory}")

    def _check_unchanged(self) -> None:
        """Refuse to go on with hosts whose disks were made for another address, login or release."""
        record = read_record(self.place)
        if record is None:
            return
        before = {host.name: host for host in record.plan.hosts}
        changed = [
            host.name
            for host in self.plan.hosts
            if host.name in before and before[host.name] != host and self._machine(host.name).exists
        ]
        if changed:
            raise LabError(
                f"the inventory has changed the address, login, NICs, hardware or release of {', '.join(changed)} "
                "since the lab was made",
                why="A lab host's disk is made once, as a machine is installed once.",
                hint=f"Make the lab anew:  hakit lab down -i {self.plan.inventory}, then up",
            )
        made, wanted = (f"{plan.driver} on {plan.network}" for plan in (record.plan, self.plan))
        if made != wanted:
            raise LabError(
                f"the lab was made by {made} and is to be by {wanted}"
                if record.plan.chosen or self.plan.chosen
                else f"the inventory has changed the lab from {made} to {wanted}",
                hint=f"Make the lab anew:  hakit lab down -i {self.plan.inventory}, then up",
            )

    @property
    def _bridge_address(self) -> str:
        return self.plan.bridge.split("/")[0]

    @property
    def _proxy(self) -> str:
        address = self._bridge_address
        return f"http://[{address}]:{PROXY_PORT}" if ":" in address else f"http://{address}:{PROXY_PORT}"

    def _start_packages(self, upstreams: Sequence[sources.Upstream]) -> None:
        """Start the package proxy, unless it runs; proxies and certificates are the machine's, equal in each."""
        cgroup = lab_cgroup(self.place) / PACKAGES_CGROUP
        if populated(cgroup):
            return
        version = ipaddress.ip_address(self._bridge_address).version
        family = socket.AF_INET6 if version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
        settings = {
            "schemes": {host: scheme for one in upstreams for host, scheme in one.schemes().items()},
            "proxies": dict(upstreams[0].proxies),
            "ca_file": upstreams[0].ca_file,
            "folder": str(CACHE / "packages"),
        }
        with (
            namespace.open_socket(self.place.namespace_file, family) as listening,
            (self.place.folder / "packages.log").open("ab") as log,
        ):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self._bridge_address, PROXY_PORT))
            listening.listen(64)
            program = [sys.executable, "-I", packages.__file__, str(listening.fileno())]
            launch(cgroup, program, log, given=json.dumps(settings).encode(), pass_fds=(listening.fileno(),))

    def _keys(self, owner: tuple[int, int]) -> None:
        if self.place.identity_file.exists():
            os.chown(self.place.identity_file, *owner)
            return
        pair = KeyPair.new()
        self.place.identity_file.with_suffix(".pub").write_text(f"{pair.public} hakit-lab\n", encoding="ascii")
        new = self.place.folder / "key.new"
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pair.private)
            os.fchown(file.fileno(), *owner)
        new.replace(self.place.identity_file)

    def _remove_strangers(self, progress: Callable[[str], None]) -> None:
        """Hosts that have left the inventory."""
        known = {host.name for host in self.plan.machines}
        folder = self.place.folder / "hosts"
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if path.name not in known:
                group = lab_cgroup(self.place) / path.name
                kill(group)
                remove_cgroup(group)
                shutil.rmtree(path)
                if not path.name.startswith("."):
                    progress(f"removed {path.name}, which has left the inventory")

    def _make_disks(self, images: Mapping[int, Path]) -> None:
        """Make the disks that are missing, each on the image of its host's release."""
        client_key = self.place.identity_file.with_suffix(".pub").read_text(encoding="ascii").split(" hakit-lab")[0]
        keys: dict[str, str] = {}
        for machine in self._machines():
            if not machine.exists:
                image = images[machine.host.release]
                files = host_files(
                    self.plan.id,
                    machine.host,
                    host_key=KeyPair.new(),
                    client_key=client_key,
                    proxy=self._proxy,
                    accounts=base.accounts(image),
                )
                machine.make_disk(image, files)
            keys[machine.host.name] = machine.host_key
        self.place.known_hosts.write_text(known_hosts(keys, self.plan.hosts), encoding="ascii")

    def _power_on_all(self, progress: Callable[[str], None]) -> list[str]:
        """Start what is off and wait until it answers, as many at once as the driver says; the switch before all."""
        off = [machine for machine in self._machines() if not machine.started]
        switch = [machine for machine in off if machine.host == self.plan.switch]
        hosts = [machine for machine in off if machine not in switch]

        def boot(machine: Machine) -> None:
            start = time.monotonic()
            machine.start()
            self._await((machine.host,))
            if (took := time.monotonic() - start) > LONG:
                progress(f"{machine.host.name} is on, {took:.0f} s")

        for machines in (switch, hosts):
            side_by_side(machines, boot, self.driver.at_once, lambda machine: machine.pull())
        return [machine.host.name for machine in hosts]

    def _await(self, hosts: Sequence[HostPlan]) -> None:
        deadline = time.monotonic() + self.driver.boot_timeout
        waiting = [host for host in hosts if host.address and self._main_plugged(host)]
        while waiting:
            for host in tuple(waiting):
                machine = self._machine(host.name)
                if self._answers(host):
                    waiting.remove(host)
                elif not machine.running or time.monotonic() > deadline:
                    state = "does not answer on ssh" if machine.running else "went off while it booted"
                    raise LabError(
                        f"{host.name} {state}",
                        why=machine.console_tail() or None,
                        hint=f"Its console: {machine.console}",
                    )
            time.sleep(0.05 if waiting else 0)

    def _answers(self, host: HostPlan) -> bool:
        """Whether sshd greets, as seen from the lab's switch."""
        family = socket.AF_INET6 if ":" in host.address else socket.AF_INET
        try:
            with namespace.open_socket(self.place.namespace_file, family) as probe:
                probe.settimeout(self.driver.greeting)
                probe.connect((host.address, host.port))
                return probe.recv(4) == b"SSH-"
        except OSError:
            return False

    def _main_plugged(self, host: HostPlan) -> bool:
        return not self._machine(host.name).unplugged(host.nics[0].name).exists()

    def _status(self, host: HostPlan, plugged: dict[str, bool]) -> HostStatus:
        machine = self._machine(host.name)
        power: Literal["on", "off", "absent"] = "absent"
        if machine.exists:
            power = "on" if machine.running else "off"
        nics = tuple((nic.name, self._plugged(machine, nic.name, plugged)) for nic in host.nics)
        disks = machine.disks if machine.exists else ()
        return HostStatus(host.name, host.address, power, power == "on" and self._answers(host), nics, disks)

    @staticmethod
    def _plugged(machine: Machine, nic: str, plugged: dict[str, bool]) -> bool:
        return plugged.get(namespace.cable(machine.host.name, nic), not machine.unplugged(nic).exists())
