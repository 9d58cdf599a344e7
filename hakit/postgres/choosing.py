"""Whom to make the primary, and whether that may lose commits or leave a second one. Pure; reasons are values.

What makes a failover safe (M members vote, F of them have the new decision on disk before anything is promoted):

- A server that was a primary opens again only after its boot guard heard a majority of those it does not excuse. As
  long as every such majority meets one of the F, it stays shut (hakit.agent.postgres.quorum).
- A commit was acknowledged by n of N standbys. When N − n + 1 of them answer after they receive no more, one of these
  has it, and so has the one that is most advanced (`may_lose`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.agent.postgres.decision import FAILOVER, SWITCHOVER
from hakit.agent.postgres.wal import written

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hakit.postgres.layout import Layout, Synchrony
    from hakit.postgres.member import MemberState
    from hakit.postgres.picture import Picture

MIB = 1 << 20
CATCHABLE = 64 * MIB
"""Bytes behind of a standby that is not asked to catch up before a switchover: it would take too long to wait for."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done: what, why, and what to do."""

    text: str
    why: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a standby's WAL reaches once it receives no more."""

    timeline: int
    flushed: int

    def text(self) -> str:
        """In words."""
        return f"timeline {self.timeline}, {written(self.flushed)}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is promoted; `loss` says what may be lost by it, and is empty when it is proven that nothing is."""

    target: str
    loss: str = ""
    positions: Mapping[str, Position] = field(default_factory=dict)


def majority(layout: Layout) -> int:
    """On how many voters a decision must be before anything is promoted: with fewer two could be made at once."""
    return -(-len(layout.voters) // 2)


def blind(layout: Layout, absent: Collection[str]) -> bool:
    """Whether those that don't answer could have decided something that nobody who answers knows."""
    return len(set(absent) & set(layout.voters)) >= majority(layout)


def unseen(picture: Picture) -> tuple[str, ...]:
    """The members that don't answer and might be a primary, for all that those who answer know.

    None that may be promoted is left out for what the known decisions say: with members declared dead, another one may
    have been made without those who answer now. Of the others those that were a primary as far as is known.
    """
    layout, last = picture.layout, picture.decision
    led = {last.primary or layout.maker, last.before} | _followed(picture)
    return tuple(host for host in picture.absent if host in layout.promotable or host in led)


def _followed(picture: Picture) -> set[str]:
    """Whom the standbys that answer follow, whether they run or not, and not because the inventory has them do so."""
    declared = picture.layout.upstreams
    return {one.upstream for host, one in picture.states.items() if one.signal and one.upstream != declared.get(host)}


def suspects(picture: Picture) -> tuple[str, ...]:
    """Those of them that by what is known most likely were the primary."""
    last, unknown = picture.decision, unseen(picture)
    if not last.epoch or blind(picture.layout, picture.absent):
        return unknown
    named = {last.primary}
    if last.kind == SWITCHOVER:
        named.add(last.before)  # it may have been killed before the old primary was stopped
    named |= {state.upstream for state in picture.states.values() if state.follows and state.upstream}
    return tuple(host for host in unknown if host in named)


def last_primaries(picture: Picture) -> tuple[str, ...]:
    """The members that may have acknowledged commits last, as far as those who answer can tell."""
    layout, last = picture.layout, picture.decision
    named = {last.primary, *suspects(picture), *set(unseen(picture)).intersection(layout.candidates)}
    if last.kind in (SWITCHOVER, FAILOVER):
        named.add(last.before)
    if not last.epoch:
        named |= {state.upstream for state in picture.states.values() if state.upstream} or {layout.maker}
    named |= {host for host, state in picture.states.items() if state.former or state.demoted}
    return tuple(host for host in layout.members if host in named)


def rivals_of(picture: Picture, host: str) -> tuple[str, ...]:
    """Who may have acknowledged commits since `host`, a former primary, did, and may have them alone.

    Of those that answer none that is a standby, and none whose data are of an older timeline.
    """

    def may(one: str) -> bool:
        state = picture.states.get(one)
        return state is None or ((state.former or state.demoted) and state.timeline >= picture.states[host].timeline)

    return tuple(one for one in last_primaries(picture) if one != host and may(one))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when somebody is to be promoted.

    `positions` are of those that answered after they were told to receive no more, `rules` all for whom commits may
    have waited, `primaries` all who may have acknowledged them. Who is `superseded` has the data of a primary of an
    older timeline than the target's: nothing that was acknowledged since.
    """

    members: tuple[str, ...]
    primaries: tuple[str, ...]
    rules: tuple[Synchrony, ...]
    positions: Mapping[str, Position]
    superseded: frozenset[str] = frozenset()

    @classmethod
    def of(cls, picture: Picture, positions: Mapping[str, Position], target: str) -> Evidence:
        """From what the members say."""
        reached = positions[target].timeline
        old = (host for host, state in picture.states.items() if state.former and state.timeline < reached)
        return cls(picture.layout.members, last_primaries(picture), picture.synchrony(), positions, frozenset(old))


def may_lose(evidence: Evidence, target: str) -> str:
    """What may be lost when `target` is promoted; empty when it is proven that nothing that was acknowledged is."""
    for primary in evidence.primaries:
        if primary in evidence.positions:
            if evidence.positions[primary] > evidence.positions[target]:
                return _more(evidence.positions, primary, target)
        elif primary not in evidence.superseded:
            for rule in evidence.rules:
                if found := _unproven(evidence, rule, primary, target):
                    return found
    return ""


def _unproven(evidence: Evidence, rule: Synchrony, primary: str, target: str) -> str:
    """Why a commit of `primary`, which waited as the rule says, may not be on `target`; empty when it is."""
    if not rule.count:
        return f"the last commits of {primary}: they wait for no standby, so nobody else may have them"
    candidates = rule.candidates(evidence.members, primary)
    known = set(evidence.positions) | evidence.superseded
    missing = [one for one in candidates if one not in known]
    if len(candidates) < rule.count:
        return f"commits that {primary} acknowledged: they wait for {rule.count} of {len(candidates)} standbys"
    if len(missing) >= rule.count:
        wanted = len(candidates) - rule.count + 1
        return (
            f"commits that {primary} acknowledged: they wait for {rule.count} of {len(candidates)} standbys, so "
            f"{wanted} have to tell how far they are, and {' and '.join(missing)} can't"
        )
    ahead = (one for one in evidence.positions if one in candidates)
    best = max(ahead, key=lambda one: evidence.positions[one], default=target)
    return _more(evidence.positions, best, target) if evidence.positions[best] > evidence.positions[target] else ""


def _more(positions: Mapping[str, Position], ahead: str, behind: str) -> str:
    return f"what {ahead} has and {behind} has not ({_apart(positions, ahead, behind)})"


def _apart(positions: Mapping[str, Position], ahead: str, behind: str) -> str:
    first, second = positions[ahead], positions[behind]
    if first.timeline != second.timeline:
        return f"{first.text()} against {second.text()}"
    return f"{first.flushed - second.flushed} bytes of WAL"


def choose_failover(
    picture: Picture, positions: Mapping[str, Position], to: str = "", *, accept_loss: bool = False
) -> Choice | Refusal:
    """Whom to promote, of those whose `positions` are known: the most advanced, or whom the operator names."""
    layout = picture.layout
    able = [host for host in layout.members if host in positions and host in layout.promotable]
    if to and to not in able:
        return Refusal(f"{to} can't be promoted", _unable(picture, to))
    if not able:
        return Refusal(
            f"no member of {layout.name} that answers can be promoted",
            "; ".join(filter(None, (_unable(picture, host) for host in layout.members))),
            "bring a standby up; a former primary that has the data is opened with  --to HOST",
        )
    # Of equals the first of the inventory, but a candidate before one that commits never wait for, and before all whom
    # an earlier run has chosen.
    chosen = picture.decision.primary
    target = to or max(able, key=lambda host: (positions[host], host == chosen, host in layout.candidates))
    newer = [host for host, state in picture.states.items() if _is_later(state, positions[target])]
    if newer and not accept_loss:
        state = picture.states[newer[0]]
        came = "was promoted to" if state.former or state.demoted else "is on"
        return Refusal(
            f"{newer[0]} {came} timeline {state.timeline}, and nobody that runs has it",
            "Another one promoted now would begin the same timeline a second time, and lose what was written there.",
            f"open it again:  hakit postgres failover {layout.name} --to {newer[0]}",
        )
    loss = may_lose(Evidence.of(picture, positions, target), target)
    if loss and not accept_loss:
        return Refusal(
            f"promoting {target} may lose commits that were acknowledged",
            f"What may be lost: {loss}.",
            "bring those that do not answer back, or add  --accept-loss",
        )
    return Choice(target, loss, positions)


def _is_later(state: MemberState, target: Position) -> bool:
    """Whether a member that does not run has a timeline that the target would begin a second time."""
    return not state.blank and not state.follows and state.timeline > target.timeline


def _unable(picture: Picture, host: str) -> str:
    """Why a member can't be promoted."""
    state = picture.states.get(host)
    if host not in picture.layout.members:
        return f"{host} is no member of {picture.layout.name}"
    if state is None:
        return f"{host} does not answer"
    if host not in picture.layout.promotable:
        return f"{host} is never promoted: it is delayed, or promotable: false"
    if state.former or state.demoted:
        return f"{host} has the data of a former primary"
    if not state.follows:
        return f"{host} does not run{f' ({state.why})' if state.why else ''}"
    return f"{host} could not be halted"


def choose_switchover(picture: Picture, to: str = "", unfit: Mapping[str, str] | None = None) -> str | Refusal:
    """Who takes over from a primary that serves: the named one, else the most advanced that commits wait for.

    `unfit` are members that must not, and why.
    """
    layout, lead = picture.layout, picture.primary
    if to == lead:
        return Refusal(f"{to} is the primary already", hint="name another one with  --to HOST, or nobody")
    barred = unfit or {}
    reasons = {host: barred.get(host) or _unfit(picture, host) for host in layout.members if host != lead}
    if to:
        why = reasons.get(to, f"is no member of {layout.name}")
        return Refusal(f"{to} can't take over from {lead}: it {why}") if why else to
    able = [host for host, why in reasons.items() if not why]
    if not able:
        why = "; ".join(f"{host} {why}" for host, why in reasons.items())
        return Refusal(f"nobody can take over from {lead}", why, f"see  hakit postgres status {layout.name}")

    def rank(host: str) -> tuple[bool, int]:
        replica = picture.replica(host)
        return bool(replica and replica.acknowledges), picture.states[host].lsn

    return max(able, key=rank)


def _unfit(picture: Picture, host: str) -> str:
    """Why a standby can't take over from the primary now; empty when it can."""
    state = picture.states.get(host)
    behind = picture.behind(host)
    if state is None:
        return f"does not answer: {picture.errors.get(host, '')}"
    if host not in picture.layout.promotable:
        return "is never promoted: it is delayed, or promotable: false"
    if not state.streams:
        return "does not stream"
    if state.timeline != picture.states[picture.primary].timeline:
        return f"is on timeline {state.timeline}"
    if behind is None or behind > CATCHABLE:
        return f"is {'?' if behind is None else behind // MIB} MiB behind"
    return ""
