"""What the Vagrantfile is told of an inventory: its machines as JSON values. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hakit.errors import LabError
from hakit.lab import namespace
from hakit.lab.qemu.machine import mac

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakit.lab.plan import HostPlan, LabPlan

MANAGEMENT: Final = ("192.168.121.0/24", "192.168.221.0/24", "172.31.121.0/24")
"""Networks for Vagrant's own NICs: vagrant-libvirt's default, and others for a lab that has these addresses itself."""
NICS_MAX: Final = 7
"""NICs of a machine beside Vagrant's own: VirtualBox's chipset has eight, vagrant-libvirt makes no more by default."""


@dataclass(frozen=True, slots=True)
class Local:
    """A host of `hakit lab`: its box, its folder on this machine."""

    box: str
    folder: Path


def prefix(plan: LabPlan) -> str:
    """What the names of the lab's machines begin with, wherever they are seen beside those of others."""
    return f"hakit-{plan.id}"


def domain(plan_id: str, host: str) -> str:
    """What libvirt calls a machine; vagrant-libvirt leaves out other signs than these."""
    return re.sub(r"[^-a-z0-9_.]", "", f"hakit-{plan_id}-{host}", flags=re.IGNORECASE)


def management(plan: LabPlan) -> str:
    """A network for Vagrant's own NICs that no NIC of the lab has an address in."""
    taken = [ipaddress.ip_network(plan.network)]
    taken += [ipaddress.ip_interface(nic.address).network for host in plan.hosts for nic in host.nics if nic.address]
    for candidate in MANAGEMENT:
        network = ipaddress.ip_network(candidate)
        if not any(network.version == other.version and network.overlaps(other) for other in taken):
            return candidate
    raise LabError(
        f"the lab's hosts have addresses in all of {', '.join(MANAGEMENT)}: none is left for Vagrant's own NICs"
    )


def check(plan: LabPlan) -> None:
    """Raises LabError where an inventory has what machines of Vagrant do not."""
    for host in plan.hosts:
        if any(nic.lag for nic in host.nics):
            raise LabError(
                f"{host.name}: hakit.hardware.lags: machines of Vagrant have no switch that speaks LACP",
                hint="Use  lab: {driver: qemu, …}",
            )
        if len(host.nics) > NICS_MAX:
            raise LabError(f"{host.name} has {len(host.nics)} NICs; a machine of Vagrant has room for {NICS_MAX}")


def shape(
    plan: LabPlan, accelerator: str, setups: Mapping[str, str], local: Mapping[str, Local] | None = None
) -> dict[str, Any]:
    """The plan for the Vagrantfile.

    `accelerator` is `kvm` or `tcg`, `setups` are the scripts that make machines hosts, by host; `local` is there where
    `hakit lab` makes them. Sizes are in MiB.
    """
    bridge = ipaddress.ip_interface(plan.bridge)
    return {
        "name": prefix(plan),
        "address": str(bridge.ip),
        "netmask": str(bridge.netmask) if bridge.version == 4 else None,  # noqa: PLR2004 - IPv4
        "prefix": bridge.network.prefixlen,
        "accelerator": accelerator,
        "lab": {"management": management(plan)} if local is not None else None,
        "hosts": [_host(plan, host, setups.get(host.name, ""), (local or {}).get(host.name)) for host in plan.hosts],
    }


def _host(plan: LabPlan, host: HostPlan, setup: str, local: Local | None) -> dict[str, Any]:
    return {
        "name": host.name,
        "address": host.address,
        "release": host.release,
        "memory": host.memory,
        "box": local.box if local else None,
        "console": str(local.folder / "console.log") if local else None,
        "agent": str(local.folder / "qga") if local else None,
        "nics": [
            {
                "name": nic.name,
                "mac": mac(plan.id, host.name, nic),
                "cable": namespace.cable(host.name, nic.name) if local else None,
            }
            for nic in host.nics
        ],
        "disks": [{"name": disk.name, "size": disk.size, "serial": disk.serial} for disk in host.disks],
        "setup": setup,
    }
