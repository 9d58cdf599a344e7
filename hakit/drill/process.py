"""A measuring client as a process: started, waited for, ended, and asked what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hakit.errors import HakitError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Measuring:
    """A program beside this module that measures until its stdin is closed.

    It prints `ready` once there is something to measure, and in the end one JSON value. `enter` are the words before a
    command that make it run elsewhere (in a lab's network, say), `words` its arguments, `first` is the first line of
    its stdin, where no argument list shows it. Entering the context waits until it is ready, and raises HakitError
    with `unready` when it ends before.
    """

    def __init__(self, enter: Sequence[str], program: str, *words: object, first: str = "", unready: str) -> None:
        path = Path(__file__).with_name(program)
        self._command = [*enter, sys.executable, "-I", str(path), *map(str, words)]
        self._first = first
        self._unready = unready
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None  # noqa: S101  stdin=PIPE
        assert self._process.stdout is not None  # noqa: S101  stdout=PIPE
        self._process.stdin.write(self._first)
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            self.__exit__()
            raise HakitError(self._unready)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process as process:  # which waits for its end
                process.kill()

    def _ended(self, patience: float) -> Any:
        """Close its stdin, and return what it reports within `patience` seconds."""
        assert self._process is not None  # noqa: S101  entered
        out, _ = self._process.communicate(timeout=patience)
        return json.loads(out)
