"""The change itself: a program of its own, so that it ends whatever becomes of the connection that asked for it."""

from __future__ import annotations

from time import CLOCK_BOOTTIME, clock_gettime, sleep

from hakit.agent.errors import Failure, from_os
from hakit.agent.network import kept
from hakit.agent.network.announcing import announce
from hakit.agent.network.bringing import Doing, Goal, bring, for_boots, reload
from hakit.agent.network.returning import give_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.network.record import Armed, Record
    from hakit.agent.work import Work

DELAY = 0.5  # seconds until the change begins, so that the answer that tells of it gets out
PATIENCE = 5.0  # seconds for who armed us to let go of the record


def change(record: Record, work: Work, delay: float = DELAY) -> bool:
    """Bring the new network about, or at once the old one again; whether it is the new one. Raises Failure, OSError."""
    sleep(delay)
    record.hold(PATIENCE)
    try:
        armed = record.pending()
        if armed is None or armed.started or not record.left(armed):
            record.log("there is no change to begin")
            return False
        armed = armed.replace(started=True)
        record.arm(armed)
        why = _bring(armed, record, work)
        if why:
            record.arm(armed.replace(returning=why))
            give_back(record, work)
            return False
        record.arm(armed.replace(done=clock_gettime(CLOCK_BOOTTIME)))
        record.log("the new network is in place, and waits for its confirmation")
        return True
    finally:
        record.let_go()


def _bring(armed: Armed, record: Record, work: Work) -> str:
    """Why the new network can't be brought about; empty when it was."""
    try:
        folder = f"{record.folder}/new"
        goal = Goal(network=kept.declared(record.folder), folder=folder, before=armed.before, manager=armed.manager)
        doing = Doing(work, record, strict=True)
        bring(goal, doing)
        announce(goal.network, work)
        reload(goal.network.reload, doing)
        for_boots(goal, doing)
    except OSError as error:
        return from_os(error, "changing the network").message
    except Failure as failure:
        return "\n".join(part for part in (failure.message, failure.output) if part)
    return ""
