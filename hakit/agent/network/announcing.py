"""Tells a host's neighbours where its addresses are now, so that none goes on sending to a MAC address of before.

Linux answers ARP for an address at every NIC in the segment, until one of them is a member of a bond. Who has kept the
MAC address of the wrong one would miss the host for up to a minute: longer than a change waits for its confirmation.
"""

from __future__ import annotations

import socket
import struct
from time import sleep

from hakit.agent.errors import Failure
from hakit.agent.network.comparing import names_of
from hakit.agent.network.live import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.network.live import Live
    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work

AGAIN = (0.0, 0.3)  # seconds after which each is sent: one packet may be lost
ARP = 0x0806
EVERYBODY = b"\xff" * 6
MAC = 6  # octets of an Ethernet address
ADVERTISEMENT, OVERRIDE = 136, 0x20000000  # RFC 4861, 4.4
HOPS = 255  # RFC 4861, 7.1.2: others are dropped
NODES = "ff02::1"


def announce(network: Network, work: Work) -> None:
    """Announce the declared addresses that the host has. Nothing depends on it: what can't be sent is left out."""
    if work.root:
        return  # the links in a folder are none of this kernel's
    try:
        told = announced(network, read(work))
    except Failure:
        return
    for pause in AGAIN if told else ():
        sleep(pause)
        for link, mac, address in told:
            try:
                (_advertise if ":" in address else _claim)(link, mac, address)
            except OSError:
                continue  # without a carrier, say: its bond tells once there is one


def announced(network: Network, live: Live) -> tuple[tuple[str, bytes, str], ...]:
    """Links, their MAC addresses, and declared addresses that are there."""
    names = names_of(network, live)
    found = []
    for link in network.links:
        now = live.link(names[link.name])
        mac = _mac(now.mac) if now is not None and now.up else b""
        if now is not None and mac:
            found += [(now.name, mac, one.partition("/")[0]) for one in link.addresses if one in now.addresses]
    return tuple(found)


def _mac(text: str) -> bytes:
    try:
        made = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        return b""
    return made if len(made) == MAC else b""


def claim(mac: bytes, address: str) -> bytes:
    """The frame of an ARP announcement (RFC 5227, 2.3)."""
    own = socket.inet_aton(address)
    return EVERYBODY + mac + struct.pack("!HHHBBH", ARP, 1, 0x0800, MAC, 4, 1) + mac + own + bytes(MAC) + own


def advertisement(mac: bytes, address: str) -> bytes:
    """An unsolicited neighbour advertisement (RFC 4861, 7.2.6), without its checksum, which the kernel fills in."""
    head = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, OVERRIDE)
    return head + socket.inet_pton(socket.AF_INET6, address) + b"\2\1" + mac


def _claim(link: str, mac: bytes, address: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as made:
        made.bind((link, 0))
        made.send(claim(mac, address))


def _advertise(link: str, mac: bytes, address: str) -> None:
    index = socket.if_nametoindex(link)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        made.bind((address, 0, 0, index))
        made.sendto(advertisement(mac, address), (NODES, 0, 0, index))
