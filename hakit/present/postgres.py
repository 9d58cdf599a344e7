"""How a PostgreSQL cluster looks: a row per member, then the slots, then what is not as it should be."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hakit.agent.postgres.decision import MADE, STARTED
from hakit.agent.postgres.wal import written
from hakit.engine import events
from hakit.postgres.conductor import SETTLED
from hakit.postgres.member import CLUSTER
from hakit.present.commands import pasteable
from hakit.present.plan import failure
from hakit.present.progress import Live
from hakit.present.terminal import duration, fold, paint, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.agent.postgres.decision import Decision
    from hakit.postgres.conductor import Outcome
    from hakit.postgres.member import MemberState
    from hakit.postgres.picture import Picture

LEVELS = {"alarm": "red", "bad": "red", "risk": "yellow"}
HEAD = ("host", "role", "timeline", "LSN", "behind", "sync")
QUICK = 0.5
"""Seconds within which an answer needs no progress."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(number: int) -> str:
    """Bytes as people read them: 512 B, 3 MiB, 1.5 GiB."""
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004  1024 of one are one of the next
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 10 else f"{value:.1f} {_UNITS[unit]}"  # noqa: PLR2004


def health(picture: Picture) -> str:
    """`healthy`, `at risk`, `down` or `alarm`, by the worst finding; `unknown` where no member answers."""
    if not picture.states:
        return "unknown"
    worst = next((one.level for one in picture.findings()), "")
    return {"alarm": "alarm", "bad": "down", "risk": "at risk"}.get(worst, "healthy")


def status_text(picture: Picture, now: datetime) -> str:
    """All of it for a terminal."""
    state = health(picture)
    colour = {"healthy": "green", "at risk": "yellow", "unknown": "yellow"}.get(state, "red")
    shown = paint(state.upper() if state == "alarm" else state, colour)
    lines = [f"{paint(picture.layout.name, bold=True)}  {shown}  {_summary(picture)}"]
    lines += _table([HEAD, *(_row(picture, host, now) for host in picture.layout.members)])
    lines += _decided(picture.decision)
    lines += _slots(picture)
    found = picture.findings()
    for place, one in enumerate(found):
        sign = paint("✗" if one.level != "risk" else "!", LEVELS[one.level])
        text = printable(one.text).replace("\n", "\n    ")
        lines.append(fold(f"{sign} {text}", "  "))
        if one.command and one.command not in {later.command for later in found[place + 1 : place + 2]}:
            lines.append(f"    {pasteable(one.command)}")
    return "\n".join(lines)


def _summary(picture: Picture) -> str:
    if not picture.primary:
        return "no primary" if picture.states else "nobody answers"
    streaming = sum(state.streams for state in picture.states.values())
    return f"{picture.primary} leads, {'1 standby streams' if streaming == 1 else f'{streaming} standbys stream'}"


def _row(picture: Picture, host: str, now: datetime) -> tuple[str, ...]:
    state = picture.states.get(host)
    if state is None:
        return (host, "?", "", "", "", "")
    end = state.lsn if state.running else state.checkpoint
    return (
        host,
        role(state),
        str(state.timeline or ""),
        written(end) if end else "",
        _behind(picture, host, now),
        _sync(picture, host),
    )


def role(state: MemberState) -> str:
    """What a member is, in a word or two."""
    if state.data != CLUSTER:
        return "no data" if state.blank else state.data
    if not state.running:
        return "stopped"
    return (state.role or "hangs") + (" held" if state.held else "")


def _behind(picture: Picture, host: str, now: datetime) -> str:
    behind, late = picture.behind(host), picture.late(host, now)
    if behind is None:
        return ""
    return size(behind) + (f", {duration(late)}" if behind and late is not None else "")


def _sync(picture: Picture, host: str) -> str:
    replica = picture.replica(host)
    if replica is None:
        return "delayed" if picture.states[host].delays else ""
    return replica.sync if replica.state == "streaming" else f"{replica.sync} {replica.state}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    wide = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(wide[column]) for column, cell in enumerate(row)).rstrip() for row in rows]
    return [paint(lines[0], dim=True), *map(printable, lines[1:])]


def _decided(last: Decision) -> list[str]:
    """Who decided last who leads, and when; nothing of the making."""
    if last.kind in ("", MADE):
        return []
    came = f" from {last.before}" if last.before not in ("", last.primary) else ""
    what = f"{last.primary} goes on as the primary" if last.kind == STARTED else f"{last.kind} to {last.primary}{came}"
    who = f", by {last.who}" if last.who else ""
    return [fold(printable(f"last decided: {what}, {_local(last.since)}{who}"), "  ")]


def _local(stamp: str) -> str:
    """A moment in the user's zone; as it came where it is none."""
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return stamp


def _slots(picture: Picture) -> list[str]:
    lines = []
    for host, state in picture.states.items():
        if state.slots:
            parts = [
                f"{one.name} {'in use' if one.active else 'unused'}, keeps {size(max(0, one.kept))}"
                + (f" ({one.status})" if one.status not in ("", "reserved") else "")
                for one in state.slots
            ]
            room = "" if state.free is None else f"; {size(state.free)} free"
            lines.append(fold(printable(f"slots on {host}: {'; '.join(parts)}{room}"), "  "))
    return lines


def status_json(picture: Picture, now: datetime) -> dict[str, Any]:
    """The state for programs."""
    return {
        "cluster": picture.layout.name,
        "state": health(picture),
        "primary": picture.primary or None,
        "decision": picture.decision.wire() if picture.decision.epoch else None,
        "members": {host: _member_json(picture, host, now) for host in picture.layout.members},
        "findings": [asdict(one) for one in picture.findings()],
    }


def _member_json(picture: Picture, host: str, now: datetime) -> dict[str, Any]:
    state = picture.states.get(host)
    if state is None:
        return {"answers": False, "error": picture.errors.get(host, "")}
    replica, late = picture.replica(host), picture.late(host, now)
    return {
        "answers": True,
        "role": state.role or None,
        "running": state.running,
        "data": state.data,
        "timeline": state.timeline,
        "lsn": written(state.lsn) if state.lsn else None,
        "behind_bytes": picture.behind(host),
        "behind_seconds": None if late is None else round(late, 3),
        "sync": replica.sync if replica else None,
        "streams": state.streams,
        "upstream": state.upstream or None,
        "slots": [asdict(one) for one in state.slots],
        "pending_restart": list(state.pending),
        "held": state.held or None,
        "why": state.why or None,
        "wal_free_bytes": state.free,
    }


def outcome_text(cluster: str, outcome: Outcome) -> str:
    """What a command came to, and what is left to do."""
    word = {"switchover": "switched over to", "failover": "failed over to", "started": "opened again on"}
    lines = []
    if outcome.kind == SETTLED:
        lines.append(f"{outcome.primary} leads {cluster} (timeline {outcome.timeline}); nobody had to be promoted.")
    elif outcome.kind in word:
        pause = f"; writes paused for {outcome.pause:.2f} s" if outcome.pause is not None else ""
        lines.append(f"{cluster} was {word[outcome.kind]} {outcome.primary} (timeline {outcome.timeline}){pause}.")
    else:
        notes = f": {'; '.join(outcome.notes)}" if outcome.notes else ""
        lines.append(fold(f"{outcome.before} follows {outcome.primary}{printable(notes)}.", "  "))
    if outcome.loss:
        lines.append(paint(fold(f"May be lost: {printable(outcome.loss)}.", "  "), "yellow"))
    lines += [fold(f"{host} is not in its place: {printable(why)}", "  ") for host, why in outcome.left.items()]
    lines += [pasteable(f"Go on with  {command}") for command in outcome.next]
    lines += [] if outcome.next else [pasteable(f"See  hakit postgres status {cluster}")]
    return "\n".join(lines)


def outcome_json(cluster: str, outcome: Outcome) -> dict[str, Any]:
    """The same for programs."""
    pause = None if outcome.pause is None else round(outcome.pause, 3)
    left: Mapping[str, str] = dict(outcome.left)
    return {"cluster": cluster, **asdict(outcome), "pause": pause, "left": left, "loss": outcome.loss or None}


class Moving(Live):
    """Shows who is waited for, then what is done with a cluster, as it happens.

    With `asking` nothing else is said: who does not answer is told by the status that follows.
    """

    def __init__(self, members: Iterable[str], *, quiet: bool = False, asking: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._awaited = list(members)
        self._asking = asking
        self._last = ""
        self._began = time.monotonic()

    def begin(self, moment: float) -> None:
        """Count the waiting from another moment than from now (monotonic)."""
        self._began = moment

    def lines(self) -> list[str]:
        """What is on its way; nothing during the first half second."""
        waited = time.monotonic() - self._began
        if waited < QUICK:
            return []
        awaited = list(self._awaited)
        text = f"waiting for {', '.join(awaited)}  {duration(waited)}" if awaited else self._last
        return [paint(printable(text), dim=True)] if text else []

    def sink(self, event: events.Event) -> None:
        """Take an event of a command on a cluster."""
        if isinstance(event, (events.Reached, events.Unreachable)) and event.host in self._awaited:
            self._awaited.remove(event.host)
        if not self._asking:
            self._tell(event)

    def _tell(self, event: events.Event) -> None:
        match event:
            case events.Noted(host=host, text=text):
                self._awaited.clear()
                said = text.removeprefix(f"{host} ")
                self._last = f"{host}  {said}"
                self.say(f"{paint(host, bold=True)}  {pasteable(printable(said))}")
            case events.Reached(host=host, taken_over=taken) if taken:
                self.say(f"{host}  took over the lock of a run that is dead: {printable(taken)}")
            case events.Unreachable(host=host, error=error):
                self.say(f"{host}  {failure(host, error)}")
