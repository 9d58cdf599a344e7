"""The return of the old network: files, manager, links, addresses and routes. Safe to repeat from anywhere."""

from __future__ import annotations

from time import monotonic, sleep

from hakit.agent.errors import Failure
from hakit.agent.network import kept
from hakit.agent.network.announcing import announce
from hakit.agent.network.bringing import Doing, Goal, bring, bring_files, for_boots, reload
from hakit.agent.network.live import read
from hakit.agent.network.mending import as_network, links_of, mending
from hakit.agent.network.place import CHANGE
from hakit.agent.network.record import RETURNED
from hakit.agent.network.units import unguard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.network.live import Live
    from hakit.agent.network.record import Armed, Record
    from hakit.agent.work import Work

PATIENCE = 30.0  # seconds for a change that is being stopped, or for another return
STOP = 20.0  # seconds for systemd to end the change with its commands
PASSES = 5  # rounds of mending: links, then ports, then addresses, then routes, and one to see that nothing is left
LATE = "it was not confirmed in time"
RESTARTED = "the host was restarted before it was confirmed"


def restore(record: Record, work: Work) -> bool:
    """Put the old network back once it is due; False when there is nothing to put back. Raises Failure, OSError."""
    while True:
        armed = record.pending()
        if armed is None:
            return _tidy(record, work)
        left = record.left(armed)
        if not left:
            break
        sleep(min(left, 1.0))
    work.run(["systemctl", "kill", "--signal=SIGKILL", CHANGE], STOP)
    work.run(["systemctl", "stop", CHANGE], STOP)
    record.hold(PATIENCE)
    try:
        # It may have been confirmed in the last instant.
        if record.pending() is None:
            return _tidy(record, work)
        give_back(record, work)
    finally:
        record.let_go()
    return True


def restore_at_boot(record: Record, work: Work) -> bool:
    """Put the old files back before the boot reads them; False when there are none to put. Raises Failure, OSError."""
    record.hold(PATIENCE)
    try:
        armed = record.pending()
        if armed is None:
            return _tidy(record, work, boot=True)
        armed = armed.replace(returning=armed.returning or RESTARTED)
        record.arm(armed)
        record.log("the host starts: the old network's files are put back")
        if armed.started:
            bring_files(_goal(armed, record, kept.live(record.folder)), Doing(work, record, strict=False))
        record.settle(armed, RETURNED, armed.returning)
        _tidy(record, work, boot=True)
    finally:
        record.let_go()
    return True


def give_back(record: Record, work: Work) -> None:
    """Put the old network back; the caller holds the record. Raises Failure, OSError."""
    armed = record.pending()
    if armed is None:
        return
    if not armed.returning:
        armed = armed.replace(returning=record.given_up(armed) or LATE)
        record.arm(armed)
    record.log(f"the old network is put back: {armed.returning}")
    if armed.started:
        _bring_back(armed, record, work)
    record.settle(armed, RETURNED, armed.returning)
    _tidy(record, work)


def _bring_back(armed: Armed, record: Record, work: Work) -> None:
    old = kept.live(record.folder)
    goal = _goal(armed, record, old)
    doing = Doing(work, record, strict=False)
    began = monotonic()
    try:
        bring(goal, doing)
    except Failure as failure:
        doing.log(failure.message)
    for _ in range(PASSES):
        left = mending(old, read(work), kept.declared(record.folder))
        if not left:
            break
        doing.log("what is missing is put back directly")
        doing.all(left)
    announce(goal.network, work)
    reload(kept.declared(record.folder).reload, doing)
    record.log(f"the old network is back, after {monotonic() - began:.1f} s")
    for_boots(goal, doing)


def _goal(armed: Armed, record: Record, old: Live) -> Goal:
    """The old network, as something to be brought about."""
    new = kept.declared(record.folder)
    return Goal(
        network=as_network(old, new),
        folder=f"{record.folder}/old",
        before=armed.manager,
        manager=armed.before,
        up=armed.up,
        also=tuple(sorted(links_of(new, old))),
    )


def _tidy(record: Record, work: Work, *, boot: bool = False) -> bool:
    """Take the guard of a settled change away."""
    if record.armed() is not None:
        unguard(work, tell=not boot)
        record.disarm()
    return False
