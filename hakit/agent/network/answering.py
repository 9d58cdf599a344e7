"""Whether gateways and peers answer this host: neighbours are asked for by ARP or ND, others by ICMP."""

from __future__ import annotations

import os
import socket
import struct
from select import POLLIN, poll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hakit.agent.network.live import Live
    from hakit.agent.resources.network import Network

    Asked = list[tuple[str, str]]

PATIENCE = 1.0  # seconds for an answer; a LAN needs milliseconds, and the controller asks again
ECHO4, REPLY4 = 8, 0  # RFC 792
ECHO6, REPLY6 = 128, 129  # RFC 4443


def silent(
    network: Network,
    live: Live,
    neighbours: Callable[[Asked], set[str]] | None = None,
    far: Callable[[list[str]], set[str]] | None = None,
) -> tuple[str, ...]:
    """What does not answer, in words. The ways to ask are given for tests."""
    dumb = _dumb((*network.gateways, *network.peers), live, neighbours or _neighbours, far or echo)
    return tuple(
        f"the {what} {address.partition('%')[0]} does not answer"
        for what, addresses in (("gateway", network.gateways), ("peer", network.peers))
        for address in addresses
        if address in dumb
    )


def answering(
    addresses: Iterable[str],
    live: Live,
    neighbours: Callable[[Asked], set[str]] | None = None,
    far: Callable[[list[str]], set[str]] | None = None,
) -> tuple[str, ...]:
    """Those of some addresses that answer, in their order."""
    addresses = tuple(addresses)
    dumb = _dumb(addresses, live, neighbours or _neighbours, far or echo)
    return tuple(address for address in addresses if address not in dumb)


def _dumb(
    addresses: Iterable[str],
    live: Live,
    neighbours: Callable[[Asked], set[str]],
    far: Callable[[list[str]], set[str]],
) -> set[str]:
    """The addresses that do not answer; the host's own do."""
    asked: Asked = []
    away: list[str] = []
    silent: dict[str, str] = {}
    for address in addresses:
        plain, _, zone = address.partition("%")
        if any(plain == held.partition("/")[0] for link in live.links for held in (*link.addresses, *link.given)):
            continue
        nic = zone or _link_to(plain, live)
        if nic:
            asked.append((nic, plain))
        else:
            away.append(plain)
        silent[address] = plain
    answer = neighbours(asked) if asked else set()
    answer |= far(away) if away else set()
    return {address for address, plain in silent.items() if plain not in answer}


def _link_to(address: str, live: Live) -> str:
    """The link whose network an address is in; empty where it is behind a router."""
    from ipaddress import ip_address, ip_interface

    wanted = ip_address(address)
    found = [
        (ip_interface(held).network.prefixlen, link.name)
        for link in live.links
        for held in (*link.addresses, *link.given)
        if wanted in ip_interface(held).network
    ]
    return max(found)[1] if found else ""


def _neighbours(asked: Asked) -> set[str]:
    from hakit.agent.neighbours import survey

    return {address for _, address, _ in survey(asked, [], 0.0)["answers"]}


def echo(addresses: Iterable[str]) -> set[str]:
    """Which of these addresses answer an ICMP echo; needs root."""
    word = os.urandom(8)
    waiting = set(addresses)
    heard: set[str] = set()
    made = {family: _open(family) for family in {_family(address) for address in waiting}}
    poller = poll()
    try:
        for one in made.values():
            poller.register(one, POLLIN)
        for address in waiting:
            _send(made[_family(address)], address, word)
        end = monotonic() + PATIENCE
        while waiting - heard and (left := end - monotonic()) > 0:
            for fd, _ in poller.poll(left * 1000):
                one = next(item for item in made.values() if item.fileno() == fd)
                data, sender = one.recvfrom(2048)
                if _is_reply(data, word, six=one.family == socket.AF_INET6):
                    heard.add(str(sender[0]).partition("%")[0])
    finally:
        for one in made.values():
            one.close()
    return heard & waiting


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _open(family: socket.AddressFamily) -> socket.socket:
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    return socket.socket(family, socket.SOCK_RAW, protocol)


def _send(made: socket.socket, address: str, word: bytes) -> None:
    """Send one; an address to which there is no route just does not answer."""
    six = made.family == socket.AF_INET6
    head = struct.pack("!BBHHH", ECHO6 if six else ECHO4, 0, 0, os.getpid() & 0xFFFF, 1)
    # The kernel fills in the checksum of ICMPv6 (RFC 3542, 3.1).
    total = 0 if six else _checksum(head + word)
    packet = head[:2] + struct.pack("!H", total) + head[4:] + word
    try:
        made.sendto(packet, (address, 0))
    except OSError:
        return


def _is_reply(data: bytes, word: bytes, *, six: bool) -> bool:
    body = data if six else data[(data[0] & 15) * 4 :]
    return body[:1] == bytes((REPLY6 if six else REPLY4,)) and body[8:16] == word


def _checksum(data: bytes) -> int:
    """The Internet's checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
