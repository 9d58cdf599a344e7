"""The controller's end of a session with one agent: typed requests and answers over any channel."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from hakit.agent import answers, frames, starting
from hakit.agent.errors import Failure, FrameError
from hakit.agent.starting import AgentGone
from hakit.agent.wire import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hakit.agent.actions import Action, Mark
    from hakit.agent.answers import ActResult, AgentEvent, BatchResult, Error, Hello, Item, ProbeResult, Upkeep
    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.files import Validator
    from hakit.agent.starting import Channel
    from hakit.agent.tasks import Task

NOTES = 1 << 20  # characters of notes that one request may bring
HANG = 30.0  # seconds without a byte while the agent works: it beats every 5 s, and a busy host may miss some
ANSWER = 300.0
"""Seconds between two words about a request that changes nothing, beyond the time that its steps may take by
themselves. A hang is noticed by the missing beats; this only ends an agent that lives and never comes to an end."""
SILENCE = 2400.0
"""The same for what changes a host. It has to outlast every step that has no limit here: a transaction of dpkg has
15 min on the host, a unit what its TimeoutStartSec says."""


@dataclass(slots=True)
class Client:
    """A session with one agent. Its methods raise AgentGone and FrameError, and what the channel raises."""

    _channel: Channel
    _decoder: frames.Decoder = field(default_factory=lambda: frames.Decoder(frames.TO_CONTROLLER))
    sent_code: bool = False
    _broken: bool = False
    _longest: float = 0.0

    @classmethod
    def start(cls, execute: Callable[[str], Channel], *, sudo: bool, password: Callable[[], str] | None = None) -> Self:
        """Run the agent through `execute`, which starts a command line on the host; see `starting.start`."""
        started = starting.start(execute, sudo=sudo, password=password)
        client = cls(started.channel, sent_code=started.sent_code)
        client._decoder.feed(started.rest)
        return client

    def hello(
        self,
        *,
        run: str,
        who: str,
        lock: bool,
        packages: Iterable[str],
        network: bool = False,
        storage: bool = False,
    ) -> Hello:
        """Read the facts, with the host's network and disks if asked, and, if asked, take the host's lock."""
        notes: list[str] = []
        asked = {"packages": list(packages), "network": network, "storage": storage}
        request = {"op": "hello", "run": run, "who": who, "lock": lock, **asked}
        data = self._ask(request, "hello", lambda event: notes.append(event.text))
        return answers.hello(data, tuple(notes))

    def plan(
        self,
        resources: Sequence[Resource],
        owned: Iterable[str] | None,
        on_event: Callable[[AgentEvent], None] = lambda _: None,
        elsewhere: Iterable[str] = (),
    ) -> tuple[Item, ...]:
        """What differs, in the order in which it is to be done.

        `owned` limits what may be removed to components, `elsewhere` are the keys, paths and kernel parameters that are
        declared beside `resources`: they are not removed either.
        """
        request = {
            "op": "plan",
            "resources": [wire(one) for one in resources],
            "owned": None if owned is None else list(owned),
            "elsewhere": list(elsewhere),
        }
        times = [_time(one) for one in resources]
        self._longest = max(times, default=0.0)
        data = self._ask(request, "plan", on_event, patience=ANSWER + sum(times))
        return answers.items(data)

    def apply(self, keys: Sequence[str], remove: Sequence[str], on_event: Callable[[AgentEvent], None]) -> BatchResult:
        """Carry out keys of the last plan; events come as they happen."""
        request = {"op": "apply", "keys": list(keys), "remove": list(remove)}
        data = self._ask(request, "batch", on_event, patience=SILENCE + self._longest)
        return answers.batch(data)

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        """Evaluate probes on the host, in order."""
        if not probes:
            return ()
        patience = ANSWER + sum(one.timeout for one in probes)
        request = {"op": "probe", "probes": [wire(one) for one in probes]}
        results = answers.probes(self._ask(request, "probe", patience=patience))
        if len(results) != len(probes):
            raise FrameError("the agent did not answer every probe")
        return results

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        """Do things once, all of them, in order; needs the host's lock.

        A `mark` with a kind is set before, one without a kind is taken away after.
        """
        request = {"op": "act", "actions": [wire(one) for one in actions], "mark": wire(mark) if mark else None}
        patience = ANSWER + sum(one.timeout for one in actions)
        results = answers.acts(self._ask(request, "act", patience=patience))
        if len(results) != len(actions):
            raise FrameError("the agent did not answer every action")
        return results

    def upkeep(self, on_event: Callable[[AgentEvent], None], *, refresh: bool, packages: Iterable[str] = ()) -> Upkeep:
        """What the host waits for; `refresh` asks the package sources first."""
        request = {"op": "upkeep", "refresh": refresh, "packages": list(packages)}
        return answers.upkeep(self._ask(request, "upkeep", on_event, patience=SILENCE))

    def upgrade(
        self, packages: Sequence[tuple[str, str]], on_event: Callable[[AgentEvent], None]
    ) -> tuple[tuple[str, ...], Error | None]:
        """Bring packages (name, version) to these versions, up or down, in one transaction; needs the host's lock.

        What was done in short lines, units restarted because they ran replaced code among them; and what failed.
        """
        request = {"op": "upgrade", "packages": [list(one) for one in packages]}
        return answers.upgraded(self._ask(request, "upgraded", on_event, patience=SILENCE))

    def reboot(self, on_event: Callable[[AgentEvent], None] = lambda _: None) -> None:
        """Have the host boot again, once nobody installs packages; the session ends with it. Needs the host's lock."""
        self._ask({"op": "reboot"}, "rebooting", on_event, patience=SILENCE)

    def examine(self, questions: Mapping[str, Any]) -> dict[str, Any]:
        """Raw answers to what `hakit doctor` asks (see `agent/examining.py`); the caller checks their types."""
        return answers.typed(self._ask({"op": "examine", "questions": dict(questions)}, "examine"), "answers", dict)

    def task(self, task: Task, on_event: Callable[[AgentEvent], None] = lambda _: None) -> dict[str, Any]:
        """Have a component's own code carry a verb out; the caller checks the types in its answer.

        Raises Failure where the host refuses it or it did not succeed: the session goes on. Verbs that change
        something need the host's lock.
        """
        data = self._ask({"op": "task", "task": wire(task)}, "task", on_event, patience=SILENCE + task.timeout)
        error = answers.task_error(data)
        if error is not None:
            raise Failure(error.message, output=error.output, path=error.path, line=error.line)
        return answers.typed(data, "result", dict)

    def close(self) -> None:
        """Say bye to who still listens; never raises for a channel that is gone."""
        if not self._broken:
            with suppress(Exception):  # it is over either way, and every channel has errors of its own
                self._channel.send(frames.encode({"op": "bye"}, frames.TO_HOST))
        self._channel.close()

    def _ask(
        self,
        request: dict[str, Any],
        answer: str,
        on_event: Callable[[AgentEvent], None] = lambda _: None,
        *,
        patience: float = ANSWER,
    ) -> dict[str, Any]:
        """Send a request; events on the way go to `on_event`, the answer comes back."""
        answered = False
        try:
            data = self._converse(request, answer, on_event, patience)
            answered = True
        finally:
            self._broken = self._broken or not answered
        return data

    def _converse(
        self, request: dict[str, Any], answer: str, on_event: Callable[[AgentEvent], None], patience: float
    ) -> dict[str, Any]:
        starting.send(self._channel, frames.encode(request, frames.TO_HOST))
        notes = 0
        deadline = time.monotonic() + patience
        while True:
            data = self._next(deadline)
            kind = answers.typed(data, "ev", str)
            if kind == "beat":
                continue
            if kind == answer:
                return data
            if kind == "crash":
                raise AgentGone(answers.typed(data, "message", str), trace=str(data.get("trace", "")))
            event = answers.event(kind, data)
            notes += len(event.text)
            if notes > NOTES:
                raise FrameError("the agent sends notes without end")
            on_event(event)
            deadline = time.monotonic() + patience

    def _next(self, deadline: float) -> dict[str, Any]:
        while (frame := self._decoder.next()) is None:
            data = starting.receive(self._channel, deadline, HANG)
            if not data:
                raise starting.gone(self._channel, self._channel.exit_status(starting.EXIT))
            self._decoder.feed(data)
        if time.monotonic() > deadline:
            raise AgentGone(starting.ENDLESS)
        return frame


def _time(resource: Resource) -> float:
    """The seconds that a resource may take by itself, as declared: a command's guard, the command, its guard again."""
    own: float = getattr(resource, "timeout", 0.0)
    judges: tuple[Validator, ...] = getattr(resource, "validate", ())
    return 3.0 * own + sum(one.timeout for one in judges)
