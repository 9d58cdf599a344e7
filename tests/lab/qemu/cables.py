"""Sends frames through cables of virtual machines and prints which arrive, as JSON: root's half of test_cables.

python -m tests.lab.qemu.cables ID: in a network namespace of its own, by the lab's id.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Final

from hakit.lab import namespace
from hakit.lab.plan import LabPlan
from hakit.lab.qemu import tap
from hakit.lab.state import Place

HEADER: Final = bytes(10)
"""Of virtio-net (IFF_VNET_HDR): no checksum or segmentation is left to do."""
SOURCE: Final = bytes.fromhex("525400000001")
OTHER: Final = bytes.fromhex("525400000002")
EVERYBODY: Final = bytes.fromhex("ffffffffffff")
FRAMES: Final = {
    # Slow protocols, to the group that no bridge forwards (IEEE 802.1AX, 802.1D).
    "lacp": bytes.fromhex("0180c2000002") + SOURCE + bytes.fromhex("8809") + b"\x01\x01" + bytes(108),
    "vlan": EVERYBODY + SOURCE + bytes.fromhex("81000007" + "88b5") + b"tagged".ljust(60, b"\0"),
    "jumbo": EVERYBODY + SOURCE + bytes.fromhex("88b5") + b"long".ljust(9000, b"\0"),
    # To whoever has spoken at both ends: from one of them a bridge that learns would lead it nowhere.
    "answer": SOURCE + OTHER + bytes.fromhex("88b5") + b"back".ljust(60, b"\0"),
}

QUESTION: Final = (
    EVERYBODY + SOURCE + bytes.fromhex("0806" "0001080006040001") + SOURCE + bytes((10, 79, 0, 99))
    + bytes(6) + bytes((10, 79, 0, 1))
).ljust(60, b"\0")  # fmt: skip
"""An ARP request (RFC 826) for the address of the lab's bridge."""


def answers(into: int) -> bool:
    """Whether somebody answers the request within half a second."""
    os.write(into, HEADER + QUESTION)
    while select.select([into], [], [], 0.5)[0]:
        if os.read(into, 1 << 16)[len(HEADER) + 12 :][:10] == bytes.fromhex("08060001080006040002"):
            return True
    return False


def arrives(frame: bytes, into: int, out_of: int) -> bool:
    """Whether a frame comes out within half a second; others, of the kernel's own, may come too."""
    os.write(into, HEADER + frame)
    while select.select([out_of], [], [], 0.5)[0]:
        if os.read(out_of, 1 << 16)[len(HEADER) :] == frame:
            return True
    return False


def arrived(ends: list[int]) -> list[str]:
    """The frames that arrive in both directions."""
    first, second = ends
    return [name for name, frame in FRAMES.items() if arrives(frame, first, second) and arrives(frame, second, first)]


def main(lab: str) -> dict[str, object]:
    """What arrives over a patch cable, over one that is pulled, over the lab's bridge; what is left of a cable."""
    place = Place(lab)
    namespace.create(place, LabPlan("", "10.79.0.0/24", "10.79.0.1/24", "qemu", (), ()))
    try:
        ends = [tap.open_tap(place, name) for name in ("db1-eth1", "switch-p1")]
        for name in ("db1-eth1", "switch-p1"):
            tap.patch(place, name, "db1", "eth1", up=True)
        patched = arrived(ends)
        alone = not answers(ends[0])
        namespace.plug(place, "db1", "eth1", up=False)
        pulled = arrives(FRAMES["vlan"], ends[1], ends[0])
        for end in ends:
            os.close(end)
        left = sorted(name for name in namespace.cables(place) if name.startswith(("db1-", "switch-")))
        ends = [tap.open_tap(place, name) for name in ("one-eth0", "two-eth0")]
        for name in ("one-eth0", "two-eth0"):
            tap.connect(place, name, namespace.BRIDGE, up=True)
        found = {"patched": patched, "alone": alone, "pulled": pulled, "left": left}
        return {**found, "bridged": arrived(ends), "answers": answers(ends[0])}
    finally:
        namespace.delete(place)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
