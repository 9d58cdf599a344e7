"""Each file of `cases/bad` is an inventory that is refused as it says (`refusals.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.components.refusals import assert_refused

CASES = sorted((Path(__file__).parent / "cases/bad").glob("*.yml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_it_is_refused_with_place_and_reason(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_REPLICATION", "of standbys")
    assert_refused(path, below="hakit.")


def test_there_are_many() -> None:
    assert len(CASES) >= 60
