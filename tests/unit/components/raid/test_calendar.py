"""A time that is taken is one that systemd reads."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakit.components.raid.calendar import is_calendar

GOOD = (
    "Sun *-*-1..7 01:00",
    "daily",
    "Sat",
    "Mon,Thu 03:00:00 UTC",
    "*-*-* 3:0",
    "Mon..Fri 12:00",
    "*-2~1 1:00",
    "2027-1-1",
    "*:0/15",
    "*-*-1/2 0/6:30",
    "monthly UTC",
    "1..7:30",
    "*-1,7-1 2:00:30",
)
BAD = (
    "",
    " ",
    "UTC",
    "x",
    "Sunday-ish",
    "25:00",
    "12:60",
    "*-13-1 1:00",
    "*-*-32 1:00",
    "1:00 2:00",
    "Sun  1:00",
    "7..1:00",
    "*-*-* 1",
    "@",
    "1:00\nx",
    "*-*-1~2~3 1:00",
    "daily 1:00",
    "Sun,",
    "*-*-*/0 1:00",
    "1:2:3:4",
    "sometimes",
)


def systemd_reads(text: str) -> bool:
    env = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--", text], capture_output=True, check=False, timeout=60, env=env
    )
    return done.returncode == 0


@pytest.mark.parametrize("text", GOOD)
def test_times(text: str) -> None:
    assert is_calendar(text)
    assert systemd_reads(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_time(text: str) -> None:
    assert not is_calendar(text)


PARTS = st.sampled_from(["*", "1", "7", "0", "31", "1..7", "0/6", "*/2", "1,2,3", "12", "59", "99", "3..3", ""])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["", "Sun ", "Mon..Fri ", "Sat,Sun ", "Xxx "]),
    st.one_of(st.just(""), st.tuples(PARTS, PARTS, PARTS).map("{0[0]}-{0[1]}-{0[2]} ".format)),
    st.one_of(st.just(""), st.lists(PARTS, min_size=2, max_size=3).map(":".join)),
    st.sampled_from(["", " UTC"]),
)
def test_whatever_is_taken_is_read(days: str, date: str, time: str, zone: str) -> None:
    text = f"{days}{date}{time}{zone}".strip()
    assert not is_calendar(text) or systemd_reads(text)
