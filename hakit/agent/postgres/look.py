"""The state of this member, as one mapping: what the controller decides from."""

from __future__ import annotations

import os

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.postgres import control, power, record, serverlog, torn, wal
from hakit.agent.postgres.client import Connection, SqlError
from hakit.agent.postgres.own import held_because
from hakit.agent.postgres.place import SOCKETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.client import Row
    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

    Found = dict[str, Any]

PATIENCE = 3.0  # seconds for the server's answer
# One round trip; each of the queries is one result.
QUERIES = f"""
SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
       {wal.TIMELINE},
       CASE WHEN pg_is_in_recovery() THEN {wal.END} ELSE pg_current_wal_flush_lsn() END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END,
       to_char(CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp()
               WHEN current_setting('track_commit_timestamp')::bool THEN (pg_last_committed_xact()).timestamp END
               AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), {wal.DELAYS};
SELECT CASE WHEN status = 'streaming' AND NOT {wal.STREAMS} THEN 'connecting' ELSE status END FROM pg_stat_wal_receiver;
SELECT application_name, state, sync_state FROM pg_stat_replication ORDER BY 1;
SELECT slot_name, active, coalesce(wal_status, ''),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn)::bigint
FROM pg_replication_slots ORDER BY 1;
SELECT name FROM pg_settings WHERE pending_restart ORDER BY 1;
SELECT name, setting FROM pg_settings WHERE name IN (
    'max_connections', 'max_wal_senders', 'max_worker_processes', 'max_prepared_transactions',
    'max_locks_per_transaction', 'synchronous_standby_names', 'synchronous_commit');
"""  # noqa: S608 - of constants


def look(place: Place, work: Work) -> Found:
    """What is here; bounded in time whatever hangs. Raises Failure for a decision that can't be read.

    `installed`: whether the server's programs are there. `data` is a word of `control`. `state` (pg_controldata's) and
    `checkpoint` are empty without a cluster; `unstarted`: it was copied or rewound, and has not been started since.
    `running`: whether a process serves the data. `role` is `primary`, `standby`, or empty while the server does not
    answer; then `why` says why, as it does while it does not run, and while a standby receives nothing from its
    upstream. `lsn` is the end of the WAL on disk, `replayed` how far a standby has come, `replayed_at` (UTC) when the
    last transaction that it replayed was committed; on a primary the last commit, where it keeps track of that.
    `upstream` is the host it is told to follow, `receiving` has the `status` of what it receives. `delays`: whether it
    holds a commit back on purpose. `slots` have the bytes of WAL that they keep. `settings` are those that a standby
    must not have lower than the primary, and those of synchronous replication. `free`: bytes left for WAL.
    """
    found: Found = {
        "installed": os.path.exists(f"{place.programs}/postgres"),
        "system": "",
        "timeline": 0,
        "state": "",
        "checkpoint": "",
        "unstarted": False,
        "standby": os.path.lexists(work.at(place.signal)),
        "upstream": _upstream(place, work),
        "held": held_because(work.at(place.held)),
        "decision": record.read(work.at(place.decision)).wire(),
        "why": "",
        **_files(place, work),
        "running": power.postmaster(place, work) != 0,
        **_UNANSWERED,
    }
    if found["running"]:
        try:
            found.update(_answers(place, work))
            found["why"] = _why_dry(found, place, work)
        except SqlError as error:
            found["why"] = error.message
    elif found["data"] == control.CLUSTER:
        found["why"] = found["why"] or why_not(place, work)
    return found


_UNANSWERED: Found = {
    "role": "",
    "lsn": "",
    "replayed": "",
    "replayed_at": "",
    "delays": False,
    "receiving": None,
    "replicas": [],
    "slots": [],
    "pending": [],
    "settings": {},
}


def _files(place: Place, work: Work) -> Found:
    """What the data directory says by itself."""
    data = work.at(place.data)
    kind = control.contents(data)
    if kind != control.CLUSTER:
        return {"data": kind, "free": _free(data)}
    answer: Found = {"data": kind, "free": _free(f"{data}/pg_wal")}
    if not os.path.exists(f"{place.programs}/pg_controldata"):
        return answer
    try:
        control.check_version(data, place.version)
        cluster = control.read(data, place.programs, work)
    except Failure as failure:
        return {**answer, "why": failure.message}
    return {
        **answer,
        "system": cluster.system,
        "timeline": cluster.timeline,
        "state": cluster.state,
        "checkpoint": cluster.checkpoint,
        "unstarted": os.path.lexists(f"{data}/{control.LABEL}"),
    }


def _why_dry(found: Found, place: Place, work: Work) -> str:
    """Why a standby receives nothing, as its log tells; empty for one that does, or that shall not."""
    if found["role"] != "standby" or not found["upstream"] or found["delays"]:
        return ""
    receiving = found["receiving"]
    if receiving is not None and receiving["status"] == "streaming":
        return ""
    return serverlog.why_dry(work.at(serverlog.path(place)))


def _free(path: str) -> int:
    """The bytes that are free where a path is or would be."""
    while path != "/" and not os.path.exists(path):
        path = os.path.dirname(path)
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def _answers(place: Place, work: Work) -> Found:
    """What the server says. Raises SqlError."""
    with Connection(work.at(SOCKETS), place.port, timeout=PATIENCE) as connection:
        (own,), receiver, replicas, slots, pending, settings = connection.results(QUERIES)
    role, timeline, lsn, replayed, replayed_at, delays = own
    return {
        "role": role or "",
        "timeline": int(timeline or 0),
        "lsn": lsn or "",
        "replayed": replayed or "",
        "replayed_at": replayed_at or "",
        "delays": delays == "t",
        "receiving": {"status": receiver[0][0] or ""} if receiver else None,
        "replicas": [_named(("name", "state", "sync"), row) for row in replicas],
        "slots": [
            {"name": name, "active": active == "t", "status": status, "kept": int(kept or 0)}
            for name, active, status, kept in slots
        ],
        "pending": [row[0] for row in pending],
        "settings": {row[0]: row[1] for row in settings},
    }


def _named(names: tuple[str, ...], row: Row) -> Found:
    return {name: value or "" for name, value in zip(names, row)}  # noqa: B905 - newer than Python 3.9


def _member(place: Place, address: str) -> str:
    """The member at an address; the address where it is none's."""
    return next((one.name for one in place.members if one.address == address), address)


def _upstream(place: Place, work: Work) -> str:
    """The host that the server is told to follow when it is a standby."""
    import re

    try:
        text = disk.read(work.at(place.upstream)).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    found = re.search(r"^primary_conninfo\b.*?\bhost=([^\s']+)", text, re.MULTILINE)
    return _member(place, found.group(1)) if found else ""


def why_not(place: Place, work: Work) -> str:
    """Why the server does not run, as far as anything tells; empty when nothing does."""
    found = torn.read(place, work) or power.guard_says(place, work)
    return found or serverlog.why_dead(work.at(serverlog.path(place)))
