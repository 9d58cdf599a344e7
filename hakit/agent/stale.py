"""Processes that run code which is no longer on disk: what an upgrade leaves behind until a restart or a reboot."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DELETED = " (deleted)"
CODE = ("/usr/", "/lib", "/bin/", "/sbin/", "/opt/")
# Restarting these cuts sessions, the bus or the network off: they wait for a reboot.
KEPT = (
    "NetworkManager",
    "console-getty",
    "dbus",
    "dbus-broker",
    "getty@",
    "networking",
    "serial-getty@",
    "systemd-logind",
    "systemd-networkd",
    "user@",
    "wpa_supplicant",
)


def replaced(maps: Iterable[str]) -> list[str]:
    """The files of `/proc/PID/maps` whose code runs and that were deleted or replaced, in order, each once."""
    found = []
    for line in maps:
        fields = line.rstrip("\n").split(None, 5)
        if len(fields) > 5 and "x" in fields[1] and fields[5].endswith(DELETED) and fields[5].startswith(CODE):  # noqa: PLR2004 - the sixth field is the path (proc(5))
            found.append(fields[5][: -len(DELETED)])
    return list(dict.fromkeys(found))


def unit_of(cgroup: str) -> str:
    """The service of a process from `/proc/PID/cgroup`; empty for a login session, a container and what has none."""
    parts = [part for line in cgroup.splitlines() for part in line.split(":", 2)[-1].split("/")]
    if any(part.endswith(".scope") or part in {"user.slice", "machine.slice"} for part in parts):
        return ""
    return next((part for part in reversed(parts) if part.endswith(".service")), "")


def is_kept(unit: str) -> bool:
    """Whether only a reboot may bring this unit new code."""
    name = unit[: unit.index("@") + 1] if "@" in unit else unit[: -len(".service")]
    return name in KEPT


def units(proc: str) -> dict[str, list[str]]:
    """The services whose processes run replaced code, each with the files."""
    found: dict[str, list[str]] = {}
    for pid in _pids(proc):
        unit = unit_of(_read(f"{proc}/{pid}/cgroup"))
        files = replaced(_read(f"{proc}/{pid}/maps").splitlines()) if unit else []
        if files:
            known = found.setdefault(unit, [])
            known += [file for file in files if file not in known]
    return dict(sorted(found.items()))


def of_init(proc: str) -> list[str]:
    """The files of replaced code that process 1 runs."""
    return replaced(_read(f"{proc}/1/maps").splitlines())


def own_units(pid: int, proc: str) -> set[str]:
    """The services that a process and its ancestors belong to."""
    found = set()
    while pid > 1:
        found.add(unit_of(_read(f"{proc}/{pid}/cgroup")))
        words = _read(f"{proc}/{pid}/stat").rpartition(")")[2].split()
        pid = int(words[1]) if len(words) > 1 else 0
    return found - {""}


def _pids(proc: str) -> list[str]:
    try:
        return [name for name in os.listdir(proc) if name.isdigit()]
    except FileNotFoundError:
        return []


def _read(path: str) -> str:
    """The text of a file of /proc; empty once the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
