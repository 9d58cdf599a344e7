"""A failover: the primary is gone for sure, and a standby takes its place.

In this order, each step safe to repeat: whoever could still be a primary is stopped, or without power; the standbys
receive no more; the most advanced is chosen; the decision is on disk at as many members as no boot guard can miss; then
it is promoted. Before the decision all goes back as it was; after it, the next run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.postgres import quorum
from hakit.agent.postgres.decision import FAILOVER, STARTED
from hakit.agent.postgres.wal import number
from hakit.errors import HakitError, RefusedError
from hakit.postgres import choosing
from hakit.postgres.choosing import Choice, Position
from hakit.postgres.conductor import HALTING, PROMOTING, STARTING, STOPPING, Conductor, Outcome, refuse
from hakit.postgres.layout import must_be_members
from hakit.postgres.member import CLUSTER, MemberState

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

    def run(self, to: str = "", fenced: Collection[str] = (), *, accept_loss: bool = False) -> Outcome:
        """Make a standby, or `to`, the primary. `fenced` are hosts that the operator says are without power.

        Raises RefusedError; unless it says otherwise nothing was changed.
        """
        must_be_members(self._layout, filter(None, (to, *fenced)))
        picture = self._at.whole()
        self._check_named(picture, fenced)
        self._fenced = set(fenced)
        if picture.primary:
            return self._settle(picture, to)
        state = picture.states.get(to)
        if state is not None and (state.former or state.demoted):
            return self._open(picture, to, accept_loss=accept_loss)
        picture = self._wake(picture)
        guess = {host: Position(one.timeline, one.lsn) for host, one in picture.states.items() if one.follows}
        found = choosing.choose_failover(picture, guess, to, accept_loss=accept_loss)
        if isinstance(found, choosing.Refusal):
            refuse(found)
        loss = f" This may be lost: {found.loss}." if found.loss else ""
        self._at.agree(f"Make {found.target} the primary of {self._layout.name}?{loss}")
        self._make_sure(picture)
        with self._at.undisturbed():
            stopped: list[str] = []
            try:
                choice = self._choose(picture, to, stopped, accept_loss=accept_loss)
                self._at.heed()
            except HakitError:
                self._put_back(picture, stopped)
                raise
            return self._promote(picture, choice)

    def _check_named(self, picture: Picture, fenced: Collection[str]) -> None:
        for host in fenced:
            if host in picture.states:
                raise RefusedError(
                    f"{host} answers: it is not without power; nothing was changed",
                    hint=f"leave  --fenced {host}  out: it is stopped over SSH where that is needed",
                )

    def _wake(self, picture: Picture) -> Picture:
        """Start the standbys that are stopped: each that tells how far it is counts."""
        asleep = [
            host
            for host, state in picture.states.items()
            if state.data == CLUSTER and state.signal and not state.running
        ]
        if not asleep:
            return picture
        _, failed = self._at.each(asleep, "start", timeout=STARTING)
        for host, error in failed.items():
            self._at.note(host, f"can't be started as a standby: {error.message}")
        return self._at.whole()

    def _make_sure(self, picture: Picture) -> None:
        """See that none of those who don't answer can be a primary, now or later. Raises RefusedError."""
        wanted = set(choosing.unseen(picture))
        for host in [one for one in choosing.suspects(picture) if one not in self._fenced]:
            if self._fence(host):
                self._at.note(host, "was fenced by the inventory's command")
                self._fenced.add(host)
        voters, here = set(self._layout.voters), set(picture.states)
        if not quorum.suffices(voters, here, frozenset(picture.decision.excused)):
            wanted |= set(picture.absent) & voters
        unsure = tuple(host for host in picture.absent if host in wanted - self._fenced)
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
        picture = self._at.whole()
        self._at.slots(primary, picture.absent)
        left = self._at.lead(primary, picture)
        held = [host for host, state in picture.states.items() if host != primary and state.held]
        self._at.each(held, "release")
        for host, state in picture.states.items():
            if host != primary and state.data == CLUSTER and not state.running:
                left[host] = "it has the data of a former primary" if state.former or state.demoted else "it is stopped"
        away = dict.fromkeys(picture.absent, "it does not answer")
        commands = tuple(f"hakit postgres rejoin {self._layout.name} {host}" for host in (*left, *away))
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
        if last.epoch and last.primary != primary:
            self._make_sure(picture)
            last = self._at.decide(STARTED, primary, picture)
            self._at.record(last, first=[primary])
        elif not (done or undone):
            raise RefusedError(
                f"{primary} runs as the primary and answers: there is nothing to fail over",
                hint=f"to move it:  hakit postgres switchover {self._layout.name}",
            )
        self._at.note(primary, "is the primary already; what an earlier command left undone is done")
        return self._finish(last.kind or STARTED, primary, last)

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
        others = [one for one in choosing.suspects(picture) if one != host]
        loss = f"what was written on {' or '.join(others)}, if one of them was the primary since" if others else ""
        if picture.decision.epoch == 0 and not others:
            loss = ""
        if loss and not accept_loss:
            raise RefusedError(
                f"opening {host} may lose commits that were acknowledged",
                why=f"What may be lost: {loss}.",
                hint="bring those that do not answer back, or add  --accept-loss",
            )
        words = f" This may be lost: {loss}." if loss else ""
        self._at.agree(f"Open {host} again as the primary of {self._layout.name}?{words}")
        self._make_sure(picture)
        with self._at.undisturbed():
            self._stop(host)
            decision = self._decided(STARTED, host, picture)
            self._demote(picture, host)
            if picture.states[host].signal:
                self._at.do(host, "resume")
            self._at.do(host, "start", STARTING)
            return self._finish(STARTED, host, decision, loss)
