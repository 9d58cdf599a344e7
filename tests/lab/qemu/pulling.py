"""The members of a bond lose their cables, one after the other, while a ping and an SSH transfer go over it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.qemu import pinging
from tests.lab.qemu.rungs import BOUND, assert_lacp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import LabHandle
    from tests.lab.qemu.rungs import Rung

ROOT = Path(__file__).parents[3]
LOST = 2
"""Pings that may be lost when a cable is pulled."""
BEFORE, AFTER = 10, 25
"""Answers to wait for before a cable is pulled, and after: as many as tell that it goes on."""
FILE = "/root/transferred"
CHUNK = 1 << 14


class Ping:
    """Pings from hakit's machine, five a second, until they are stopped."""

    def __init__(self, handle: LabHandle, address: str) -> None:
        command = [*handle.lab.enter(), sys.executable, "-B", "-m", pinging.__name__, address]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._heard: list[int] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def answers(self) -> int:
        """How many answers have come until now."""
        return len(self._heard)

    def answered(self) -> list[int]:
        """Ends it: the numbers of the pings that somebody answered, in their order."""
        self._process.terminate()
        self._process.wait(60)
        self._reader.join(60)
        return sorted(set(self._heard))

    def lost(self) -> list[int]:
        """Ends it: the numbers of the pings that nobody answered, up to the last one that somebody did."""
        answered = self.answered()
        return sorted(set(range(1, answered[-1] + 1)) - set(answered))

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._heard.append(int(line))


class Transfer:
    """Random bytes that go to a file of a host by ssh, for as long as it is asked."""

    def __init__(self, handle: LabHandle, host: str) -> None:
        self.sent = 0
        self._sum = hashlib.sha256()
        self._ends = threading.Event()
        command = handle.lab.ssh(host, [f"cat >{FILE} && sha256sum <{FILE}"])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def end(self) -> tuple[str, str]:
        """The sum of what was sent and of what has arrived, in hexadecimal digits."""
        self._ends.set()
        self._writer.join(300)
        output, _ = self._process.communicate(timeout=300)
        return self._sum.hexdigest(), output.decode().partition(" ")[0]

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        # Slow enough for an emulated processor to have time for something else.
        while not self._ends.wait(0.1):
            data = os.urandom(CHUNK)
            pipe.write(data)
            pipe.flush()
            self._sum.update(data)
            self.sent += len(data)


@contextmanager
def pulled(handle: LabHandle, host: str, nic: str) -> Iterator[None]:
    """A NIC without its cable."""
    handle.lab.link(host, nic, up=False)
    try:
        yield
    finally:
        handle.lab.link(host, nic, up=True)


def assert_it_outlives_pulled_cables(handle: LabHandle, rung: Rung, host: str) -> None:
    """At most two pings are lost with each cable, and the transfer goes on."""
    transfer = Transfer(handle, host)
    for nic in BOUND:
        ping = Ping(handle, rung.of(host).management)
        goes_on(handle, ping, BEFORE)
        with pulled(handle, host, nic):
            member(handle, host, nic, "down")
            goes_on(handle, ping, AFTER)
            _arrives(handle, host)
        member(handle, host, nic, "up")
        if rung.mode == "802.3ad":
            assert_lacp(handle, host)
        goes_on(handle, ping, AFTER)
        lost = ping.lost()
        print(f"{host}, {rung.name}, {nic}: lost {lost}, {transfer.sent} bytes sent")  # noqa: T201 - a measurement
        assert len(lost) <= LOST, lost
    sent, arrived = transfer.end()
    assert sent == arrived


def goes_on(handle: LabHandle, ping: Ping, answers: int) -> None:
    """So many more pings are answered."""
    wanted = ping.answers + answers
    handle.eventually(lambda: ping.answers >= wanted, f"{answers} more pings are answered", timeout=120)


def _arrives(handle: LabHandle, host: str) -> None:
    """More of the transfer arrives."""

    def size() -> int:
        return int(handle.lab.exec(host, ["stat", "-c%s", FILE], check=True).stdout)

    before = size()
    handle.eventually(lambda: size() > before, "more of the transfer arrives", timeout=120)


def member(handle: LabHandle, host: str, nic: str, state: str) -> None:
    """The bond has seen that a member is `up` or `down`."""
    path = f"/sys/class/net/{nic}/bonding_slave/mii_status"
    handle.eventually(
        lambda: handle.lab.exec(host, ["cat", path]).stdout.strip() == state, f"{nic} is {state}", timeout=60
    )
