"""Declarations: small immutable records that both ends share.

The controller makes them, `wire()` turns them into JSON, `from_wire()` makes them again on the host. Not dataclasses:
importing `dataclasses` costs a host 15 ms at each start, more than reading 30 resources.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Protocol, TypeVar, dataclass_transform

    D = TypeVar("D", bound="Declaration")

    class Content(Protocol):
        """Text that may hold secrets: `reveal()` is for the host alone, `masked()` for everyone else."""

        @property
        def secret(self) -> bool: ...
        def reveal(self) -> str: ...
        def masked(self) -> str: ...
else:

    def dataclass_transform(**_):
        """Stand in for the typing decorator on the host."""
        return lambda cls: cls


_MISSING = object()


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Declaration:
    """An immutable record: annotated fields, keyword arguments, defaults as class attributes."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Collect the annotated fields, inherited ones first."""
        own = [n for n, t in cls.__dict__.get("__annotations__", {}).items() if not t.startswith("ClassVar")]
        cls._fields = tuple(dict.fromkeys(cls._fields + tuple(own)))

    if not TYPE_CHECKING:

        def __init__(self, **values):
            for name in self._fields:
                value = values.pop(name, _MISSING)
                if value is _MISSING:
                    value = getattr(type(self), name, _MISSING)
                if value is _MISSING:
                    raise TypeError(f"{type(self).__name__} needs {name}")
                object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
            if values:
                raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__} is immutable")

        def __eq__(self, other):
            return type(self) is type(other) and all(getattr(self, n) == getattr(other, n) for n in self._fields)

        def __hash__(self):
            return hash((type(self), *(getattr(self, n) for n in self._fields)))

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self._fields)})"

    def replace(self: D, **changes: Any) -> D:
        """A copy with some fields changed."""
        values = {name: getattr(self, name) for name in self._fields}
        values.update(changes)
        return type(self)(**values)
