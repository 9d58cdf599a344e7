"""The lab's network: a namespace of its own with a bridge; nothing is added to the machine's own network."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from hakit.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakit.lab.plan import LabPlan
    from hakit.lab.state import Place

T = TypeVar("T")
BRIDGE: Final = "br0"
CLONE_NEWNET: Final = 0x40000000
"""From linux/sched.h; the standard library has `os.setns` only from Python 3.12 on."""
IFNAMSIZ: Final = 16
"""Linux's limit on an interface name, its final NUL included."""


def ip(*arguments: str, check: bool = True) -> str:
    """Run iproute2's `ip` and return what it prints. Raises LabError."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LabError(f"ip {' '.join(arguments)} failed", why=done.stderr.strip())
    return done.stdout


def create(place: Place, plan: LabPlan) -> None:
    """Make the namespace and the bridge; what is there already stays.

    The bridge forwards at once (no STP, no delay) and floods multicast, as a plain switch does: VRRP needs both.
    """
    name = place.namespace
    if not place.namespace_file.exists() or not _alive(place):
        delete(place)
        ip("netns", "add", name)
    if BRIDGE not in _links(place):
        options = ["forward_delay", "0", "stp_state", "0", "mcast_snooping", "0"]
        ip("-n", name, "link", "add", BRIDGE, "type", "bridge", *options)
    ip("-n", name, "address", "replace", plan.bridge, "dev", BRIDGE)
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "link", "set", BRIDGE, "up")


def delete(place: Place) -> None:
    """Remove the namespace; its bridge and cables go with it."""
    if place.namespace_file.exists():
        ip("netns", "delete", place.namespace)


def _alive(place: Place) -> bool:
    """Whether the name leads to a namespace: a killed `ip netns add` leaves an empty file behind."""
    return subprocess.run(["ip", "-n", place.namespace, "link"], capture_output=True, check=False).returncode == 0


def _links(place: Place) -> dict[str, bool]:
    links = json.loads(ip("-n", place.namespace, "-json", "link", "show") or "[]")
    return {link["ifname"]: "UP" in link["flags"] for link in links}


def cables(place: Place) -> dict[str, bool]:
    """The switch's side of each cable, and whether it is plugged in; empty when there is no such network."""
    return _links(place) if place.namespace_file.exists() and _alive(place) else {}


def cable(host: str, nic: str) -> str:
    """The name of the switch's side of a NIC's cable: `lb1-eth0`, shortened with a hash when it is too long."""
    name = f"{host}-{nic}"
    if len(name) < IFNAMSIZ:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:5]
    return f"{host[: IFNAMSIZ - 3 - len(digest)]}~{digest}"


def plug(place: Place, host: str, nic: str, *, up: bool) -> None:
    """Plug a NIC's cable in or pull it out, as seen by the host: its carrier. Raises LabError when there is none."""
    ip("-n", place.namespace, "link", "set", cable(host, nic), "up" if up else "down")


def open_socket(namespace_file: Path, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A TCP socket that lives in a namespace, wherever it is used afterwards. Needs root. Raises OSError."""
    return inside(namespace_file, lambda: socket.socket(family, socket.SOCK_STREAM))


def inside(namespace_file: Path, make: Callable[[], T]) -> T:
    """What `make` makes inside a namespace. Needs root. Raises OSError.

    A socket belongs to the namespace of the thread that makes it. A thread of its own enters the namespace and ends, so
    that no other thread's network ever changes.
    """
    made: list[T] = []
    failed: list[OSError] = []

    def enter() -> None:
        try:
            handle = os.open(namespace_file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(handle, CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), str(namespace_file))
                made.append(make())
            finally:
                os.close(handle)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
