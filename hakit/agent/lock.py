"""One run at a time on a host: a lock that dies with its process and says who holds it."""

from __future__ import annotations

import fcntl
import os
from time import gmtime, monotonic, sleep, strftime

from hakit.agent import disk, jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 20.0  # seconds for the step of a dead run; an installation may take longer, and is then told of
GLANCE = 0.2  # seconds: who asks for the holder has the lock for an instant, and must not be taken for a run
STARTERS = ("sh", "dash", "bash", "sudo")


class Lock:
    """`lock` in the state folder: `flock` is the truth, its JSON body only tells who, since when and in which run."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/lock"
        self._folder = folder
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._fd is not None

    def take(self, run: str, who: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Take it: (holder, None) when another run has it, else (None, the dead run it was taken over from).

        Raises OSError when the state folder can't be written.
        """
        if self._fd is not None:
            return None, None
        disk.make_folder(self._folder)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _flock(fd):
            other = _body(fd)
            os.close(fd)
            return {**other, "alive": True, "abandoned": is_orphan(other["pid"])}, None
        left = _body(fd)
        since = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
        body = jsonlite.dumps({"who": who, "since": since, "run": run, "pid": os.getpid()})
        os.ftruncate(fd, 0)
        os.pwrite(fd, body.encode(), 0)
        self._fd = fd
        return None, left if left["run"] else None

    def forget(self) -> None:
        """Keep it without a name: when the host dies now, the next run does not take it for the lock of a dead one."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)

    def release(self) -> None:
        """Give it back, so that the next run does not take it for the lock of a dead one."""
        if self._fd is not None:
            self.forget()
            os.close(self._fd)
            self._fd = None


def holder(folder: str) -> dict[str, Any] | None:
    """Who holds the lock now, without taking it; None when it is free."""
    try:
        fd = os.open(f"{folder}/lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return {**_body(fd), "alive": True}
    finally:
        os.close(fd)
    return None


def _flock(fd: int) -> bool:
    """Lock it; waits for a holder that nobody commands any more, which ends after the step that it is in."""
    began = monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = monotonic() - began
            if waited > GLANCE and (waited > PATIENCE or not is_orphan(_body(fd)["pid"])):
                return False
            sleep(0.01 if waited < GLANCE else 0.2)
        else:
            return True


def is_orphan(pid: int, proc: str = "/proc") -> bool:
    """Whether the connection that started an agent is gone: only shells and sudo are left between it and init."""
    try:
        while pid > 1:
            with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
            if pid > 1:
                with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    if file.read().strip() not in STARTERS:
                        return False
    except (OSError, ValueError, IndexError):
        return False
    return pid == 1


def _body(fd: int) -> dict[str, Any]:
    body: dict[str, Any] = {"who": "", "since": "", "run": "", "pid": 0}
    try:
        data = jsonlite.loads(os.pread(fd, 4096, 0).decode("utf-8"))
    except ValueError:
        return body
    if isinstance(data, dict):
        body.update({name: data[name] for name in body if name in data})
    return body
