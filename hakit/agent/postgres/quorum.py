"""How many members must be heard or told, so that no two servers are opened for writes. Pure.

A failover writes its decision on some members before anything is promoted; the guard of a former primary that comes
back needs answers of some members before it opens. Both are large enough that they have a member in common.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def needed(voting: AbstractSet[str], excused: AbstractSet[str]) -> int:
    """How many of `voting` less `excused` must have been heard, the asking one included: a majority."""
    return len(voting - excused) // 2 + 1


def suffices(voting: AbstractSet[str], told: AbstractSet[str], excused: AbstractSet[str]) -> bool:
    """Whether a decision that was written on `told` stops each former primary that does not know it.

    `excused` are those whom a former primary may still excuse, as far as is known. It may have taken any of them back
    since, or none, so both have to be stopped: of those that it can't excuse enough must have been told.
    """
    told = told & voting
    sure = told - excused
    return 2 * len(sure) >= len(voting) - len(told & excused)
