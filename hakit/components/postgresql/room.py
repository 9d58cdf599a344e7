"""Whether the disk holds what slots may keep: the second half of PG004, which only the hosts themselves can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.components.postgresql.members import settings_of
from hakit.components.postgresql.tuning import MIB, slot_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.inventory.model import Host

RULE = "PG004"
GIB = 1024 * MIB


def warnings(host: Host, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """What to tell of a member that answered `look`; nothing where the inventory waives the rule for the host.

    Slots share the WAL that they keep: together they never hold more than the one that is furthest behind.
    """
    settings = settings_of(host)
    limit, free = slot_limit(settings), int(answer.get("free") or 0)
    unmounted = settings.data.mount is not None and answer.get("data") != "cluster"
    if limit is None or not free or unmounted or RULE in host.ignore:
        return ()
    kept = max((int(slot.get("kept") or 0) for slot in answer.get("slots") or ()), default=0)
    if limit <= free + kept:
        return ()
    room, bound = _size(free + kept), _size(limit)
    text = f"{RULE} warning: slots may keep {bound} of WAL for standbys that are away, and there is room for {room}: "
    return (text + "the disk would be full first; lower replication.slot_limit, or make room",)


def _size(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{number // MIB} MiB"
