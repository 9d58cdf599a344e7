"""Every row of the fault matrix that strikes a host: what hakit says, how it exits, how the host ends."""

from __future__ import annotations

import re
import time
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING

import pytest

from tests.lab.faults.breaking import repository
from tests.lab.faults.matrix import STRIKES
from tests.lab.faults.row import Strike, nothing
from tests.lab.faults.stage import CONF, ONE, TWO, comparable

if TYPE_CHECKING:
    from tests.lab.faults.stage import Stage

LARGEST = 200 << 10  # KiB of memory that no controller may need


@pytest.fixture(scope="module")
def prepared(stage: Stage) -> Stage:
    repository(stage)
    return stage


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.id, marks=[pytest.mark.long] if row.long else []) for row in STRIKES]
)
def test_row(row: Strike, prepared: Stage) -> None:
    stage = prepared
    stage.declare(row.edit)
    with row.fault(stage):
        before = stage.look()
        began = time.monotonic()
        done = stage.hakit(*row.command)
        took = time.monotonic() - began
        after = stage.look()
    said = done.stdout + done.stderr
    assert done.returncode == row.exit, said
    assert [pattern for pattern in row.says if not re.search(pattern, said)] == [], said
    assert [text for text in row.silent if text in said] == [], said
    assert took < row.within, said
    assert getrusage(RUSAGE_CHILDREN).ru_maxrss < LARGEST
    if row.ends == "as it was":
        assert after == before
    stage.declare(row.mend or row.edit, turn=False)
    mended = stage.state()
    assert stage.state() == {ONE: "same", TWO: "same"}
    twin = comparable(stage.look(TWO))
    assert comparable(stage.look()) == twin
    assert twin["left behind"] == []
    assert stage.sh(f"cat {CONF}") == f"token={stage.turn}\n"
    if row.ends == "as it should be":
        assert mended[ONE] == "same"
        assert comparable(after) == twin
    if row.edit is not nothing or row.mend:
        stage.declare(nothing, turn=False)
        stage.state()
