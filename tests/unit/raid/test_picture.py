"""What a host tells of an array is checked, and shown so that nothing drives the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.errors import AgentError
from hakit.present.raid import Watching, progress, span, status_json, status_text
from hakit.raid.picture import Picture, picture
from tests.unit.raid.arrays import array, disk

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def told(one: Picture) -> dict[str, Any]:
    """As a host would say it."""
    found = asdict(one)
    found["devices"] = found.pop("slots")
    for disks in (found["members"], found["others"]):
        for other in disks:
            other.pop("why")
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]  # it is what was put in


FULL = array(
    disk("A1"),
    disk("C3", "rebuilding", 1, errors=2),
    state="rebuilding",
    degraded=1,
    others=(disk("D4", "absent", -1),),
    action="recover",
    progress=0.43,
    speed=112 << 20,
    eta=18720.0,
    mismatches=0,
    scrubbed="2026-11-20T03:00:00Z",
)


def test_what_a_host_tells_is_read() -> None:
    assert picture("db1", "data", told(FULL)) == FULL
    assert picture("db1", "data", told(array())) == array()


@given(st.sampled_from(sorted(told(FULL))), st.sampled_from([None, [], {}, 7, "x", [{}], True]))
def test_nonsense_is_told_as_such(key: str, value: object) -> None:
    try:
        found = picture("db1", "data", {**told(FULL), key: value})
    except AgentError:
        return
    assert json.dumps(status_json([found], {}))
    assert status_text([found], {}, NOW)


def test_a_field_that_is_missing_is_nonsense() -> None:
    for key in set(told(FULL)) - {"host", "name", "progress", "speed", "eta", "mismatches"}:
        with pytest.raises(AgentError):
            picture("db1", "data", {name: value for name, value in told(FULL).items() if name != key})


def test_a_rebuild_is_shown_with_its_bar() -> None:
    text = status_text([FULL], {}, NOW)
    assert "db1  data  rebuilding  RAID 1  4.0 TiB  /dev/md/data  1 of 2 members" in text
    assert " 0  A1  in sync  ST4000  sda  pci-A1" in text
    assert " 1  C3  rebuilding  ST4000  sdc  pci-C3  2 errors" in text
    assert f"{'█' * 9}{'░' * 11}  43 %  112 MiB/s  5 h 12 min left" in text
    assert "read through 3 days ago, no copies differ" in text


def test_a_dead_disk_is_told_with_the_command_that_helps() -> None:
    text = status_text([array(disk("A1"), disk("B2", "faulty", 1), state="degraded", degraded=1)], {}, NOW)
    assert "! B2 is faulty" in text
    assert "hakit raid replace db1 data B2" in text


def test_sectors_that_differ_are_told() -> None:
    text = status_text([array(disk("A1"), disk("B2"), mismatches=128, scrubbed="2026-11-23T11:20:00Z")], {}, NOW)
    assert "read through 40 min ago, 128 sectors differ" in text
    assert "hakit raid scrub db1 data --repair" in text


@pytest.mark.parametrize(
    ("one", "good"),
    [
        (array(), True),
        (array(state="resync", progress=0.1), True),
        (array(mismatches=8), False),
        (array(state="degraded", degraded=1), False),
        (FULL, False),
    ],
)
def test_what_is_good(one: Picture, good: bool) -> None:
    assert one.good == good


def test_programs_get_it_by_host_and_array() -> None:
    found = status_json([FULL], {"db2": AgentError("db2: gone")})
    one = found["hosts"]["db1"]["data"]
    assert (one["state"], one["devices"], one["degraded"], one["members"][1]["serial"]) == ("rebuilding", 2, 1, "C3")
    assert found["errors"] == {"db2": "db2: gone"}
    assert json.dumps(found)


def test_what_a_host_says_can_not_drive_the_terminal() -> None:
    evil = array(disk("\x1b[2J", "faulty", 1, model="\x07"), state="degraded", degraded=1, scrubbed="\x1b[1m")
    assert not {"\x1b", "\x07"} & set(status_text([evil], {}, NOW))


def test_in_a_pipe_a_wait_is_told_once_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with Watching(quiet=False) as watching:
        for hundredth in range(100):
            watching.show(array(state="rebuilding", progress=hundredth / 100), "rebuilds")
    assert len(capsys.readouterr().err.splitlines()) == 10


@pytest.mark.parametrize(
    ("seconds", "text"), [(12, "12 s"), (720, "12 min"), (18720, "5 h 12 min"), (259200, "3 days"), (90000, "1 day")]
)
def test_long_times_are_rounded_to_what_matters(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.floats(0, 1.2))
def test_a_bar_has_always_the_same_length(done: float) -> None:
    assert len(progress(array(state="rebuilding", progress=done)).split("  ")[0]) == 20
