"""A switchover: the primary stops writing, a standby that has everything takes over, the old primary follows it.

What a killed one leaves is told by the members themselves, and each of these is gone on from:

    the decision names T, O still leads     nothing has happened: begin again
    O is stopped, T is a standby            T has all that O wrote: promote it; else O goes on as it was, unless its
                                            disk says that it is a standby: then T may have been asked to lead
    T leads                                 only the others have to follow
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hakit.agent.postgres.decision import STARTED, SWITCHOVER
from hakit.agent.postgres.wal import written
from hakit.errors import HakitError, RefusedError
from hakit.postgres import choosing
from hakit.postgres.conductor import (
    ATTACHING,
    CHECKPOINT,
    PROMOTING,
    SETTLED,
    STARTING,
    STOPPING,
    Conductor,
    Outcome,
    refuse,
)
from hakit.postgres.member import MemberState

if TYPE_CHECKING:
    from hakit.agent.postgres.decision import Decision
    from hakit.postgres.picture import Picture

CATCHING_UP = 60.0
"""Seconds that the target has to come near the primary before anybody's writes are stopped."""
NEAR = 1 << 20
"""Bytes behind with which the target is near enough: less than a tenth of a second of a fast network."""
ARRIVING = 10.0
"""Seconds for the last WAL of the stopped primary to be on the target's disk; it waited for that as it stopped."""

AT_ONCE = 2.0
"""Seconds in which a standby that followed the target before its promotion is attached to it."""


class Switchover:
    """One switchover of a cluster, begun or gone on with."""

    def __init__(self, conductor: Conductor) -> None:
        self._at = conductor
        self._layout = conductor.layout
        self._old = ""
        self._target = ""
        self._began = 0.0
        self._picture: Picture | None = None

    def run(self, to: str = "") -> Outcome:
        """Make `to`, or the best standby, the primary. Raises RefusedError where things are as before then."""
        picture = self._at.whole()
        last = picture.decision
        if picture.half_way:
            return self._go_on(picture)
        if not picture.primary:
            worst = picture.findings()[0]
            raise RefusedError(
                f"{self._layout.name} has no primary that runs: there is nothing to switch over from",
                why=worst.text,
                hint=worst.command,
            )
        unsettled = self._apart(picture) or any(state.held for state in picture.states.values())
        if last.primary == picture.primary and unsettled and to in ("", picture.primary):
            outcome = self._finish(picture, picture.primary, last.before)
            if last.kind == SWITCHOVER:
                return outcome
            if to:
                return replace(outcome, kind=SETTLED)
            # It was no switchover that was left undone: one is asked for now.
            picture = self._at.whole()
        if last.kind == SWITCHOVER and last.primary != picture.primary and not to:
            meant = choosing.choose_switchover(picture, last.primary)
            to = meant if isinstance(meant, str) else ""
        return self._fresh(picture, to)

    def _apart(self, picture: Picture) -> bool:
        """Whether the last switchover's old primary waits to be taken along."""
        before = picture.states.get(picture.decision.before)
        return picture.decision.kind == SWITCHOVER and before is not None and before.demoted

    def _fresh(self, picture: Picture, to: str) -> Outcome:
        found = choosing.choose_switchover(picture, to)
        if isinstance(found, choosing.Refusal):
            refuse(found)
        self._check_votes(picture)
        self._picture, self._old, self._target = picture, picture.primary, found
        self._at.agree(f"Switch {self._layout.name} over from {self._old} to {found}? {self._cost(picture)}")
        self._at.note(found, f"takes over from {self._old}, after a checkpoint there")
        end = self._at.state(self._old).lsn
        self._at.do(self._old, "checkpoint", CHECKPOINT)
        if not self._at.until(lambda: self._near(end), CATCHING_UP):
            raise RefusedError(
                f"{found} does not come near {self._old} within {CATCHING_UP:g} s; nothing was changed",
                why="A standby is the primary only when it has replayed all that it has; a long query there holds that "
                "up.",
                hint=f"see  hakit postgres status {self._layout.name}",
            )
        with self._at.undisturbed():
            try:
                self._prepare(picture)
                self._at.heed()
                self._stop()
                self._compare()
            except HakitError as error:
                self._go_back(error)
                raise
            return self._take_over()

    def _cost(self, picture: Picture) -> str:
        """What writers will notice."""
        others = [host for host, state in picture.states.items() if host not in (self._old, self._target)]
        if sum(picture.states[host].streams for host in others) >= picture.waits:
            return "Writes pause for a moment."
        few = "not enough other standbys are" if picture.waits > 1 else "no other standby is"
        return f"Writes pause until {self._old} has started again: {few} there for commits to wait for."

    def _check_votes(self, picture: Picture) -> None:
        there = [host for host in self._layout.voters if host in picture.states]
        if len(there) < choosing.majority(self._layout):
            raise RefusedError(
                f"only {len(there)} of {len(self._layout.voters)} members of {self._layout.name} answer",
                why="The decision has to be on as many of them as keep an old primary from opening again: "
                f"{choosing.majority(self._layout)}.",
                hint="bring the others back first",
            )

    def _record(self, decision: Decision) -> None:
        """Have the decision on disk where it must be. Raises RefusedError where it can't be."""
        kept = self._at.record(decision)
        missed = [host for host in (self._old, self._target) if host not in kept]
        voters = [host for host in self._layout.voters if host in kept]
        if missed or len(voters) < choosing.majority(self._layout):
            raise RefusedError(
                f"the decision is on {len(kept)} members only ({', '.join(sorted(kept))}): nobody was promoted",
                why=f"{' and '.join(missed)} could not keep it." if missed else None,
                hint=f"see  hakit postgres status {self._layout.name}",
            )

    def _near(self, end: int) -> bool:
        """Whether the target has all but the last of the WAL, and has replayed it, up to `end` at least."""
        answers, _ = self._at.each([self._old, self._target], "look")
        if len(answers) < 2:  # noqa: PLR2004 - both of them
            return False
        old, target = (MemberState.of(host, answers[host]) for host in (self._old, self._target))
        return target.replayed >= end and old.lsn - min(target.lsn, target.replayed) <= NEAR

    def _prepare(self, picture: Picture) -> None:
        """Everything that can be done while the old primary still takes writes."""
        self._record(self._at.decide(SWITCHOVER, self._target, picture))
        self._at.do(self._target, "hold", why=f"a switchover from {self._old} is on its way")
        if picture.states[self._target].upstream != self._old:
            direct = {self._target, *self._layout.followers(self._old, self._old, picture.absent)}
            self._at.do(self._old, "slots", hosts=",".join(sorted(direct)))
            self._at.do(self._target, "follow", ATTACHING + 30.0, upstream=self._old, wait=str(ATTACHING))
        self._at.slots(self._target, picture.absent)
        # Those that will follow the target do so already, as far as commits don't wait for them: they are attached when
        # it is promoted.
        others = {host: one for host, one in picture.states.items() if host not in (self._old, self._target)}
        below = [
            host for host in others if self._layout.upstream_of(host, self._target, picture.absent) == self._target
        ]
        streaming = [host for host in below if others[host].streams]
        spare = self._spare(streaming, picture.waits)
        self._at.each(spare, "follow", lambda _: {"upstream": self._target, "wait": "10"}, 40.0)

    def _spare(self, hosts: list[str], waits: int) -> list[str]:
        """Those of some standbys without which the old primary's commits still have as many as they wait for."""
        replicas = self._at.state(self._old).replicas
        counted = {one.name for one in replicas if one.state == "streaming" and one.sync != "async"}
        spare = [host for host in hosts if host not in counted]
        able = [host for host in hosts if host in counted]
        return spare + able[: max(0, len(counted) - waits)]

    def _stop(self) -> None:
        self._began = self._at.clock()
        self._at.do(self._old, "hold", why=f"a switchover to {self._target} is on its way")
        self._at.do(self._old, "stop", STOPPING, mode="fast")

    def _compare(self) -> None:
        """Whether the target has the very last that the old primary wrote. Raises RefusedError when it has not."""
        old = self._at.state(self._old)
        if old.running or not (old.clean or old.demoted):
            raise RefusedError(f"{self._old} was not shut down cleanly ({old.state or 'it runs'})")
        # The record of the shutdown checkpoint begins at that LSN; what was flushed has to reach beyond it.
        if not self._at.until(lambda: self._at.state(self._target).lsn > old.checkpoint, ARRIVING):
            reached = self._at.state(self._target).lsn
            raise RefusedError(
                f"{self._target} has not got all that {self._old} wrote: {written(reached)}, and {self._old} ended at "
                f"{written(old.checkpoint)}"
            )
        self._at.do(self._old, "demote")

    def _take_over(self) -> Outcome:
        """From here on there is only forward: whether a promotion happened can't be told from its failure."""
        try:
            self._at.do(self._target, "promote", PROMOTING)
        except HakitError as error:
            raise RefusedError(
                f"whether {self._target} was promoted is not known: {error.message}",
                why=f"{self._old} is stopped and stays a standby until that is known.",
                hint=f"hakit postgres switchover {self._layout.name}  finds out and goes on",
            ) from error
        return self._finish(self._at.look(), self._target, self._old)

    def _finish(self, picture: Picture, primary: str, before: str) -> Outcome:
        """Have the others follow, the old primary first, and the primary serve. Safe to repeat."""
        self._at.slots(primary, picture.absent)
        strays = self._strays(picture, primary)
        self._at.each(strays, "follow", lambda host: {"upstream": strays[host]})
        others = sum(one not in (primary, before) and state.follows for one, state in picture.states.items())
        # Clients wait: where enough other standbys are attached at once, the old primary may start later.
        enough = others >= max(1, picture.waits)
        attached = self._at.serve(primary, patience=AT_ONCE, hold=True) if enough else False
        pause = self._paused() if attached else None
        left = {} if before in ("", primary) else self._take_along(picture, before, primary)
        if not attached:
            attached, pause = self._at.serve(primary), self._paused()
        left |= self._at.lead(primary, picture)
        if before in self._at.hands.reachable and before not in left:
            why = self._attach(before, primary, picture)
            left |= {before: why} if why else {}
        held = [host for host, state in picture.states.items() if host != primary and (state.held or host == before)]
        self._at.each(held, "release")
        if not attached:
            left.setdefault(primary, "its commits wait for a synchronous standby")
        names = [host for host in left if host != primary]
        commands = tuple(f"hakit postgres rejoin {self._layout.name} {host}" for host in names)
        state = self._at.state(primary)
        epoch = picture.decision.epoch
        return Outcome(SWITCHOVER, primary, before, state.timeline, epoch, pause, left=left, next=commands)

    def _strays(self, picture: Picture, primary: str) -> dict[str, str]:
        """The standbys that still follow another one than they shall, and whom they shall."""
        running = [host for host, state in picture.states.items() if host != primary and state.follows]
        wanted = {host: self._layout.upstream_of(host, primary, picture.absent) for host in running}
        return {host: upstream for host, upstream in wanted.items() if picture.states[host].upstream != upstream}

    def _paused(self) -> float | None:
        return self._at.clock() - self._began if self._began else None

    def _take_along(self, picture: Picture, host: str, primary: str) -> dict[str, str]:
        """Start the old primary as a standby of the new one."""
        state = picture.states.get(host)
        if state is None or state.running:
            return {}
        if not state.signal:
            return {host: "it has the data of a former primary"}
        upstream = self._layout.upstream_of(host, primary, picture.absent)
        try:
            self._at.do(host, "follow", upstream=upstream)
            self._at.do(host, "start", STARTING)
        except HakitError as error:
            return {host: error.message}
        return {}

    def _attach(self, host: str, primary: str, picture: Picture) -> str:
        """Wait until the old primary streams; why it does not."""
        upstream = self._layout.upstream_of(host, primary, picture.absent)
        try:
            self._at.do(host, "follow", ATTACHING + 30.0, upstream=upstream, wait=str(ATTACHING))
            self._at.do(host, "slots", hosts=",".join(self._layout.followers(host, primary, picture.absent)))
        except HakitError as error:
            return error.message
        return ""

    def _go_on(self, picture: Picture) -> Outcome:
        """Go on with a switchover that was killed while nobody was the primary."""
        last = picture.decision
        self._picture, self._old, self._target = picture, last.before, last.primary
        for host in (self._target, self._old):
            if host not in picture.states:
                raise RefusedError(
                    f"a switchover from {self._old} to {self._target} stopped half-way, and {host} does not answer",
                    why=picture.errors.get(host),
                    hint=f"bring {host} back, then  hakit postgres switchover {self._layout.name}  goes on; or  "
                    f"hakit postgres failover {self._layout.name}",
                )
        old, target = picture.states[self._old], picture.states[self._target]
        self._at.agree(f"Go on with the switchover from {self._old} to {self._target} that stopped half-way?")
        self._at.note(self._target, f"goes on with the switchover from {self._old} that stopped half-way")
        with self._at.undisturbed():
            return self._go_on_from(picture, old, target)

    def _go_on_from(self, picture: Picture, old: MemberState, target: MemberState) -> Outcome:
        last = picture.decision
        if target.signal and not target.running:
            self._at.do(self._target, "start", STARTING)
        if old.follows:
            return self._go_on_with_two_standbys(picture)
        if not old.signal and not (old.clean or old.demoted):
            error = RefusedError(f"{self._old} was not shut down cleanly ({old.state})")
            self._go_back(error)
            raise error
        try:
            self._record(last)
            self._at.do(self._old, "stop", STOPPING, mode="fast")
            self._at.slots(self._target, picture.absent)
            self._compare()
        except HakitError as error:
            if old.signal:
                # Then its promotion may have been asked for, and still come.
                name = self._layout.name
                error.hint = f"hakit postgres switchover {name}  goes on; or  hakit postgres failover {name}"
            else:
                self._go_back(error)
            raise
        return self._take_over()

    def _go_on_with_two_standbys(self, picture: Picture) -> Outcome:
        """The old primary was started meanwhile, as the standby that its disk says it is."""
        end = picture.states[self._old].lsn
        if not self._at.until(lambda: self._at.state(self._target).lsn >= end, ARRIVING):
            raise RefusedError(
                f"{self._target} has less than {self._old}, which is a standby by now: nobody is the primary",
                hint=f"hakit postgres failover {self._layout.name}  makes the most advanced one the primary",
            )
        self._record(picture.decision)
        self._at.slots(self._target, picture.absent)
        return self._take_over()

    def _go_back(self, error: HakitError) -> None:
        """Nothing was promoted: the old primary goes on. What can't be put back is added to the error."""
        old, target, name = self._old, self._target, self._layout.name
        error.hint = error.hint or f"{old} is the primary as before; see  hakit postgres status {name}"
        try:
            picture = self._at.look()
            self._at.record(self._at.decide(STARTED, old, picture), first=[old])
            state = self._at.state(old)
            if not state.leads:
                if state.signal:
                    self._at.do(old, "resume")
                self._at.do(old, "start", STARTING)
            self._at.slots(old, picture.absent)
            left = self._at.lead(old, self._at.look())
            self._at.each([old, target], "release")
        except HakitError as failed:
            now = self._at.look()
            takes = now.primary == old and not now.states[old].held
            error.hint = (
                f"going back failed, too: {failed.message}; {old if takes else 'nobody'} takes writes now. "
                f"hakit postgres switchover {name}  goes on, or  hakit postgres failover {name}"
            )
            return
        for host, why in left.items():
            self._at.note(host, f"does not follow {old}: {why}")
