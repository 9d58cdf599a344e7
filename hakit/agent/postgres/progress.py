"""How far pg_basebackup is, read from what it says."""

from __future__ import annotations

import os
import re
from time import monotonic

from hakit.agent.errors import Failure, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.work import Work

LINE = re.compile(r"(\d+)/(\d+) kB \((\d+)%\)")
TAIL = 512  # bytes that surely hold its last line
QUIET = 10.0  # seconds after which it is told once more though no further per cent was done
STALL = 600.0  # seconds without a byte, before all are there: a connection or a disk that hangs


class Progress:
    """Tells the controller how far a copy is, and ends it when nothing moves; with `ends` also when nobody listens."""

    def __init__(self, label: str, log: str, work: Work, *, ends: bool = True) -> None:
        self._ends = ends
        self._label = label
        self._log = log
        self._work = work
        self._done = (-1, 0, -1)
        self._moved = monotonic()
        self._told = (-1, monotonic())

    def tick(self) -> None:
        """Look once. Raises Stopped, Failure."""
        if self._ends and self._work.gone():
            raise Stopped
        found = self._read()
        now = monotonic()
        if found != self._done:
            self._done, self._moved = found, now
        done, total, per_cent = found
        if now - self._moved > STALL and done < total:
            raise Failure(f"the copy from {self._label} did not advance for {STALL:.0f} s ({done // 1024} MiB done)")
        if done >= 0 and (per_cent != self._told[0] or now - self._told[1] > QUIET):
            self._told = (per_cent, now)
            self._work.say(f"{done // 1024} of {total // 1024} MiB copied from {self._label} ({per_cent} %)")

    def _read(self) -> tuple[int, int, int]:
        """KiB done, KiB in all, per cent; what was found last while it says nothing new."""
        with open(self._log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            found = LINE.findall(file.read().decode("utf-8", "replace"))
        if not found:
            return self._done
        done, total, per_cent = found[-1]
        return int(done), int(total), int(per_cent)
