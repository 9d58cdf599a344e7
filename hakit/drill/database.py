"""A database as its clients have it: PostgreSQL's own programs, run from wherever they are to be, with its settings."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from hakit.errors import HakitError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = Path("/usr/lib/postgresql")
"""Debian has each version's programs in a folder of their own below this."""
PATIENCE = 30.0
"""Seconds that a query may take."""


def program(name: str) -> str:
    """Where one of PostgreSQL's programs is, the newest of several versions. Raises HakitError."""
    versions = [path for path in PROGRAMS.glob(f"*/bin/{name}") if path.parents[1].name.isdecimal()]
    newest = max(versions, key=lambda path: int(path.parents[1].name), default=None)
    found = str(newest) if newest else shutil.which(name)
    if found is None:
        raise HakitError(f"{name} is not on this machine", hint="apt-get install --no-install-recommends postgresql")
    return found


class Database:
    """What a client needs to connect: `settings` are libpq's keywords, the password among them.

    `enter` are the words before a command that make it run elsewhere (in a lab's network, say). The settings are in a
    service file that only we can read, as long as the context is entered: no argument list or environment holds the
    password. Raises HakitError for a value that such a file can't hold.
    """

    def __init__(self, enter: Sequence[str], **settings: str | int) -> None:
        for name, value in settings.items():
            if "\n" in str(value) or str(value) != str(value).rstrip():
                raise HakitError(
                    f"the value of {name} has several lines or ends with a space: no service file holds it"
                )
        self._enter = tuple(enter)
        self._settings = settings
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="hakit-drill-")
        text = "[drill]\n" + "".join(f"{name}={value}\n" for name, value in self._settings.items())
        self._file.touch(mode=0o600)
        self._file.write_text(text, encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def _file(self) -> Path:
        assert self._folder is not None  # noqa: S101  entered
        return Path(self._folder.name) / "service"

    def command(self, name: str, *words: str) -> list[str]:
        """The command that runs one of PostgreSQL's programs on this database. Raises HakitError."""
        environment = (f"PGSERVICEFILE={self._file}", "LC_ALL=C")
        return [*self._enter, "env", *environment, program(name), *words, "service=drill"]

    def ask(self, text: str) -> list[list[str]]:
        """The rows of a query, each value as text. Raises HakitError when it is not answered."""
        command = self.command("psql", "-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1", "-c", text)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise HakitError(f"the database did not answer within {PATIENCE:.0f} s: {text}") from None
        if done.returncode:
            raise HakitError(f"the database did not answer: {text}", why=reason(done.stderr))
        return list(csv.reader(done.stdout.splitlines()))


def reason(said: str) -> str:
    """Why a program of PostgreSQL's ended: the server's last complaint that it told, else what it said last."""
    lines = said.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if re.search(r"(FATAL|ERROR): ", line)), lines[-1])
