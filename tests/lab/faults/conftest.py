"""The stage that all rows share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.faults.stage import prepare

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory
    from tests.lab.faults.stage import Stage


@pytest.fixture(scope="module")
def stage(lab_factory: LabFactory) -> Stage:
    """Two hosts that are declared alike, applied once."""
    return prepare(lab_factory)
