"""What the role endpoint answers: from what is known of this server and of its peers, a status and a line. Pure.

    /primary        200: runs as the primary, alone, and may be called so
    /replica?lag=L  200: a standby that is at most L behind; without `lag` however far
    /read?lag=L     200: either of the two
    /ready          200: the primary, or a standby that streams: whether a rolling change may go on
    /live           200: answers SQL
    /state          always 200: the `State` of this member, as JSON

The names are Patroni's where they mean the same (its REST API, "Health check endpoints"); `/read-only` is `/read`.
"""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.postgres import states, wal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hakit.agent.postgres.states import State

FRESH = 1.0  # seconds for which an answer of our own server counts
CLAIM = 2.0  # seconds for which a peer's answer counts; it is asked more often than that
ALONE = 30.0  # seconds without any word from anybody after which a standby serves no reads
PARTED = 5.0  # seconds that a standby may need to take to a new primary's timeline
NEVER = float("-inf")
_UNITS = {"": 1, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_DIGITS = 15  # of a size that anyone means


class Heard(Declaration):
    """A peer: the last state it told and when, and when the last attempt to ask it ended. Times of one clock."""

    state: State | None = None
    at: float = NEVER
    asked: float = NEVER


class View(Declaration):
    """What is known, at `now`.

    `mine` is our own state, `answered` when our server last answered SQL. `end` is where the primary's WAL was known to
    end (bytes; 0: never known), kept while nobody hears a primary. `word` is when anybody was last heard, `streamed`
    when this standby last received. `held` is why this server must not be called a primary, or empty; `aside` why it
    must not be called a replica.
    """

    now: float
    mine: State
    answered: float
    peers: Mapping[str, Heard]
    end: int = 0
    word: float = NEVER
    streamed: float = NEVER
    held: str = ""
    aside: str = ""


class Answer(Declaration):
    """An HTTP status and one line that says why."""

    status: int
    text: str


def answer(path: str, view: View) -> Answer:
    """The answer to a path with its query."""
    name, _, query = path.partition("?")
    if name == "/state":
        return Answer(status=200, text=states.text(view.mine.replace(held=view.held)))
    try:
        lag = _lag(query)
    except ValueError:
        return Answer(status=400, text=f"{query}: lag is a size such as lag=16MB")
    if name not in _VERDICTS:
        return Answer(status=404, text=f"there are {', '.join(_VERDICTS)} and /state")
    why = _VERDICTS[name](view, lag)
    return Answer(status=503, text=why) if why else Answer(status=200, text=f"{view.mine.host}: {view.mine.role}")


def _lag(query: str) -> int | None:
    """The bytes of `lag=16MB`; None where no limit is asked for. Raises ValueError."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "lag":
            digits = value[: len(value) - len(value.lstrip("0123456789"))]
            if not 0 < len(digits) <= _DIGITS or value[len(digits) :] not in _UNITS:
                raise ValueError(value)
            return int(digits) * _UNITS[value[len(digits) :]]
    return None


def silent(view: View) -> str:
    """Why our server does not count as alive; empty when it does."""
    if view.mine.role in {states.STOPPED, states.STARTING}:
        return f"the server is {view.mine.role}"
    if view.now - view.answered > FRESH:
        return "the server does not answer"
    return ""


def primary(view: View) -> str:
    """Why our server must not be written to; empty when it may be."""
    return next(filter(None, _reasons_not_to_write(view)), "")


def _reasons_not_to_write(view: View) -> Iterator[str]:
    yield silent(view)
    if view.mine.role != states.PRIMARY:
        yield "it is a standby"
    if view.held:
        yield f"held: {view.held}"
    yield stray(view)
    others = claimants(view)
    if others:
        lines = ", ".join(f"{name} (timeline {told.timeline})" for name, told in sorted(others.items()))
        yield f"{lines} claims to be the primary, too; ours is timeline {view.mine.timeline}"
    late = sorted(name for name, one in view.peers.items() if view.now - one.asked > CLAIM)
    if late:  # after a freeze, others may have gone on without us
        yield f"{', '.join(late)}: not asked yet whether it is the primary"


def stray(view: View) -> str:
    """Whether our server is of another cluster than most of those that answer; empty when it is not.

    Where only two answer neither can tell which of them it is.
    """
    told = [one for one in fresh(view).values() if one.system]
    others = sorted(one.host for one in told if one.system != view.mine.system)
    if len(others) > 1 + len(told) - len(others):
        return f"{', '.join(others)} are of another cluster"
    return ""


def claimants(view: View) -> dict[str, State]:
    """The peers of our cluster that run as a primary."""
    return {
        name: told
        for name, told in fresh(view).items()
        if told.role == states.PRIMARY and told.system == view.mine.system
    }


def fresh(view: View) -> dict[str, State]:
    """What peers told lately."""
    return {name: one.state for name, one in view.peers.items() if one.state is not None and view.now - one.at <= CLAIM}


def replica(view: View, lag: int | None) -> str:
    """Why our server must not be read from as a standby; empty when it may be."""
    return next(filter(None, _reasons_not_to_read(view, lag)), "")


def _reasons_not_to_read(view: View, lag: int | None) -> Iterator[str]:
    yield silent(view)
    if view.mine.role != states.STANDBY:
        yield "it is the primary"
    if view.held:
        yield f"held: {view.held}"
    yield stray(view)
    if view.aside:
        yield f"put aside: {view.aside}"
    if view.now - view.word > ALONE:
        yield f"it hears nobody for {ALONE:g} s"
    parted = [name for name, told in sorted(claimants(view).items()) if told.timeline != view.mine.timeline]
    if parted and view.now - view.streamed > PARTED:
        yield f"it is on timeline {view.mine.timeline}, and does not follow {parted[0]}"
    if lag is not None and not view.end:
        yield "it does not know yet how far the primary is"
    behind = view.end - wal.number(view.mine.replayed)
    if lag is not None and behind > lag:
        yield f"it is {behind / (1 << 20):.1f} MB behind"


def read(view: View, lag: int | None) -> str:
    """Why our server must not be read from; empty when it may be."""
    return replica(view, lag) if view.mine.role == states.STANDBY else primary(view)


def ready(view: View) -> str:
    """Why a rolling change must not go on to the next member; empty when it may."""
    if view.mine.role != states.STANDBY:
        return primary(view)
    return silent(view) or ("" if view.mine.streams else "it does not stream")


def end_of_wal(view: View) -> int:
    """Where the primary's WAL is known to end now, in bytes; 0 while neither we nor a peer hear a primary."""
    told = [one for one in fresh(view).values() if one.system == view.mine.system]
    if not silent(view):
        told.append(view.mine)
    return max((wal.number(one.lsn) for one in told if one.role == states.PRIMARY or one.streams), default=0)


_VERDICTS: dict[str, Callable[[View, int | None], str]] = {
    "/primary": lambda view, _: primary(view),
    "/replica": replica,
    "/read": read,
    "/read-only": read,
    "/ready": lambda view, _: ready(view),
    "/live": lambda view, _: silent(view),
}
