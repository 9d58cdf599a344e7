"""What an operator's command does to one member, one verb at a time.

Each verb is safe to repeat and to be killed anywhere: what it leaves durably is what a repetition begins with. A verb
whose outcome is there already answers at once. All raise Failure.
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.postgres import asking, control, power, programs, record, states, upstream, wal
from hakit.agent.postgres.decision import SWITCHOVER
from hakit.agent.postgres.place import SLOT_LOST, slot_name
from hakit.agent.postgres.power import POLL, connect, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.client import Connection
    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

# Seconds for which a standby must be seen without a receiver, its end of WAL unchanged, before it counts as halted: its
# startup process reads the new configuration by itself, within wal_retrieve_retry_interval (ours: 0.2 s).
SETTLED = 0.6
CLAIM = 3.0  # seconds for who was stopped just now to say so: its endpoint looks every 0.15 s, for up to 0.8 s
PAUSE = 0.5  # seconds for a peer to tell its state while writers wait: the old primary was seen to be stopped
BUSY = 10.0  # seconds for the user of a slot that is to be dropped to go

# A receiver that waits to be told where to start receives nothing, and nobody tells it without a primary_conninfo.
RECEIVER = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'walreceiver' AND wait_event IS DISTINCT FROM 'WalReceiverWaitStart'"""
# A standby that is held up (by a report that its replay conflicts with, a long removal, a slow disk) has more WAL than
# it has replayed. It has no more where its startup process waits for some (PostgreSQL documentation, "Wait Events").
ENDS = """
SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(),
       (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup')"""
DRAINED = frozenset({"RecoveryWalStream", "RecoveryRetrieveRetryInterval"})
DELAYED = "RecoveryApplyDelay"


def hold(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have the endpoint not call this server a primary; `why` is told to who asks."""
    del timeout
    path = work.at(place.held)
    disk.make_folder(os.path.dirname(path), disk.OPEN)
    why = arguments["why"].replace("\n", " ").strip()
    disk.write(path, f"{why}\n".encode(), 0o644)
    return {"held": why}


def release(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """The reverse of `hold`."""
    del arguments, timeout
    if os.path.lexists(work.at(place.held)):
        disk.delete(work.at(place.held))
    return {"held": ""}


def halt(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Stop a standby from receiving, and keep it so over a restart; where its WAL ends (`lsn`: flushed)."""
    del arguments
    upstream.write(place, upstream.NOBODY, work)
    with connect(place, work) as connection:
        if _value(connection, "SELECT pg_is_in_recovery()") != "t":
            raise Failure(f"{place.host} is no standby: its server runs as a primary")
        before = _timeline(connection)
        connection.query("SELECT pg_reload_conf()")
        _wait_settled(connection, place, timeout)
        flushed, replayed = connection.query(f"SELECT {wal.END}, pg_last_wal_replay_lsn()")[0]
        timeline = max(before, _timeline(connection))
        return {"timeline": timeline, "lsn": flushed or "0/0", "replayed": replayed or "0/0"}


def _wait_settled(connection: Connection, place: Place, timeout: float) -> None:
    """Wait until nothing is received and, where nothing was since its start, all that there is has been replayed.

    Raises Failure where that can't be waited for.
    """
    deadline, since, seen = monotonic() + timeout, monotonic(), ""
    while True:
        received, replayed, waits = connection.query(ENDS)[0]
        now = f"{received} {'' if received else replayed}"
        receives = _value(connection, RECEIVER) != "0"
        if receives or now != seen:
            since, seen = monotonic(), now
        elif monotonic() - since > SETTLED:
            if received or waits in DRAINED:
                return
            if waits == DELAYED:
                raise Failure(f"{place.host} holds a commit back: how far its WAL goes is not known while it does")
        if monotonic() > deadline:
            does = "receives" if receives else f"replays (at {replayed}{f', it waits in {waits}' if waits else ''})"
            raise Failure(f"the server of {place.host} still {does} after {timeout:g} s")
        sleep(POLL)


def _timeline(connection: Connection) -> int:
    return int(_value(connection, f"SELECT {wal.TIMELINE}") or 0)


def _value(connection: Connection, sql: str) -> str | None:
    return connection.query(sql)[0][0]


def follow(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have a standby follow the member `upstream`, now and after a restart; with `wait`, until it streams from there.

    `wait` is in seconds; 0 or none: a server that does not run is no failure. One that is delayed is not waited for
    while it holds a commit back.
    """
    del timeout
    wait = float(arguments.get("wait") or 0)
    host = arguments["upstream"]
    if host == place.host:
        raise Failure(f"{host} can't follow itself")
    words = upstream.connection(place, host, upstream.replicator(place, work), work)
    upstream.write(place, upstream.text(words, place.host), work)
    if power.postmaster(place, work) == 0 and not wait:
        return {"upstream": host, "streams": False}
    with connect(place, work) as connection:
        connection.query("SELECT pg_reload_conf()")
        address = words["host"]

        def streams() -> bool:
            return (address, "t") in connection.query(f"SELECT sender_host, {wal.STREAMS} FROM pg_stat_wal_receiver")  # noqa: S608 - of constants

        def delays() -> bool:
            return _value(connection, f"SELECT {wal.DELAYS}") == "t"

        if wait:
            wait_for(
                lambda: streams() or delays(), wait, f"{place.host} did not begin to stream from {host} ({address})"
            )
        return {"upstream": host, "streams": streams()}


def slots(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have slots for the members `hosts` (with commas between) and for no other member; what was made, dropped, kept.

    One that has lost its WAL serves nobody any more and is made anew. Slots that are no member's are left alone. One in
    use is waited for, and then kept.
    """
    wanted = [one for one in arguments["hosts"].split(",") if one]
    strangers = sorted(set(wanted) - {one.name for one in place.members})
    if strangers:
        raise Failure(f"{', '.join(strangers)}: no member of the cluster {place.cluster} that this host knows")
    names = {slot_name(one) for one in wanted if one != place.host}
    ours = {slot_name(one.name) for one in place.members}
    with connect(place, work) as connection:
        found = connection.query("SELECT slot_name, wal_status FROM pg_replication_slots")
        there = {str(name) for name, status in found}
        lost = {str(name) for name, status in found if status == SLOT_LOST} & names
        there -= lost - _drop(connection, lost, min(BUSY, timeout))
        made = sorted(names - there)
        for name in made:
            connection.query(f"SELECT pg_create_physical_replication_slot('{name}', true)")
        kept = _drop(connection, (there & ours) - names, min(BUSY, timeout))
        return {"made": made, "dropped": sorted((there & ours) - names - kept), "kept": sorted(kept)}


def _drop(connection: Connection, names: set[str], patience: float) -> set[str]:
    """Drop slots as soon as nobody uses them; those that are still in use at the end."""
    left, deadline = set(names), monotonic() + patience
    while left:
        free = connection.query(
            "SELECT slot_name FROM pg_replication_slots WHERE NOT active AND slot_type = 'physical'"
        )
        for name in sorted(left & {str(row[0]) for row in free}):
            connection.query(f"SELECT pg_drop_replication_slot('{name}')")
            left.discard(name)
        if not left or monotonic() > deadline:
            break
        sleep(POLL)
    return left


def checkpoint(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have the server write a checkpoint (on a standby: a restartpoint) and wait for it."""
    del arguments
    began = monotonic()
    with connect(place, work, timeout=timeout) as connection:
        connection.query("CHECKPOINT")
    return {"seconds": round(monotonic() - began, 3)}


def demote(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have the stopped server be a standby when it starts next."""
    del arguments, timeout
    if power.is_standby_on_disk(place, work):
        return {"standby": True}
    power.must_be_down(place, "make it a standby", work)
    if control.contents(work.at(place.data)) != control.CLUSTER:
        raise Failure(f"{place.data} holds no cluster: there is nothing to make a standby of")
    programs.put(work.at(place.signal), b"", 0o600, work)
    return {"standby": True}


def resume(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Undo `demote`, before anything was promoted: the stopped server is a primary when it starts next.

    Refused when another member was decided to be the primary, and for data that were replayed as a standby since:
    two servers would write the same timeline.
    """
    del arguments, timeout
    if not power.is_standby_on_disk(place, work):
        return {"standby": False}
    power.must_be_down(place, "make it a primary again", work)
    _must_be_named(place, "be made a primary again", work)
    state = control.read(work.at(place.data), place.programs, work).state
    if "recovery" in state:
        raise Failure(f"{place.host} can't be made a primary again: it has run as a standby since ({state})")
    disk.delete(work.at(place.signal))
    return {"standby": False}


def promote(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Make a running standby the primary that it was decided to be; its new timeline.

    Refused while a peer says that it runs as the primary: two would be writable.
    """
    del arguments
    _must_be_named(place, "be promoted", work)
    with connect(place, work) as connection:
        if _value(connection, "SELECT pg_is_in_recovery()") == "t":
            _must_be_alone(place, connection, work)
            # Not to wait in there: the server would give up a query that takes longer than our patience with it.
            connection.query("SELECT pg_promote(false)")
        promoted = f"SELECT {wal.PROMOTED}"
        wait_for(lambda: _value(connection, promoted) is not None, timeout, f"{place.host} was not promoted")
        timeline = int(_value(connection, promoted) or 0)
        if upstream.write(place, upstream.NOBODY, work):
            connection.query("SELECT pg_reload_conf()")
    return {"timeline": timeline}


def _must_be_alone(place: Place, connection: Connection, work: Work) -> None:
    system = _value(connection, "SELECT system_identifier FROM pg_control_system()")
    patience = PAUSE if record.read(work.at(place.decision)).kind == SWITCHOVER else asking.ANSWER
    deadline = monotonic() + CLAIM
    while True:
        leading = [one for one in asking.told(place, patience) if one.role == states.PRIMARY and one.system == system]
        if not leading:
            return
        if monotonic() > deadline:
            names = " and ".join(f"{one.host} (timeline {one.timeline})" for one in leading)
            raise Failure(f"{place.host} must not be promoted: {names} runs as the primary")
        sleep(POLL)


def _must_be_named(place: Place, what: str, work: Work) -> None:
    known = record.read(work.at(place.decision))
    if known.primary != place.host:
        named = f"names {known.primary}" if known.primary else "names nobody"
        raise Failure(f"{place.host} must not {what}: the last decision that it knows (epoch {known.epoch}) {named}")


def decide(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Keep a decision (`record`, JSON) that is newer than the one known here; the one that is known now."""
    del timeout
    return record.decide(place, arguments["record"], work)
