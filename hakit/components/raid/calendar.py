"""Times as systemd.time(7) writes them, read as strictly as systemd does: one that it can't read never comes."""

from __future__ import annotations

import re

_WORDS = (
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "yearly",
    "annually",
)
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DAYS = re.compile(rf"{_DAY}(?:\.\.{_DAY})?(?:,{_DAY}(?:\.\.{_DAY})?)*")
_PART = re.compile(r"\*|(\d{1,4})(?:\.\.(\d{1,4}))?(?:/(\d{1,4}))?")
_YEAR, _MONTH, _DAY_OF_MONTH = (1970, 2199), (1, 12), (1, 31)
_HOUR, _SIXTIETH = (0, 23), (0, 59)
_TIME_PARTS = (2, 3)


def is_calendar(value: str) -> bool:
    """Whether it is a time such as `Sun *-*-1..7 01:00`, `daily` or `Mon,Thu 03:00:00 UTC`."""
    words = value.split(" ")
    if words[-1] == "UTC":
        words = words[:-1]
    if not words:
        return False
    if len(words) == 1 and words[0] in _WORDS:
        return True
    if _DAYS.fullmatch(words[0]):
        words = words[1:]
    if words and ":" not in words[0]:
        if not _is_date(words[0]):
            return False
        words = words[1:]
    return not words or (len(words) == 1 and _is_time(words[0]))


def _is_date(text: str) -> bool:
    """`*-*-1..7`, `*-2~1` (the last day of February), `2027-1-1`."""
    parts = re.split(r"[-~]", text)
    if text.count("~") > 1 or ("~" in text and "-" in text.partition("~")[2]):
        return False
    bounds = (_MONTH, _DAY_OF_MONTH) if len(parts) == 2 else (_YEAR, _MONTH, _DAY_OF_MONTH)  # noqa: PLR2004 - no year
    return len(parts) == len(bounds) and all(map(_is_list, parts, bounds))


def _is_time(text: str) -> bool:
    parts = text.split(":")
    return len(parts) in _TIME_PARTS and all(map(_is_list, parts, (_HOUR, _SIXTIETH, _SIXTIETH)))


def _is_list(text: str, bounds: tuple[int, int]) -> bool:
    """One field: `*`, numbers, ranges, each perhaps with a step, joined by commas."""
    return all(_is_part(part, bounds) for part in text.split(","))


def _is_part(text: str, bounds: tuple[int, int]) -> bool:
    found = _PART.fullmatch(text)
    if found is None:
        return False
    first, last, step = (None if one is None else int(one) for one in found.groups())
    low, high = bounds
    if first is not None and not low <= first <= high:
        return False
    if last is not None and not (first or 0) < last <= high:
        return False
    return step is None or 0 < step <= high
