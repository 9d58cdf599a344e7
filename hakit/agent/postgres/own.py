"""The state of this host's own server, looked at again and again: over a connection that is kept, or from its files."""

from __future__ import annotations

import os
from time import gmtime, monotonic, strftime

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.postgres import control, record, states, wal
from hakit.agent.postgres.client import Connection, SqlError
from hakit.agent.postgres.place import SOCKETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.client import Row
    from hakit.agent.postgres.control import Control
    from hakit.agent.postgres.place import Place
    from hakit.agent.postgres.states import State

PATIENCE = 0.8  # seconds for the server's answer
SELDOM = 1.0  # seconds between two looks at the control file
NOT_NOW = "57P03"  # cannot_connect_now: starting up, shutting down, not yet consistent
NOBODY = "08001"

LOOK = f"""
SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
       (SELECT system_identifier FROM pg_control_system()),
       {wal.TIMELINE},
       CASE WHEN pg_is_in_recovery() THEN {wal.END} ELSE pg_current_wal_flush_lsn() END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END,
       {wal.STREAMS} OR {wal.DELAYS}
"""  # noqa: S608 - of constants


class Own:
    """Looks at the server of a place; `root` stands before every path."""

    def __init__(self, place: Place, root: str) -> None:
        self._place = place
        self._root = root
        self._connection: Connection | None = None
        self._control: Control | None = None
        self._control_at = float("-inf")
        self._last = states.State(host=place.host)

    def look(self) -> tuple[State, bool]:
        """The state now, and whether the server answered. Raises Failure for a decision that can't be read."""
        try:
            state, answers = self._ask(), True
        except SqlError as error:
            state, answers = self._without(error), False
        if state.role != self._last.role or not self._last.since:
            state = state.replace(since=strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()))
        else:
            state = state.replace(since=self._last.since)
        self._last = state.replace(decision=record.read(self._at(self._place.decision)))
        return self._last, answers

    def _at(self, path: str) -> str:
        return self._root + path

    def _ask(self) -> State:
        """What the server says. Raises SqlError; the next time is with a new connection then."""
        if self._connection is None:
            self._connection = Connection(self._at(SOCKETS), self._place.port, timeout=PATIENCE)
        try:
            return self._state(self._connection.query(LOOK)[0])
        except SqlError:
            self.close()
            raise

    def close(self) -> None:
        """End the session with the server."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _state(self, row: Row) -> State:
        role, system, timeline, lsn, replayed, streams = row
        return states.State(
            host=self._place.host,
            system=system or "",
            timeline=int(timeline or 0),
            role=role or states.STARTING,
            lsn=lsn or "",
            replayed=replayed or "",
            standby=role == states.STANDBY,
            streams=streams == "t",
        )

    def _without(self, error: SqlError) -> State:
        """The state of a server that does not answer: what its files say, or what it was while its process is there."""
        if error.sqlstate not in {NOT_NOW, NOBODY}:
            return self._last.replace(streams=False)
        role = states.STARTING if error.sqlstate == NOT_NOW or self._is_alive() else states.STOPPED
        found = self._read_control()
        standby = os.path.lexists(self._at(self._place.signal))
        state = states.State(host=self._place.host, role=role, standby=standby)
        if found is None:
            return state
        lsn = max(found.checkpoint, found.minimum, key=wal.number)
        return state.replace(system=found.system, timeline=found.timeline, lsn=lsn)

    def _is_alive(self) -> bool:
        """Whether the process is there that its pid file names."""
        try:
            with open(self._at(f"{self._place.data}/postmaster.pid"), encoding="utf-8", errors="replace") as file:
                os.kill(int(file.readline()), 0)
        except (OSError, ValueError):
            return False
        return True

    def _read_control(self) -> Control | None:
        if monotonic() - self._control_at < SELDOM:
            return self._control
        data = self._at(self._place.data)
        try:
            whole = control.contents(data) == control.CLUSTER
            self._control = control.read(data, self._place.programs) if whole else None
        except (Failure, OSError):
            self._control = None
        self._control_at = monotonic()
        return self._control


def held_because(path: str) -> str:
    """Why a server must not be called a primary; empty when it may be."""
    try:
        return disk.read(path).decode("utf-8", "replace").strip() or "no reason was given"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path}: {error.strerror}"
