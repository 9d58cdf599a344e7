"""Which members wait for WAL that nobody has any more: by what they say, or by the slot that was kept for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.agent.postgres.place import SLOT_LOST, slot_name
from hakit.agent.postgres.serverlog import is_gone

if TYPE_CHECKING:
    from collections.abc import Mapping


def warnings(cluster: str, name: str, observed: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What to tell of a member, from the answers of all members to `look`."""
    answer = observed[name]
    receiving = answer.get("receiving") or {}
    if not answer.get("standby") or receiving.get("status") == "streaming":
        return ()
    slots = [slot for other in observed.values() for slot in other.get("slots") or ()]
    lost = any(slot.get("name") == slot_name(name) and slot.get("status") == SLOT_LOST for slot in slots)
    if not lost and not is_gone(str(answer.get("why") or "")):
        return ()
    return (
        f"was away for too long: the WAL that it needs is gone. Copy it anew:  hakit postgres reinit {cluster} {name}",
    )
