"""The beginning of a change: all that its return needs, then the change, which nobody has to wait for.

The order is the promise. First the old state and the files that are to come are on disk, then the guard stands (the
library, the unit of the boot, the timer, which runs), then the change is armed, by one rename, and only then it is set
off. Killed before that rename, nothing was begun; after it, the timer ends it.
"""

from __future__ import annotations

import os
from time import CLOCK_BOOTTIME, clock_gettime

from hakit.agent import disk, jsonlite
from hakit.agent.errors import Failure
from hakit.agent.network import interfaces, judging, kept, units, versions
from hakit.agent.network.answering import answering
from hakit.agent.network.comparing import names_of
from hakit.agent.network.live import read
from hakit.agent.network.place import FOLDER
from hakit.agent.network.record import RETURNED, Armed, Record, now_utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.network.live import Live
    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work

PATIENCE = 5.0  # seconds for a settlement that is about to end
SHORTEST = 5.0  # seconds; a bond needs two for its members' carriers
LONGEST = 3600.0


def begin(network: Network, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Arm a change and set it off: `id`, `deadline` (seconds of CLOCK_BOOTTIME), `timeout`. Raises Failure, OSError."""
    del timeout
    waits = _timeout(network, arguments)
    sources = _sources(arguments["library"])
    before = network.before or network.manager
    for manager in (before, network.manager):
        if manager not in judging.PROGRAMS:
            raise Failure(f"hakit can't change a network that {manager} has in its hands")
    record = Record(work.at(FOLDER), work.root)
    disk.make_folder(work.at(FOLDER))
    os.chmod(work.at(FOLDER), 0o700)
    record.hold(PATIENCE)
    try:
        _clear(record, work)
        now = _prepare(network, record, work)
        armed = Armed(
            id=os.urandom(8).hex(),
            run=arguments["run"],
            who=arguments["who"],
            began=now_utc(),
            boot=record.boot(),
            # Taken before the timer starts, so that this has passed when the timer runs out.
            deadline=clock_gettime(CLOCK_BOOTTIME) + waits,
            timeout=waits,
            before=before,
            manager=network.manager,
            up=interfaces.up(work),
            mates=answering(network.mates, now),
        )
        units.guard(waits, sources, work)
        record.log(f"armed by {armed.who} (run {armed.run}): the old network returns in {waits:g} s if not confirmed")
        record.arm(armed)
        _set_off(armed, record, work)
    finally:
        record.let_go()
    return {"id": armed.id, "deadline": armed.deadline, "timeout": waits}


def _set_off(armed: Armed, record: Record, work: Work) -> None:
    try:
        units.set_off(work)
    except Failure as failure:
        record.settle(armed, RETURNED, f"nothing was changed: {failure.message}")
        units.unguard(work)
        record.disarm()
        raise


def _clear(record: Record, work: Work) -> None:
    """See that nothing is armed, and take away what is left of a change that was settled. Raises Failure, OSError."""
    pending = record.pending()
    if pending is not None:
        raise Failure(
            f"a change of the network by {pending.who} (run {pending.run}, {pending.began}) is not settled: "
            "confirm it, or give it up"
        )
    if record.armed() is not None:
        units.unguard(work)
        record.disarm()
    for name in ("old", "new"):
        disk.delete_tree(f"{record.folder}/{name}")
        disk.make_folder(f"{record.folder}/{name}")
    disk.delete(f"{record.folder}/log")


def _prepare(network: Network, record: Record, work: Work) -> Live:
    """Keep what is, which is returned, lay out what is to be, and have it judged. Raises Failure, OSError."""
    now = read(work)
    names = names_of(network, now)
    missing = [link for link in network.links if link.kind == "physical" and now.link(names[link.name]) is None]
    if missing:
        told = ", ".join(f"{link.name}{f' ({link.nic})' if link.nic else ''}" for link in missing)
        raise Failure(f"this host has no such NIC: {told}")
    gone = versions.aside(network, work)
    versions.lay(network, gone, f"{record.folder}/new", work)
    kept.keep_declared(network, record.folder)
    judging.judge(network.manager, f"{record.folder}/new", work)
    versions.save([*(file.path for file in network.files), *gone], f"{record.folder}/old", work)
    kept.keep_live(now, record.folder)
    return now


def _timeout(network: Network, arguments: dict[str, str]) -> float:
    text = arguments.get("timeout", "")
    try:
        seconds = float(text) if text else network.timeout
    except ValueError:
        raise Failure(f"the time for the confirmation is no number of seconds: {text!r}") from None
    if not SHORTEST <= seconds <= LONGEST:
        raise Failure(f"the time for the confirmation must be from {SHORTEST:g} to {LONGEST:g} seconds: {seconds:g}")
    return seconds


def _sources(text: str) -> dict[str, str]:
    try:
        found = jsonlite.loads(text)
    except ValueError as error:
        raise Failure(f"the programs that would put the network back did not arrive: {error}") from None
    if not isinstance(found, dict) or "__main__.py" not in found or any(".." in name for name in found):
        raise Failure("the programs that would put the network back did not arrive")
    return {str(name): str(source) for name, source in found.items()}
