"""The fault matrix in docs/safety.md is that of its rows, and every row is tried by a test that is there."""

from __future__ import annotations

import pytest

from tests.lab.faults.matrix import ROWS, STRIKES, inserted
from tests.unit.docs.pages import ROOT, page


def test_the_page_shows_the_rows_as_they_are() -> None:
    text = page("docs/safety.md").text
    assert inserted(text) == text, "run  make matrix"


def test_rows_have_names_of_their_own() -> None:
    names = [row.id for row in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_is_tried_by_a_test_that_is_there(row: object) -> None:
    proof = next(one.proof for one in ROWS if one is row)
    assert proof
    for path, _, name in (test.partition("::") for test in proof):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_every_strike_says_what_the_operator_reads() -> None:
    silent = [row.id for row in STRIKES if row.exit and not row.says]
    assert silent == []
