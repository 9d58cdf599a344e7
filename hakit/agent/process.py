"""Commands on the host without `subprocess`, whose import costs 15 ms at each start.

A command gets an argument list and never a shell, the C locale, an empty or given stdin, a session of its own, a
deadline at which its whole process group dies, and bounded room for its output.
"""

from __future__ import annotations

import os
from select import POLLIN, poll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM
    from typing import Any
else:
    from _signal import SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM  # `signal` builds enums for 4 ms

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV = {"PATH": PATH, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
LIMIT = 8 << 20  # bytes kept of each stream
TAIL = 4000  # characters of output that a message carries
GRACE = 5.0  # seconds between SIGTERM and SIGKILL at the deadline
KILLS = 3  # signals after which a command is left behind: the kernel holds it (a disk or a server of files is gone)
MISSING = 127  # the shell's word for "no such command"


class Result:
    """How a command ended: `code` (negative: the signal), what it wrote, whether its time was up."""

    __slots__ = ("code", "err", "late", "out")

    def __init__(self, code: int, out: str, err: str, *, late: bool = False) -> None:
        self.code = code
        self.out = out
        self.err = err
        self.late = late

    def tail(self) -> str:
        """The end of what it said, errors last."""
        return "\n".join(part for part in (self.out.strip(), self.err.strip()) if part)[-TAIL:]


def find(program: str) -> str | None:
    """The path of a program, or None when it is not installed."""
    if "/" in program:
        return program if os.access(program, os.X_OK) else None
    for folder in PATH.split(":"):
        path = f"{folder}/{program}"
        if os.access(path, os.X_OK):
            return path
    return None


def run(
    argv: tuple[str, ...] | list[str],
    timeout: float,
    *,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    log: str | None = None,
    tick: Callable[[], None] | None = None,
) -> Result:
    """Run a command to its end. `log` names a file that takes its output instead of pipes, so that it outlives us.

    `tick` is called about once a second while it runs; when it raises, the command dies with its children first. A
    program that is not there gives code 127.
    """
    path = find(argv[0])
    if path is None:
        return Result(MISSING, "", f"{argv[0]}: not installed")
    with _Streams(log) as streams:
        pid = _spawn(path, argv, {**ENV, **(env or {})}, streams.actions(stdin))
        streams.started()
        code, late = _wait(pid, streams, timeout, tick)
        return Result(code, streams.text(0), streams.text(1), late=late)


def _spawn(path: str, argv: tuple[str, ...] | list[str], env: dict[str, str], actions: list[Any]) -> int:
    defaults = [SIGPIPE, SIGHUP, SIGINT, SIGTERM]
    return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigdef=defaults)


class _Streams:
    """The pipes of one command, or its log file."""

    def __init__(self, log: str | None) -> None:
        self._log = log
        self._kept = [bytearray(), bytearray()]
        self._read: dict[int, int] = {}
        self._fds: list[int] = []

    def __enter__(self) -> _Streams:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        for fd in [*self._fds, *self._read]:
            os.close(fd)

    def actions(self, stdin: bytes) -> list[Any]:
        """What the child does with its descriptors."""
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        if stdin:
            memory = os.memfd_create("stdin")
            self._fds.append(memory)
            with open(memory, "wb", closefd=False) as file:
                file.write(stdin)
            os.lseek(memory, 0, os.SEEK_SET)
            actions = [(os.POSIX_SPAWN_DUP2, memory, 0)]
        if self._log is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            actions.append((os.POSIX_SPAWN_OPEN, 1, self._log, flags, 0o600))
            actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
            return actions
        for number in (0, 1):
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            self._read[ours] = number
            self._fds.append(theirs)
            actions.append((os.POSIX_SPAWN_DUP2, theirs, number + 1))
        return actions

    def started(self) -> None:
        """Close the child's ends."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def watch(self, poller: Any) -> None:
        """Have `poller` wait for output."""
        for fd in self._read:
            poller.register(fd, POLLIN)

    def take(self, fd: int) -> bool:
        """Read what is there; False at the end of that stream."""
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        kept = self._kept[self._read[fd]]
        kept += data
        if len(kept) > LIMIT:
            del kept[: len(kept) - LIMIT]
        return bool(data)

    def close(self, fd: int) -> None:
        """Forget a stream that ended."""
        os.close(fd)
        del self._read[fd]

    def drain(self) -> None:
        """Take what is left without waiting for others that hold the pipe open."""
        for fd in list(self._read):
            size = -1
            kept = self._kept[self._read[fd]]
            while size != len(kept) < LIMIT:
                size = len(kept)
                self.take(fd)

    def text(self, number: int) -> str:
        """What was written to stdout (0) or stderr (1); a log counts as stdout."""
        if self._log is not None and number == 0:
            with open(self._log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LIMIT))
                return file.read(LIMIT).decode("utf-8", "replace")
        return self._kept[number].decode("utf-8", "replace")


def _wait(pid: int, streams: _Streams, timeout: float, tick: Callable[[], None] | None) -> tuple[int, bool]:
    """Collect output until the child is gone; at the deadline SIGTERM, then SIGKILL for its group.

    A child that even SIGKILL does not end is left to the kernel.
    """
    end = os.pidfd_open(pid)
    try:
        poller = poll()
        poller.register(end, POLLIN)
        streams.watch(poller)
        deadline, late = monotonic() + timeout, 0
        while True:
            left = deadline - monotonic()
            if left <= 0 and late == KILLS:
                return -SIGKILL, True
            if left <= 0:
                _kill(pid, SIGTERM if late == 0 else SIGKILL)
                late, deadline = late + 1, monotonic() + GRACE
                continue
            ready = poller.poll(min(left, 1.0) * 1000)
            for fd, _ in ready:
                if fd != end and not streams.take(fd):
                    poller.unregister(fd)
                    streams.close(fd)
            if any(fd == end for fd, _ in ready):
                streams.drain()
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), late > 0
            if tick is not None and not ready:
                _tick(pid, tick)
    finally:
        os.close(end)


def _tick(pid: int, tick: Callable[[], None]) -> None:
    try:
        tick()
    except BaseException:
        _kill(pid, SIGKILL)
        os.waitpid(pid, 0)
        raise


def _kill(group: int, signal: int) -> None:
    try:
        os.killpg(group, signal)
    except ProcessLookupError:
        return
