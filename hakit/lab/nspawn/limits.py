"""Limits of the kernel that many hosts on one machine run into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
PER_HOST = 16
"""inotify instances that a booted Debian with systemd, journald and sshd holds (seen: 12 to 14)."""
RESERVE = 512
"""For other labs and for the machine itself."""


def raise_watchers(hosts: int, progress: Callable[[str], None], limit: Path = WATCHERS) -> None:
    """Let every host have its inotify instances: the kernel's default of 128 is used up by ten.

    The limit holds until the machine restarts. Where it may not be raised it stays, and hosts may fail to start.
    """
    needed = RESERVE + PER_HOST * hosts
    try:
        if int(limit.read_text()) >= needed:
            return
        limit.write_text(f"{needed}\n")
    except (OSError, ValueError):
        return
    progress(f"raised this machine's fs.inotify.max_user_instances to {needed}: each host needs some")
