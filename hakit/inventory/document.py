"""YAML text as a tree of nodes that know their places.

Reads what Ansible reads (YAML 1.1 as PyYAML understands it, merge keys, `!vault`, `!unsafe`) and refuses what nobody
means: duplicate keys, Python objects, recursive or exploding aliases, several documents. Works on parser events without
recursion, so that no input can exhaust the stack, and counts nodes as aliases would expand them, so that none can
exhaust memory.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from hakit.inventory.origin import Mark, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH: Final = 64
"""Nesting that no inventory needs; keeps recursion over the tree far from Python's limit."""
MAX_NODES: Final = 1_000_000
"""Nodes of one document, aliases expanded: some 20 MB of YAML."""

MAX_BITS: Final = 1024
"""Bits of a number: more would be counted in vain, and Python refuses to print numbers of 4,300 digits."""

YAML_TAG: Final = "tag:yaml.org,2002:"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DocumentError(Exception):
    """The text is no document that can be used; carries the duplicate keys, then the problem that ended the reading."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(problem.text() for problem in problems))
        self.problems = problems


class Unsafe(str):
    """A string tagged `!unsafe`: braces in it are no template."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Vault:
    """A value that Ansible Vault encrypted: kept as it is, opaque to hakit."""

    ciphertext: str


class Node:
    """A value and its place; `size` counts the nodes below it and itself, aliases expanded."""

    __slots__ = ("column", "file", "line", "size")

    def __init__(self, file: str, line: int, column: int) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.size = 1

    @property
    def mark(self) -> Mark:
        """Where it is written."""
        return Mark(self.file, self.line, self.column)


class Scalar(Node):
    """A string, number, boolean, null, date, bytes, `Unsafe` or `Vault`."""

    __slots__ = ("value",)

    def __init__(self, file: str, line: int, column: int, value: Any) -> None:
        super().__init__(file, line, column)
        self.value = value


class Sequence(Node):
    """A list of nodes."""

    __slots__ = ("cache", "items")

    def __init__(self, file: str, line: int, column: int) -> None:
        super().__init__(file, line, column)
        self.items: list[Node] = []
        self.cache: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    key: Node
    value: Node


class Mapping(Node):
    """Keys in order with their values; keys are plain Python values."""

    __slots__ = ("cache", "items")

    def __init__(self, file: str, line: int, column: int) -> None:
        super().__init__(file, line, column)
        self.items: dict[Any, Entry] = {}
        self.cache: dict[Any, Any] | None = None

    def get(self, key: Any) -> Node | None:
        """The value of a key, or None."""
        entry = self.items.get(key)
        return entry.value if entry else None


def plain(node: Node) -> Any:
    """The node as plain Python values; made once per node, so treat it as read-only."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Mapping):
        if node.cache is None:
            node.cache = {key: plain(entry.value) for key, entry in node.items.items()}
        return node.cache
    if isinstance(node, Sequence):
        if node.cache is None:
            node.cache = [plain(item) for item in node.items]
        return node.cache
    raise TypeError(node)


def parse(text: str, file: str) -> Node | None:
    """The one document in `text`, None when there is nothing in it. Raises DocumentError."""
    composer = _Composer(file, as_json=_is_json(text))
    loader = _Loader(text)
    try:
        root = composer.compose(_events(loader))
    except yaml.MarkedYAMLError as error:
        raise DocumentError(*composer.doubles, _explain(error, text, file)) from None
    except yaml.YAMLError as error:
        raise DocumentError(*composer.doubles, Problem(f"is not valid YAML: {error}", Mark(file, 1))) from None
    finally:
        loader.dispose()
    if composer.doubles:
        raise DocumentError(*composer.doubles)
    return root


def _is_json(text: str) -> bool:
    """Whether Ansible would read it as JSON (it tries that first), where 1e3 is a number."""
    if text[:200].lstrip()[:1] != "{":
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _events(loader: Any) -> Iterator[Any]:
    while loader.check_event():
        yield loader.get_event()


class _Frame:
    """A collection that is being read."""

    __slots__ = ("anchor", "items", "key", "keyed", "merges", "node", "unsafe")

    def __init__(self, node: Mapping | Sequence, anchor: str | None, *, unsafe: bool) -> None:
        self.node = node
        self.items = node.items if isinstance(node, Mapping) else {}
        self.anchor = anchor
        self.unsafe = unsafe
        self.key: Scalar | None = None
        self.keyed = False
        self.merges: list[Node] = []


class _Composer:
    def __init__(self, file: str, *, as_json: bool) -> None:
        self.file = file
        self.as_json = as_json
        self.anchors: dict[str, Node | None] = {}
        self.stack: list[_Frame] = []
        self.root: Node | None = None
        self.documents = 0
        self.doubles: list[Problem] = []
        self.constructor: Any = SafeConstructor()
        self.resolved: dict[str, Any] = {}

    def fail(self, message: str, at: Any) -> NoReturn:
        mark = at.mark if isinstance(at, Node) else Mark(self.file, at.start_mark.line + 1, at.start_mark.column + 1)
        raise DocumentError(*self.doubles, Problem(message, mark))

    def compose(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self.scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self.start(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self.end()
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.fail("a second YAML document begins here; an inventory file holds one", event)
        return self.root

    def place(self, event: Any) -> tuple[str, int, int]:
        return self.file, event.start_mark.line + 1, event.start_mark.column + 1

    def scalar(self, event: Any) -> None:
        node = Scalar(*self.place(event), self.value(event))
        if event.anchor:
            self.anchors[event.anchor] = node
        frame = self.stack[-1] if self.stack else None
        if frame and isinstance(frame.node, Mapping) and not frame.keyed and event.value == "<<" and event.implicit[0]:
            frame.keyed = True
            frame.key = None
            return
        self.add(node)

    def value(self, event: Any) -> Any:
        tag, text = event.tag, event.value
        unsafe = tag == "!unsafe" or bool(self.stack and self.stack[-1].unsafe)
        if tag in ("!vault", "!vault-encrypted"):
            return Vault(text)
        if tag is None or tag in ("!", "!unsafe"):
            if not (event.implicit[0] or tag == "!unsafe"):
                return Unsafe(text) if unsafe else text
            if text not in self.resolved:
                self.resolved[text] = self.construct(self.resolve(text), event)
            value = self.resolved[text]
        else:
            value = self.construct(tag, event)
        return Unsafe(value) if unsafe and isinstance(value, str) else value

    def resolve(self, text: str) -> str:
        if self.as_json and re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text) and not re.fullmatch(r"-?\d+", text):
            return f"{YAML_TAG}float"
        for tag, pattern in Resolver.yaml_implicit_resolvers.get(text[:1], ()):
            if pattern.match(text):
                return str(tag)
        return f"{YAML_TAG}str"

    def construct(self, tag: str, event: Any) -> Any:
        kind = tag.removeprefix(YAML_TAG)
        make = getattr(self.constructor, f"construct_yaml_{kind}", None)
        if kind in ("str", "value", "merge"):
            return event.value
        if tag == kind or kind not in ("null", "bool", "int", "float", "timestamp", "binary") or make is None:
            self.fail(_refused_tag(tag), event)
        try:
            value = make(yaml.ScalarNode(tag, event.value))
        except (ValueError, KeyError, IndexError, OverflowError, ConstructorError):
            value = _NOTHING
        if value is _NOTHING or (isinstance(value, int) and value.bit_length() > MAX_BITS):
            self.fail(f"{event.value[:40]!r} is no valid {_KINDS[kind]}; put it in quotes if text is meant", event)
        return value

    def start(self, event: Any) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} levels deep", event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        kind = "map" if mapping else "seq"
        allowed = (None, "!", "!unsafe", YAML_TAG + kind, YAML_TAG + "set" if mapping else None)
        if event.tag not in allowed:
            self.fail(_refused_tag(event.tag), event)
        node = Mapping(*self.place(event)) if mapping else Sequence(*self.place(event))
        unsafe = event.tag == "!unsafe" or bool(self.stack and self.stack[-1].unsafe)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(node, event.anchor, unsafe=unsafe))

    def end(self) -> None:
        frame = self.stack.pop()
        if frame.merges and isinstance(frame.node, Mapping):
            frame.node.items = self.merged(frame.merges) | frame.node.items
        if frame.anchor:
            self.anchors[frame.anchor] = frame.node
        self.add(frame.node)

    def merged(self, merges: list[Node]) -> dict[Any, Entry]:
        """The entries that `<<` brings in: of several mappings in a list the first wins, of several `<<` the last."""
        entries: dict[Any, Entry] = {}
        for merge in merges:
            for node in reversed(merge.items) if isinstance(merge, Sequence) else [merge]:
                if not isinstance(node, Mapping):
                    self.fail("'<<' merges mappings; this is none", node)
                entries |= node.items
        return entries

    def alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            self.fail(f"no such anchor above: *{event.anchor}", event)
        node = self.anchors[event.anchor]
        if node is None:
            self.fail(f"the alias *{event.anchor} stands inside the value it names", event)
        self.add(node, event)

    def add(self, node: Node, at: Any = None) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.node.size += node.size
        if frame.node.size > MAX_NODES:
            self.fail(f"expands to more than {MAX_NODES:,} values (aliases that multiply?)", at or node)
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
        elif not frame.keyed:
            frame.key, frame.keyed = self.checked_key(node, at), True
        else:
            self.add_value(frame, node)

    def checked_key(self, node: Node, at: Any) -> Scalar:
        """The node as a key: placed where it is used, also when it is an alias."""
        if not isinstance(node, Scalar) or isinstance(node.value, Vault):
            self.fail("a key must be plain text, not a list or a mapping (a missing quote around {{ … }}?)", at or node)
        return Scalar(*self.place(at), node.value) if at else node

    def add_value(self, frame: _Frame, node: Node) -> None:
        key, frame.key, frame.keyed = frame.key, None, False
        if key is None:
            frame.merges.append(node)
            return
        if key.value in frame.items:
            first = frame.items[key.value].key.mark
            message = (
                f"the key {key.value!r} stands here twice; the first is at line {first.line}, column {first.column}"
            )
            self.doubles.append(Problem(message, key.mark))
        frame.items[key.value] = Entry(key, node)


_NOTHING: Final = object()
_KINDS: Final = {
    "null": "null",
    "bool": "boolean",
    "int": "number",
    "float": "number",
    "timestamp": "date",
    "binary": "base64 data",
}


def _refused_tag(tag: str) -> str:
    shown = "!!" + tag.removeprefix(YAML_TAG) if tag.startswith(YAML_TAG) else tag
    if "python/" in tag:
        return f"the tag {shown} would make a Python object; inventories hold plain data"
    return f"the tag {shown} is not allowed; known are !vault, !unsafe and YAML's own (!!str, !!int …)"


_EXPLAINED: Final = {
    "found character that cannot start any token": "this character cannot begin a value; put the value in quotes",
    "mapping values are not allowed": "a ':' where no key can stand: check the indentation, or put the text in quotes",
    "did not find expected key": "a key is expected here: check the indentation and the quotes above",
    "did not find expected '-' indicator": "a list item ('- …') is expected here: check the indentation",
    "found undefined tag handle": "an undefined tag (!name!…); put the text in quotes if it begins with '!'",
    "could not find expected ':'": "a ':' is missing after the key",
    "did not find expected ',' or '}'": "a ',' or '}' is missing in the mapping that begins before this",
    "did not find expected ',' or ']'": "a ',' or ']' is missing in the list that begins before this",
    "found unexpected end of stream": "the file ends inside a quoted text",
    "did not find expected node content": "a value is expected here",
}


def _explain(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    shown = lines[line] if line < len(lines) else ""
    lead = shown[: len(shown) - len(shown.lstrip())]
    where = Mark(file, line + 1, column + 1)
    if "\t" in lead or shown[column : column + 1] == "\t":
        return Problem("a tab indents this line; YAML allows only spaces", Mark(file, line + 1, shown.index("\t") + 1))
    problem = (error.problem or "is not valid").strip()
    message = next((said for known, said in _EXPLAINED.items() if problem.startswith(known)), problem)
    begun = ""
    if error.context_mark and error.context_mark.line != line and message != problem:
        begun = f" (begun at line {error.context_mark.line + 1})"
    return Problem(f"is not valid YAML: {message}{begun}", where)
