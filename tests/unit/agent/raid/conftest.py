from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.raid import holding
from tests.unit.agent.raid.host import Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host of files with two blank disks."""
    monkeypatch.setattr(holding, "PATIENCE", 0.0)
    made = Host(memory / "root")
    made.add("sda", "A")
    made.add("sdb", "B")
    return made
