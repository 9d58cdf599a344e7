"""Bad inventories: every problem at once, each with its place, in plain language, and nothing but problems.

A case is a folder; `expected.txt` holds the problems, a line each. `HAKIT_UPDATE=1 pytest …` writes them anew: read
the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hakit.errors import InventoryError
from hakit.inventory import load
from tests.unit.inventory.conftest import SCHEMAS

HERE = Path(__file__).parent / "bad"
CASES = sorted(path for path in HERE.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_problems(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    with pytest.raises(InventoryError) as caught:
        load(Path(), SCHEMAS)
    text = str(caught.value) + "\n"
    expected = case / "expected.txt"
    if os.environ.get("HAKIT_UPDATE"):
        expected.write_text(text)
    assert text == expected.read_text()
