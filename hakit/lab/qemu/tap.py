"""Cables of virtual machines: tap devices in the lab's namespace, whose other end QEMU holds. Needs root."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from typing import TYPE_CHECKING, Final

from hakit.errors import LabError
from hakit.lab import namespace

if TYPE_CHECKING:
    from hakit.lab.state import Place

TUNSETIFF: Final = 0x400454CA
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
"""From linux/if_tun.h; the last lets guests leave checksums and segmentation to whoever needs them."""
JUMBO: Final = 9216
"""Bytes that a port forwards: room for MTU 9000 with VLAN tags, as switches have it."""
FORWARDED: Final = 0xFFFD
"""What a port of a patch cable forwards of the link-local groups: all but PAUSE, which the kernel keeps to itself. A
port may be told to forward LACP (bit 2), a whole bridge may not (net/bridge: BR_GROUPFWD_RESTRICTED)."""


def open_tap(place: Place, name: str) -> int:
    """A new tap device of the lab's namespace, down, as a file descriptor; it vanishes with the last copy of that.

    Raises LabError.
    """

    def make() -> int:
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", name.encode("ascii"), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
            fcntl.ioctl(handle, TUNSETIFF, request)
        except OSError:
            os.close(handle)
            raise
        return handle

    try:
        return namespace.inside(place.namespace_file, make)
    except OSError as error:
        raise LabError(
            f"the cable {name} can't be made: {error}",
            why="Cables of virtual machines are tap devices (/dev/net/tun).",
            hint="modprobe tun",
        ) from error


def connect(place: Place, cable: str, bridge: str, *, up: bool) -> None:
    """Plug a cable's far end into a bridge of the namespace. Raises LabError."""
    namespace.ip("-n", place.namespace, "link", "set", cable, "mtu", str(JUMBO), "master", bridge)
    namespace.ip("-n", place.namespace, "link", "set", cable, "up" if up else "down")


def patch(place: Place, cable: str, host: str, nic: str, *, up: bool) -> None:
    """Plug one end of a patch cable between a host's NIC and the switch; whatever goes in comes out. Raises LabError.

    It is a bridge that has these two ports alone and forwards what bridges keep to themselves, LACP above all. It must
    not learn: while a host's cables are half in the switch's bond, what one of them says comes back along the other,
    and a bridge that learned this would keep the answers from the host.
    """
    name = f"w-{hashlib.sha256(f'{host}/{nic}'.encode()).hexdigest()[:8]}"
    if name not in namespace.cables(place):
        options = ["forward_delay", "0", "stp_state", "0", "mcast_snooping", "0"]
        namespace.ip("-n", place.namespace, "link", "add", name, "type", "bridge", *options, check=False)
        # Else the namespace, whose end of it this is, would answer in the place of whoever has its addresses.
        namespace.ip("-n", place.namespace, "link", "set", name, "arp", "off", "addrgenmode", "none", "up")
    connect(place, cable, name, up=up)
    cable_like = ["type", "bridge_slave", "group_fwd_mask", hex(FORWARDED), "learning", "off"]
    namespace.ip("-n", place.namespace, "link", "set", cable, *cable_like)
