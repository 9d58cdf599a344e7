"""Control groups (cgroup v2) of a lab: each holds the processes of one host, and ends with them. Needs root."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hakit.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakit.lab.state import Place

GIVE_WAY = 'echo "$0" 2>/dev/null >/proc/self/autogroup; exec nice -n "$0" "$@"'
"""Shell: where sessions are scheduled as groups, one's own nice value counts within its session only (sched(7))."""


def cgroup_root() -> Path:
    """Where the unified hierarchy (cgroup v2) is mounted. Raises LabError when it is not.

    /sys/fs/cgroup on most machines, /sys/fs/cgroup/unified on those that mix both versions.
    """
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    raise LabError(
        "no cgroup v2 hierarchy is mounted on this machine",
        why="systemd on the lab's hosts needs one.",
        hint="mount -t cgroup2 none /sys/fs/cgroup",
    )


def lab_cgroup(place: Place) -> Path:
    """The cgroup that holds everything of a lab."""
    return cgroup_root() / place.namespace


def populated(cgroup: Path) -> bool:
    """Whether any process lives in a cgroup or below."""
    try:
        return "populated 1" in (cgroup / "cgroup.events").read_text(encoding="ascii")
    except OSError:
        return False


def entering(cgroup: Path) -> list[str]:
    """The words before a command that put it into a cgroup, which is made."""
    cgroup.mkdir(parents=True, exist_ok=True)
    return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', str(cgroup)]


def launch(
    cgroup: Path,
    command: Sequence[str],
    log: IO[bytes],
    *,
    given: bytes = b"",
    pass_fds: tuple[int, ...] = (),
    nice: int = 0,
) -> None:
    """Start a program that outlives this process, in a cgroup, with `given` as its stdin; returns at once.

    It is in the cgroup before this returns, in a session of its own, and a child of nobody here.
    """
    giving_way = ["sh", "-c", GIVE_WAY, str(nice)] if nice else []
    subprocess.run(
        [*entering(cgroup), "setsid", "--fork", *giving_way, *command],
        input=given,
        stdout=log,
        stderr=log,
        cwd="/",
        pass_fds=pass_fds,
        check=True,
    )


def kill(cgroup: Path, timeout: float = 10.0) -> None:
    """Kill all processes below a cgroup at once, and wait until they are gone. Raises LabError."""
    try:
        (cgroup / "cgroup.kill").write_text("1", encoding="ascii")
    except FileNotFoundError:
        return
    deadline = time.monotonic() + timeout
    while populated(cgroup):
        if time.monotonic() > deadline:
            raise LabError(f"processes in {cgroup} did not die within {timeout:.0f} s")
        time.sleep(0.005)


def remove_cgroup(cgroup: Path, timeout: float = 5.0) -> None:
    """Remove an empty cgroup with all below it; the kernel frees them a moment after the last process is gone."""
    deadline = time.monotonic() + timeout
    while cgroup.exists():
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > deadline:
            raise LabError(f"{cgroup} can't be removed", why="Processes live in it still.")


def pids(cgroup: Path) -> Iterator[int]:
    """The processes in a cgroup and below."""
    for folder, _, _ in os.walk(cgroup):
        with suppress(OSError):
            yield from map(int, (Path(folder) / "cgroup.procs").read_text(encoding="ascii").split())
