"""PG004 on the host: whether there is room for what slots may keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.base import Facts
from hakit.components.postgresql.decide import decide
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024**2
NEW = {"data": "absent", "running": False, "role": ""}


def told(folder: Path, answer: dict[str, Any], **more: Any) -> str:
    """What is told of a member with a bound of 1 GB that answered so."""
    lint = more.pop("lint", {})
    settings = {"cluster": "main", "primary": "db1", "replication": {"password": {"secret": "P"}}, **more}
    built = site(folder, {"db1": {"postgresql": settings, "lint": lint}})
    look = {"data": "cluster", "system": "7", "running": True, "role": "primary", **answer}
    return "\n".join(decide(built, {"db1": Facts()}, {"db1": look})["db1"].notes)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_P", "p")


@pytest.mark.parametrize(
    ("answer", "more", "room"),
    [
        ({"free": 500 * MIB}, {}, "500 MiB"),
        ({"free": 500 * MIB, "slots": [{"kept": 100 * MIB}, {"kept": 20 * MIB}]}, {}, "600 MiB"),
        ({"free": 1500 * MIB}, {"parameters": {"max_slot_wal_keep_size": "2GB"}}, "1.5 GiB"),
        ({"free": 1500 * MIB}, {"parameters": {"max_slot_wal_keep_size": 2048}}, "1.5 GiB"),
        ({"free": 500 * MIB, **NEW}, {}, "500 MiB"),
    ],
)
def test_a_bound_beyond_the_disk_is_told(
    tmp_path: Path, answer: dict[str, Any], more: dict[str, Any], room: str
) -> None:
    assert f"there is room for {room}: the disk would be full first" in told(tmp_path, answer, **more)


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ({"free": 1024 * MIB}, {}),
        ({"free": 500 * MIB, "slots": [{"kept": 524 * MIB}]}, {}),
        ({"free": 500 * MIB}, {"replication": {"password": {"secret": "P"}, "slot_limit": "500MB"}}),
        ({"free": 0}, {}),
        ({"free": 500 * MIB}, {"lint": {"ignore": {"PG004": "the disk grows by itself"}}}),
        (
            {"free": 500 * MIB, **NEW},
            {"data": {"mount": "/var/lib/postgresql"}},
        ),
    ],
    ids=["enough", "kept already", "a lower bound", "unknown", "waived", "not mounted yet"],
)
def test_nothing_is_told(tmp_path: Path, answer: dict[str, Any], more: dict[str, Any]) -> None:
    assert told(tmp_path, answer, **more) == ""
