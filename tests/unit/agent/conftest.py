from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.agent.agent_support import Agents

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: there fsync costs nothing, and these tests do thousands."""
    shared = Path("/dev/shm")  # noqa: S108 - the folder in it gets a name of its own
    folder = Path(tempfile.mkdtemp(prefix="hakit-test-", dir=shared if shared.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def agents(memory: Path) -> Agents:
    return Agents(memory / "root")
