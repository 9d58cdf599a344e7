"""hakit at work, while a test looks on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
PAUSE = 0.3
"""Seconds between two looks; an emulated machine needs as long to answer."""


class Running:
    """`hakit` with some arguments, as a process of its own; what it says goes to a file."""

    def __init__(self, inventory: Path, output: Path, *arguments: str) -> None:
        self._output = output
        environment = {**os.environ, "HAKIT_INVENTORY": str(inventory), "PYTHONPATH": str(ROOT)}
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hakit", *arguments],
                env=environment,
                cwd=inventory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        """All that it said until now."""
        return self._output.read_text(encoding="utf-8")

    def wait_for(self, state: Callable[[], bool], what: str, timeout: float = 900.0) -> None:
        """Wait for a state while it runs; fails with what it said when it ends before, or takes too long."""
        deadline = time.monotonic() + timeout
        while not state():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"hakit ended, or {timeout:.0f} s have gone, before {what}\n{self.said}")
            time.sleep(PAUSE)

    def end(self, timeout: float = 900.0) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"hakit did not end within {timeout:.0f} s\n{self.said}")
