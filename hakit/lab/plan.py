"""What a lab consists of: a pure function of the site. Everything below it knows no Site.

The plan is also what an unprivileged command hands to its privileged half, as JSON.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from hakit.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakit.inventory.core import Hardware, Lab
    from hakit.inventory.model import Host, Site

SSH_PORT = 22
MEMORY = 384
"""MiB of a virtual machine: a bare one uses 50 (seen), PostgreSQL and HAProxy at work some 100 more."""
SWITCH = "switch"
"""The machine at the other end of NICs that speak LACP."""
NICS_MAX = 24
"""The slots of QEMU's PCI bus that its other devices leave to NICs."""
Power = Literal["on", "off", "pull"]


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card of a host: its name inside the host and its address/prefix, or None for one without address.

    `mac` and `lag` (the group of ports of the switch that speak LACP with each other) are of virtual machines alone.
    """

    name: str
    address: str | None
    mac: str | None = None
    lag: str | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a virtual machine beside the one with its system: name, size in MiB, serial number, WWN or none."""

    name: str
    size: int
    serial: str
    wwn: str = ""


@dataclass(frozen=True, slots=True)
class DataDisk:
    """A disk of a virtual machine as it stands: its size in bytes, and its place, which an unplugged one remembers."""

    name: str
    serial: str
    wwn: str
    size: int
    place: int
    plugged: bool = True


@dataclass(frozen=True, slots=True)
class NewDisk:
    """A disk that is to be made: `size` bytes of zeros, or the bytes of the file `image` (absolute).

    `serial` is its name unless said; without a `wwn` it has none.
    """

    size: int = 0
    image: str = ""
    serial: str = ""
    wwn: str = ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host of the lab; the first of `nics` is the main one, `user` is whom the inventory logs in as.

    `release` is Debian's release number on its disk; `memory` (MiB) and `disks` are of virtual machines alone.
    """

    name: str
    address: str
    user: str
    port: int
    nics: tuple[Nic, ...]
    release: int
    memory: int = MEMORY
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True, slots=True)
class LabPlan:
    """A whole lab: where its inventory lies (absolute), its network and bridge address, its driver, its hosts.

    `packages` are in every base image beside the usual ones; `chosen` says that the driver is not the inventory's, but
    was named on the command line.
    """

    inventory: str
    network: str
    bridge: str
    driver: str
    packages: tuple[str, ...]
    hosts: tuple[HostPlan, ...]
    chosen: bool = False

    @property
    def virtual(self) -> bool:
        """Whether hosts are virtual machines, which are slow where they are emulated."""
        return self.driver != "nspawn"

    @property
    def releases(self) -> tuple[int, ...]:
        """Debian's releases that the hosts have, ascending; each needs a base image."""
        return tuple(sorted({host.release for host in self.hosts}))

    @property
    def switch(self) -> HostPlan | None:
        """The machine that speaks LACP with the hosts; None where no host does.

        Its first NIC is plugged into the lab's bridge, the others are the ports, `lag` names what is bonded.
        """
        ports = [
            Nic(f"p{number}", None, lag=f"{host.name}/{nic.name}/{nic.lag}")
            for number, (host, nic) in enumerate(
                ((host, nic) for host in self.hosts for nic in host.nics if nic.lag), start=1
            )
        ]
        if not ports:
            return None
        # Of the smallest host's kind, so that no other machine has to be frozen for it.
        memory, release = min((host.memory, host.release) for host in self.hosts)
        return HostPlan(SWITCH, "", "root", SSH_PORT, (Nic("uplink", None), *ports), release, memory)

    @property
    def machines(self) -> tuple[HostPlan, ...]:
        """Whatever has a power switch: the switch, if there is one, and the hosts."""
        return (*([self.switch] if self.switch else []), *self.hosts)

    @property
    def id(self) -> str:
        """Names this lab on this machine: eight hex digits of the hash of the inventory's path."""
        return hashlib.sha256(self.inventory.encode()).hexdigest()[:8]

    def host(self, name: str) -> HostPlan:
        """The host of that name, or the switch. Raises LabError."""
        for host in self.machines:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise LabError(f"{name}: no such host in {self.inventory}", hint=f"The lab has {known}.")

    def resolve(self, name: str) -> str:
        """The address of a host by its name; anything else is returned as it is."""
        return next((host.address for host in self.hosts if host.name == name), name)

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The plan that `as_json` wrote. Raises KeyError or TypeError when it is none."""
        hosts = tuple(
            HostPlan(
                **{
                    **host,
                    "nics": tuple(Nic(**nic) for nic in host["nics"]),
                    "disks": tuple(Disk(**disk) for disk in host["disks"]),
                }
            )
            for host in value["hosts"]
        )
        return cls(**{**value, "packages": tuple(value["packages"]), "hosts": hosts})


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host as it stands: powered `on`, `off` or not made (`absent`); whether sshd answers; NIC → plugged in.

    `disks` are the data disks of a virtual machine, those in its drawer too.
    """

    name: str
    address: str
    power: Literal["on", "off", "absent"]
    ssh: bool
    nics: tuple[tuple[str, bool], ...]
    disks: tuple[DataDisk, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The status as JSON values."""
        return {
            "name": self.name,
            "address": self.address,
            "power": self.power,
            "ssh": self.ssh,
            "nics": dict(self.nics),
            "disks": [asdict(disk) for disk in self.disks],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The status that `as_json` wrote. Raises KeyError or TypeError when it is none."""
        nics, disks = tuple(value["nics"].items()), tuple(DataDisk(**disk) for disk in value["disks"])
        return cls(**{**value, "nics": nics, "disks": disks})


def lab_plan(site: Site) -> LabPlan:
    """The lab that a site declares. Raises LabError when it declares none, or one that can't be made."""
    lab = site.lab
    if lab is None:
        raise LabError(
            f"{site.source}: this inventory declares no lab",
            why="A lab is made only for an inventory that says it is one, so that no lab stands in for real hosts.",
            hint="Write below all: vars:  hakit: {lab: {driver: nspawn, network: 10.77.0.0/24}}",
        )
    network = ipaddress.ip_network(lab.network)
    if network.num_addresses < 4:  # noqa: PLR2004 - network, bridge, one host, broadcast
        raise LabError(f"{site.source}: hakit.lab.network: {network} has no room for a bridge and a host")
    bridge = network[1]
    hosts = tuple(_host(site, host, network, lab) for host in site.hosts.values())
    _unique(site, hosts, str(bridge))
    plan = LabPlan(
        inventory=str(canonical(site.source)),
        network=str(network),
        bridge=f"{bridge}/{network.prefixlen}",
        driver=lab.driver,
        packages=tuple(str(name) for name in lab.packages),
        hosts=hosts,
    )
    _room(site, plan)
    return plan


def _room(site: Site, plan: LabPlan) -> None:
    """Raises LabError where a machine has more NICs than fit in, or a host the switch's name."""
    if plan.switch and SWITCH in site.hosts:
        raise LabError(
            f"{site.source}: {SWITCH}: in a lab with hakit.hardware.lags this is the switch; rename the host"
        )
    for machine in plan.machines if plan.driver == "qemu" else ():
        if len(machine.nics) > NICS_MAX:
            raise LabError(
                f"{site.source}: {machine.name} has {len(machine.nics)} NICs; a virtual machine has room for {NICS_MAX}"
            )


def _host(site: Site, host: Host, network: ipaddress.IPv4Network | ipaddress.IPv6Network, lab: Lab) -> HostPlan:
    where = f"{site.source}: {host.name}"
    try:
        address = ipaddress.ip_address(host.address)
    except ValueError:
        raise LabError(
            f"{where}: the lab needs an IP address for each host, got {host.address}",
            hint=f"Set ansible_host or hakit.address to an address of {network}.",
        ) from None
    if address not in network or address in (network[0], network[-1]):
        raise LabError(
            f"{where}: {address} is no host address of the lab's network {network}",
            hint="Change the host's address or hakit.lab.network.",
        )
    if lab.interface in host.nics:
        raise LabError(f"{where}: hakit.nics.{lab.interface}: this is the main NIC, which carries {address} already")
    extra = tuple(Nic(str(name), str(cidr) if cidr else None) for name, cidr in host.nics.items())
    if host.login.host not in (host.name, str(address)) and not any(
        nic.address and nic.address.split("/")[0] == host.login.host for nic in extra
    ):
        raise LabError(
            f"{where}: ansible_host is {host.login.host}, but no NIC of the host carries it",
            why=f"The main NIC carries {address} (hakit.address).",
            hint="Give both the same address, or name the other one under hakit.nics.",
        )
    from hakit.inventory.types import mebibytes  # noqa: PLC0415 - root's half has no site, and starts without pydantic

    main, hardware = Nic(str(lab.interface), f"{address}/{network.prefixlen}"), host.hardware
    return HostPlan(
        name=host.name,
        address=str(address),
        user=str(host.login.user or "root"),
        port=int(host.login.port or SSH_PORT),
        nics=tuple(_wired(nic, host.hardware) for nic in (main, *extra)),
        release=int(host.release or lab.release),
        memory=mebibytes(hardware.memory) if hardware and hardware.memory else MEMORY,
        disks=tuple(
            Disk(str(name), mebibytes(disk.size), str(disk.serial or name), str(disk.wwn or ""))
            for name, disk in (hardware.disks.items() if hardware else ())
        ),
    )


def _wired(nic: Nic, hardware: Hardware | None) -> Nic:
    """The NIC with its hardware address and the group of switch ports that it is plugged into."""
    if hardware is None:
        return nic
    mac = hardware.macs.get(nic.name)
    lag = next((name for name, nics in hardware.lags.items() if nic.name in nics), None)
    return replace(nic, mac=str(mac) if mac else None, lag=str(lag) if lag else None)


def _unique(site: Site, hosts: tuple[HostPlan, ...], bridge: str) -> None:
    owner = {bridge: "the lab's bridge (the first address of hakit.lab.network)"}
    for host in hosts:
        for nic in host.nics:
            address = nic.address.split("/")[0] if nic.address else None
            if address in owner:
                raise LabError(f"{site.source}: {host.name}: {address} belongs to {owner[address]}")
            if address:
                owner[address] = host.name


def canonical(source: Path) -> Path:
    """The one path by which a lab knows its inventory: a folder and the hosts.yml in it are the same lab."""
    source = source.resolve()
    for name in ("hosts.yml", "hosts.yaml"):
        if (source / name).is_file():
            return source / name
    return source
