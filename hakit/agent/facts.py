"""What a plan has to know of a host before it can say what is declared there."""

from __future__ import annotations

import os
import sys

from hakit.agent.errors import Failure
from hakit.agent.handlers.package import query_candidates, query_installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work


def release(text: str) -> dict[str, str]:
    """The pairs of `/etc/os-release` (os-release(5)), unquoted."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = value.strip("\"'")
    return found


def gather(packages: list[str], work: Work, *, network: bool = False, storage: bool = False) -> dict[str, Any]:
    """The facts of this host; `packages` are those whose versions are asked for.

    `network` and `storage` are whether its network, and its disks and arrays, are asked for.
    """
    pairs = release(_text("/etc/os-release", work) or _text("/usr/lib/os-release", work))
    number = pairs.get("VERSION_ID", "").partition(".")[0]
    system = os.uname()
    return {
        "release": int(number) if number.isdigit() else None,
        "id": pairs.get("ID", ""),
        "codename": pairs.get("VERSION_CODENAME", ""),
        "like": pairs.get("ID_LIKE", ""),
        "pretty": pairs.get("PRETTY_NAME", ""),
        "packages": _versions(packages, work),
        "memory": _memory(_text("/proc/meminfo", work)),
        "hostname": system.nodename,
        "kernel": system.release,
        "machine": system.machine,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "boot": _text("/proc/sys/kernel/random/boot_id", work).strip(),
        "systemd": os.path.isdir(work.at("/run/systemd/system")),
        "network": _network(work) if network else None,
        "storage": _storage(work) if storage else None,
    }


def _versions(names: list[str], work: Work) -> dict[str, str]:
    if not names:
        return {}
    try:
        work.versions = query_installed(work)
    except Failure:
        # Not a Debian, or a broken one: the plan refuses it, or asks again and says why not.
        work.versions = None
    have = work.versions or {}
    found = {name: have[name] for name in names if name in have}
    found.update(query_candidates([name for name in names if name not in found], work))
    return found


def _network(work: Work) -> dict[str, Any]:
    from hakit.agent.network.found import found

    return found(work)


def _storage(work: Work) -> dict[str, Any]:
    from hakit.agent.raid.found import found

    return found(work)


def _memory(text: str) -> int | None:
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _text(path: str, work: Work) -> str:
    try:
        with open(work.at(path), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
