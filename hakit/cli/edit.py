"""A text in the user's editor that never reaches a disk."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hakit.errors import HakitError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Session:
    """An editor on one private file."""

    def __init__(self, path: Path, command: list[str]) -> None:
        self.path = path
        self.command = command

    def run(self) -> str:
        """Start the editor, wait for its end, and return the text. Raises HakitError."""
        try:
            done = subprocess.run([*self.command, str(self.path)], check=False)
        except OSError as error:
            raise HakitError(
                f"can't start the editor {self.command[0]}: {error.strerror}", hint="set the variable EDITOR"
            ) from None
        if done.returncode:
            raise HakitError(f"the editor {self.command[0]} ended with {done.returncode}; nothing changed")
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise HakitError("the edited text can't be read as UTF-8; nothing changed") from None


@contextmanager
def edited(text: str) -> Iterator[Session]:
    """A session on `text` in a private folder in memory, which is removed however this ends. Raises HakitError."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if not command:
        raise HakitError("no editor is named", hint="set the variable EDITOR")
    folder = Path(tempfile.mkdtemp(prefix="hakit-", dir=_memory()))
    with _ending_cleanly():
        try:
            path = folder / "secrets.yml"
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            yield Session(path, command)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path:
    """A folder in memory that this user can write."""
    for name in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - a private folder is made in it
        if name and os.access(name, os.W_OK) and _is_memory(name):
            return Path(name)
    raise HakitError(
        "there is no folder in memory for the plain text (looked at $XDG_RUNTIME_DIR and /dev/shm)",
        hint="set single secrets with  hakit secret set NAME",
    )


def _is_memory(name: str) -> bool:
    """Whether a folder lies on a tmpfs or ramfs, as /proc/mounts says (proc(5))."""
    real = os.path.realpath(name)
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, filesystem, *_ = line.split(" ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, filesystem
    return kind in ("tmpfs", "ramfs")


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """SIGTERM and SIGHUP end this process as an exception does, so that what must be removed is removed."""

    def end(number: int, frame: Any) -> NoReturn:
        del frame
        raise SystemExit(128 + number)

    old = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
