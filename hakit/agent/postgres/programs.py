"""The server's programs, run as the user they are made for: they may do no more than the server, and die with us."""

from __future__ import annotations

import os

from hakit.agent import disk
from hakit.agent.postgres.place import USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.process import Result
    from hakit.agent.work import Work

# libpq looks for files of the user below HOME, and there are none for us.
ENV = {"HOME": "/nonexistent", "PGCLIENTENCODING": "UTF8"}


def owner(work: Work) -> tuple[int, int]:
    """Whose the data are: uid and gid of `postgres`; ourselves where we are not root. Raises Failure."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    return work.uid(USER), work.gid(USER)


def run(
    argv: list[str], work: Work, timeout: float, *, log: str | None = None, tick: Callable[[], None] | None = None
) -> Result:
    """Run a program as the data's owner; it gets SIGKILL when we die. As `process.run` for the rest. Raises Failure."""
    line = ["setpriv", "--pdeathsig=KILL"]
    if os.geteuid() == 0:
        uid, gid = owner(work)
        line += [f"--reuid={uid}", f"--regid={gid}", "--init-groups"]
    return work.run([*line, "--", *argv], timeout, env=ENV, log=log, tick=tick)


def put(path: str, data: bytes, mode: int, work: Work) -> None:
    """Replace a file of the data's owner, durably; what a killed run left of the same file goes. Raises OSError."""
    folder, name = os.path.split(path)
    for entry in os.listdir(folder):
        if entry.startswith(f"{disk.TEMPORARY}{name}."):
            os.unlink(f"{folder}/{entry}")
    disk.write(path, data, mode, owner(work))
