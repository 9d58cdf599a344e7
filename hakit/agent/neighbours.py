"""Who else is on this host's networks: the owners of addresses, the routers that speak VRRP, the peers that answer.

Nothing is claimed: an ARP probe has no sender address (RFC 5227, 2.1.1), so no neighbour's cache learns from it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, poll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

    Reader = tuple[socket.socket, Any]

ARP = 0x0806
VRRP = 112
V4_ROUTERS, V6_ROUTERS = "224.0.0.18", "ff02::12"  # RFC 5798, 5.1.1.2 and 5.1.2.2: where adverts go
SOLICITATION, ADVERTISEMENT = 135, 136  # ICMPv6, RFC 4861
AGAIN = (0.0, 0.3)  # seconds after which each address is asked for: one packet may be lost
ANSWERS = 1.0  # seconds that a neighbour has for its answer; a busy LAN needs milliseconds
KEPT = 1000  # different answers or adverts that are kept: somebody may flood us
CONNECT = POLLOUT | POLLERR | POLLHUP


def nics(work: Work) -> list[dict[str, Any]]:
    """The host's NICs but the loopback, with their addresses; without addresses where `ip` is missing."""
    from hakit.agent import jsonlite

    listed = work.run(["ip", "-json", "address"], 10.0)
    if listed.code:
        names = sorted(set(os.listdir(work.at("/sys/class/net"))) - {"lo"})
        return [{"name": one, "mac": _mac(one, work), "up": True, "addresses": [], "clashing": []} for one in names]
    return [
        {
            "name": one["ifname"],
            "mac": one.get("address", ""),
            "up": "UP" in one["flags"],
            "addresses": [f"{found['local']}/{found['prefixlen']}" for found in one["addr_info"] if "local" in found],
            "clashing": [found["local"] for found in one["addr_info"] if found.get("dadfailed")],
        }
        for one in jsonlite.loads(listed.out.strip())
        if one.get("ifname") and one["ifname"] != "lo"
    ]


def _mac(nic: str, work: Work) -> str:
    with open(work.at(f"/sys/class/net/{nic}/address"), encoding="ascii") as file:
        return file.read().strip()


def survey(ask: list[tuple[str, str]], listen: list[str], seconds: float) -> dict[str, Any]:
    """Ask who has addresses, and listen for VRRP adverts on NICs for so many seconds.

    `ask` are NICs and addresses, in their shortest form. `answers` are (NIC, address, MAC), `adverts` what each VRRP
    router says of itself, `failed` maps a NIC that can't be used to the reason. Who sends adverts is asked for as well,
    so that its MAC is known.
    """
    watch = _Watch(ask)
    try:
        for nic in dict.fromkeys(listen):
            watch.attempt(nic, watch.listen)
        for nic, address in ask:
            watch.attempt(nic, lambda nic, address=address: watch.open_for(nic, address))
        watch.go(seconds if listen else 0.0)
    finally:
        watch.close()
    adverts = [{"nic": nic, "source": source, "id": number, **more} for (nic, source, number), more in watch.adverts]
    return {"answers": [list(one) for one in watch.answers], "adverts": adverts, "failed": watch.failed}


class _Watch:
    """The open sockets of a survey, and what came through them."""

    def __init__(self, ask: list[tuple[str, str]]) -> None:
        self.answers: dict[tuple[str, str, str], None] = {}
        self.failed: dict[str, str] = {}
        self._adverts: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._ask = ask
        self._readers: dict[int, Reader] = {}
        self._arp: dict[str, socket.socket] = {}
        self._icmp: dict[str, socket.socket] = {}

    @property
    def adverts(self) -> Any:
        """What was heard, by NIC, source and router id."""
        return self._adverts.items()

    def attempt(self, nic: str, what: Any) -> None:
        """Do something with a NIC; a NIC that can't be used is noted."""
        if nic in self.failed:
            return
        try:
            what(nic)
        except OSError as error:
            self.failed[nic] = error.strerror or str(error)

    def listen(self, nic: str) -> None:
        """Hear the VRRP adverts that reach this host on a NIC, by multicast and unicast."""
        index = socket.if_nametoindex(nic)
        with_v4 = self._raw(socket.AF_INET, VRRP, nic, lambda data, sender: self._advert_v4(nic, data, sender))
        group = socket.inet_aton(V4_ROUTERS) + bytes(4)
        with_v4.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + struct.pack("@i", index))
        try:
            with_v6 = self._raw(socket.AF_INET6, VRRP, nic, lambda data, sender: self._advert(nic, data, sender, 6))
            group = socket.inet_pton(socket.AF_INET6, V6_ROUTERS) + struct.pack("@I", index)
            with_v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except OSError:
            return  # a host without IPv6 hears nothing of it, and says nothing

    def open_for(self, nic: str, address: str) -> None:
        """Make sure that answers about an address on a NIC are heard."""
        if ":" not in address and nic not in self._arp:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
            made.bind((nic, ARP))
            self._arp[nic] = self._keep(made, lambda data, _: self._arp_answer(nic, data))
        if ":" in address and nic not in self._icmp:
            protocol = socket.IPPROTO_ICMPV6
            made = self._raw(socket.AF_INET6, protocol, nic, lambda data, _: self._neighbour(nic, data))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)  # RFC 4861, 4.3: others are dropped
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(nic))
            self._icmp[nic] = made

    def _raw(self, family: int, protocol: int, nic: str, take: Any) -> socket.socket:
        made = socket.socket(family, socket.SOCK_RAW, protocol)
        self._keep(made, take)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
        return made

    def _keep(self, made: socket.socket, take: Any) -> socket.socket:
        made.settimeout(0.0)
        self._readers[made.fileno()] = (made, take)
        return made

    def go(self, listening: float) -> None:
        """Ask, and take what comes until the time is up."""
        poller = poll()
        began = monotonic()
        due = [began + after for after in AGAIN] if self._ask else []
        end = began + max(listening, AGAIN[-1] + ANSWERS if self._ask else 0.0)
        while (now := monotonic()) < end:
            for fd in self._readers:  # an advert may have opened a further one
                poller.register(fd, POLLIN)
            if due and now >= due[0]:
                due.pop(0)
                for nic, address in self._ask:
                    self.attempt(nic, lambda nic, address=address: self._send(nic, address))
            for fd, _ in poller.poll(max(1.0, (min([end, *due]) - now) * 1000)):
                made, take = self._readers[fd]
                try:
                    data, sender = made.recvfrom(1 << 16)
                except OSError:
                    continue  # ENETDOWN, say: the NIC is gone, and nothing more comes
                if len(self.answers) < KEPT and len(self._adverts) < KEPT:
                    take(data, sender)

    def close(self) -> None:
        """Close all sockets."""
        for made, _ in self._readers.values():
            made.close()

    def _send(self, nic: str, address: str) -> None:
        if ":" in address:
            if nic in self._icmp:
                wanted = socket.inet_pton(socket.AF_INET6, address)
                group = socket.inet_ntop(
                    socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + wanted[13:]
                )
                own = self._own(nic)
                option = b"\1\1" + own if own else b""
                packet = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + wanted + option
                self._icmp[nic].sendto(packet, (group, 0, 0, socket.if_nametoindex(nic)))
        elif nic in self._arp:
            made = self._arp[nic]
            own = made.getsockname()[4]
            wanted = socket.inet_aton(address)
            body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + bytes(4) + bytes(6) + wanted
            made.send(b"\xff" * 6 + own + struct.pack("!H", ARP) + body)

    def _own(self, nic: str) -> bytes:
        try:
            with open(f"/sys/class/net/{nic}/address", encoding="ascii") as file:
                found = bytes.fromhex(file.read().strip().replace(":", ""))
        except (OSError, ValueError):
            return b""
        return found if len(found) == 6 else b""  # noqa: PLR2004 - the length of an Ethernet address

    def _arp_answer(self, nic: str, data: bytes) -> None:
        """Whoever sends ARP from an address that was asked for has it: answers, and questions of its own."""
        if len(data) < 42 or data[14:20] != b"\0\1\x08\0\6\4":  # noqa: PLR2004 - Ethernet's head and an ARP for IPv4
            return
        mac, address = data[22:28], socket.inet_ntoa(data[28:32])
        if (nic, address) in self._wanted() and mac != self._arp[nic].getsockname()[4]:
            self.answers[nic, address, mac.hex(":")] = None

    def _neighbour(self, nic: str, data: bytes) -> None:
        """A neighbour advertisement (RFC 4861, 4.4) for an address that was asked for."""
        if len(data) < 24 or data[0] != ADVERTISEMENT:  # noqa: PLR2004 - the head and the target
            return
        address = socket.inet_ntop(socket.AF_INET6, data[8:24])
        option = data[24:32]
        if (nic, address) in self._wanted():
            self.answers[nic, address, option[2:8].hex(":") if option[:2] == b"\2\1" else ""] = None

    def _wanted(self) -> set[tuple[str, str]]:
        return {*self._ask, *((nic, source) for nic, source, _ in self._adverts)}

    def _advert_v4(self, nic: str, data: bytes, sender: Any) -> None:
        head = (data[0] & 15) * 4 if data else 0
        self._advert(nic, data[head:], sender, 4)

    def _advert(self, nic: str, data: bytes, sender: Any, family: int) -> None:
        """A VRRP advert (RFC 5798, 5.2; RFC 3768, 5.1 for version 2)."""
        if len(data) < 8 or data[0] & 15 != 1:  # noqa: PLR2004 - the fixed part of an advert
            return
        source = str(sender[0]).partition("%")[0]
        size, kind = (4, socket.AF_INET) if family == 4 else (16, socket.AF_INET6)  # noqa: PLR2004 - IP's versions
        room = min(data[3], (len(data) - 8) // size)
        addresses = [socket.inet_ntop(kind, data[8 + size * place : 8 + size * (place + 1)]) for place in range(room)]
        key = (nic, source, data[1])
        if key not in self._adverts:
            self._adverts[key] = {"version": data[0] >> 4, "priority": data[2], "addresses": addresses}
            self.attempt(nic, lambda nic: self.open_for(nic, source))
            self.attempt(nic, lambda nic: self._send(nic, source))


def reach(targets: list[tuple[str, int]], seconds: float) -> list[str]:
    """What comes of a TCP connection to each target: `open`, `refused`, `silent` or the kernel's words.

    `refused` is an answer too: the host is there.
    """
    said: list[str] = ["silent"] * len(targets)
    waiting: dict[int, tuple[int, socket.socket]] = {}
    poller = poll()
    for place, (address, port) in enumerate(targets):
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(0.0)
        code = made.connect_ex((address, port))
        if code == errno.EINPROGRESS:
            waiting[made.fileno()] = (place, made)
            poller.register(made, CONNECT)
        else:
            said[place] = _said(code)
            made.close()
    deadline = monotonic() + seconds
    while waiting and (left := deadline - monotonic()) > 0:
        for fd, _ in poller.poll(left * 1000):
            place, made = waiting.pop(fd)
            poller.unregister(fd)
            said[place] = _said(made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            made.close()
    for _, made in waiting.values():
        made.close()
    return said


def _said(code: int) -> str:
    return {0: "open", errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "silent"}.get(code) or os.strerror(code)
