"""A change of one host's network, from its beginning to its end.

The host arms the return of its old network, changes, and waits for a confirmation. hakit hangs up, comes back over a
new connection, has the host look whether all works that the inventory names, and confirms. What is not confirmed in
time the host takes back by itself, and its log tells why.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from hakit.agent import answers
from hakit.agent.errors import FrameError
from hakit.agent.network.library import sources
from hakit.agent.network.record import CONFIRMED
from hakit.agent.tasks import Task
from hakit.engine import events, places
from hakit.engine.outcome import NetworkEnd
from hakit.engine.reaching import Reaching
from hakit.engine.threads import begin, wait
from hakit.engine.told import Told
from hakit.errors import AgentError, ConnectError, HakitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.answers import AgentEvent
    from hakit.agent.resources.network import Network
    from hakit.engine.run import Run
    from hakit.engine.session import HostSession
    from hakit.ssh import Connection

T = TypeVar("T")
FIRST = 1.0
"""Seconds until the first attempt to come back: the change begins half a second after it was armed."""
POLL = 0.5
"""Seconds between two looks at the host."""
TELL = 5.0
"""Seconds before the host returns by itself in which it is told that nobody will confirm, and why."""
TURNS = 4
"""Times that the host has to answer meanwhile, which a slow one needs beside TELL: to the look that told how much time
is left, to another one, to the lock, and to the word itself."""
SHARE = 0.2
"""The most of the whole time that this may take."""
QUICK, SLOW = 6.0, 24.0
"""Seconds for the start of the agent, or for a look: doubled with each that did not answer in time. What was reached
just before the change hangs, and is waited for in vain; on an emulated machine a look takes 3 s, and more where that is
busy."""
BACK = 300.0
"""Seconds that the return may take: perhaps the host boots, and a server's firmware takes minutes."""


class Transit:
    """One change.

    `aborted` says that the operator wants everything to stop at once. `leave` is told, while the change is not settled,
    what becomes of the host when nobody goes on, and "" at last.
    """

    def __init__(
        self,
        run: Run,
        session: HostSession,
        network: Network,
        *,
        timeout: float | None = None,
        aborted: Callable[[], bool] = lambda: False,
        leave: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._run = run
        self._session = session
        self._host = session.host
        self._before = session.address
        self._network = network
        self._timeout = timeout or network.timeout
        self._aborted = aborted
        self._leave = leave
        self._id = ""
        self._began = self._opened = self._end = time.monotonic()
        self._obstacle = ""
        self._said = ""
        self._patience = QUICK
        self._took = 0.0

    def carry_out(self) -> NetworkEnd:
        """Change the network, and see how that ended. The session is open again where the host was reached.

        Raises RefusedError where the host refuses and nothing was changed, LockedError, AgentError.
        """
        self._began = time.monotonic()
        self._ends_in(self._timeout)
        try:
            self._begin()
        except HakitError:
            self._leave("")
            raise
        self._session.close()
        where = " or ".join(dict.fromkeys((self._host.login.host, self._before)))
        self._say(f"network changed; reaching {self._host.name} at {where} … ({self._words()})")
        with Reaching(self._ways()) as reaching:
            end = self._settle(reaching)
        if end.how != "open":
            self._leave("")
        return end

    def _begin(self) -> None:
        """Have the host begin; whether it did is asked later where the connection is lost over it."""
        scope = self._run.scope
        arguments = {
            "run": scope.run_id,
            "who": scope.who,
            "library": json.dumps(sources()),
            "timeout": f"{self._timeout:g}",
        }
        try:
            self._id = answers.typed(self._session.task(self._task("begin", arguments), self._relay), "id", str)
        except FrameError as error:
            raise AgentError(f"{self._host.name}: {error}") from error
        except (ConnectError, AgentError) as error:
            self._say(f"the connection was lost as the change began: {error.message}")

    def _ways(self) -> dict[str, Callable[[], Connection]]:
        """How to reach the host at each of its addresses: the inventory's, and the one that it may be leaving."""
        connect, host, before = self._run.scope.connect, self._host, self._before
        if before == host.login.host:
            return {before: lambda: connect(host)}
        return {
            host.login.host: lambda: connect(places.moving(host, before)),
            before: lambda: connect(places.at(host, before)),
        }

    def _settle(self, reaching: Reaching) -> NetworkEnd:
        self._pause(FIRST)
        while not self._aborted():
            if time.monotonic() > self._end + BACK:
                why = "; ".join(reaching.why.values())
                return self._ended("lost", f"it was not reached again: {why}" if why else "its old network is not back")
            if not self._reach(reaching):
                self._hampered("; ".join(reaching.why.values()))
                continue
            told = self._look()
            end = self._judge(told, reaching) if told is not None else None
            if end is not None:
                return end
        return self._ended("open", self._words())

    def _reach(self, reaching: Reaching) -> bool:
        """Whether the session is open, over a new connection where there was none to the inventory's address."""
        session, wanted = self._session, self._host.login.host
        if session.usable and session.address == wanted:
            return True
        found = reaching.next(0.0, (wanted,)) if session.usable else reaching.next(POLL)
        if found is None:
            self._warn()
            return session.usable
        session.drop()
        try:
            self._within(lambda: session.resume(found.connection, found.address))
        except (ConnectError, AgentError) as error:
            found.connection.close()
            reaching.why[found.address] = error.message
            return False
        self._opened = found.began
        return True

    def _hampered(self, why: str) -> None:
        """Remember what stands in the way, but not that the return takes connections down: that is no reason for it."""
        if why and (not self._obstacle or time.monotonic() < self._end):
            self._obstacle = why

    def _look(self) -> Told | None:
        """What the host tells; None where it tells nothing. Without an id it is asked for the one of this run."""
        asked = time.monotonic()
        try:
            data = self._ask("check", id=self._id) if self._id else self._ask("look")
            told = Told.of(data)
        except RefusedError as error:
            told = Told(missing=(error.message,), armed=self._id, left=max(0.1, self._end - time.monotonic()))
        except FrameError as error:
            raise AgentError(f"{self._host.name}: {error}") from error
        except (ConnectError, AgentError) as error:
            self._hampered(error.message)
            return None
        if not self._id and told.run == self._run.scope.run_id:
            self._id = told.armed
        self._took = time.monotonic() - asked
        return told

    def _judge(self, told: Told, reaching: Reaching) -> NetworkEnd | None:
        """What to do after what the host told: how the change ended, where it did."""
        if self._id and told.ended == self._id:
            return self._confirmed() if told.what == CONFIRMED else self._returned(told)
        if not self._id and time.monotonic() - self._began < SLOW:
            self._pause(POLL)  # the agent whose connection was lost may still be arming
            return None
        if told.armed != self._id or not self._id:
            return self._ended("returned", "the host knows of no change that waits", told.log)
        if not told.left:
            self._warn()
            self._session.close()
            self._pause(POLL)
            return None
        self._ends_in(told.left)
        lacking = told.missing or self._elsewhere(reaching)
        self._obstacle = "; ".join(lacking)
        soon = min(TELL + TURNS * self._took, self._timeout * SHARE)
        if lacking and told.since is not None and told.left < soon:
            self._give_up()
        elif lacking:
            self._say_once(f"waits for the new network: {self._obstacle}")
        if told.since is None or time.monotonic() - self._opened > told.since:
            self._session.close()  # what was opened before the change was done proves nothing
        elif not lacking:
            return self._confirm()
        self._pause(POLL)
        return None

    def _elsewhere(self, reaching: Reaching) -> tuple[str, ...]:
        """Why a connection is no proof, where it is not to the address that the inventory says."""
        wanted = self._host.login.host
        if self._session.address == wanted:
            return ()
        return (f"hakit does not reach it at {wanted}: {reaching.why.get(wanted, 'no answer')}",)

    def _confirm(self) -> NetworkEnd | None:
        try:
            self._within(self._session.ensure_lock)
            self._ask("confirm", id=self._id)
        except HakitError as error:
            self._say_once(f"can't confirm: {error.message}")
            self._pause(POLL)
            return None
        return self._confirmed()

    def _confirmed(self) -> NetworkEnd:
        try:
            self._session.keep_place()
        except ConnectError as error:
            self._say(error.message)
        end = self._ended("confirmed")
        self._say(f"network confirmed over a new connection to {self._session.address}, after {end.seconds:.1f} s")
        return end

    def _give_up(self) -> None:
        """Have the host return now, with the reason in its log; it does so by itself if this does not reach it."""
        self._say_once(f"given up, the old network is put back: {self._obstacle}")
        try:
            self._within(self._session.ensure_lock)
            self._ask("giveup", id=self._id, why=self._obstacle)
        except HakitError as error:
            self._say_once(f"the host was not told, and does it by itself: {error.message}")
        # Its agent has the lock, and would keep it for long if the connection broke.
        self._session.close()
        self._end = time.monotonic()

    def _returned(self, told: Told) -> NetworkEnd:
        why = told.why
        if self._obstacle and self._obstacle not in why:
            why = f"{why}; {self._obstacle}"
        try:
            self._within(self._session.ensure_lock)
        except HakitError as error:
            self._say(error.message)
        return self._ended("returned", why, told.log)

    def _warn(self) -> None:
        """Say once that the time is over."""
        if time.monotonic() >= self._end:
            self._say_once("the old network is put back; waiting for the host to tell")

    def _ended(self, how: Any, why: str = "", log: tuple[str, ...] = ()) -> NetworkEnd:
        return NetworkEnd(how, time.monotonic() - self._began, why, log)

    def _ask(self, do: str, **arguments: str) -> dict[str, Any]:
        return self._within(lambda: self._session.task(self._task(do, arguments), self._relay))

    def _task(self, do: str, arguments: dict[str, str]) -> Task:
        about = self._network if do == "begin" else self._network.replace(files=())
        return Task(kind="network", do=do, about=about, arguments=tuple(arguments.items()))

    def _within(self, call: Callable[[], T]) -> T:
        """Call, and hang up on a host that answers too slowly. Raises ConnectError then, and what the call raises."""
        future, patience = begin(call), self._patience
        end = time.monotonic() + patience
        while not wait([future], POLL)[0]:
            if self._aborted() or time.monotonic() > end:
                self._patience = min(SLOW, 2 * patience)
                self._session.drop()
                wait([future], SLOW)
                raise ConnectError(f"{self._host.name}: no answer within {patience:.0f} s")
        return future.result()

    def _ends_in(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._leave(self._words())

    def _words(self) -> str:
        at = datetime.now().astimezone() + timedelta(seconds=self._end - time.monotonic())
        return f"the old one returns by itself at {at:%H:%M:%S} unless this is confirmed"

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._aborted() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL))

    def _relay(self, event: AgentEvent) -> None:
        self._say(event.text)

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def _say(self, text: str) -> None:
        self._run.sink(events.Noted(self._host.name, text, self._network.key))
