"""A failover: the primary is gone for sure, and a standby takes its place.

In this order, each step safe to repeat: whoever could still be a primary is stopped, or without power; the standbys
receive no more; the most advanced is chosen; the decision is on disk at as many members as no boot guard can miss; then
it is promoted. Before the decision all goes back as it was; after it, the next run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.postgres import quorum
from hakit.agent.postgres.decision import FAILOVER, STARTED, SWITCHOVER
from hakit.agent.postgres.wal import number
from hakit.errors import HakitError, RefusedError
from hakit.postgres import choosing
from hakit.postgres.choosing import Choice, Position
from hakit.postgres.conductor import (
    HALTING,
    PROMOTING,
    SETTLED,
    STARTING,
    STOPPING,
    Conductor,
    Outcome,
    refuse,
    refuse_torn,
)
from hakit.postgres.layout import must_be_members
from hakit.postgres.member import CLUSTER, MemberState
from hakit.postgres.picture import STRANGE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hakit.agent.postgres.decision import Decision
    from hakit.postgres.picture import Picture


class Failover:
    """One failover of a cluster. `fence` runs the inventory's command for a host and says whether there is one.

    `confirm` asks the operator whether each of these hosts is without power.
    """

    def __init__(
        self,
        conductor: Conductor,
        fence: Callable[[str], bool],
        confirm: Callable[[tuple[str, ...]], bool] = lambda _: False,
    ) -> None:
        self._at = conductor
        self._layout = conductor.layout
        self._fence = fence
        self._confirm = confirm
        self._fenced: set[str] = set()
        self._asked = ""
        self._to, self._accept_loss = "", False
        self._others: tuple[str, ...] = ()
        """Members with the data of another cluster than `to`."""

    def run(self, to: str = "", fenced: Collection[str] = (), *, accept_loss: bool = False) -> Outcome:
        """Make a standby, or `to`, the primary. `fenced` are hosts that the operator says are without power.

        Raises RefusedError; unless it says otherwise nothing was changed.
        """
        must_be_members(self._layout, filter(None, (to, *fenced)))
        self._to, self._accept_loss = to, accept_loss
        picture = self._see()
        self._check_named(picture, fenced)
        self._fenced = set(fenced)
        if picture.primary:
            return self._settle(picture, to)
        last = picture.decision.primary
        if last and last not in self._layout.members:
            raise RefusedError(
                f"{last} was made the primary, and the inventory has it no more: nobody can see to it that it is off",
                hint=f"put it back, then  hakit postgres failover {self._layout.name} --fenced {last}",
            )
        self._asked = asked_before(picture)
        state = picture.states.get(to)
        if state is not None and (state.former or state.demoted):
            return self._open(picture, to, accept_loss=accept_loss)
        picture = self._wake(picture, to)
        found = self._foresee(picture, to, accept_loss=accept_loss)
        if isinstance(found, choosing.Refusal):
            refuse(found)
        loss = f" This may be lost: {found.loss}." if found.loss else ""
        self._at.agree(f"Make {found.target} the primary of {self._layout.name}?{_stops(picture)}{loss}")
        self._make_sure(picture)
        with self._at.undisturbed():
            stopped: list[str] = []
            try:
                self._look_again(picture)
                choice = self._choose(picture, to, stopped, accept_loss=accept_loss)
                self._calm(choice.target, stopped)
                self._look_again(picture, halted=True)
                self._at.heed()
            except HakitError:
                self._put_back(picture, stopped)
                raise
            return self._promote(picture, choice)

    def _see(self, done: str = "nothing was changed") -> Picture:
        """The cluster now, without members of another one than `to` is of. Raises RefusedError in a split brain.

        Which of them is ours is not known for sure: `to` is believed with most others and the last primary, or where
        the operator accepts a loss.
        """
        picture, to = self._at.look(), self._to
        others = picture.apart_from(to)
        kin = [
            one for one in picture.states.values() if to in picture.states and one.system == picture.states[to].system
        ]
        sure = len(kin) > len(others) and picture.decision.primary not in others
        if others and set(picture.leaders) <= {to} and (sure or self._accept_loss):
            self._others = others
            picture = picture.without(others)
        if not (picture.rivals and to and to == picture.primary):
            refuse_torn(picture, done)
        return picture

    def _check_named(self, picture: Picture, fenced: Collection[str]) -> None:
        for host in fenced:
            if host in picture.states:
                raise RefusedError(
                    f"{host} answers: it is not without power; nothing was changed",
                    hint=f"leave  --fenced {host}  out: it is stopped over SSH where that is needed",
                )

    def _wake(self, picture: Picture, to: str) -> Picture:
        """Start the standbys that are stopped: each that tells how far it is counts.

        A former primary that an earlier failover made a standby only where the others do not suffice: that one chose
        without it.
        """
        asleep = [
            host
            for host, state in picture.states.items()
            if state.data == CLUSTER and state.signal and not state.running
        ]
        former = [host for host in asleep if picture.states[host].demoted]
        picture = self._start([host for host in asleep if host not in former], picture)
        if former and isinstance(self._foresee(picture, to), choosing.Refusal):
            picture = self._start(former, picture)
        return picture

    def _start(self, hosts: Collection[str], picture: Picture) -> Picture:
        if not hosts:
            return picture
        _, failed = self._at.each(hosts, "start", timeout=STARTING)
        for host, error in failed.items():
            self._at.note(host, f"can't be started as a standby: {error.message}")
        return self._see()

    @staticmethod
    def _foresee(picture: Picture, to: str, *, accept_loss: bool = False) -> Choice | choosing.Refusal:
        """Who would be promoted by what is known before anybody is halted."""
        guess = {host: Position(one.timeline, one.lsn) for host, one in picture.states.items() if one.follows}
        return choosing.choose_failover(picture, guess, to, accept_loss=accept_loss)

    def _make_sure(self, picture: Picture) -> None:
        """See that none of those who don't answer can be a primary, now or later. Raises RefusedError."""
        wanted = set(choosing.unseen(picture))
        for host in [one for one in choosing.suspects(picture) if one not in {*self._fenced, *self._others}]:
            if self._fence(host):
                self._at.note(host, "was fenced by the inventory's command")
                self._fenced.add(host)
        # Those of another cluster are told the decision as well; who asks them hears nothing, or that.
        voters, here = set(self._layout.voters), {*picture.states, *self._others}
        if not quorum.suffices(voters, here, frozenset(picture.decision.excused)):
            wanted |= set(picture.absent) & voters
        unsure = tuple(host for host in picture.absent if host in wanted - self._fenced - set(self._others))
        if not unsure:
            return
        if self._confirm(unsure):
            self._fenced |= set(unsure)
            return
        names = " and ".join(unsure)
        raise RefusedError(
            f"{names} {'does' if len(unsure) == 1 else 'do'} not answer, and may still take writes or take them later",
            why="; ".join(f"{host}: {picture.errors.get(host, 'no session')}" for host in unsure),
            hint=f"cut {'its' if len(unsure) == 1 else 'their'} power, then add  "
            + " ".join(f"--fenced {host}" for host in unsure),
        )

    def _look_again(self, before: Picture, *, halted: bool = False) -> None:
        """See that nobody leads by now: questions, fencing and halting take their time. Raises RefusedError.

        Nor may anybody answer who did not `before`, whether it is said to be without power or not: nothing was asked of
        it. With `halted` no former primary may run either: each was stopped.
        """
        now, name = self._see(), self._layout.name
        for host, state in now.states.items():
            if host in self._fenced or host not in before.states:
                vouched = f": it is not without power, so leave  --fenced {host}  out" if host in self._fenced else ""
                raise RefusedError(
                    f"{host} answers by now: nobody was promoted without it",
                    hint=f"hakit postgres failover {name}  again takes it into account{vouched}",
                )
            if state.leads or (halted and state.former and state.running):
                raise RefusedError(
                    f"{host} runs as a primary by now: nobody else is promoted",
                    hint=f"hakit postgres failover {name}  goes on from there",
                )

    def _calm(self, target: str, stopped: list[str]) -> None:
        """Have nobody become a primary whose promotion an earlier run may have asked for: a restart forgets that.

        Its server removes what asks for a promotion as it starts (PostgreSQL: RemovePromoteSignalFiles). Raises
        RefusedError where it was promoted after all, ConnectError, AgentError.
        """
        host = self._asked
        if host in ("", target):
            return
        self._at.note(host, "is restarted: an earlier command may have asked it to become the primary")
        stopped.append(host)
        self._at.do(host, "stop", STOPPING, mode="fast")
        if not self._at.state(host).signal:
            raise RefusedError(
                f"{host} was promoted meanwhile, as an earlier command had asked: {target} is not made the primary",
                hint=f"to open it:  hakit postgres failover {self._layout.name} --to {host}",
            )
        self._at.do(host, "start", STARTING)

    def _choose(self, picture: Picture, to: str, stopped: list[str], *, accept_loss: bool) -> Choice:
        """Stop whoever was a primary, halt the standbys, and choose. Raises RefusedError."""
        for host, state in picture.states.items():
            if state.former:
                stopped += [host] if state.running else []
                self._stop(host)
        running = [host for host, state in picture.states.items() if state.follows]
        answers, failed = self._at.each(running, "halt", timeout=HALTING)
        for host, error in failed.items():
            self._at.note(host, f"could not be halted: {error.message}")
        positions = {host: Position(int(one["timeline"]), number(one["lsn"])) for host, one in answers.items()}
        found = choosing.choose_failover(picture, positions, to, accept_loss=accept_loss)
        if isinstance(found, choosing.Refusal):
            refuse(found)
        return found

    def _stop(self, host: str) -> None:
        try:
            self._at.do(host, "stop", STOPPING, mode="fast")
        except RefusedError:
            self._at.do(host, "stop", STOPPING, mode="immediate")

    def _put_back(self, picture: Picture, stopped: list[str]) -> None:
        """Nothing was decided: whom we stopped runs again, and the standbys follow whom they followed."""
        self._at.each(stopped, "start", timeout=STARTING)
        followed = {host: one.upstream for host, one in picture.states.items() if one.follows and one.upstream}
        _, failed = self._at.each(followed, "follow", lambda host: {"upstream": followed[host]})
        for host, error in failed.items():
            self._at.note(host, f"does not follow {followed[host]} again: {error.message}")

    def _decided(self, kind: str, target: str, picture: Picture) -> Decision:
        """Have the decision on disk wherever it must be. Raises RefusedError when it can't be."""
        voters = self._layout.voters
        # Alone among those that it excuses, a server could open after a restart; without it, never.
        here = len([host for host in voters if host in picture.states])
        excused = self._fenced if here < len(voters) // 2 + 1 else set()
        decision = self._at.decide(kind, target, picture, excused=excused)
        kept = self._at.record(decision, first=[target])
        missed = set(voters) - kept - self._fenced
        if missed and not quorum.suffices(set(voters), kept, frozenset(picture.decision.excused)):
            raise RefusedError(
                f"the decision is on {len(kept)} members only ({', '.join(sorted(kept))}): nobody was promoted",
                why=f"{' and '.join(sorted(missed))} could open as a primary without meeting one of them.",
                hint=f"hakit postgres failover {self._layout.name}  goes on",
            )
        return decision

    def _promote(self, picture: Picture, choice: Choice) -> Outcome:
        target = choice.target
        if choice.loss:
            self._at.note(target, f"is promoted although commits may be lost: {choice.loss}")
        decision = self._decided(FAILOVER, target, picture)
        self._demote(picture, target)
        self._at.slots(target, picture.absent)
        others = [host for host in choice.positions if host != target]
        upstreams = {host: self._layout.upstream_of(host, target, picture.absent) for host in others}
        self._at.each(others, "follow", lambda host: {"upstream": upstreams[host]})
        try:
            self._at.do(target, "promote", PROMOTING)
        except HakitError as error:
            raise RefusedError(
                f"whether {target} was promoted is not known: {error.message}",
                hint=f"hakit postgres failover {self._layout.name}  finds out and goes on",
            ) from error
        return self._finish(FAILOVER, target, decision, choice.loss)

    def _demote(self, picture: Picture, target: str) -> None:
        """Former primaries that answer: they know the decision, and now their disks say that they are standbys."""
        for host, state in picture.states.items():
            if host != target and state.former:
                self._stop(host)
                self._at.do(host, "demote")

    def _finish(self, kind: str, primary: str, decision: Decision, loss: str = "") -> Outcome:
        """Have the primary serve and the others follow. Safe to repeat."""
        self._at.do(primary, "release")
        picture = self._see(f"{primary} was made the primary")
        self._at.slots(primary, picture.absent)
        left = self._at.lead(primary, picture)
        held = [host for host, state in picture.states.items() if host != primary and state.held]
        self._at.each(held, "release")
        for host, state in picture.states.items():
            if host != primary and state.data == CLUSTER and not state.running:
                left[host] = "it has the data of a former primary" if state.former or state.demoted else "it is stopped"
        away = {host: STRANGE if host in self._others else "it does not answer" for host in picture.absent}
        verbs = {host: "reinit" if host in self._others else "rejoin" for host in (*left, *away)}
        commands = tuple(f"hakit postgres {verb} {self._layout.name} {host}" for host, verb in verbs.items())
        state = self._at.state(primary)
        return Outcome(
            kind, primary, decision.before, state.timeline, decision.epoch, None, loss, {**left, **away}, commands
        )

    def _settle(self, picture: Picture, to: str) -> Outcome:
        """There is a primary: only what an earlier command left undone is done."""
        primary, last = picture.primary, picture.decision
        if to not in ("", primary):
            raise RefusedError(
                f"{primary} runs as the primary and answers: there is nothing to fail over",
                hint=f"hakit postgres switchover {self._layout.name} --to {to}",
            )
        done = last.kind == FAILOVER and last.primary == primary and last.before in self._fenced
        undone = any(one.held or self._waits(one) for one in picture.states.values())
        if last.epoch and (last.primary != primary or picture.rivals):
            if picture.rivals:
                others = " and ".join(host for host in picture.rivals if host != primary)
                self._at.agree(f"Give up what {others} may have and {primary} has not?")
            self._make_sure(picture)
            last = self._at.decide(STARTED, primary, picture)
            self._at.record(last, first=[primary])
        elif not (done or undone):
            raise RefusedError(
                f"{primary} runs as the primary and answers: there is nothing to fail over",
                hint=f"to move it:  hakit postgres switchover {self._layout.name}",
            )
        self._at.note(primary, "is the primary already; what an earlier command left undone is done")
        return self._finish(FAILOVER if last.kind == FAILOVER else SETTLED, primary, last)

    def _waits(self, state: MemberState) -> bool:
        return state.follows and not state.in_place

    def _open(self, picture: Picture, host: str, *, accept_loss: bool) -> Outcome:
        """Open the stopped former primary itself again."""
        state = picture.states[host]
        newer = [one for one, other in picture.states.items() if other.timeline > state.timeline]
        if newer:
            raise RefusedError(
                f"{host} is on timeline {state.timeline}, and {' and '.join(newer)} on a newer one: it was superseded",
                why="\n  ".join(picture.histories()),
                hint=f"hakit postgres failover {self._layout.name}  without  --to, then  "
                f"hakit postgres rejoin {self._layout.name} {host}",
            )
        others = choosing.rivals_of(picture, host)
        loss = f"what was written on {' or '.join(others)}, if one of them was the primary since" if others else ""
        if loss and not accept_loss:
            raise RefusedError(
                f"opening {host} may lose commits that were acknowledged",
                why=f"What may be lost: {loss}.",
                hint="bring those that do not answer back, or add  --accept-loss",
            )
        words = f" This may be lost: {loss}." if loss else ""
        self._at.agree(f"Open {host} again as the primary of {self._layout.name}?{_stops(picture)}{words}")
        self._make_sure(picture)
        with self._at.undisturbed():
            self._look_again(picture)
            self._calm(host, [])
            self._stop(host)
            self._look_again(picture)
            decision = self._decided(STARTED, host, picture)
            self._demote(picture, host)
            if picture.states[host].signal:
                self._at.do(host, "resume")
            self._at.do(host, "start", STARTING)
            return self._finish(STARTED, host, decision, loss)


def _stops(picture: Picture) -> str:
    """Which servers run and are stopped for it, as a sentence; empty when none is.

    One that answers no SQL may still take writes, only too slowly.
    """
    hosts = [host for host, state in picture.states.items() if state.former and state.running]
    if not hosts:
        return ""
    runs, they = ("runs and does", "it is") if len(hosts) == 1 else ("run and do", "they are")
    return f" The server of {' and '.join(hosts)} {runs} not answer: {they} stopped first."


def asked_before(picture: Picture) -> str:
    """The standby that runs and that the last decision names: it may have been told to become the primary.

    It will be one when it has replayed what it has, however long ago it was no longer waited for. Also where it does
    not answer SQL now.
    """
    last = picture.decision
    state = picture.states.get(last.primary)
    named = last.kind in (SWITCHOVER, FAILOVER) and state is not None and state.running
    return last.primary if named else ""
