"""The controller's end of a session with one agent: typed requests and answers over any channel.

What comes from a host is checked: a host may be anybody's.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, cast

from hakit.agent import frames
from hakit.agent.bootstrap import bundle, command, explain
from hakit.agent.errors import FrameError
from hakit.agent.wire import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource

T = TypeVar("T")
Status = Literal["same", "change", "unknown", "refused", "remove"]

NOISE = 64 << 10  # bytes that a login shell may print before the agent speaks
NOTES = 1 << 20  # characters of notes that one request may bring
START = 30.0  # seconds until the agent says its first word
ANSWER = 300.0  # seconds for an answer to hello, plan, probe: validators and guards have own, shorter limits
SILENCE = 2400.0  # seconds between two events of an apply: waiting for dpkg's lock, then a transaction, 15 min each
CHUNK = 1 << 16


class Channel(Protocol):
    """Bytes to and from a command that runs on a host."""

    def send(self, data: bytes, /) -> object:
        """Send all of it."""

    def recv(self, size: int, timeout: float, /) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises TimeoutError."""

    def stderr_tail(self) -> str:
        """The end of what the command printed on stderr."""

    def exit_status(self, timeout: float, /) -> int | None:
        """The exit code, None when there is none within the timeout."""

    def close(self) -> object:
        """Give it up."""


class AgentGone(Exception):  # noqa: N818 - that it is gone is what the caller has to know
    """The agent did not start, failed, or ended before it answered; `hint` says what to do."""

    def __init__(self, message: str, hint: str | None = None, trace: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.trace = trace


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, or held, a host's lock."""

    who: str
    since: str
    run: str
    pid: int

    def text(self) -> str:
        """In words."""
        return f"{self.who or 'someone'} since {self.since or '?'} (run {self.run or '?'}, process {self.pid})"


@dataclass(frozen=True, slots=True)
class Hello:
    """What the host is. `lock` names another run that holds the lock, `taken_over` a dead one that left it."""

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


@dataclass(slots=True)
class Client:
    """A session with one agent. Its methods raise AgentGone and FrameError, and what the channel raises."""

    _channel: Channel
    _token: str
    _decoder: frames.Decoder = field(default_factory=lambda: frames.Decoder(frames.TO_CONTROLLER))
    sent_code: bool = False

    @classmethod
    def start(cls, execute: Callable[[str], Channel], *, sudo: bool) -> Self:
        """Run the agent through `execute`, which starts a command line on the host; send its code where needed."""
        token = secrets.token_hex(16)
        client = cls(execute(command(token, sudo=sudo)), token)
        try:
            client._greet()
        except BaseException:
            client._channel.close()
            raise
        return client

    def _greet(self) -> None:
        with suppress(OSError):  # when nobody takes it, what the host prints tells why
            self._channel.send(bundle().loader)
        mark = b"\n" + self._token.encode() + b" "
        deadline = time.monotonic() + START
        seen = b""
        while True:
            before, found, after = seen.partition(mark)
            if found and b"\n" in after:
                break
            if len(before) > NOISE:
                raise AgentGone(
                    "the login shell prints without end before the agent can speak",
                    "keep the login's shell files silent for commands without a terminal",
                )
            data = self._recv(deadline, "the agent did not start")
            if not data:
                code = self._exit()
                reason = explain(self._channel.stderr_tail() or seen.decode("utf-8", "replace"), code)
                raise AgentGone(reason.message, reason.hint)
            seen += data
        word, _, rest = after.partition(b"\n")
        if word == b"need":
            self.sent_code = True
            self._send(bundle().compressed)
        self._decoder.feed(rest)

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
        )

    def plan(self, resources: Sequence[Resource], owned: Iterable[str] | None) -> tuple[Item, ...]:
        """What differs, in the order in which it is to be done; `owned` limits what may be removed to components."""
        request = {
            "op": "plan",
            "resources": [wire(one) for one in resources],
            "owned": None if owned is None else list(owned),
        }
        return tuple(_item(one) for one in _typed(self._ask(request, "plan"), "items", list))

    def apply(self, keys: Sequence[str], remove: Sequence[str], on_event: Callable[[AgentEvent], None]) -> BatchResult:
        """Carry out keys of the last plan; events come as they happen."""
        request = {"op": "apply", "keys": list(keys), "remove": list(remove)}
        data = self._ask(request, "batch", on_event, patience=SILENCE)
        return BatchResult(_typed(data, "changed", int), _typed(data, "failed", int))

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        """Evaluate probes on the host, in order."""
        if not probes:
            return ()
        data = self._ask({"op": "probe", "probes": [wire(one) for one in probes]}, "probe")
        results = _typed(data, "results", list)
        if len(results) != len(probes):
            raise FrameError("the agent did not answer every probe")
        return tuple(
            ProbeResult(
                _typed(one, "ok", bool), _typed(one, "detail", str), float(_typed(one, "seconds", (int, float)))
            )
            for one in results
        )

    def close(self) -> None:
        """Say bye; never raises for a channel that is gone."""
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
        self._send(frames.encode(request, frames.TO_HOST))
        notes = 0
        while True:
            data = self._next(time.monotonic() + patience)
            kind = _typed(data, "ev", str)
            if kind == answer:
                return data
            if kind == "crash":
                raise AgentGone(_typed(data, "message", str), trace=str(data.get("trace", "")))
            event = _event(kind, data)
            notes += len(event.text)
            if notes > NOTES:
                raise FrameError("the agent sends notes without end")
            on_event(event)

    def _next(self, deadline: float) -> dict[str, Any]:
        while (frame := self._decoder.next()) is None:
            data = self._recv(deadline, "the agent does not answer")
            if not data:
                raise self._gone(self._exit())
            self._decoder.feed(data)
        return frame

    def _send(self, data: bytes) -> None:
        try:
            self._channel.send(data)
        except Exception as error:
            # A channel has errors of its own for a connection that is lost; an agent that ended is ours to tell.
            code = self._exit()
            if code is None and not isinstance(error, OSError):
                raise
            raise self._gone(code) from error

    def _gone(self, code: int | None) -> AgentGone:
        tail = self._channel.stderr_tail().strip()[-2000:]
        ended = "it was killed, or its connection was" if code is None else f"it ended with exit {code}"
        return AgentGone(f"the agent is gone: {ended}{': ' + tail if tail else ''}")

    def _recv(self, deadline: float, complaint: str) -> bytes:
        left = deadline - time.monotonic()
        try:
            return self._channel.recv(CHUNK, max(0.001, left))
        except TimeoutError:
            raise AgentGone(f"{complaint} in time") from None

    def _exit(self) -> int | None:
        return self._channel.exit_status(2.0)


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
    return Holder(who, since, run, _typed(data, "pid", int))


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
