"""The machine at the other end of NICs that speak LACP: Linux's own bonding, its ports bridged with the lab. Pure.

A Linux bridge drops LACP, and the kernel of this machine may lack bonding; the machines' kernel has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.lab.disk import DiskFile

if TYPE_CHECKING:
    from hakit.lab.plan import HostPlan

BRIDGE: Final = "br0"
BOND: Final = ("type", "bond", "mode", "802.3ad", "miimon", "100", "lacp_rate", "fast", "xmit_hash_policy", "layer3+4")
"""The fast rate: a partner that falls silent is given up after 3 s, not 90 (802.1AX, short timeout)."""
CHANNELS: Final = Path(__file__).with_name("channels.py")
PROGRAM: Final = "/usr/local/lib/channels.py"
SERVICE: Final = """\
[Unit]
Description=Bond the ports on which hosts speak LACP
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/python3 -I -S {words}
Restart=always
RestartSec=1
"""
PLAIN: Final = ("type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0")


def groups(switch: HostPlan) -> dict[str, tuple[str, ...]]:
    """The switch's bonds and their ports: `bond1`, `bond2` … in the order of the first ports."""
    found: dict[str, list[str]] = {}
    for nic in switch.nics[1:]:
        host, _, group = (nic.lag or "").split("/")
        found.setdefault(f"{host}/{group}", []).append(nic.name)
    return {f"bond{number}": tuple(ports) for number, ports in enumerate(found.values(), start=1)}


def interfaces(switch: HostPlan) -> str:
    """The switch's /etc/network/interfaces: its ports and its bonds, empty yet, in one bridge with the lab.

    Its ports carry what a port that is not told otherwise carries: frames of any VLAN, up to MTU 9000.
    """
    uplink = switch.nics[0].name
    steps = [f"ip link add {BRIDGE} {' '.join(PLAIN)}"]
    for bond, ports in groups(switch).items():
        steps.append(f"ip link add {bond} {' '.join(BOND)}")
        steps.append(f"ip link set {bond} mtu 9000 master {BRIDGE} up")
        steps += [f"ip link set {port} mtu 9000 master {BRIDGE} up" for port in ports]
    steps.append(f"ip link set {uplink} mtu 9000 master {BRIDGE} up")
    steps.append(f"ip link set {BRIDGE} up")
    steps.append("systemctl --no-block restart channels.service")
    lines = "".join(f"    up {step}\n" for step in steps)
    return f"auto lo\niface lo inet loopback\n\nauto {uplink}\niface {uplink} inet manual\n{lines}"


def files(switch: HostPlan) -> tuple[DiskFile, ...]:
    """What the switch's disk has in place of a host's files: it has no address."""
    words = [PROGRAM, BRIDGE, *(f"{bond}={','.join(ports)}" for bond, ports in groups(switch).items())]
    return (
        DiskFile("/etc/hosts", b"127.0.0.1 localhost switch\n"),
        DiskFile("/etc/network/interfaces", interfaces(switch).encode()),
        DiskFile(PROGRAM, CHANNELS.read_bytes()),
        DiskFile("/etc/systemd/system/channels.service", SERVICE.format(words=" ".join(words)).encode()),
    )
