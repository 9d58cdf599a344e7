"""What members tell each other: the `/state` of an endpoint, as a typed value."""

from __future__ import annotations

from hakit.agent import jsonlite
from hakit.agent.declare import Declaration
from hakit.agent.postgres.decision import UNDECIDED, Decision, from_wire
from hakit.agent.postgres.wal import number

PRIMARY, STANDBY, STOPPED, STARTING = "primary", "standby", "stopped", "starting"
ROLES = (PRIMARY, STANDBY, STOPPED, STARTING)
LARGEST = 64 << 10  # bytes of an answer that are read


class State(Declaration):
    """A member, as its endpoint tells it.

    `system` is the system identifier of its data, empty where it has none. `role` is what its server was when it last
    answered, until its process is known to be gone: a primary that hangs is a primary. `lsn` is the end of the WAL that
    it has on disk, `replayed` how far a standby has come. `standby`: whether it is one, or would be after a start.
    `streams`: whether it receives from its upstream now, or will when its delay is over. `held`: why it must not be
    called a primary. `since` is when it took its role.
    """

    host: str
    system: str = ""
    timeline: int = 0
    role: str = STOPPED
    lsn: str = ""
    replayed: str = ""
    standby: bool = False
    streams: bool = False
    held: str = ""
    decision: Decision = UNDECIDED
    since: str = ""


def text(state: State) -> str:
    """A state as JSON."""
    fields = {name: getattr(state, name) for name in State._fields}
    return jsonlite.dumps({**fields, "decision": state.decision.wire()})


def parse(said: str) -> State:
    """The state of a JSON text; what newer versions may have added is left out. Raises ValueError."""
    data = jsonlite.loads(said.strip())
    if not isinstance(data, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - of what someone sent
    words = {name: data.get(name, "") for name in ("host", "system", "role", "lsn", "replayed", "held", "since")}
    timeline = data.get("timeline", 0)
    flags = {name: data.get(name, False) for name in ("standby", "streams")}
    whole = (
        all(isinstance(value, str) for value in words.values())
        and all(isinstance(flag, bool) for flag in flags.values())
        and isinstance(timeline, int)
        and not isinstance(timeline, bool)
    )
    if not whole or not words["host"] or words["role"] not in ROLES:
        raise ValueError("no host, role, timeline and the like")
    number(words["lsn"])
    number(words["replayed"])
    decision = from_wire(data.get("decision", {}))
    return State(timeline=timeline, decision=decision, **flags, **words)
