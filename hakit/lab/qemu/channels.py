"""Runs on the lab's switch: bonds the ports on which a host speaks LACP; until then each is a port of the bridge.

Switches call it LACP fallback. So a host is reached over any of its NICs while it boots, before its bond is made and
after it is gone. Standard library only.

    python3 channels.py BRIDGE BOND=PORT,PORT ...
"""

from __future__ import annotations

import errno
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SLOW = 0x8809
"""The EtherType of slow protocols, LACP among them (IEEE 802.1AX)."""
LACP = b"\x01"
"""The subtype, behind the Ethernet header's 14 octets."""
SILENT = 8.0
"""Seconds without a word after which nobody speaks LACP any more; before, a bond has given its partner up (6 s)."""
NOBODY = "00:00:00:00:00:00"


@dataclass
class Channel:
    """Ports of one host that are a bond while it speaks LACP on any of them. `heard` is when it did (monotonic)."""

    bond: str
    ports: tuple[str, ...]
    heard: float | None = None
    bonded: bool = False

    def turns(self, now: float) -> bool:
        """Whether it is time to bond the ports, or to take the bond apart."""
        speaks = self.heard is not None and now - self.heard < SILENT
        return speaks != self.bonded

    def has_partner(self) -> bool:
        """Whether the bond has a partner: it keeps to itself what it hears of LACP."""
        file = Path("/sys/class/net", self.bond, "bonding/ad_partner_mac")
        return file.read_text(encoding="ascii").strip() != NOBODY

    def turn(self, bridge: str) -> list[list[str]]:
        """Do it: the commands."""
        self.bonded = not self.bonded
        commands = []
        for port in self.ports:
            # A bond takes a port only while that is down, and brings it up itself.
            commands.append(["ip", "link", "set", port, "nomaster"])
            commands.append(["ip", "link", "set", port, "down"])
            commands.append(["ip", "link", "set", port, "master", self.bond if self.bonded else bridge])
            commands.append(["ip", "link", "set", port, "mtu", "9000", "up"])
        return commands


def channels(words: list[str]) -> list[Channel]:
    """The channels that words such as `bond1=p1,p2` name."""
    pairs = (word.partition("=") for word in words)
    return [Channel(bond, tuple(ports.split(","))) for bond, _, ports in pairs]


def speaks(listening: socket.socket) -> bool:
    """Whether what has come in at a port is LACP."""
    try:
        frame, sender = listening.recvfrom(256)
    except OSError as error:
        if error.errno == errno.ENETDOWN:  # told once when the port was taken down
            return False
        raise
    return sender[2] != socket.PACKET_OUTGOING and frame[14:15] == LACP


def main(bridge: str, words: list[str]) -> None:
    """Listen for ever."""
    listening: dict[socket.socket, Channel] = {}
    known = channels(words)
    for channel in known:
        for port in channel.ports:
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(SLOW))
            one.bind((port, SLOW))
            listening[one] = channel
    while True:
        for ready in select.select(listening, [], [], 1.0)[0]:
            if speaks(ready):
                listening[ready].heard = time.monotonic()
        for channel in known:
            if channel.bonded and channel.has_partner():
                channel.heard = time.monotonic()
            if channel.turns(time.monotonic()):
                for command in channel.turn(bridge):
                    subprocess.run(command, check=True)
                # On a busy machine that took seconds, in which nobody was listened to.
                channel.heard = time.monotonic() if channel.bonded else None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
