"""What pydantic finds wrong, in plain language and with the place of the very key or value.

What a setting allows is read from the model's JSON Schema, the same that `hakit schema` prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from hakit.inventory.document import Mapping, Node, Scalar, Sequence
from hakit.inventory.groups import shape
from hakit.inventory.origin import Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Dict

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from hakit.inventory.origin import Mark, Path

KNOWN_SHOWN: Final = 14
"""So many allowed keys are listed where no suggestion is near."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an error is: the path below the model, the value there (None where it is missing), the place."""

    path: Path
    node: Node | None
    mark: Mark


def problems(
    error: ValidationError, model: type[BaseModel], node: Node, path: Path, marks: Dict[Path, Mark]
) -> list[tuple[Path, Problem]]:
    """One problem per wrong value with its path; `node` at `path` below `hakit` was validated, `marks` its places."""
    schema = _schema(model)
    at: dict[Path, list[tuple[_Place, ErrorDetails]]] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=True):
        place = _place(detail, node, path, marks)
        at.setdefault(place.path, []).append((place, detail))
    found: list[tuple[Path, Problem]] = []
    around = {where[:depth] for where in at for depth in range(len(where))}
    for where, several in at.items():
        if where in around and _is_container(several[0][0].node):
            continue
        said = dict.fromkeys(_message(place, detail, schema) for place, detail in several)
        problem = Problem(_joined(list(said)), several[0][0].mark, f"hakit.{dotted((*path, *where))}")
        found.append((where, problem))
    return found


def _is_container(node: Node | None) -> bool:
    return isinstance(node, (Mapping, Sequence))


def _joined(messages: list[str]) -> str:
    """Several things said of one value: the branches of a union become one sentence."""
    if len(messages) == 1 or not all(message.startswith("expects ") for message in messages):
        return "; ".join(messages)
    expectations = dict.fromkeys(message.removeprefix("expects ").partition(", got ")[0] for message in messages)
    got = messages[0].partition(", got ")[2]
    return f"expects {' or '.join(expectations)}" + (f", got {got}" if got else "")


def _place(detail: ErrorDetails, root: Node, base: Path, marks: Dict[Path, Mark]) -> _Place:
    node: Node | None = root
    path: Path = ()
    for part in detail["loc"]:
        if isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node, path = node.items[part], (*path, part)
        elif isinstance(node, Mapping) and (inner := _child(node, part)) is not None:
            node, path = inner, (*path, str(part))
    mark = _nearest((*base, *path), marks)
    if detail["type"] == "missing":
        return _Place((*path, str(detail["loc"][-1])), None, mark)
    if detail["type"] == "extra_forbidden" or detail["loc"][-1:] == ("[key]",):
        return _Place(path, node, _key_mark(root, path) or mark)
    return _Place(path, node, mark)


def _child(node: Mapping, part: object) -> Node | None:
    entry = node.items.get(part)
    if entry is None and isinstance(part, str) and part.lstrip("-").isdecimal():
        entry = node.items.get(int(part))
    return entry.value if entry else None


def _key_mark(root: Node, path: Path) -> Mark | None:
    node: Node | None = root
    mark = None
    for part in path:
        if isinstance(node, Mapping):
            entry = node.items.get(part)
            mark, node = (entry.key.mark, entry.value) if entry else (mark, None)
        elif isinstance(node, Sequence) and isinstance(part, int):
            node = node.items[part]
    return mark


def _nearest(path: Path, marks: Dict[Path, Mark]) -> Mark:
    while path and path not in marks:
        path = path[:-1]
    return marks[path]


def _message(place: _Place, detail: ErrorDetails, schema: _Schema) -> str:
    kind = detail["type"]
    got = shape(place.node) if place.node is not None else "nothing"
    if kind == "extra_forbidden":
        message = unknown(str(place.path[-1]), schema.keys(place.path[:-1]), "setting")
    elif kind == "missing":
        message = f"is missing; it expects {schema.describe(place.path) or 'a value'}"
    elif kind == "hakit":
        message = detail["msg"]
    elif kind in ("value_error", "assertion_error"):
        message = detail["msg"].partition(", ")[2] or detail["msg"]
    elif detail["loc"][-1:] == ("[key]",):
        message = f"is no allowed key: {_lower(detail['msg'])}"
    elif kind in ("too_short", "string_too_short"):
        unit = "items" if _is_container(place.node) else "characters"
        message = f"expects at least {(detail.get('ctx') or {}).get('min_length', 1)} {unit}, got {got}"
    elif expected := schema.describe(place.path):
        message = f"expects {expected}, got {got}{_quoting(place.node, kind)}"
    else:
        message = f"{_lower(detail['msg'])}, got {got}"
    return message


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _quoting(node: Node | None, kind: str) -> str:
    """A hint where YAML made something else of an unquoted text, or a quoted number was meant as a number."""
    value = node.value if isinstance(node, Scalar) else None
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return " (YAML reads it so without quotes)"
    if kind == "int_type" and isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return " (write it without quotes)"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("yes", "no", "true", "false", "on", "off"):
        return " (write it without quotes)"
    return ""


def unknown(key: str, known: list[str], what: str) -> str:
    """No such key, with the nearest known one, or all that are known if they are few."""
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"no such {what} (did you mean {near[0]}?)"
    if 0 < len(known) <= KNOWN_SHOWN:
        return f"no such {what} — known here are {', '.join(sorted(known))}"
    return f"no such {what}"


@cache
def _schema(model: type[BaseModel]) -> _Schema:
    """Made once: what is wrong for a group is wrong on each of its hosts, and a schema takes 25 ms."""
    return _Schema(model.model_json_schema(mode="validation"))


class _Schema:
    """A model's JSON Schema, asked by paths into the data."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.root = schema
        self.defs: dict[str, Any] = schema.get("$defs", {})

    def at(self, path: Path) -> list[dict[str, Any]]:
        """All alternatives that the schema allows at a path."""
        current = list(self.alternatives(self.root))
        for part in path:
            current = [
                found for schema in current for inner in _inner(schema, part) for found in self.alternatives(inner)
            ]
        return current

    def alternatives(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The schema with references followed, split at `anyOf` and `oneOf`."""
        if "$ref" in schema:
            yield from self.alternatives(self.defs[schema["$ref"].rpartition("/")[2]])
            return
        branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if len(schema.get("allOf", ())) == 1:
            branches += schema["allOf"]
        if not branches:
            yield schema
        for branch in branches:
            yield from self.alternatives(branch)

    def keys(self, path: Path) -> list[str]:
        """The keys that are known at a path."""
        return list(dict.fromkeys(key for schema in self.at(path) for key in schema.get("properties", ())))

    def describe(self, path: Path) -> str:
        """What is allowed at a path, in words; empty where nothing is known."""
        return " or ".join(dict.fromkeys(said for schema in self.at(path) if (said := words(schema))))


def _inner(schema: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(part, int):
        prefix = schema.get("prefixItems", [])
        if part < len(prefix):
            yield prefix[part]
        elif isinstance(schema.get("items"), dict):
            yield schema["items"]
    elif part in schema.get("properties", {}):
        yield schema["properties"][part]
    else:
        yield from schema.get("patternProperties", {}).values()
        if isinstance(schema.get("additionalProperties"), dict):
            yield schema["additionalProperties"]


def words(schema: dict[str, Any]) -> str:
    """What one alternative of a JSON Schema allows, in words; empty for null."""
    if "x-expects" in schema:
        return str(schema["x-expects"])
    if "const" in schema or "enum" in schema:
        values = [_literal(value) for value in schema.get("enum", [schema.get("const")])]
        return values[0] if len(values) == 1 else "one of " + ", ".join(values)
    return _kind_words(schema)


def _kind_words(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _number_words(schema, "an integer" if kind == "integer" else "a number")
    if kind == "string":
        return f"text that matches {schema['pattern']}" if "pattern" in schema else "text"
    if kind == "object":
        keys = list(schema.get("properties", ()))
        return f"a mapping with {', '.join(keys)}" if 0 < len(keys) <= 4 else "a mapping"  # noqa: PLR2004 - one line
    return {"array": "a list", "boolean": "true or false", "null": ""}.get(str(kind), "")


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number_words(schema: dict[str, Any], noun: str) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{noun} from {low} to {high}"
    bounds = [
        f"{word} {value}"
        for word, value in (("of at least", low), ("of at most", high), ("above", above), ("below", below))
        if value is not None
    ]
    return " ".join([noun, " and ".join(bounds)]).strip()
