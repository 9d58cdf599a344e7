"""Run records: where they can't be written, one is told what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.engine.records import Record
from hakit.errors import HakitError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from pathlib import Path


def test_a_record_is_private_and_each_run_has_its_own(tmp_path: Path) -> None:
    first, second = (Record.create(site(host("web1"), root=tmp_path), "hakit apply") for _ in range(2))
    assert first.id != second.id
    assert (tmp_path / ".hakit").stat().st_mode & 0o077 == 0


def test_a_folder_that_can_not_be_written_says_how_to_get_it_back(tmp_path: Path) -> None:
    (tmp_path / ".hakit").write_text("in the way", encoding="ascii")
    with pytest.raises(HakitError) as caught:
        Record.create(site(host("web1"), root=tmp_path), "hakit apply")
    assert f"under {tmp_path}/.hakit" in caught.value.message
    assert f"sudo chown -R $USER {tmp_path}/.hakit" in str(caught.value.hint)
