"""What `hakit doctor` asks of a host: questions that change nothing, each with an answer of plain JSON.

An answer is what was seen, without a judgement: that is the controller's. A question that can't be answered gives
`{"failed": reason}`. Questions, with their arguments:

- `clock` (null): `now` in seconds since 1970, `synchronized` (null when the kernel doesn't tell);
- `machine` (null): what tells this machine from others, and its NICs;
- `disks` (paths): room on the file systems that the paths are on, sizes in bytes;
- `units` (unit names): failed units of the host, and whether the named ones are masked;
- `packages` (see `hakit.agent.packaging`);
- `wires`, `reach` (see `hakit.agent.neighbours`).
"""

from __future__ import annotations

import os

from hakit.agent.errors import Failure, FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hakit.agent.work import Work

TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
TIMEX = 1024  # bytes, more than struct timex has on any architecture
REBOOT = "/run/reboot-required"  # Debian policy: packages that want a reboot touch it


def examine(questions: dict[str, Any], work: Work) -> dict[str, Any]:
    """The answers by question. Raises FrameError for a question that nobody knows."""
    table: dict[str, Callable[[Any, Work], Any]] = {
        "clock": _clock,
        "machine": _machine,
        "disks": _disks,
        "units": _units,
        "packages": _packages,
        "wires": _wires,
        "reach": _reach,
    }
    answers = {}
    for name, argument in questions.items():
        if name not in table:
            raise FrameError(f"no such question: {name!r}")
        try:
            answers[name] = table[name](argument, work)
        except Failure as failure:
            answers[name] = {"failed": failure.message}
        except OSError as error:
            words = (error.strerror or str(error), error.filename)
            answers[name] = {"failed": ": ".join(word for word in words if isinstance(word, str))}
    return answers


def _clock(argument: None, work: Work) -> dict[str, Any]:
    del argument
    from time import time

    return {"synchronized": _synchronized(work), "now": time()}


def _synchronized(work: Work) -> bool | None:
    """Whether something disciplines the kernel's clock; None when that can't be known here."""
    try:
        from ctypes import CDLL, create_string_buffer

        # The first member of struct timex, `modes`, is 0: nothing is set.
        state: int = CDLL(None).adjtimex(create_string_buffer(TIMEX))
    except (ImportError, OSError, AttributeError):
        state = -1  # a minimal Python has no ctypes
    if state >= 0:
        return state != TIME_ERROR
    says = work.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], 3.0).out.strip()
    return {"yes": True, "no": False}.get(says)


def _machine(argument: None, work: Work) -> dict[str, Any]:
    del argument
    from hakit.agent.neighbours import nics

    folder = work.at("/etc/ssh")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    keys = [_text(f"/etc/ssh/{name}", work) for name in names if name.startswith("ssh_host_") and name.endswith(".pub")]
    return {
        "id": _text("/etc/machine-id", work),
        "keys": [" ".join(key.split()[:2]) for key in keys if key],
        "uptime": _uptime(work),
        "container": _text("/run/systemd/container", work),
        "reboot": os.path.exists(work.at(REBOOT)),
        "nics": nics(work),
    }


def _uptime(work: Work) -> float:
    """Seconds since PID 1 was started: a container's, not those of the machine beneath it (proc(5), stat)."""
    since_boot = float((_text("/proc/uptime", work).split() or ["0"])[0])
    fields = _text("/proc/1/stat", work).rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else 0.0  # noqa: PLR2004 - starttime's place
    return max(0.0, since_boot - started)


def _disks(paths: list[str], work: Work) -> list[dict[str, Any]]:
    return [_disk(path, work) for path in paths]


def _disk(path: str, work: Work) -> dict[str, Any]:
    """Room on the file system of a path, or of its nearest ancestor that exists."""
    while path != "/" and not os.path.isdir(work.at(path)):
        path = os.path.dirname(path)
    found = os.statvfs(work.at(path) or "/")
    return {
        "mount": _mount(path, work),
        "readonly": bool(found.f_flag & os.ST_RDONLY),
        "size": found.f_blocks * found.f_frsize,
        "free": found.f_bavail * found.f_frsize,
        "inodes": found.f_files,
        "inodes_free": found.f_favail,
    }


def _mount(path: str, work: Work) -> str:
    """The mount point that a path is below: the longest that the kernel knows, so that bind mounts count."""
    points = [line.split()[1] for line in _text("/proc/self/mounts", work).splitlines() if line.count(" ") > 1]
    above = [point for point in points if point == path or path.startswith(point.rstrip("/") + "/")]
    return max(above, key=len, default="/")


def _units(names: list[str], work: Work) -> dict[str, Any]:
    from hakit.agent import loaded

    listed = work.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"], 10.0)
    shown = loaded.show(names, work)
    return {
        "failed": [line.split()[0] for line in listed.out.splitlines() if line.strip()],
        "masked": [name for name, one in shown.items() if one.get("LoadState") == "masked"],
        "beneath": [name for name in names if any(os.path.isfile(work.at(one + name)) for one in loaded.SYSTEMD)],
    }


def _packages(argument: dict[str, Any], work: Work) -> dict[str, Any]:
    from hakit.agent.packaging import packages

    return packages([str(name) for name in argument["install"]], work, sources=bool(argument["sources"]))


def _wires(argument: dict[str, Any], work: Work) -> dict[str, Any]:
    del work
    from hakit.agent.neighbours import survey

    ask = [(str(nic), str(address)) for nic, address in argument["ask"]]
    return survey(ask, [str(nic) for nic in argument["listen"]], float(argument["seconds"]))


def _reach(argument: dict[str, Any], work: Work) -> list[str]:
    del work
    from hakit.agent.neighbours import reach

    return reach([(str(address), int(port)) for address, port in argument["targets"]], float(argument["seconds"]))


def _text(path: str, work: Work) -> str:
    try:
        with open(work.at(path), encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).strip()
    except OSError:
        return ""
