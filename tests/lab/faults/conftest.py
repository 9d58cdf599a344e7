"""The stage that all rows share, and a change on it that takes a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.faults.slow import BEGAN, MADE, slow
from tests.lab.faults.stage import CONF, ONE, TWO, comparable, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import LabFactory
    from tests.lab.faults.stage import Stage


@pytest.fixture(scope="module")
def stage(lab_factory: LabFactory) -> Stage:
    """Two hosts that are declared alike, applied once."""
    return prepare(lab_factory)


@pytest.fixture
def due(stage: Stage) -> Iterator[Stage]:
    """A slow change is due; in the end one more apply has made it all, and the next finds nothing to do."""
    for host in (ONE, TWO):
        stage.sh(f"rm -f {BEGAN} {MADE}", host)
    stage.declare(slow)
    yield stage
    stage.state()
    assert stage.state() == {ONE: "same", TWO: "same"}
    assert comparable(stage.look()) == comparable(stage.look(TWO))
    assert stage.look()["left behind"] == []
    assert stage.sh(f"cat {CONF}") == f"token={stage.turn}\n"
