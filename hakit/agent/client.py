"""The controller's end of a session with one agent: typed requests and answers over any channel.

What comes from a host is checked: a host may be anybody's.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from hakit.agent import frames, starting
from hakit.agent.actions import Mark
from hakit.agent.errors import FrameError
from hakit.agent.starting import AgentGone
from hakit.agent.wire import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hakit.agent.actions import Action
    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.files import Validator
    from hakit.agent.starting import Channel

T = TypeVar("T")
Status = Literal["same", "change", "unknown", "refused", "remove"]

NOTES = 1 << 20  # characters of notes that one request may bring
HANG = 30.0  # seconds without a byte while the agent works: it beats every 5 s, and a busy host may miss some
ANSWER = 300.0
"""Seconds between two words about a request that changes nothing, beyond the time that its steps may take by
themselves. A hang is noticed by the missing beats; this only ends an agent that lives and never comes to an end."""
SILENCE = 2400.0
"""The same for what changes a host. It has to outlast every step that has no limit here: a transaction of dpkg has
15 min on the host, a unit what its TimeoutStartSec says."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, or held, a host's lock; `abandoned` when his connection is gone and only his agent is left."""

    who: str
    since: str
    run: str
    pid: int
    abandoned: bool = False

    def text(self) -> str:
        """In words."""
        return f"{self.who or 'someone'} since {self.since or '?'} (run {self.run or '?'}, process {self.pid})"


@dataclass(frozen=True, slots=True)
class Hello:
    """What the host is. `lock` names another run that holds the lock, `taken_over` a dead one that left it.

    `boot` differs after each boot. `marks` tell which hosts are taken out of service, as far as this one helped.
    """

    release: int | None
    id: str
    codename: str
    like: str
    pretty: str
    packages: Mapping[str, str]
    memory: int | None
    hostname: str
    kernel: str
    python: str
    systemd: bool
    lock: Holder | None = None
    taken_over: Holder | None = None
    notes: tuple[str, ...] = ()
    boot: str = ""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class FileState:
    """What is on disk where a file will be changed; `old` is masked where it holds secrets, None for no file."""

    path: str
    old: str | None
    why_hidden: str | None = None
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Error:
    """Why a resource failed or is refused; `path` and `line` (1-based) where a file is to blame."""

    message: str
    output: str = ""
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One resource in a plan; `new` when nothing of it is there yet."""

    key: str
    status: Status
    summary: tuple[str, ...] = ()
    impact: str = "none"
    after: str | None = None
    files: tuple[FileState, ...] = ()
    error: Error | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """What happens during an apply: `begin`, `note`, `done`, `failed` or `skipped`."""

    ev: str
    key: str
    text: str = ""
    changed: bool = False
    summary: tuple[str, ...] = ()
    because: str = ""
    error: Error | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a batch ended."""

    changed: int
    failed: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The answer to a probe, and how long it took in seconds."""

    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ActResult:
    """How an action went; `detail` is what was answered, or why it failed."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A package that apt would bring from version `old` (empty: not installed) to `new`."""

    package: str
    old: str
    new: str
    security: bool = False


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a host waits for: `reboot` are the reasons why it wants one, in words, empty when it wants none.

    `restart` are units that run replaced code and that an `upgrade`, also of no package, restarts. `installed` are the
    versions of the packages that were asked for by name.
    """

    reboot: tuple[str, ...]
    upgrades: tuple[Upgrade, ...]
    restart: tuple[str, ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)


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

    def hello(self, *, run: str, who: str, lock: bool, packages: Iterable[str]) -> Hello:
        """Read the facts and, if asked, take the host's lock."""
        notes: list[str] = []
        request = {"op": "hello", "run": run, "who": who, "lock": lock, "packages": list(packages)}
        data = self._ask(request, "hello", lambda event: notes.append(event.text))
        facts = _typed(data, "facts", dict)
        return Hello(
            release=_maybe(facts, "release", int),
            id=_typed(facts, "id", str),
            codename=_typed(facts, "codename", str),
            like=_typed(facts, "like", str),
            pretty=_typed(facts, "pretty", str),
            packages={_string(name): _string(version) for name, version in _typed(facts, "packages", dict).items()},
            memory=_maybe(facts, "memory", int),
            hostname=_typed(facts, "hostname", str),
            kernel=_typed(facts, "kernel", str),
            python=_typed(facts, "python", str),
            systemd=_typed(facts, "systemd", bool),
            lock=_holder(data.get("lock")),
            taken_over=_holder(data.get("taken_over")),
            notes=tuple(notes),
            boot=_typed(facts, "boot", str),
            marks=tuple(_mark(one) for one in _typed(data, "marks", list)),
        )

    def plan(
        self,
        resources: Sequence[Resource],
        owned: Iterable[str] | None,
        on_event: Callable[[AgentEvent], None] = lambda _: None,
    ) -> tuple[Item, ...]:
        """What differs, in the order in which it is to be done; `owned` limits what may be removed to components."""
        request = {
            "op": "plan",
            "resources": [wire(one) for one in resources],
            "owned": None if owned is None else list(owned),
        }
        times = [_time(one) for one in resources]
        self._longest = max(times, default=0.0)
        data = self._ask(request, "plan", on_event, patience=ANSWER + sum(times))
        return tuple(_item(one) for one in _typed(data, "items", list))

    def apply(self, keys: Sequence[str], remove: Sequence[str], on_event: Callable[[AgentEvent], None]) -> BatchResult:
        """Carry out keys of the last plan; events come as they happen."""
        request = {"op": "apply", "keys": list(keys), "remove": list(remove)}
        data = self._ask(request, "batch", on_event, patience=SILENCE + self._longest)
        return BatchResult(_typed(data, "changed", int), _typed(data, "failed", int))

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        """Evaluate probes on the host, in order."""
        if not probes:
            return ()
        patience = ANSWER + sum(one.timeout for one in probes)
        data = self._ask({"op": "probe", "probes": [wire(one) for one in probes]}, "probe", patience=patience)
        results = _typed(data, "results", list)
        if len(results) != len(probes):
            raise FrameError("the agent did not answer every probe")
        return tuple(
            ProbeResult(
                _typed(one, "ok", bool), _typed(one, "detail", str), float(_typed(one, "seconds", (int, float)))
            )
            for one in results
        )

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        """Do things once, all of them, in order; needs the host's lock.

        A `mark` with a kind is set before, one without a kind is taken away after.
        """
        request = {"op": "act", "actions": [wire(one) for one in actions], "mark": wire(mark) if mark else None}
        patience = ANSWER + sum(one.timeout for one in actions)
        results = _typed(self._ask(request, "act", patience=patience), "results", list)
        if len(results) != len(actions):
            raise FrameError("the agent did not answer every action")
        return tuple(ActResult(_typed(one, "ok", bool), _typed(one, "detail", str)) for one in results)

    def upkeep(self, on_event: Callable[[AgentEvent], None], *, refresh: bool, packages: Iterable[str] = ()) -> Upkeep:
        """What the host waits for; `refresh` asks the package sources first."""
        request = {"op": "upkeep", "refresh": refresh, "packages": list(packages)}
        data = self._ask(request, "upkeep", on_event, patience=SILENCE)
        upgrades = (
            Upgrade(
                _typed(one, "package", str),
                _typed(one, "old", str),
                _typed(one, "new", str),
                _typed(one, "security", bool),
            )
            for one in _typed(data, "upgrades", list)
        )
        installed = {_string(name): _string(value) for name, value in _typed(data, "installed", dict).items()}
        return Upkeep(_strings(data, "reboot"), tuple(upgrades), _strings(data, "restart"), installed)

    def upgrade(
        self, packages: Sequence[tuple[str, str]], on_event: Callable[[AgentEvent], None]
    ) -> tuple[tuple[str, ...], Error | None]:
        """Bring packages (name, version) to these versions, up or down, in one transaction; needs the host's lock.

        What was done in short lines, units restarted because they ran replaced code among them; and what failed.
        """
        request = {"op": "upgrade", "packages": [list(one) for one in packages]}
        data = self._ask(request, "upgraded", on_event, patience=SILENCE)
        return _strings(data, "summary"), _error(data.get("error"))

    def reboot(self, on_event: Callable[[AgentEvent], None] = lambda _: None) -> None:
        """Have the host boot again, once nobody installs packages; the session ends with it. Needs the host's lock."""
        self._ask({"op": "reboot"}, "rebooting", on_event, patience=SILENCE)

    def examine(self, questions: Mapping[str, Any]) -> dict[str, Any]:
        """Raw answers to what `hakit doctor` asks (see `agent/examining.py`); the caller checks their types."""
        return _typed(self._ask({"op": "examine", "questions": dict(questions)}, "examine"), "answers", dict)

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
            kind = _typed(data, "ev", str)
            if kind == "beat":
                continue
            if kind == answer:
                return data
            if kind == "crash":
                raise AgentGone(_typed(data, "message", str), trace=str(data.get("trace", "")))
            event = _event(kind, data)
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


def _typed(data: Any, name: str, kind: type[T] | tuple[type, ...]) -> T:
    """A field of an answer, of the agreed type. Raises FrameError."""
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in {int, (int, float)}):
        raise FrameError(f"the agent's answer has no proper {name!r}")
    return cast("T", value)


def _maybe(data: Any, name: str, kind: type[T]) -> T | None:
    return None if isinstance(data, dict) and data.get(name) is None else _typed(data, name, kind)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise FrameError("the agent's answer holds something that is no text")
    return value


def _strings(data: Any, name: str) -> tuple[str, ...]:
    return tuple(_string(one) for one in _typed(data, name, list))


def _holder(data: Any) -> Holder | None:
    if data is None:
        return None
    who, since, run = (_typed(data, name, str) for name in ("who", "since", "run"))
    return Holder(who, since, run, _typed(data, "pid", int), abandoned=data.get("abandoned") is True)


def _mark(data: Any) -> Mark:
    return Mark(**{name: _typed(data, name, str) for name in Mark._fields})


def _error(data: Any) -> Error | None:
    if data is None:
        return None
    message, output = _typed(data, "message", str), _typed(data, "output", str)
    return Error(message, output, _maybe(data, "path", str), _maybe(data, "line", int))


def _item(data: Any) -> Item:
    status = _typed(data, "status", str)
    if status not in {"same", "change", "unknown", "refused", "remove"}:
        raise FrameError(f"the agent's answer has an unknown status {status!r}")
    return Item(
        key=_typed(data, "key", str),
        status=cast("Status", status),
        summary=_strings(data, "summary"),
        impact=_typed(data, "impact", str),
        after=_typed(data, "after", str) or None,
        files=tuple(_file(one) for one in _typed(data, "files", list)),
        error=_error(data.get("error")),
        new=_typed(data, "new", bool),
    )


def _file(data: Any) -> FileState:
    hidden = "binary" if _typed(data, "binary", bool) else _maybe(data, "why_hidden", str)
    old = _maybe(data, "old", str)
    if old is None:
        old = _maybe(data, "old_masked", str)
    return FileState(_typed(data, "path", str), old, hidden, _maybe(data, "mode", int))


def _event(kind: str, data: Any) -> AgentEvent:
    key = _typed(data, "key", str)
    if kind == "begin":
        return AgentEvent(kind, key)
    if kind == "note":
        return AgentEvent(kind, key, text=_typed(data, "text", str))
    if kind == "done":
        return AgentEvent(kind, key, changed=_typed(data, "changed", bool), summary=_strings(data, "summary"))
    if kind == "failed":
        return AgentEvent(kind, key, error=_error(_typed(data, "error", dict)))
    if kind == "skipped":
        return AgentEvent(kind, key, because=_typed(data, "because", str))
    raise FrameError(f"the agent sends an unknown event {kind!r}")
