"""Host patterns of an inventory: `web[01:20]`, `db-[a:c]`, `[0:10:2]`, an optional port behind a colon.

The rules are Ansible's (Inventory guide, "Adding ranges of hosts"): both bounds belong to the range, letters run a–z
then A–Z, a leading zero fixes the width.
"""

from __future__ import annotations

import ipaddress
import re
import string
from typing import Final

MAX_HOSTS: Final = 50_000
"""Hosts one pattern may stand for."""

_RANGE = r"\[(?:[a-z]:[a-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]"
_LABEL = rf"(?:\w|{_RANGE})(?:[\w-]|{_RANGE})*(?<![_-])"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_BRACKETED = re.compile(r"\[(.+)\]:([0-9]+)")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")
_ANY_RANGE = re.compile(r"\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]", re.IGNORECASE)


def split_port(pattern: str) -> tuple[str, int | None]:
    """The pattern without its port; a text that is no host with a port stays whole."""
    host, port = pattern, None
    for shape in (_BRACKETED, _WITH_PORT):
        if match := shape.fullmatch(host):
            host, port = match[1], int(match[2])
    if port is None or not (_NAME.fullmatch(host) or _is_address(host)):
        return pattern, None
    return host, port


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(_ANY_RANGE.sub("1", host))
    except ValueError:
        return False
    return True


def expand(pattern: str) -> list[str]:
    """Every host that a pattern (without port) stands for. Raises ValueError with what is wrong."""
    names = [""]
    rest = pattern
    while "[" in rest:
        head, _, rest = rest.partition("[")
        body, closed, rest = rest.partition("]")
        if not closed:
            raise ValueError("'[' without ']'")
        values = _values(body)
        if len(names) * len(values) > MAX_HOSTS:
            raise ValueError(f"stands for more than {MAX_HOSTS} hosts")
        names = [name + head + value for name in names for value in values]
    return [name + rest for name in names]


def _values(body: str) -> list[str]:
    bounds = body.split(":")
    if len(bounds) not in (2, 3):
        raise ValueError(f"[{body}] is no range; write [first:last] or [first:last:step]")
    first, last = bounds[0] or "0", bounds[1]
    step = bounds[2] if len(bounds) == 3 else "1"  # noqa: PLR2004 - first, last, step
    if not step.isdecimal() or int(step) == 0:
        raise ValueError(f"[{body}]: the step must be a number above 0")
    if len(first) == len(last) == 1 and first in string.ascii_letters and last in string.ascii_letters:
        begin, end = string.ascii_letters.index(first), string.ascii_letters.index(last)
        values = list(string.ascii_letters[begin : end + 1 : int(step)])
    elif first.isdecimal() and last.isdecimal() and max(len(first), len(last), len(step)) < 10:  # noqa: PLR2004 - no bomb
        values = _numbers(body, first, last, int(step))
    else:
        raise ValueError(f"[{body}] is no range of numbers or of single letters")
    if not values:
        raise ValueError(f"[{body}] is empty: it begins behind its end")
    return values


def _numbers(body: str, first: str, last: str, step: int) -> list[str]:
    width = len(first) if first[0] == "0" and len(first) > 1 else 0
    if width and width != len(last):
        raise ValueError(f"[{body}]: both ends need the same number of digits")
    numbers = range(int(first), int(last) + 1, step)
    if len(numbers) > MAX_HOSTS:
        raise ValueError(f"stands for more than {MAX_HOSTS} hosts")
    return [str(number).zfill(width) for number in numbers]
