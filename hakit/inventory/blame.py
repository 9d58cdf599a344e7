"""Who set a value: every place that contributes to a variable of a host, and which one wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hakit.errors import UsageError
from hakit.inventory.document import Entry, Mapping, Node, Sequence, plain
from hakit.inventory.explain import unknown
from hakit.inventory.merge import merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.inventory.model import Host
    from hakit.inventory.origin import Mark

HAKIT = "hakit"


@dataclass(frozen=True, slots=True)
class Setting:
    """One place that says something about a key: `who` is the group or host it speaks of.

    `effect` is `sets`, `overridden`, or `merged` where several places make up a mapping together.
    """

    key: str
    mark: Mark
    who: str
    value: Any
    effect: str


def blame(host: Host, key: str) -> tuple[Setting, ...]:
    """Every place that speaks of a key, the winner first; `key` is dotted, with or without `hakit.` in front.

    Raises UsageError when no place does.
    """
    for candidate in (key, f"{HAKIT}.{key}"):
        found = [
            (layer, entry)
            for layer in reversed(host.layers)
            for entry in _find(layer.vars, candidate, candidate)
            if entry
        ]
        if found:
            return tuple(_settings(candidate, [(str(layer), entry) for layer, entry in found]))
    asked = key.removeprefix(f"{HAKIT}.")
    raise UsageError(f"{host.name} has no {key}: {unknown(asked, sorted(_keys(host)), 'setting or variable')}")


def _settings(key: str, found: list[tuple[str, Entry]]) -> Iterator[Setting]:
    mapping = key.partition(".")[0].partition("[")[0] == HAKIT and isinstance(found[0][1].value, Mapping)
    still = True
    for index, (who, entry) in enumerate(found):
        if mapping:
            still = still and isinstance(entry.value, Mapping)
            effect = "merged" if still else "overridden"
        else:
            effect = "overridden" if index else "sets"
        mark = entry.key.mark if isinstance(entry.value, (Mapping, Sequence)) else entry.value.mark
        yield Setting(key, mark, who, plain(entry.value), effect)


def _find(node: Node, rest: str, full: str) -> Iterator[Entry]:
    """The entry that a dotted key names; keys may hold dots themselves."""
    if isinstance(node, Mapping):
        for name, entry in node.items.items():
            text = str(name)
            if rest == text:
                yield entry
                return
            if rest.startswith((f"{text}.", f"{text}[")):
                yield from _find(entry.value, rest[len(text) :].removeprefix("."), full)
    elif isinstance(node, Sequence) and rest.startswith("["):
        index, _, after = rest[1:].partition("]")
        if index.isdecimal() and int(index) < len(node.items):
            item = node.items[int(index)]
            if after:
                yield from _find(item, after.removeprefix("."), full)
            else:
                yield Entry(item, item)


def flat(host: Host) -> dict[str, tuple[Any, Mark]]:
    """Every leaf of the host's merged `hakit` mapping by dotted key, with its place."""
    nodes = [node for layer in host.layers if isinstance(node := layer.vars.get(HAKIT), Mapping)]
    return dict(_leaves(merged(nodes), HAKIT)) if nodes else {}


def _leaves(node: Node, key: str) -> Iterator[tuple[str, tuple[Any, Mark]]]:
    if isinstance(node, Mapping) and node.items:
        for name, entry in node.items.items():
            yield from _leaves(entry.value, f"{key}.{name}")
    elif isinstance(node, Sequence) and any(isinstance(item, (Mapping, Sequence)) for item in node.items):
        for index, item in enumerate(node.items):
            yield from _leaves(item, f"{key}[{index}]")
    else:
        yield key, (plain(node), node.mark)


def _keys(host: Host) -> set[str]:
    """Every key that could be asked for, for suggestions."""
    keys = {str(name) for name in host.vars}
    for leaf in flat(host):
        parts = leaf.removeprefix(f"{HAKIT}.").split(".")
        keys |= {".".join(parts[: count + 1]) for count in range(len(parts))}
    return keys
