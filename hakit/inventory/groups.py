"""Hosts and groups of an inventory as Ansible's YAML inventory defines them: who belongs where, which variables apply.

The order in which variables of groups apply is Ansible's: by depth (the longest way from `all`), then by
`ansible_group_priority`, then by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Literal

from hakit.inventory.document import Entry, Mapping, Node, Scalar, Sequence, plain
from hakit.inventory.files import conversion
from hakit.inventory.hostnames import MAX_HOSTS, expand, split_port
from hakit.inventory.origin import Mark, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

SECTIONS: Final = ("hosts", "children", "vars")
PRIORITY: Final = "ansible_group_priority"


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """The variables that one place of the inventory gives to a group or a host."""

    kind: Literal["group", "host"]
    name: str
    vars: Mapping

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(slots=True, eq=False)
class GroupNode:
    """A group while the inventory is read; `hosts` and `children` are ordered sets."""

    name: str
    mark: Mark
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    files: list[Layer] = field(default_factory=list)
    priority: int = 1
    depth: int = 0
    empty: bool = True


@dataclass(slots=True, eq=False)
class HostNode:
    """A host while the inventory is read; `groups` are those that list it themselves."""

    name: str
    mark: Mark
    port: int | None = None
    groups: dict[str, None] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    files: list[Layer] = field(default_factory=list)


def root_problem(root: Node | None, file: str) -> Problem | None:
    """Why a document is no inventory, or None."""
    if root is None or _is_null(root):
        return Problem("is empty; an inventory begins with  all:", Mark(file, 1))
    if not isinstance(root, Mapping):
        return Problem(f"expects a mapping of groups that begins with  all:  but this is {shape(root)}", root.mark)
    plugin = root.get("plugin")
    if isinstance(plugin, Scalar) and plugin.value:
        message = f"configures a dynamic inventory, which hakit does not run; {conversion(file)}"
        return Problem(message, plugin.mark, "plugin")
    return None


class Graph:
    """The hosts and groups that all files of an inventory define together; collects what is wrong in `problems`."""

    def __init__(self) -> None:
        nowhere = Mark("", 1)
        self.hosts: dict[str, HostNode] = {}
        self.groups = {name: GroupNode(name, nowhere) for name in ("all", "ungrouped")}
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.closures: dict[tuple[str, ...], tuple[GroupNode, ...]] = {}
        self.patterns: dict[str, tuple[list[str], int | None]] = {}
        self.link("all", "ungrouped", nowhere)

    def error(self, message: str, node: Node, key: str = "") -> None:
        """Note something that is wrong."""
        self.problems.append(Problem(message, node.mark, key))

    def add(self, root: Mapping) -> None:
        """Read one inventory file."""
        for name, entry in root.items.items():
            self.group(name, entry)

    def group(self, name: object, entry: Entry) -> str | None:
        """Read the definition of one group, with all below it; its name, or None where it is none."""
        node = entry.value
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            self.error(f"expects the name of a group, got {name!r}; put it in quotes", entry.key)
            return None
        if not isinstance(node, Mapping) and not _is_null(node):
            message = f"{name} is no group: a group is a mapping of hosts, children and vars"
            near = get_close_matches(name, SECTIONS, n=1)
            if near:
                self.error(f"{message} (is {near[0]} meant, inside a group?)", entry.key)
            else:
                self.warnings.append(Problem(message, entry.key.mark, "", "warning"))
            return None
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = GroupNode(name, entry.key.mark)
        if isinstance(node, Mapping):
            group.empty = False
            for key, inner in node.items.items():
                self.section(group, key, inner)
        return name

    def section(self, group: GroupNode, key: object, entry: Entry) -> None:
        """Read `hosts`, `children` or `vars` of a group."""
        if key not in SECTIONS:
            self.stray(group, key, entry)
            return
        node = entry.value
        if _is_null(node):
            return
        if isinstance(node, Scalar) and isinstance(node.value, str):
            names = Mapping(node.file, node.line, node.column)
            names.items = {node.value: Entry(node, Scalar(node.file, node.line, node.column, None))}
            node = names
        if not isinstance(node, Mapping):
            hint = (
                "write each name as a key with a colon behind it" if isinstance(node, Sequence) else "write a mapping"
            )
            self.error(f"expects a mapping, got {shape(node)}; {hint}", node, f"{group.name}.{key}")
        elif key == "vars":
            self.group_vars(group, node)
        elif key == "children":
            for name, inner in node.items.items():
                child = self.group(name, inner)
                if child is not None:
                    self.link(group.name, child, inner.key.mark)
        else:
            for pattern, inner in node.items.items():
                self.host(group, pattern, inner)

    def stray(self, group: GroupNode, key: object, entry: Entry) -> None:
        """Note a key of a group that is none of Ansible's: a typing error, or a variable outside `vars`."""
        message = f"a group has only {', '.join(SECTIONS)}"
        where = f"{group.name}.{key}"
        near = get_close_matches(key, SECTIONS, n=1, cutoff=0.7) if isinstance(key, str) else []
        if near:
            self.error(f"{message} (did you mean {near[0]}?)", entry.key, where)
        elif key == "hakit":
            self.error("hakit stands here outside of vars; indent it below  vars:", entry.key, where)
        else:
            hint = "; variables stand below vars, groups below children"
            self.warnings.append(Problem(f"{message}; this is ignored{hint}", entry.key.mark, where, "warning"))

    def group_vars(self, group: GroupNode, node: Mapping) -> None:
        """Read the variables of a group; its priority is none of them."""
        entry = node.items.get(PRIORITY)
        if entry is not None:
            value = entry.value.value if isinstance(entry.value, Scalar) else None
            try:
                group.priority = int(value)  # type: ignore[arg-type] # what int() refuses is what is caught
            except (TypeError, ValueError):
                self.error("expects an integer", entry.value, f"{group.name}.vars.{PRIORITY}")
            without = Mapping(node.file, node.line, node.column)
            without.items = {key: inner for key, inner in node.items.items() if key != PRIORITY}
            node = without
        group.layers.append(Layer("group", group.name, node))

    def host(self, group: GroupNode, pattern: object, entry: Entry) -> None:
        """Read the host or the range of hosts that one key of `hosts` names."""
        if not isinstance(pattern, str):
            self.error(
                f"expects the name of a host, got {pattern!r}; put it in quotes", entry.key, f"{group.name}.hosts"
            )
            return
        try:
            names, port = self.expanded(pattern)
        except ValueError as error:
            self.error(f"{pattern!r}: {error}", entry.key, f"{group.name}.hosts")
            return
        node = entry.value
        if not isinstance(node, Mapping) and plain(node):
            message = f"expects a mapping of the host's variables, got {shape(node)}"
            self.error(message, node, f"{group.name}.hosts.{pattern}")
            return
        for name in names:
            host = self.hosts.get(name)
            if host is None:
                host = self.hosts[name] = HostNode(name, entry.key.mark, port)
            host.groups[group.name] = None
            group.hosts[name] = None
            if isinstance(node, Mapping) and node.items:
                self.host_vars(host, node)

    def host_vars(self, host: HostNode, node: Mapping) -> None:
        """Take the variables of a host; where a group of that name was read before, Ansible gives them to the group."""
        if host.name in self.groups:
            self.group_vars(self.groups[host.name], node)
        else:
            host.layers.append(Layer("host", host.name, node))

    def expanded(self, pattern: str) -> tuple[list[str], int | None]:
        """The hosts and the port of a pattern. Raises ValueError."""
        if pattern not in self.patterns:
            text, port = split_port(pattern)
            names = expand(text)
            for name in names[:1]:
                _check_name(name)
            if len(self.hosts) + len(names) > MAX_HOSTS:
                raise ValueError(f"makes more than {MAX_HOSTS} hosts in all")
            self.patterns[pattern] = names, port
        return self.patterns[pattern]

    def link(self, parent: str, child: str, mark: Mark) -> None:
        """Make a group the child of another; a circle is an error."""
        above, below = self.groups[parent], self.groups[child]
        if child == parent or child in (way := self.ancestors(parent)):
            if child == parent:
                chain = child
            else:
                chain = f"{child} contains {' → '.join([*_way_down(self.groups, child, parent, way)])}"
            message = f"the groups form a circle: {chain} contains {child}"
            self.problems.append(Problem(message, mark, f"{parent}.children"))
            return
        above.children[child] = None
        below.parents[parent] = None

    def ancestors(self, name: str) -> set[str]:
        """All groups above a group."""
        seen: set[str] = set()
        todo = list(self.groups[name].parents)
        while todo:
            group = todo.pop()
            if group not in seen:
                seen.add(group)
                todo.extend(self.groups[group].parents)
        return seen

    def finish(self) -> None:
        """Tie all groups to `all`, loose hosts to `ungrouped`, and compute depths."""
        for group in list(self.groups.values()):
            if group.name != "all" and not group.parents:
                self.link("all", group.name, group.mark)
        for host in self.hosts.values():
            above = (
                {name for direct in host.groups for name in (direct, *self.ancestors(direct))} if host.groups else set()
            )
            if "ungrouped" in above:
                if above - {"all", "ungrouped"} and "ungrouped" in host.groups:
                    del host.groups["ungrouped"]
                    del self.groups["ungrouped"].hosts[host.name]
            elif not above - {"all"}:
                host.groups["ungrouped"] = None
                self.groups["ungrouped"].hosts[host.name] = None
        self.depths()
        for name in self.groups.keys() & self.hosts.keys():
            message = f"{name} is the name of a host and of a group; --limit and settings can't tell them apart"
            self.warnings.append(Problem(message, self.hosts[name].mark, "", "warning"))

    def depths(self) -> None:
        """Give every group its depth: the longest way from `all`."""
        waiting = {name: len(group.parents) for name, group in self.groups.items()}
        ready = ["all"]
        while ready:
            group = self.groups[ready.pop()]
            for name in group.children:
                child = self.groups[name]
                child.depth = max(child.depth, group.depth + 1)
                waiting[name] -= 1
                if not waiting[name]:
                    ready.append(name)

    def groups_of(self, host: HostNode) -> tuple[GroupNode, ...]:
        """All groups of a host but `all`, ancestors included, in the order in which their variables apply."""
        direct = tuple(host.groups)
        if direct not in self.closures:
            names = {name for group in direct for name in (group, *self.ancestors(group))} - {"all"}
            groups = sorted((self.groups[name] for name in names), key=lambda g: (g.depth, g.priority, g.name))
            self.closures[direct] = tuple(groups)
        return self.closures[direct]

    def layers_of(self, host: HostNode) -> list[Layer]:
        """Everything that gives variables to a host, weakest first (Ansible's precedence 3 to 10)."""
        everyone, groups = self.groups["all"], self.groups_of(host)
        return [
            *everyone.layers,
            *_joined(group.layers for group in groups),
            *everyone.files,
            *_joined(group.files for group in groups),
            *host.layers,
            *host.files,
        ]


def _joined(lists: Iterable[list[Layer]]) -> Iterable[Layer]:
    return (layer for layers in lists for layer in layers)


def _way_down(groups: dict[str, GroupNode], top: str, bottom: str, above: set[str]) -> list[str]:
    """A chain of children from `top` (left out) to `bottom`; `above` are all groups above `bottom`."""
    chain: list[str] = []
    current = top
    while current != bottom and len(chain) < len(groups):
        current = next(name for name in groups[current].children if name == bottom or name in above)
        chain.append(current)
    return chain


def _check_name(name: str) -> None:
    if not name or name.startswith("-") or "/" in name or name in (".", ".."):
        raise ValueError("a host name can't be empty, begin with '-' or hold '/'")
    if not name.isprintable() or any(character.isspace() for character in name):
        raise ValueError("a host name holds no spaces and no control characters")


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def shape(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value if isinstance(node, Scalar) else None
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004 - one line of a terminal
