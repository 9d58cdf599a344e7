"""Run records: where they can't be written, one is told what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.engine.events import Event, Noted
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


FULL = "/dev/full"  # takes no byte: ENOSPC


def test_work_goes_on_where_no_event_can_be_recorded_and_that_is_told_once(tmp_path: Path) -> None:
    record = Record.create(site(host("web1"), root=tmp_path), "hakit apply")
    (record.folder / "events.jsonl").symlink_to(FULL)
    seen: list[Event] = []
    asking, working = record.recording(seen.append), record.recording(seen.append)
    asking(Noted("web1", "begins"))
    working(Noted("web1", "ends"))
    told = f"the work goes on, but its record under {record.folder} is not whole: No space left on device"
    assert seen == [Noted("web1", told), Noted("web1", "begins"), Noted("web1", "ends")]


def test_a_file_of_the_record_is_whole_or_not_there(tmp_path: Path) -> None:
    record = Record.create(site(host("web1"), root=tmp_path), "hakit apply")
    result = record.folder / "result.json"
    result.symlink_to(FULL)
    with pytest.raises(HakitError, match=r"can't write the run's record .*/result.json: No space left on device"):
        record.write("result.json", {"hosts": {}})
    assert not result.is_symlink()
