"""How the endpoint comes to know: a thread that looks at our own server again and again, and one for each peer.

Whatever hangs, only its own thread waits for it; the answers are made from what was found last, and from how old that
is.
"""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic, sleep

from hakit.agent.errors import Failure
from hakit.agent.postgres import asking, endpoint, record, states
from hakit.agent.postgres.own import Own, held_because

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.postgres.endpoint import View
    from hakit.agent.postgres.place import Member, Place
    from hakit.agent.postgres.states import State

OWN = 0.15  # seconds between two looks at our server
PEER = 0.3  # seconds between two questions to a peer
ANSWER = 1.0  # seconds for a peer's answer; with PEER less than endpoint.CLAIM


class Watch:
    """What is known of our server and its peers, kept up to date by threads; `view()` at any time."""

    def __init__(self, place: Place, root: str, say: Callable[[str], None]) -> None:
        self._place = place
        self._held = f"{root}{place.held}"
        self._aside = f"{root}{place.aside}"
        self._decision = f"{root}{place.decision}"
        self._say = say
        self._own = Own(place, root)
        self._lock = threading.Lock()
        self._mine: State = states.State(host=place.host)
        self._answered = endpoint.NEVER
        self._peers = {one.name: endpoint.Heard() for one in place.members if one.name != place.host}
        self._end = 0
        self._word = self._streamed = monotonic()
        self._said: set[str] = set()

    def start(self) -> None:
        """Look at our server once, then go on in threads."""
        self._look()
        self._go(self._look, OWN)
        for one in self._place.members:
            if one.name in self._peers:
                self._go(lambda member=one: self._ask(member), PEER)  # type: ignore[misc]  # bound now

    def view(self) -> View:
        """What is known now."""
        held, aside = held_because(self._held), held_because(self._aside)
        with self._lock:
            return self._view(held, aside)

    def _view(self, held: str = "", aside: str = "") -> View:
        return endpoint.View(
            now=monotonic(),
            mine=self._mine,
            answered=self._answered,
            peers=dict(self._peers),
            end=self._end,
            word=self._word,
            streamed=self._streamed,
            held=held,
            aside=aside,
        )

    def _go(self, act: Callable[[], None], pause: float) -> None:
        def forever() -> None:
            try:
                while True:
                    act()
                    sleep(pause)
            except BaseException:  # noqa: BLE001 - whatever it is: what nobody keeps up to date must not be told
                sys.excepthook(*sys.exc_info())
                os._exit(1)

        threading.Thread(target=forever, daemon=True).start()

    def _look(self) -> None:
        try:
            state, answers = self._own.look()
        except Failure as failure:
            self._once(failure.message)  # no longer up to date, and so no longer a primary
            return
        with self._lock:
            if state.role != self._mine.role:
                self._say(f"{self._place.host} is {state.role} (timeline {state.timeline})")
            self._mine = state
            if answers:
                self._answered = monotonic()
            if state.streams:
                self._word = self._streamed = monotonic()
            self._learn()

    def _ask(self, member: Member) -> None:
        told: State | None = None
        try:
            told = asking.ask(member, self._place.endpoint, ANSWER, self._place.address(self._place.host))
        except asking.NoAnswer:
            told = None
        with self._lock:
            now = monotonic()
            before = self._peers[member.name]
            if told is None:
                self._peers[member.name] = before.replace(asked=now)
            else:
                self._peers[member.name] = endpoint.Heard(state=told, at=now, asked=now)
                self._word = now
            self._learn()
            mine = self._mine
        if told is not None:
            self._count_again(told, mine)

    def _learn(self) -> None:
        self._end = endpoint.end_of_wal(self._view()) or self._end

    def _count_again(self, told: State, mine: State) -> None:
        """Have a peer's voice count again that has come back, or joined at last, and does not know better than we."""
        if told.host not in mine.decision.excused:
            return
        if told.system != mine.system or not mine.system or told.decision.epoch > mine.decision.epoch:
            return
        try:
            if record.count_again(self._decision, {told.host}):
                self._say(f"{told.host} is a member with a voice again")
        except (Failure, OSError) as error:
            self._once(f"can't count the voice of {told.host} again: {error}")

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)
