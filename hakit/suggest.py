"""What a mistyped name was meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean web1?)` with the nearest known name, to be put behind a message; empty when none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - 8 ms that only a mistake has to pay

    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
