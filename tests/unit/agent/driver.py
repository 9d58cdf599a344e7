"""Serves as the agent of a root, and dies where it is told to."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from hakit.agent import process
from hakit.agent.main import main

if TYPE_CHECKING:
    from pathlib import Path

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


def serve(token: str, loader: int, root: Path, kill_at: int) -> NoReturn:
    """Skip the loader, say the token, be the agent."""
    skipped = 0
    while skipped < loader:
        skipped += len(os.read(0, loader - skipped))
    os.write(1, f"\n{token} have\n".encode())
    process.PATH = f"{root}/bin:{process.PATH}"
    if kill_at:
        die_at(kill_at)
    main(root=str(root))
    raise AssertionError("the agent came back")
