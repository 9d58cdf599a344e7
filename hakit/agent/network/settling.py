"""The end of a change that the controller wants: it is confirmed, or given up."""

from __future__ import annotations

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.network import units, versions
from hakit.agent.network.place import FOLDER
from hakit.agent.network.record import CONFIRMED, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.network.record import Armed
    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work

PATIENCE = 5.0  # seconds for a change that is about to end
GIVEN_UP = "it was given up"


def confirm(network: Network, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Keep the new network: `outcome`. Safe to repeat. Raises Failure once it is too late, OSError."""
    del timeout
    record = Record(work.at(FOLDER), work.root)
    record.hold(PATIENCE)
    try:
        outcome, armed = record.outcome(), record.armed()
        if outcome is None or outcome.id != arguments["id"]:
            armed = _may_confirm(arguments["id"], record)
            _keep(network, record, work)
            # From here on it is confirmed, whoever is killed.
            record.settle(armed, CONFIRMED)
            outcome = record.outcome()
        elif outcome.what != CONFIRMED:
            raise Failure(f"the old network is back: {outcome.why}")
        if armed is not None and outcome is not None and armed.id == outcome.id:
            units.unguard(work)
            record.disarm()
    finally:
        record.let_go()
    return {"outcome": None if outcome is None else outcome.wire()}


def giveup(network: Network, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have the old network put back now, beside us: it breaks our connection. Safe to repeat. Raises Failure."""
    del network, timeout
    record = Record(work.at(FOLDER), work.root)
    outcome = record.outcome()
    if outcome is not None and outcome.id == arguments["id"]:
        if outcome.what == CONFIRMED:
            raise Failure("the change of the network was confirmed already")
        return {"outcome": outcome.wire()}
    armed = record.pending()
    if armed is None or armed.id != arguments["id"]:
        raise Failure(f"no change {arguments['id']} of the network is armed on this host")
    record.give_up(armed, arguments.get("why") or GIVEN_UP)
    units.send_back(work)
    return {"outcome": None}


def _may_confirm(wanted: str, record: Record) -> Armed:
    armed = record.pending()
    if armed is None or armed.id != wanted:
        raise Failure(f"no change {wanted} of the network is armed on this host")
    if not record.left(armed):
        raise Failure(f"too late: the old network is put back ({armed.returning or 'it was not confirmed in time'})")
    if not armed.done:
        raise Failure("the change of the network has not ended yet")
    return armed


def _keep(network: Network, record: Record, work: Work) -> None:
    """Keep the versions that went, where those of other files are kept; the first of each path is the original."""
    original = network.key not in work.state.items
    folder = f"{record.folder}/old"
    for version in versions.listed(folder):
        if version.kind == versions.FILE:
            info = disk.look(f"{folder}/{version.copy}")
            if info is not None:
                work.state.keep(version.path, versions.content(version, folder), info, original=original)
    work.state.own(network.key, network.component, {"files": [version.path for version in _laid(record)]})


def _laid(record: Record) -> list[versions.Version]:
    return [one for one in versions.listed(f"{record.folder}/new") if one.kind == versions.FILE]
