"""Deep merge of the `hakit` mappings, and their plain data with the place of every value."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hakit.inventory.document import Entry, Mapping, Node, Scalar, Sequence, Unsafe, Vault
from hakit.inventory.origin import Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.inventory.origin import Mark, Path

_JINJA: Final = re.compile(r"\{\{|\{%[-+]?\s.*%\}", re.DOTALL)


def merged(nodes: Iterable[Node]) -> Node:
    """The nodes laid over each other, the last on top: mappings merge deeply, all else replaces. At least one node."""
    result: Node | None = None
    for node in nodes:
        result = node if result is None else _two(result, node)
    if result is None:
        raise ValueError(nodes)
    return result


def _two(below: Node, above: Node) -> Node:
    if below is above or not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    both = Mapping(above.file, above.line, above.column)
    both.items = dict(below.items)
    for key, entry in above.items.items():
        old = below.items.get(key)
        both.items[key] = Entry(entry.key, _two(old.value, entry.value)) if old else entry
    return both


@dataclass(slots=True)
class Reading:
    """A part of the settings as plain JSON data, the place of every key and value by path, and what can't be taken.

    A refused value stands as null in the data, its path in `refused`.
    """

    data: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)

    def refuse(self, message: str, path: Path, mark: Mark) -> None:
        """Note a value or key that can't be taken."""
        self.problems.append(Problem(message, mark, f"hakit.{dotted(path)}"))
        self.refused.add(path)


def reading(node: Node, path: Path, key: Node) -> Reading:
    """Plain data of a merged node; `path` is its place below `hakit`, `key` the node of its key."""
    result = Reading()
    result.data = _plain(node, path, key, result)
    return result


def _plain(node: Node, path: Path, key: Node, out: Reading) -> Any:
    if isinstance(node, Mapping):
        out.marks[path] = key.mark
        return _plain_mapping(node, path, out)
    if isinstance(node, Sequence):
        out.marks[path] = key.mark
        return [_plain(item, (*path, index), item, out) for index, item in enumerate(node.items)]
    value = node.value if isinstance(node, Scalar) else None
    out.marks[path] = key.mark if value is None else node.mark
    if message := _refused(value):
        out.refuse(message, path, node.mark)
        return None
    return str(value) if isinstance(value, Unsafe) else value


def _plain_mapping(node: Mapping, path: Path, out: Reading) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, entry in node.items.items():
        name = str(key) if isinstance(key, int) and not isinstance(key, bool) else key
        if not isinstance(name, str):
            shown = "true or false" if isinstance(key, bool) else repr(key)
            out.refuse(f"YAML reads this key as {shown}; put it in quotes", path, entry.key.mark)
        elif name in data:
            out.refuse(f"the key {name!r} stands here twice", path, entry.key.mark)
        else:
            data[name] = _plain(entry.value, (*path, name), entry.key, out)
    return data


def _refused(value: object) -> str | None:
    """Why a scalar can't be a value of hakit's, or None."""
    if isinstance(value, Vault):
        return "hakit can't read values of Ansible Vault; write {secret: NAME} and  hakit secret set NAME"
    if isinstance(value, str):
        if _JINJA.search(value) and not isinstance(value, Unsafe):
            return (
                "hakit values hold no Jinja: write the value itself, or set it per group or host"
                " (!unsafe keeps the braces as they are)"
            )
        return None
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return None
    return f"YAML reads this as {type(value).__name__}; put it in quotes"
