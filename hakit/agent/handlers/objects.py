"""What roles, databases, extensions and grants have in common: they live in a server, and only a primary takes them.

A standby gets them from its primary, so there everything is as declared. Nothing is ever dropped or revoked.
"""

from __future__ import annotations

import os

from hakit.agent.errors import Failure
from hakit.agent.handlers.cluster import COPY
from hakit.agent.postgres import serverlog
from hakit.agent.postgres.client import BrokenOffError, Connection, SqlError, UnansweredError
from hakit.agent.postgres.place import SOCKETS
from hakit.agent.postgres.scram import hide
from hakit.agent.work import SAME, Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.client import Row
    from hakit.agent.postgres.place import Place
    from hakit.agent.resources.base import Resource
    from hakit.agent.work import Work

HOME = "postgres"
"""The database that sessions use which need none in particular."""
PATIENCE = 900.0  # seconds for one statement that changes something: a database may be copied from a large template
LOCK = "30s"  # how long a change waits for someone else's lock
NO_SERVER = "08001"
STARTING = "57P03"
NO_DATABASE = "3D000"

# Names are looked up in pg_catalog alone: what users of a database put in other schemas must never run as superuser.
# A commit does not wait for standbys: when the cluster is made there are none yet, and what they don't have of it when
# one of them is promoted is made there by the next apply.
_PREPARE = (
    "SET search_path = ''; SET synchronous_commit = 'local'; SET default_transaction_read_only = off; "
    f"SET lock_timeout = '{LOCK}'; SELECT pg_is_in_recovery(), current_setting('data_directory')"
)


class Missing:
    """Why nothing can be known yet: there is no server, or no database."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Standby:
    """The state of everything on a standby."""


class Objects:
    """The part of their handlers that they share; a subclass says what to ask and what differs."""

    what = ""

    def database(self, resource: Any) -> str:
        """The database that has to be connected to."""
        del resource
        return HOME

    def look(self, resources: list[Any], connection: Connection, work: Work) -> dict[str, Any]:
        """The actual states by key, in few queries. Raises SqlError, Failure."""
        raise NotImplementedError

    def compare(self, resource: Any, state: Any, work: Work) -> Change:
        """What differs on a primary; `steps` are statements, each of them a transaction. Raises Failure."""
        raise NotImplementedError

    def read(self, resources: list[Any], work: Work) -> dict[str, Any]:
        """The actual states by key, `Missing`, `Standby` or the Failure to read them; a session per database."""
        together: dict[tuple[Place, str], list[Any]] = {}
        for one in resources:
            together.setdefault((one.place, self.database(one)), []).append(one)
        found: dict[str, Any] = {}
        for (place, database), some in together.items():
            found.update(self._ask(place, database, some, work))
        return found

    def _ask(self, place: Place, database: str, some: list[Any], work: Work) -> dict[str, Any]:
        try:
            answer = reach(place, database, work)
            if isinstance(answer, Connection):
                with answer:
                    return self.look(some, answer, work)
        except BrokenOffError as error:
            answer = _absent(place, error, work)
        except SqlError as error:
            if len(some) > 1 and not isinstance(error, UnansweredError):
                raise  # one of them may be to blame: they are read one by one
            return dict.fromkeys((one.key for one in some), refusal(error))
        except Failure as failure:
            if len(some) > 1:
                raise
            return {some[0].key: failure}
        return dict.fromkeys((one.key for one in some), answer)

    def diff(self, resource: Any, state: Any, work: Work) -> Change:
        """What differs: nothing on a standby, unknown while there is no server or no database. Raises Failure."""
        if isinstance(state, Standby):
            return Change()
        if isinstance(state, Missing):
            return Change() if _becomes_standby(resource.place, work) else unknown(resource, state.reason, work)
        return self.compare(resource, state, work)

    def apply(self, resource: Any, change: Change, work: Work) -> tuple[str, ...]:
        """Carry the statements out. Raises Failure."""
        work.state.own(resource.key, resource.component, {"cluster": resource.place.label})
        answer = reach(resource.place, self.database(resource), work)
        if not isinstance(answer, Connection):
            raise Failure("this server was the primary a moment ago, and is not any more: plan again")
        with answer:
            answer.timeout = PATIENCE
            try:
                answer.query(f"SET statement_timeout = {int(PATIENCE * 1000)}")
                for statement in change.steps:
                    answer.query(statement)
            except SqlError as error:
                raise refusal(error) from None
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: forget it, once said that it stays."""
        del work
        name = key.partition(":")[2]
        where = f" in {record['cluster']}" if "cluster" in record else ""
        return Change(summary=(f"forget; {self.what} {name} stays{where}, for hakit drops nothing there",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave it alone; that was said."""
        del key, record, work
        return ()


def reach(place: Place, database: str, work: Work) -> Connection | Missing | Standby:
    """A session with the primary, where there is one here. Raises SqlError, Failure."""
    try:
        return _session(place, database, work)
    except SqlError as error:
        if error.sqlstate in {NO_SERVER, STARTING}:
            return _absent(place, error, work)
        if error.sqlstate != NO_DATABASE or database == HOME:
            raise
    answer = _session(place, HOME, work)
    if isinstance(answer, Connection):
        answer.close()
        return Missing(f"there is no database {database}")
    return answer


def _absent(place: Place, error: SqlError, work: Work) -> Missing | Standby:
    """Why no server is there to be asked, in its own words where it left some."""
    if os.path.exists(work.at(place.signal)):
        return Standby()
    why = serverlog.why_dead(work.at(serverlog.path(place))) or error.message
    return Missing(f"the server of {place.label} does not answer ({why}): see {place.unit}")


def _session(place: Place, database: str, work: Work) -> Connection | Standby:
    connection = Connection(work.at(SOCKETS), place.port, database)
    try:
        ((recovering, data),) = texts(connection.query(_PREPARE))
        _check_ours(place, data, work)
    except BaseException:
        connection.close()
        raise
    if recovering == "t":
        connection.close()
        return Standby()
    return connection


def _check_ours(place: Place, data: str, work: Work) -> None:
    if os.path.realpath(data) != os.path.realpath(work.at(place.data)):
        raise Failure(
            f"on port {place.port} listens another server than that of {place.label}: its data directory is "
            f"{data}, not {place.data}. Stop it, or give one of the two another port"
        )


def texts(rows: list[Row]) -> list[tuple[str, ...]]:
    """Rows with NULL as an empty text."""
    return [tuple(value or "" for value in row) for row in rows]


def _becomes_standby(place: Place, work: Work) -> bool:
    """Whether this run first makes this member, as a copy of another one."""
    key = f"cluster:{place.label}"
    cluster: Any = work.declared.get(key)
    return cluster is not None and cluster.origin == COPY and work.status.get(key, SAME) != SAME


def unknown(resource: Resource, reason: str, work: Work) -> Change:
    """A resource of which nothing is known before others are in place. Raises Failure when none of those is to come."""
    return Change(summary=("make it as declared",), after=f"known after {work.require(resource, reason)}", unknown=True)


def refusal(error: SqlError) -> Failure:
    """The failure that the server's refusal means, without any verifier in it."""
    if isinstance(error, UnansweredError):
        return Failure(error.message)
    return Failure(f"PostgreSQL refuses it: {hide(error.message)}", output=hide(error.output))
