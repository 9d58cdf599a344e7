"""The vocabulary of networks: names of links, MAC addresses, VLAN ids, speeds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from hakit.inventory.types import expected

LONGEST_NAME = 15
"""Characters of a link's name: IFNAMSIZ (16) without its final NUL."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_RESERVED = ("lo", "all", "default", "bonding_masters", "none")
"""Names with a meaning of their own: the loopback, folders of /proc/sys/net, a file of sysfs, a word of ifenslave."""
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_PATH = re.compile(r"[a-z][A-Za-z0-9]*-[A-Za-z0-9:._+-]{1,120}")
_SPEED = re.compile(r"([1-9][0-9]{0,3})([MG])")


def _link_name(value: str) -> str:
    if len(value) > LONGEST_NAME:
        raise expected(f"a link's name of at most {LONGEST_NAME} characters (the kernel has room for no more)", value)
    if not _NAME.fullmatch(value):
        raise expected("a link's name: a letter, then letters, digits, '.', '_' and '-'", value)
    if value in _RESERVED:
        raise expected(f"a link's name; {value} has a meaning of its own", value)
    return value


def _mac(value: str) -> str:
    if not _MAC.fullmatch(value):
        raise expected("a MAC address such as 52:54:00:12:34:56 (in quotes)", value)
    if int(value[:2], 16) & 1:
        raise expected("the MAC address of one card (an odd first byte is a multicast group's)", value)
    if not value.replace(":", "").strip("0"):
        raise expected("a MAC address that a card can have", value)
    return value.lower()


def _pci_path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise expected("udev's ID_PATH of a NIC such as pci-0000:03:00.0", value)
    return value


def megabits(speed: str) -> int:
    """A speed in Mbit/s: `10G` is 10000. Raises ValueError."""
    found = _SPEED.fullmatch(speed)
    if found is None:
        raise ValueError(speed)
    return int(found.group(1)) * (1000 if found.group(2) == "G" else 1)


def speed_text(rate: int) -> str:
    """Mbit/s as `megabits` reads it back."""
    return f"{rate // 1000}G" if rate % 1000 == 0 else f"{rate}M"


def _speed(value: str) -> str:
    if not _SPEED.fullmatch(value):
        raise expected("a speed such as 1G, 10G or 100M (bits per second)", value)
    return value


LinkName = Annotated[
    str,
    AfterValidator(_link_name),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$", "x-expects": "a link's name (at most 15)"}
    ),
]
"""A link's name as the kernel, udev, ifupdown, netplan and file names take it."""

Mac = Annotated[
    str,
    AfterValidator(_mac),
    WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$", "x-expects": "a MAC address"}),
]
"""A unicast MAC address in small letters."""

PciPath = Annotated[
    str,
    AfterValidator(_pci_path),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[a-z][A-Za-z0-9]*-\S+$", "x-expects": "a path such as pci-0000:03:00.0"}
    ),
]
"""Where a card is plugged in, as udev calls it (ID_PATH)."""

VlanId = Annotated[int, Field(ge=1, le=4094)]
"""IEEE 802.1Q: 0 is no VLAN, 4095 is reserved."""

Mtu = Annotated[int, Field(ge=68, le=65535)]
"""Octets of a packet: RFC 791 wants 68 of each link, IPv4's length field ends at 65535."""

Metric = Annotated[int, Field(ge=1, le=4294967295)]
"""A route's priority, the lowest first: 32 bits in the kernel."""

Speed = Annotated[
    str,
    AfterValidator(_speed),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,3}[MG]$", "x-expects": "a speed such as 1G or 10G"}),
]
"""Bits per second."""
