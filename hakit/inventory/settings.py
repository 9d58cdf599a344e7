"""Validates merged settings, once per distinct set of contributing places, and gives every value its origin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from hakit.inventory import explain
from hakit.inventory.merge import merged, reading
from hakit.inventory.origin import Number, Origin, Problem, Real, Text
from hakit.inventory.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping as Dict

    from hakit.inventory.document import Node
    from hakit.inventory.origin import Mark, Path


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A setting that takes its value from a secret: its path below `hakit` and its place."""

    name: str
    path: Path
    mark: Mark


@dataclass(frozen=True, slots=True)
class Validated:
    """Settings under one key: the model (None when it is wrong, or null), the places, the secrets it names."""

    model: BaseModel | None
    marks: dict[Path, Mark]
    uses: tuple[SecretUse, ...] = ()
    null: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one place says under one key below `hakit`: the key's node and the value."""

    key: Node
    value: Node


class Validator:
    """Validates settings by their model and remembers what it has seen; collects `problems`."""

    def __init__(self, context: Dict[str, Any]) -> None:
        self.context = dict(context)
        self.problems: list[Problem] = []
        self._seen: dict[tuple[object, ...], Validated] = {}
        self._kept: list[object] = []

    def validate(self, name: str, model: type[BaseModel], parts: tuple[Part, ...], *, wrap: bool = False) -> Validated:
        """The settings under the key `name`, of which each part is a layer, the weakest first.

        With `wrap`, `name` is a field of the model itself, which gets only this key.
        """
        key = (name, id(model), *(id(part.value) for part in parts))
        if key not in self._seen:
            self._kept.append((model, parts))
            self._seen[key] = self._validate(name, model, parts, wrap=wrap)
        return self._seen[key]

    def _validate(self, name: str, model: type[BaseModel], parts: tuple[Part, ...], *, wrap: bool) -> Validated:
        node = merged(part.value for part in parts)
        path: Path = (name,)
        read = reading(node, path, parts[-1].key)
        self.problems += read.problems
        if read.data is None and not wrap:
            return Validated(None, read.marks, null=True)
        data = {name: read.data} if wrap else read.data
        try:
            checked = model.model_validate_json(json.dumps(data), strict=True, context=self.context)
        except ValidationError as error:
            if wrap:
                node, path = _wrapped(name, node, parts[-1].key), ()
            found = explain.problems(error, model, node, path, read.marks)
            self.problems += [problem for at, problem in found if (*path, *at) not in read.refused]
            return Validated(None, read.marks)
        if read.problems:
            return Validated(None, read.marks)
        tracer = _Tracer(read.marks)
        tracer.model(checked, () if wrap else path)
        return Validated(checked, read.marks, tuple(tracer.uses))


def _wrapped(name: str, node: Node, key: Node) -> Node:
    from hakit.inventory.document import Entry, Mapping  # noqa: PLC0415 - only where something is wrong

    outer = Mapping(key.file, key.line, key.column)
    outer.items = {name: Entry(key, node)}
    return outer


class _Tracer:
    """Replaces strings and numbers of validated settings by equal ones that remember where they are written."""

    def __init__(self, marks: Dict[Path, Mark]) -> None:
        self.marks = marks
        self.uses: list[SecretUse] = []

    def model(self, model: BaseModel, path: Path) -> None:
        """Trace the fields that the inventory set; defaults have no origin."""
        for name in model.model_fields_set:
            info = type(model).model_fields.get(name)
            alias = info.alias if info and info.alias else name
            # Settings are frozen for everybody else; equal values replace each other here before anyone sees them.
            model.__dict__[name] = self.value(model.__dict__[name], (*path, alias))

    def value(self, value: Any, path: Path) -> Any:
        """The value with origins in it."""
        kind = type(value)
        if kind is str:
            return Text.at(value, self.origin(path))
        if kind is int:
            return Number.at(value, self.origin(path))
        if kind is float:
            return Real.at(value, self.origin(path))
        if isinstance(value, BaseModel):
            self.model(value, path)
        elif kind in (list, tuple):
            return kind(self.value(item, (*path, index)) for index, item in enumerate(value))
        elif kind is dict:
            return {self.key(key, path): self.value(item, (*path, str(key))) for key, item in value.items()}
        elif isinstance(value, Secret):
            self.uses.append(SecretUse(value.name, path, self.origin(path).mark))
        return value

    def key(self, key: Any, path: Path) -> Any:
        """A mapping's key; its origin is the entry it stands for."""
        return Text.at(key, self.origin((*path, key))) if type(key) is str else key

    def origin(self, path: Path) -> Origin:
        """The origin of the value at a path, or of the nearest thing around it that is written."""
        place = path
        while place and place not in self.marks:
            place = place[:-1]
        return Origin(path, self.marks[place]) if place in self.marks else Origin(path, next(iter(self.marks.values())))
