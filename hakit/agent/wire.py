"""Declarations on their way: `wire()` on the controller, `from_wire()` on the host."""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.errors import FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.actions import Action, Mark
    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.agent.tasks import Task

MODULES = {
    "array": "raid",
    "cluster": "postgres",
    "command": "command",
    "database": "postgres",
    "directory": "paths",
    "extension": "postgres",
    "files": "files",
    "filesystem": "raid",
    "grant": "postgres",
    "group": "account",
    "initramfs": "raid",
    "mount": "raid",
    "network": "network",
    "package": "package",
    "role": "postgres",
    "symlink": "paths",
    "sysctl": "sysctl",
    "unit": "unit",
    "user": "account",
    "volume": "raid",
    "volumegroup": "raid",
}

ABOUT = {
    "network": ("hakit.agent.resources.network", "Network"),
    "postgres": ("hakit.agent.postgres.place", "Place"),
    "raid": ("hakit.agent.resources.raid", "Array"),
}
"""What a task of a kind is about: module and class."""


class Text:
    """Content as it reached the host; `mask` is its masked rendition when it holds a secret."""

    __slots__ = ("mask", "text")

    def __init__(self, text: str, mask: str | None = None) -> None:
        self.text = text
        self.mask = mask

    @property
    def secret(self) -> bool:
        """Whether a secret is in it."""
        return self.mask is not None

    def reveal(self) -> str:
        """The text as it lands on the host."""
        return self.text

    def masked(self) -> str:
        """The text with the secrets masked."""
        return self.text if self.mask is None else self.mask


def wire(declaration: Declaration) -> dict[str, Any]:
    """A resource, probe or action as a JSON object; secrets are revealed here and nowhere else."""
    out = _fields(declaration)
    kind = getattr(declaration, "type", "")
    if kind:
        out["type"] = kind
    return out


def _fields(declaration: Declaration) -> dict[str, Any]:
    # A field that holds its default is left out: the host has the same defaults.
    return {
        name: _value(value)
        for name in declaration._fields
        if (value := getattr(declaration, name)) != getattr(type(declaration), name, _fields)
    }


def _value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (tuple, list)):
        return [_value(item) for item in value]
    if isinstance(value, Declaration):
        return _fields(value)
    if hasattr(value, "reveal"):
        return {"text": value.reveal(), "masked": value.masked() if value.secret else None}
    raise TypeError(f"a declaration can't hold a {type(value).__name__}")


def resource_type(kind: str) -> Any:
    """The class of a type of resource; its module is imported now. Raises FrameError."""
    try:
        module = _module(f"hakit.agent.resources.{MODULES[kind]}")
    except KeyError:
        raise FrameError(f"no such type of resource: {kind!r}") from None
    return getattr(module, kind.capitalize())


def _module(name: str) -> Any:
    return __import__(name, fromlist=["*"])


def from_wire(data: dict[str, Any]) -> Resource:
    """The resource that `wire()` was given. Raises FrameError."""
    fields = dict(data)
    cls = resource_type(str(fields.pop("type", "")))
    made: Resource = _declare(cls, fields)
    return made


def probe_from_wire(data: dict[str, Any]) -> Probe:
    """The probe that `wire()` was given. Raises FrameError."""
    from hakit.agent.probes import Probe

    made: Probe = _declare(Probe, data)
    return made


def action_from_wire(data: dict[str, Any]) -> Action:
    """The action that `wire()` was given. Raises FrameError."""
    from hakit.agent.actions import Action

    made: Action = _declare(Action, data)
    return made


def mark_from_wire(data: dict[str, Any]) -> Mark:
    """The mark that `wire()` was given. Raises FrameError."""
    from hakit.agent.actions import Mark

    made: Mark = _declare(Mark, data)
    return made


def task_from_wire(data: dict[str, Any]) -> Task:
    """The task that `wire()` was given. Raises FrameError."""
    from hakit.agent.tasks import Task

    kind = str(data.get("kind"))
    if kind not in ABOUT:
        raise FrameError(f"no such kind of task: {kind!r}")
    module, name = ABOUT[kind]
    made: Task = _declare(Task, data, {"about": getattr(_module(module), name)})
    return made


def declare(cls: Any, fields: dict[str, Any]) -> Any:
    """The declaration of a class that `wire()` was given. Raises FrameError."""
    return _declare(cls, fields)


def _declare(cls: Any, fields: dict[str, Any], nested: dict[str, Any] | None = None) -> Any:
    nested = nested or getattr(cls, "nested", {})
    try:
        return cls(**{name: _back(value, nested.get(name)) for name, value in fields.items()})
    except TypeError as error:
        raise FrameError(str(error)) from None


def _back(value: Any, cls: Any) -> Any:
    if isinstance(value, list):
        return tuple(_back(item, cls) for item in value)
    if isinstance(value, dict):
        if cls is not None:
            return _declare(cls, value)
        return Text(value["text"], value["masked"])
    return value
