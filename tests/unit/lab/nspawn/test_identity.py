"""A machine that has an id keeps it; one that has none gets one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hakit.lab.nspawn.identity import ensure_identity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("before", [None, "", "uninitialized\n", "0" * 31, "\xff\n"])
def test_a_machine_without_an_id_gets_one_once(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "machine-id"
    if before is not None:
        path.write_text(before, encoding="latin-1")
    said: list[str] = []
    ensure_identity(said.append, path)
    made = path.read_text(encoding="ascii")
    assert re.fullmatch(r"[0-9a-f]{32}\n", made)
    assert len(said) == 1
    ensure_identity(said.append, path)
    assert (path.read_text(encoding="ascii"), len(said)) == (made, 1)


def test_an_id_stays(tmp_path: Path) -> None:
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef" * 2, encoding="ascii")
    ensure_identity(pytest.fail, path)
    assert path.read_text(encoding="ascii") == "0123456789abcdef" * 2


def test_an_id_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    ensure_identity(pytest.fail, tmp_path / "no-folder" / "machine-id")
