"""What the controller sees of a host's network, and of a change that waits."""

from __future__ import annotations

from hakit.agent.errors import Failure
from hakit.agent.network.answering import silent
from hakit.agent.network.comparing import differences, doubts
from hakit.agent.network.found import found
from hakit.agent.network.live import read
from hakit.agent.network.place import FOLDER
from hakit.agent.network.record import Record
from hakit.agent.wire import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.network.live import Live
    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work

    Silent = Any


def look(network: Network, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """What is there: `found`, `live`, `differences`, `doubts`, `armed`, `left`, `since`, `outcome`, `log`.

    Raises Failure.
    """
    del arguments, timeout
    live = read(work)
    record = Record(work.at(FOLDER), work.root)
    return {
        "found": found(work),
        "live": wire(live),
        "differences": list(differences(network, live)),
        "doubts": list(doubts(network, live)),
        **_change(record),
    }


def check(
    network: Network, arguments: dict[str, str], work: Work, timeout: float, ask: Silent = silent
) -> dict[str, Any]:
    """What is `missing` now, in words, before the change may be confirmed, and of `look` what tells of the change.

    A connection that was opened before the last `since` seconds says nothing of the new network. Raises Failure.
    """
    del timeout
    record = Record(work.at(FOLDER), work.root)
    change = _change(record)
    if change["armed"] is None or change["armed"]["id"] != arguments["id"]:
        outcome = change["outcome"]
        why = outcome["why"] if outcome is not None and outcome["id"] == arguments["id"] else "no such change is armed"
        return {"missing": [f"the old network is back: {why}"], **change}
    if not change["left"]:
        return {"missing": ["the old network is being put back"], **change}
    if _under_way(record) or not change["armed"]["started"]:
        return {"missing": ["the change is still under way"], **change}
    if not change["armed"]["done"]:
        return {"missing": ["the change was cut off before its end"], **change}
    live = read(work)
    asked = network.replace(peers=tuple(dict.fromkeys((*network.peers, *change["armed"]["mates"]))))
    return {"missing": [*_missing(network, live), *ask(asked, live)], **change}


def _missing(network: Network, live: Live) -> list[str]:
    return [*differences(network, live), *doubts(network, live)]


def _under_way(record: Record) -> bool:
    try:
        record.hold(0.0)
    except Failure:
        return True
    record.let_go()
    return False


def _change(record: Record) -> dict[str, Any]:
    armed, outcome = record.pending(), record.outcome()
    return {
        "armed": None if armed is None else armed.wire(),
        "left": None if armed is None else record.left(armed),
        "since": None if armed is None else record.since(armed),
        "outcome": None if outcome is None else outcome.wire(),
        "log": record.lines(),
    }
