"""The members of a cluster as a command works with them: what it asks them, in which order, and what it notes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from hakit.agent.postgres.decision import Decision
from hakit.engine.interrupts import heard
from hakit.errors import HakitError, RefusedError, StoppedError
from hakit.postgres import choosing
from hakit.postgres.member import MemberState
from hakit.postgres.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from hakit.postgres.choosing import Refusal
    from hakit.postgres.layout import Layout

POLL = 0.05
"""Seconds between two looks at what a command waits for."""
ATTACHING = 30.0
"""Seconds that a standby has to attach to a new primary: it tries every 0.2 s (wal_retrieve_retry_interval)."""
STOPPING = 120.0
"""Seconds for a server to stop: it writes its shutdown checkpoint, and waits until its standbys have all WAL."""
PROMOTING = 60.0
STARTING = 300.0
"""Seconds for a server to start: after a crash it has to replay its WAL first."""
HALTING = 30.0
CHECKPOINT = 900.0
FEW, MANY = 10, 100
"""Epochs left out where members don't answer that may know more, the many where these could have decided alone."""
MADE_EPOCH = 1
"""The epoch of the decision that is written where a cluster is made."""


SETTLED = "settled"
"""The outcome of a command that only did what an earlier one had left undone."""


class Hands(Protocol):
    """The open sessions with the members, each under its host's lock where something is to be changed."""

    @property
    def reachable(self) -> tuple[str, ...]:
        """The members with whom a session is open and was not lost."""

    @property
    def errors(self) -> Mapping[str, HakitError]:
        """Why there is no session with the others."""

    def do(self, host: str, verb: str, arguments: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """Have a member carry a verb out. Raises RefusedError where it does not succeed, AgentError, ConnectError."""

    def each(
        self, hosts: Iterable[str], verb: str, arguments: Callable[[str], Mapping[str, str]], timeout: float
    ) -> tuple[dict[str, dict[str, Any]], dict[str, HakitError]]:
        """The same on several members at once: the answers, and what went wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to.

    `pause` is in seconds: from when the old primary got no more writes until the new one got them. `left` are members
    that are not in their place, and why; `next` are commands that put them there.
    """

    kind: str
    primary: str
    before: str = ""
    timeline: int = 0
    epoch: int = 0
    pause: float | None = None
    loss: str = ""
    left: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Conductor:
    """One command's work with the members of a cluster. `note` is told, by host, what happens.

    `agree` is asked before anything is changed, with what is going to happen; it raises whatever ends the command.
    """

    def __init__(
        self,
        layout: Layout,
        hands: Hands,
        note: Callable[[str, str], None] = lambda _host, _text: None,
        *,
        run: str = "",
        who: str = "",
        agree: Callable[[str], None] = lambda _question: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.layout = layout
        self.hands = hands
        self.note = note
        self.agree = agree
        self.clock = clock
        self._interrupted = self._warned = False
        self._sleep = sleep
        self._run = run
        self._who = who

    def do(self, host: str, verb: str, timeout: float = 60.0, **arguments: str) -> dict[str, Any]:
        """Have a member carry a verb out. Raises RefusedError, AgentError, ConnectError."""
        if self._interrupted and not self._warned:
            self._warned = True
            self.note(host, "interrupted: ends as soon as the cluster can be left so; Ctrl-C again ends at once")
        return self.hands.do(host, verb, arguments, timeout)

    def each(
        self,
        hosts: Iterable[str],
        verb: str,
        arguments: Callable[[str], Mapping[str, str]] = lambda _: {},
        timeout: float = 60.0,
    ) -> tuple[dict[str, dict[str, Any]], dict[str, HakitError]]:
        """The same on those of several members that can be reached."""
        return self.hands.each([host for host in hosts if host in self.hands.reachable], verb, arguments, timeout)

    def look(self) -> Picture:
        """The cluster now."""
        answers, failed = self.each(self.layout.members, "look")
        errors = {host: _apart(host, error) for host, error in {**self.hands.errors, **failed}.items()}
        states = {host: MemberState.of(host, answers[host]) for host in self.layout.members if host in answers}
        return Picture(self.layout, states, errors)

    def state(self, host: str) -> MemberState:
        """One member now. Raises RefusedError, AgentError, ConnectError."""
        return MemberState.of(host, self.do(host, "look"))

    def whole(self) -> Picture:
        """The cluster now. Raises RefusedError in a split brain, with both histories."""
        picture = self.look()
        refuse_torn(picture)
        return picture

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let a first interrupt wait for `heed`, or for the end of this; a second one ends the command where it is."""

        def arrive() -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True

        with heard(arrive):
            yield

    def heed(self) -> None:
        """Where all that was begun can be undone. Raises StoppedError when somebody interrupted."""
        if self._interrupted:
            raise StoppedError(f"interrupted; {self.layout.name} is as it was")

    def until(self, condition: Callable[[], bool], patience: float) -> bool:
        """Poll until something is so; whether it came to be within `patience` seconds."""
        deadline = self.clock() + patience
        while not condition():
            if self.clock() >= deadline:
                return False
            self._sleep(POLL)
        return True

    def decide(self, kind: str, primary: str, picture: Picture, *, excused: Collection[str] = ()) -> Decision:
        """A decision newer than every known one; nobody knows it yet."""
        # Standbys that never saw another decision know none; the one of the making has epoch 1, on its primary alone.
        known = max(MADE_EPOCH, picture.decision.epoch)
        # Who is away may have one that a killed command told nobody else.
        unseen = 0 if not picture.absent else MANY if choosing.blind(self.layout, picture.absent) else FEW
        before = picture.primary or picture.decision.primary or self.layout.maker
        return Decision(
            epoch=known + 1 + unseen,
            primary=primary,
            before=before if before != primary else picture.decision.before,
            kind=kind,
            since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            run=self._run,
            who=self._who,
            excused=tuple(host for host in self.layout.members if host in excused),
        )

    def record(self, decision: Decision, first: Iterable[str] = ()) -> frozenset[str]:
        """Have all members that answer keep a decision, some of them before the others; who keeps it.

        Raises RefusedError when one of them knows a newer one, or another one of the same epoch; RefusedError,
        AgentError, ConnectError when one of the `first` can't keep it. Others that can't are noted: whether those who
        keep it suffice is for who asks to say.
        """
        text = decision.text()
        for host in first:
            self.do(host, "decide", record=text)
        kept, failed = self.each(self.layout.members, "decide", lambda _: {"record": text})
        for host, error in failed.items():
            self.note(host, f"did not take the decision (epoch {decision.epoch}): {error.message}")
            if self._knows_another(host, decision):
                raise error
        return frozenset(kept)

    def _knows_another(self, host: str, decision: Decision) -> bool:
        """Whether a member has decided otherwise meanwhile; not, where it does not tell."""
        try:
            known = self.state(host).decision if host in self.hands.reachable else decision
        except HakitError:
            return False
        return known.epoch >= decision.epoch and not decision.repeats(known)

    def slots(self, primary: str, absent: Collection[str] = ()) -> None:
        """Have the primary keep WAL for the members that follow it. Raises RefusedError, AgentError, ConnectError."""
        self.do(primary, "slots", hosts=",".join(self.layout.followers(primary, primary, absent)))

    def lead(self, primary: str, picture: Picture, patience: float = ATTACHING) -> dict[str, str]:
        """Have the members that are standbys follow the primary, directly or as declared; who does not, and why."""
        absent = picture.absent
        running = [host for host, state in picture.states.items() if host != primary and state.follows]
        below = {host: ",".join(self.layout.followers(host, primary, absent)) for host in running}
        self.each([host for host in running if below[host]], "slots", lambda host: {"hosts": below[host]})
        _, failed = self.each(
            running,
            "follow",
            lambda host: {"upstream": self.layout.upstream_of(host, primary, absent), "wait": str(patience)},
            patience + 30.0,
        )
        # What is left of an earlier role would hold back WAL for members that follow another one now.
        self.each([host for host in running if not below[host]], "slots", lambda _: {"hosts": ""})
        return {host: error.message for host, error in failed.items()}

    def serve(self, primary: str, *, patience: float = ATTACHING, hold: bool = False) -> bool:
        """Let the primary serve once its commits can be acknowledged; whether they can be.

        With `hold` it is not let serve while they can't.
        """
        attached = self.until(lambda: self._attached(primary), patience)
        if hold and not attached:
            return False
        self.do(primary, "release")
        if not attached:
            self.note(primary, f"serves, but its commits wait: no synchronous standby came within {patience:g} s")
        return attached

    def _attached(self, primary: str) -> bool:
        state = self.state(primary)
        return state.leads and Picture(self.layout, {primary: state}).attached()


def _apart(host: str, error: HakitError) -> str:
    """An error's message without the host, for texts that name it already."""
    return error.message.removeprefix(f"{host}: ")


def refuse(found: Refusal) -> NoReturn:
    """Raise what was found as an error."""
    raise RefusedError(found.text, why=found.why or None, hint=found.hint or None)


def refuse_torn(picture: Picture, done: str = "nothing was changed") -> None:
    """Raises RefusedError in a split brain, with what was `done` and what each member has."""
    if picture.torn:
        anew = ",  ".join(f"hakit postgres reinit {picture.layout.name} {host}" for host in picture.astray)
        if anew:
            anew = f"if the data of {picture.primary} are the right ones:  {anew}\n  otherwise "
        elif picture.rivals and picture.primary:
            told = f"hakit postgres failover {picture.layout.name} --to {picture.primary}"
            anew = f"if the data of {picture.primary} are the right ones:  {told}\n  otherwise "
        elif not picture.leaders and not picture.rivals:
            named = f"hakit postgres failover {picture.layout.name} --to HOST"
            anew = f"name one that has the right data:  {named}  (and  --accept-loss  where most have others)\n  or "
        raise RefusedError(
            f"split brain: {picture.torn}; {done}",
            why="\n  ".join(picture.histories()),
            hint=f"{anew}decide whose data are right, stop the server of the other one on its host "
            f"(systemctl stop postgresql@…), then  hakit postgres status {picture.layout.name}",
        )
