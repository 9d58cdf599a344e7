"""What an agent answers: the types, and how they are read from frames.

Not part of the bundle: it never runs on a host.

What comes from a host is checked: a host may be anybody's. Every reader raises FrameError for what is no proper answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from hakit.agent.actions import Mark
from hakit.agent.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
Status = Literal["same", "change", "unknown", "refused", "remove"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, or held, a host's lock; `abandoned` when his connection is gone and only his agent is left.

    `until` is when the host gives it back by itself, while his change of its network waits for a confirmation.
    """

    who: str
    since: str
    run: str
    pid: int
    abandoned: bool = False
    until: str = ""

    def text(self) -> str:
        """In words."""
        who = self.who or "someone"
        if self.until:
            return f"{who} (run {self.run or '?'}), whose change of the network is settled by {self.until}"
        return f"{who} since {self.since or '?'} (run {self.run or '?'}, process {self.pid})"


@dataclass(frozen=True, slots=True)
class Hello:
    """What the host is. `lock` names another run that holds the lock, `taken_over` a dead one that left it.

    `boot` differs after each boot. `marks` tell which hosts are taken out of service, as far as this one helped.
    `network` and `storage` are what was found of its network and disks where that was asked for, yet unchecked.
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
    network: Mapping[str, Any] | None = None
    storage: Mapping[str, Any] | None = None


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


def hello(data: Any, notes: tuple[str, ...]) -> Hello:
    """Who the host is; `notes` were sent on the way."""
    facts = typed(data, "facts", dict)
    return Hello(
        release=_maybe(facts, "release", int),
        id=typed(facts, "id", str),
        codename=typed(facts, "codename", str),
        like=typed(facts, "like", str),
        pretty=typed(facts, "pretty", str),
        packages=_texts(facts, "packages"),
        memory=_maybe(facts, "memory", int),
        hostname=typed(facts, "hostname", str),
        kernel=typed(facts, "kernel", str),
        python=typed(facts, "python", str),
        systemd=typed(facts, "systemd", bool),
        lock=_holder(data.get("lock")),
        taken_over=_holder(data.get("taken_over")),
        notes=notes,
        boot=typed(facts, "boot", str),
        marks=tuple(_mark(one) for one in typed(data, "marks", list)),
        network=_maybe(facts, "network", dict),
        storage=_maybe(facts, "storage", dict),
    )


def items(data: Any) -> tuple[Item, ...]:
    """The resources of a plan, in order."""
    return tuple(_item(one) for one in typed(data, "items", list))


def batch(data: Any) -> BatchResult:
    """How a batch ended."""
    return BatchResult(typed(data, "changed", int), typed(data, "failed", int))


def probes(data: Any) -> tuple[ProbeResult, ...]:
    """How probes went, in order."""
    return tuple(
        ProbeResult(typed(one, "ok", bool), typed(one, "detail", str), float(typed(one, "seconds", (int, float))))
        for one in typed(data, "results", list)
    )


def acts(data: Any) -> tuple[ActResult, ...]:
    """How actions went, in order."""
    return tuple(ActResult(typed(one, "ok", bool), typed(one, "detail", str)) for one in typed(data, "results", list))


def upkeep(data: Any) -> Upkeep:
    """What the host waits for."""
    upgrades = tuple(
        Upgrade(
            typed(one, "package", str), typed(one, "old", str), typed(one, "new", str), typed(one, "security", bool)
        )
        for one in typed(data, "upgrades", list)
    )
    return Upkeep(_strings(data, "reboot"), upgrades, _strings(data, "restart"), _texts(data, "installed"))


def upgraded(data: Any) -> tuple[tuple[str, ...], Error | None]:
    """What an upgrade did in short lines, and what failed."""
    return _strings(data, "summary"), _error(data.get("error"))


def task_error(data: Any) -> Error | None:
    """Why a task was not carried out, or None when it was."""
    return _error(data.get("error"))


def event(kind: str, data: Any) -> AgentEvent:
    """What happened on the way to an answer."""
    key = typed(data, "key", str)
    if kind == "begin":
        return AgentEvent(kind, key)
    if kind == "note":
        return AgentEvent(kind, key, text=typed(data, "text", str))
    if kind == "done":
        return AgentEvent(kind, key, changed=typed(data, "changed", bool), summary=_strings(data, "summary"))
    if kind == "failed":
        return AgentEvent(kind, key, error=_error(typed(data, "error", dict)))
    if kind == "skipped":
        return AgentEvent(kind, key, because=typed(data, "because", str))
    raise FrameError(f"the agent sends an unknown event {kind!r}")


def typed(data: Any, name: str, kind: type[T] | tuple[type, ...]) -> T:
    """A field of an answer, of the agreed type."""
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in {int, (int, float)}):
        raise FrameError(f"the agent's answer has no proper {name!r}")
    return cast("T", value)


def _maybe(data: Any, name: str, kind: type[T]) -> T | None:
    return None if isinstance(data, dict) and data.get(name) is None else typed(data, name, kind)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise FrameError("the agent's answer holds something that is no text")
    return value


def _strings(data: Any, name: str) -> tuple[str, ...]:
    return tuple(_string(one) for one in typed(data, name, list))


def _texts(data: Any, name: str) -> dict[str, str]:
    return {_string(key): _string(value) for key, value in typed(data, name, dict).items()}


def _holder(data: Any) -> Holder | None:
    if data is None:
        return None
    who, since, run = (typed(data, name, str) for name in ("who", "since", "run"))
    until = _maybe(data, "until", str) or ""
    return Holder(who, since, run, typed(data, "pid", int), abandoned=data.get("abandoned") is True, until=until)


def _mark(data: Any) -> Mark:
    return Mark(**{name: typed(data, name, str) for name in Mark._fields})


def _error(data: Any) -> Error | None:
    if data is None:
        return None
    message, output = typed(data, "message", str), typed(data, "output", str)
    return Error(message, output, _maybe(data, "path", str), _maybe(data, "line", int))


def _item(data: Any) -> Item:
    status = typed(data, "status", str)
    if status not in get_args(Status):
        raise FrameError(f"the agent's answer has an unknown status {status!r}")
    return Item(
        key=typed(data, "key", str),
        status=cast("Status", status),
        summary=_strings(data, "summary"),
        impact=typed(data, "impact", str),
        after=typed(data, "after", str) or None,
        files=tuple(_file(one) for one in typed(data, "files", list)),
        error=_error(data.get("error")),
        new=typed(data, "new", bool),
    )


def _file(data: Any) -> FileState:
    hidden = "binary" if typed(data, "binary", bool) else _maybe(data, "why_hidden", str)
    old = _maybe(data, "old", str)
    if old is None:
        old = _maybe(data, "old_masked", str)
    return FileState(typed(data, "path", str), old, hidden, _maybe(data, "mode", int))
