"""Whether a server may open for writes after a start: only when its peers show that it is still the primary.

A standby can't write and is let through. Anything else was a primary when it stopped, however long ago that is.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, sleep

from hakit.agent import disk
from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure
from hakit.agent.postgres import asking, control, quorum, record, states
from hakit.agent.postgres.place import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.agent.postgres.decision import Decision
    from hakit.agent.postgres.place import Place
    from hakit.agent.postgres.states import State

PATIENCE = 10.0  # seconds after which systemd is told that the server can't start; it tries again
PAUSE = 0.5  # seconds between two rounds


class Verdict(Declaration):
    """Whether the server may open, and why or why not; `ignored` are answers that do not count."""

    opens: bool
    why: str
    ignored: tuple[str, ...] = ()


def judge(place: Place, system: str, timeline: int, own: Decision, answers: Mapping[str, State | str]) -> Verdict:
    """The verdict on a server with this system identifier, timeline and decision; pure.

    `answers` has, by peer, its state or why it told none. Those count that are of our system, or have no data: these
    were told decisions, too. Who has neither data nor a decision is new, and has no voice.
    """
    heard = {name: told for name, told in answers.items() if not isinstance(told, str)}
    ours = {name: told for name, told in heard.items() if told.system in {"", system}}
    ignored = tuple(f"{name} has another cluster ({heard[name].system})" for name in sorted(heard.keys() - ours.keys()))
    against = _against(place.host, system, timeline, own, ours)
    if against:
        return Verdict(opens=False, why=against, ignored=ignored)
    voting = {one.name for one in place.members if one.votes} or {place.host}
    excused = set(own.excused) - {place.host}
    need = quorum.needed(voting, excused)
    new = {name for name, told in ours.items() if not told.system and not told.decision.epoch}
    voices = ({place.host} | ours.keys()) & (voting - excused - new)
    silent = sorted((voting - excused) - voices)
    if len(voices) < need:
        reasons = ", ".join(_silence(name, answers.get(name, ""), new) for name in silent)
        return Verdict(
            opens=False,
            why=f"{len(voices)} of {len(voting - excused)} members are heard, {need} are needed ({reasons}): "
            "nobody could say whether another one was made the primary",
            ignored=ignored,
        )
    newest = max((own, *(one.decision for one in ours.values())), key=lambda one: one.epoch)
    named = f"epoch {newest.epoch} names {newest.primary}" if newest.epoch else "nobody was named yet"
    return Verdict(opens=True, why=f"{named}, {_agreeing(ours)}; timeline {timeline}", ignored=ignored)


def _silence(name: str, told: State | str, new: set[str]) -> str:
    if name in new:
        return f"{name}: has no data, and was never told who is primary"
    return f"{name}: {told}" if isinstance(told, str) else name


def _agreeing(ours: Mapping[str, State]) -> str:
    return (
        f"{', '.join(sorted(ours))} know{'s' if len(ours) == 1 else ''} of no other" if ours else "no other is needed"
    )


def _against(host: str, system: str, timeline: int, own: Decision, ours: Mapping[str, State]) -> str:
    """What speaks against opening; empty when nothing does."""
    decisions = {host: own, **{name: told.decision for name, told in ours.items()}}
    highest = max(one.epoch for one in decisions.values())
    for name in sorted(decisions):
        one = decisions[name]
        if one.epoch == highest and one.primary not in {"", host}:
            return f"{one.primary} was made the primary (epoch {one.epoch}, {one.since or 'no time'}, says {name})"
    for name, told in sorted(ours.items()):
        if told.system == system and told.role == states.PRIMARY:
            return f"{name} runs as the primary (timeline {told.timeline}, ours is {timeline})"
    for name, told in sorted(ours.items()):
        if told.system == system and told.timeline > timeline:
            return f"{name} is on timeline {told.timeline}, ours is {timeline}: another one was promoted meanwhile"
    for name, told in sorted(ours.items()):
        if highest == 0 and told.system == system and not told.standby:
            return f"{name} could be the primary as well: it is no standby, and nobody was named"
    return ""


def guard(place: Place, root: str = "", patience: float = PATIENCE) -> bool:
    """Whether the server of this host may be started now; asked again and again for `patience` seconds.

    Says so in one line on stdout, and in the file that `look` reads.
    """
    deadline = monotonic() + patience
    said: set[str] = set()
    while True:
        verdict = look_around(place, root)
        for line in verdict.ignored:
            if line not in said:
                said.add(line)
                _say(f"ignored: {line}")
        if verdict.opens or monotonic() + PAUSE > deadline:
            break
        sleep(PAUSE)
    line = f"{'opens' if verdict.opens else REFUSED}: {verdict.why}"
    _say(line)
    _keep(place, root, line)
    return verdict.opens


REFUSED = "does not open"
"""How the line of a refusal begins."""


def look_around(place: Place, root: str) -> Verdict:
    """One round: what is here, what the peers tell, and the verdict."""
    torn = f"{root}{place.torn}"
    data = f"{root}{place.data}"
    try:
        if os.path.lexists(torn):
            return Verdict(opens=False, why=_text(torn) or "the data directory was left half rewritten")
        if control.contents(data) != control.CLUSTER:
            return Verdict(opens=True, why="there is no cluster that could be opened")
        if os.path.lexists(f"{root}{place.signal}"):
            return Verdict(opens=True, why="a standby, which can't write")
        found = control.read(data, place.programs)
        own = record.read(f"{root}{place.decision}")
    except Failure as failure:
        return Verdict(opens=False, why=failure.message)
    except OSError as error:
        return Verdict(opens=False, why=f"{error.filename}: {error.strerror}")
    return judge(place, found.system, found.timeline, own, asking.ask_peers(place, asking.ANSWER))


def path(place: Place) -> str:
    """The file with the last verdict; it goes at a reboot."""
    return f"{RUNNING}/{place.label}.guard"


def _text(name: str) -> str:
    return disk.read(name).decode("utf-8", "replace").strip()


def _say(line: str) -> None:
    sys.stdout.write(f"boot guard: {line}\n")
    sys.stdout.flush()


def _keep(place: Place, root: str, line: str) -> None:
    try:
        disk.write(f"{root}{path(place)}", f"{line}\n".encode(), 0o644)
    except OSError as error:
        _say(f"can't keep that for others to read: {error.filename or path(place)}: {error.strerror}")
