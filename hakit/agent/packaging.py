"""Whether apt and dpkg could do what hakit will ask of them: nothing is installed, no package list is changed."""

from __future__ import annotations

import os

from hakit.agent.handlers.package import LOCKS, lock_holder, query_installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

HELPER = "/usr/lib/apt/apt-helper"
LOCAL = ("file:", "copy:", "cdrom:")  # sources that are on the host itself: reading them is apt's own business
PATIENCE = 8.0  # seconds for all sources together: a mirror that is slower than that is as good as dead
ONE = 4  # whole seconds for one connection
KEPT = 1500  # characters of what a command said
WANTED = 20  # sources that are asked, and errors that are kept, at most


def packages(install: list[str], work: Work, *, sources: bool) -> dict[str, Any]:
    """The state of dpkg and apt.

    `install` are packages that hakit would install; those that are missing are tried with `apt-get -s`. `sources` asks
    whether the archives answer.
    """
    have = work.versions if work.versions is not None else query_installed(work)
    missing = [name for name in install if name not in have]
    return {
        "missing": missing,
        "locks": _locks(work),
        "audit": work.run(["dpkg", "--audit"], 20.0).tail()[-KEPT:],
        "interrupted": _filled("/var/lib/dpkg/updates", work),
        "held": work.run(["apt-mark", "showhold"], 20.0).out.split(),
        "trial": trial(missing, work),
        "unreachable": _unreachable(work) if sources else [],
    }


def trial(missing: list[str], work: Work) -> dict[str, Any]:
    """How `apt-get install` would go, run with -s: `errors` as apt says them, `removes` what would leave."""
    argv = ["apt-get", "-s", "-q", "install", "--no-install-recommends", "--", *missing]
    result = work.run(argv, 30.0)
    errors = [line[3:].strip() for line in result.err.splitlines() if line.startswith("E: ")]
    if result.code and not errors:
        errors = [(result.tail().splitlines() or [f"apt-get ended with exit {result.code}"])[-1]]
    return {
        "errors": ["apt-get did not end within 30 s"] if result.late else errors[:WANTED],
        "depends": "\n".join(line.strip() for line in result.out.splitlines() if "Depends:" in line)[-KEPT:],
        "removes": [line.split()[1] for line in result.out.splitlines() if line.startswith("Remv ")],
    }


def _locks(work: Work) -> list[dict[str, Any]]:
    """Locks of dpkg and apt that somebody holds, one entry for each holder."""
    held: dict[int, str] = {}
    for path in LOCKS:
        try:
            pid = lock_holder(work.at(path))
        except OSError:
            continue  # a read-only file system, which is told of elsewhere
        if pid is not None:
            held.setdefault(pid, path)
    return [{"path": path, "pid": pid, "command": _command(pid)} for pid, path in held.items()]


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _filled(path: str, work: Work) -> bool:
    try:
        return bool(os.listdir(work.at(path)))
    except OSError:
        return False


def _unreachable(work: Work) -> list[dict[str, str]]:
    """The archives whose index can't be fetched, with the reason; fetched by apt itself, with its proxies and keys."""
    listed = work.run(["apt-get", "update", "--print-uris"], 10.0)
    uris = [line.split()[0].strip("'") for line in listed.out.splitlines() if line.startswith("'")]
    indexes = [uri for uri in uris if uri.endswith("/InRelease") and not uri.startswith(LOCAL)][:WANTED]
    if not indexes:
        return []
    folder = work.at(f"/run/hakit-doctor-{os.getpid()}")
    os.mkdir(folder, 0o700)
    try:
        failed = _fetch(indexes, folder, work)
        # An archive without InRelease has Release and Release.gpg instead.
        old = {uri[: -len("InRelease")] + "Release": uri for uri, why in failed.items() if "404" in why}
        if old:
            again = _fetch(list(old), folder, work)
            for uri, index in old.items():
                if uri not in again:
                    del failed[index]
    finally:
        from hakit.agent.disk import delete_tree

        delete_tree(folder)
    return [{"uri": uri, "reason": reason} for uri, reason in failed.items()]


def _fetch(uris: list[str], folder: str, work: Work) -> dict[str, str]:
    """Those that can't be fetched, with the reason; what was fetched is gone again."""
    options = [
        "Acquire::Retries=0",
        "Acquire::http::Pipeline-Depth=0",
        f"Acquire::http::Timeout={ONE}",
        f"Acquire::https::Timeout={ONE}",
    ]
    argv = [work.at(HELPER), *(word for option in options for word in ("-o", option)), "download-file"]
    files = {uri: f"{folder}/{place}" for place, uri in enumerate(uris)}
    for uri, path in files.items():
        argv += [uri, path, ""]
    result = work.run(argv, PATIENCE)
    silent = f"no answer within {PATIENCE:.0f} s" if result.late else result.tail()[-200:] or "it can't be fetched"
    reasons = {}
    for line in result.err.splitlines():
        uri, _, reason = line.partition("E: Failed to fetch ")[2].partition("  ")
        reasons[uri] = reason.strip()
    failed = {}
    for uri, path in files.items():
        if not os.path.exists(path) or os.path.getsize(path) == 0:
            failed[uri] = reasons.get(uri, silent)
        if os.path.exists(path):
            os.unlink(path)
    return failed
