"""Asks an address every 0.2 s whether it is there, by ICMP echo (RFC 792), and prints the number of each answer.

python -m tests.lab.qemu.pinging ADDRESS: as root, and until it is terminated. A computer may have no ping(8).
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
from typing import Final

INTERVAL: Final = 0.2
ECHO, REPLY = 8, 0


def checksum(data: bytes) -> int:
    """The Internet's checksum (RFC 1071) of an even number of octets."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def request(own: int, number: int) -> bytes:
    """The request of that number."""
    plain = struct.pack("!BBHHH", ECHO, 0, 0, own, number)
    return struct.pack("!BBHHH", ECHO, 0, checksum(plain), own, number)


def main(address: str) -> None:
    """Ask for ever. What comes late is an answer too."""
    own, number = os.getpid() & 0xFFFF, 0
    pinging = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    due = time.monotonic()
    while True:
        if select.select([pinging], [], [], max(0.0, due - time.monotonic()))[0]:
            packet = pinging.recv(2048)
            kind, _, _, to, answered = struct.unpack("!BBHHH", packet[(packet[0] & 15) * 4 :][:8])
            if (kind, to) == (REPLY, own):
                sys.stdout.write(f"{answered}\n")
                sys.stdout.flush()
        if time.monotonic() >= due:
            number += 1
            due += INTERVAL
            pinging.sendto(request(own, number), (address, 0))


if __name__ == "__main__":
    main(sys.argv[1])
