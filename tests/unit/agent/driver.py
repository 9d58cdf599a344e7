"""Runs the agent on a root of its own: token, size of the loader to skip, root, number of the write at which to die."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

WRITES = ("rename", "fsync", "mkdir", "rmdir", "unlink", "symlink", "fchmod", "fchown", "ftruncate", "posix_spawn")


def die_at(number: int) -> None:
    """Die as by a power cut right before the `number`th change of anything on disk."""
    count = 0

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in WRITES:
        setattr(os, name, counted(getattr(os, name)))


def main() -> None:
    token, size, root, kill_at = sys.argv[1:5]
    sys.path.insert(0, str(Path(__file__).parents[3]))
    skipped = 0
    while skipped < int(size):
        skipped += len(os.read(0, int(size) - skipped))
    os.write(1, f"\n{token} have\n".encode())
    from hakit.agent import process  # noqa: PLC0415 - its path was just set
    from hakit.agent.main import main as agent  # noqa: PLC0415 - as above

    process.PATH = f"{root}/bin:{process.PATH}"
    if int(kill_at):
        die_at(int(kill_at))
    agent(root=root)


if __name__ == "__main__":
    main()
