"""Becomes part of the agent that is sent to hosts: counts what it changes, and dies where it is told to.

Where `AT` names a number, the agent dies by SIGKILL right before that change (0: never) and `DONE` tells how many there
were, and what the last one was; where there is no such file, nothing happens. A command that changes something counts
twice: before it starts, and when it has started, so that it goes on without the agent.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

AT = "/run/hakit-cut.at"
DONE = "/run/hakit-cut.done"
SIGKILL = 9
WIDTH = 200
"""Bytes of the line that tells the last change; padded, so that a shorter one leaves nothing of the one before."""
CHANGES = (
    *(
        "rename",
        "replace",
        "unlink",
        "rmdir",
        "mkdir",
        "symlink",
        "link",
        "chmod",
        "chown",
        "lchown",
        "fchmod",
        "fchown",
    ),
    *("ftruncate", "truncate", "pwrite", "fsync"),
)
READERS = {
    "apt-cache": (),
    "dpkg-query": (),
    "journalctl": (),
    "systemctl": ("show", "is-active", "is-enabled"),
    "apt-get": ("-s", "--simulate"),
    "grep": (),
    "haproxy": ("-c",),
    "keepalived": ("-t",),
    "nginx": ("-t",),
}
"""Commands that change nothing: all of them, or those with one of these words."""


class Counter:
    """How many changes there were; the end of the agent when there are enough."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.log = os.open(DONE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.write = os.pwrite

    def tick(self, *what: object) -> None:
        """One change more is about to happen."""
        self.count += 1
        line = f"{self.count} {' '.join(map(str, what))}".replace("\n", " ")[:WIDTH]
        self.write(self.log, line.ljust(WIDTH).encode("ascii", "replace"), 0)
        if self.count == self.at:
            os.kill(os.getpid(), SIGKILL)


def reads(argv: Any) -> bool:
    """Whether a command only reads."""
    words = READERS.get(argv[0].rpartition("/")[2])
    return words is not None and (not words or any(word in argv for word in words))


def install(at: int) -> None:
    """Count from now on."""
    counter = Counter(at)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counter.tick(name, *arguments[:1])
            return real(*arguments, **options)

        return call

    real_open, real_spawn = os.open, os.posix_spawn

    def opening(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            counter.tick("create", path)
        return real_open(path, flags, *arguments, **options)

    def spawning(path: Any, argv: Any, *arguments: Any, **options: Any) -> int:
        if reads(argv):
            return real_spawn(path, argv, *arguments, **options)
        counter.tick("start", *argv)
        pid = real_spawn(path, argv, *arguments, **options)
        counter.tick("started", *argv)
        return pid

    for name in CHANGES:
        setattr(os, name, counted(name, getattr(os, name)))
    os.open, os.posix_spawn = opening, spawning


if __name__ == "hakit.agent.dying":
    try:
        with open(AT, encoding="ascii") as file:  # noqa: PTH123 - the agent goes without pathlib
            install(int(file.read()))
    except FileNotFoundError:
        pass
