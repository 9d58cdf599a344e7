"""hakit in a process that ends, or loses a host, at a counted frame; nothing in hakit knows of it.

    python -m tests.lab.cutting [--count FILE] [--kill N] [--pull HOST N [--back-late]] [--dying] -- apply …

`--count` writes how many frames went over all channels and over each host's (JSON) when hakit has ended. `--kill` ends
this process right after the N-th frame, sent or received. `--pull` pulls a host's power right after its own N-th frame,
and powers it on again at once, or with `--back-late` when hakit has ended. `--dying` sends an agent that counts its
changes and dies where a file on the host says (see `dying`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hakit.agent import bootstrap, frames, starting
from hakit.cli import options
from hakit.cli.main import main as hakit
from hakit.lab import Lab
from hakit.ssh.connection import ExecChannel

if TYPE_CHECKING:
    from collections.abc import Callable


class Frames:
    """Counts frames by host, and says so after each."""

    def __init__(self, after: Callable[[str, int, int], None]) -> None:
        self.all = 0
        self.hosts: Counter[str] = Counter()
        self._after = after
        self._lock = threading.Lock()
        self._here = threading.local()

    def count(self, host: str) -> None:
        """One frame more went over a host's channel."""
        with self._lock:
            self.all += 1
            self.hosts[host] += 1
            numbers = self.all, self.hosts[host]
        self._after(host, *numbers)

    def watch(self) -> None:
        """Count what every channel sends, and every frame that comes: a session talks in one thread at a time."""
        send, receive, following = ExecChannel.send, ExecChannel.recv, frames.Decoder.next

        def sending(channel: ExecChannel, data: bytes) -> None:
            self._here.host = channel._name
            send(channel, data)
            self.count(channel._name)

        def receiving(channel: ExecChannel, size: int, timeout: float | None = None) -> bytes:
            self._here.host = channel._name
            return receive(channel, size, timeout)

        def decoding(decoder: frames.Decoder) -> dict[str, Any] | None:
            frame = following(decoder)
            if frame is not None:
                self.count(self._here.host)
            return frame

        ExecChannel.send = sending  # type: ignore[method-assign, assignment]  # other names of parameters
        ExecChannel.recv = receiving  # type: ignore[method-assign, assignment]  # as above
        frames.Decoder.next = decoding  # type: ignore[method-assign, assignment]  # as above


class Pull:
    """Takes a host's power away at one of its frames."""

    def __init__(self, host: str, number: int, *, late: bool) -> None:
        inventory = Path(os.environ["HAKIT_INVENTORY"])
        self._lab = Lab.of(options.load(inventory, need_secrets=False)[0])
        self._host, self._number, self._late = host, number, late
        self._back = threading.Thread(target=lambda: self._lab.power(host, "on"))
        self._pulled = False

    def after(self, host: str, number: int) -> None:
        """Maybe now."""
        if (host, number) == (self._host, self._number):
            self._lab.power(host, "pull")
            self._pulled = True
            if not self._late:
                self._back.start()

    def restore(self) -> None:
        """The host is on again, if it was ever off."""
        if self._pulled and self._late:
            self._back.start()
        if self._pulled:
            self._back.join()


def send_dying_agents() -> None:
    """Add `dying` to the code that is sent, in front of everything else that the agent imports."""
    real = bootstrap.bundle()
    words = zlib.decompress(real.compressed).decode().split("\0")
    sources = dict(zip(words[::2], words[1::2], strict=True))
    sources["hakit.agent.dying"] = Path(__file__).with_name("dying.py").read_text(encoding="utf-8")
    sources["hakit.agent.main"] += "\nimport hakit.agent.dying\n"
    text = "\0".join(part for pair in sources.items() for part in pair).encode()
    digest = hashlib.sha256(text + b"\0" + real.loader).hexdigest()[:32]
    changed = replace(real, digest=digest, compressed=zlib.compress(text, 9))
    for module in (bootstrap, starting):
        module.bundle = lambda: changed  # type: ignore[attr-defined]  # one of both only imports it


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options before `--`, and hakit's own words after it."""
    parser = argparse.ArgumentParser(prog="tests.lab.cutting")
    parser.add_argument("--count", type=Path)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--pull", nargs=2, default=("", "0"))
    parser.add_argument("--back-late", action="store_true")
    parser.add_argument("--dying", action="store_true")
    parser.add_argument("words", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Run hakit so; ends with its exit code."""
    asked = parse(arguments)
    pull = Pull(asked.pull[0], int(asked.pull[1]), late=asked.back_late) if asked.pull[0] else None

    def after(host: str, everywhere: int, here: int) -> None:
        if everywhere == asked.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if pull is not None:
            pull.after(host, here)

    counting = Frames(after)
    counting.watch()
    if asked.dying:
        send_dying_agents()
    try:
        hakit(asked.words)
    finally:
        if asked.count:
            asked.count.write_text(json.dumps({"all": counting.all, "hosts": counting.hosts}), encoding="utf-8")
        if pull is not None:
            pull.restore()


if __name__ == "__main__":
    main(sys.argv[1:])
