"""The kernel's limits are raised where they are too low, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.lab.nspawn.limits import raise_watchers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("before", "after"), [("128", 592), ("592", 592), ("8192", 8192)])
def test_the_limit_is_only_ever_raised(tmp_path: Path, before: str, after: int) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text(f"{before}\n")
    said: list[str] = []
    raise_watchers(5, said.append, limit)
    assert int(limit.read_text()) == after
    assert bool(said) == (int(before) != after)


def test_a_limit_that_can_not_be_read_stops_nothing(tmp_path: Path) -> None:
    raise_watchers(5, lambda _: None, tmp_path / "missing")
