"""Declarations: small immutable records that both ends share.

The controller makes them, `wire()` turns them into JSON, `from_wire()` makes them again on the host. Not dataclasses:
importing `dataclasses` costs a host 15 ms at each start, more than reading 30 resources.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Protocol, Self, dataclass_transform  # novm - for type checkers alone

    class Content(Protocol):
        """Text that may hold secrets: `reveal()` is for the host alone, `masked()` for everyone else."""

        @property
        def secret(self) -> bool:
            """Whether a secret is in it."""

        def reveal(self) -> str:
            """The text as it lands on the host."""

        def masked(self) -> str:
            """The text with the secrets masked."""
else:

    def dataclass_transform(**_: object) -> Any:
        """Stand in for the typing decorator on the host."""
        return lambda cls: cls


_MISSING = object()


def _annotations(cls: type) -> dict[str, str]:
    # Not inspect.get_annotations: importing inspect costs 20 ms. The future import keeps them strings.
    found: dict[str, str] = vars(cls).get("__annotations__", {})
    return found


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Declaration:
    """An immutable record: annotated fields, keyword arguments, defaults as class attributes."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Collect the annotated fields, inherited ones first."""
        own = [n for n, t in _annotations(cls).items() if not t.startswith("ClassVar")]
        cls._fields = tuple(dict.fromkeys(cls._fields + tuple(own)))

    if not TYPE_CHECKING:

        def __init__(self, **values: object) -> None:
            for name in self._fields:
                value = values.pop(name, _MISSING)
                if value is _MISSING:
                    value = getattr(type(self), name, _MISSING)
                if value is _MISSING:
                    raise TypeError(f"{type(self).__name__} needs {name}")
                object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
            if values:
                raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{type(self).__name__} is immutable")

        def __eq__(self, other: object) -> bool:
            return type(self) is type(other) and all(getattr(self, n) == getattr(other, n) for n in self._fields)

        def __hash__(self) -> int:
            return hash((type(self), *(getattr(self, n) for n in self._fields)))

        def __repr__(self) -> str:
            return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self._fields)})"

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        values = {name: getattr(self, name) for name in self._fields}
        values.update(changes)
        return type(self)(**values)
