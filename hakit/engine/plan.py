"""What would change, as values: per host, per resource, with diffs that never hold a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import unified_diff
from typing import TYPE_CHECKING, Literal

from hakit.agent.resources.base import DISRUPTIVE, GROUP_ATOMIC, NONE, RELOAD
from hakit.components.content import Content

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.agent.actions import Mark
    from hakit.agent.answers import FileState, Item
    from hakit.components.base import Decision, Facts
    from hakit.components.content import LineSource
    from hakit.engine.compile import HostResources
    from hakit.errors import HakitError

Kind = Literal["add", "change", "remove", "refused", "unknown"]
IMPACTS = (NONE, RELOAD, DISRUPTIVE, GROUP_ATOMIC)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why something can't be made as declared.

    `path` and `line` (1-based) name the place in the rendered file that the daemon objects to, `source` its template
    line and inventory values. `output` is the tail of what the command said.
    """

    message: str
    output: str = ""
    path: str | None = None
    line: int | None = None
    source: LineSource | None = None


@dataclass(frozen=True, slots=True)
class FileDiff:
    """How one file changes: lines of a unified diff without its head; `note` where it can't be shown."""

    path: str
    lines: tuple[str, ...]
    new: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that differs; `component` declares it, empty for one that nobody declares any more."""

    key: str
    kind: Kind
    summary: tuple[str, ...] = ()
    impact: str = "none"
    after: str | None = None
    diffs: tuple[FileDiff, ...] = ()
    rejection: Rejection | None = None
    component: str = ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What differs on one host, in the order in which it will be done; `same` counts what is as declared.

    `after` are the hosts that must be as declared before this one is changed, and with `first` it is changed before the
    other members of its groups: so components decided. `held` are the keys of the changes that wait for `after`, in
    their order; all of them do where it is empty. `notes` are what the host said beside it: what no change of the
    configuration mends, say.
    """

    host: str
    facts: Facts
    changes: tuple[Change, ...]
    same: int
    seconds: float = 0.0
    after: tuple[str, ...] = ()
    first: bool = False
    notes: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Change, ...]:
        """Changes that the host refuses: nothing on it will be touched."""
        return tuple(change for change in self.changes if change.kind == "refused")

    @property
    def impact(self) -> str:
        """The worst that the changes do to the service."""
        return max((change.impact for change in self.changes), key=IMPACTS.index, default="none")


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What differs on all hosts asked, and which could not be asked.

    `watched` and `unseen` are the same for hosts that are not to be changed, but stand in for some that are. `marks`
    tell which hosts are out of service.
    """

    hosts: Mapping[str, HostPlan]
    failed: Mapping[str, HakitError] = field(default_factory=dict)
    watched: Mapping[str, HostPlan] = field(default_factory=dict)
    unseen: Mapping[str, HakitError] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def abandoned(self) -> tuple[str, ...]:
        """The hosts that a run which is dead took out of service and did not take back."""
        return tuple(host for host in self.hosts if host in self.marks and self.marks[host].kind == "rolling")

    @property
    def due(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changing or self.abandoned)

    @property
    def changing(self) -> tuple[HostPlan, ...]:
        """The hosts on which something differs."""
        return tuple(plan for plan in self.hosts.values() if plan.changes)


def changes_of(items: tuple[Item, ...], declared: HostResources) -> tuple[Change, ...]:
    """What an agent answered, with diffs and sources added; resources that are as declared are left out."""
    contents = declared.contents()
    found = []
    for item in items:
        if item.status != "same":
            resource = declared.resources.get(item.key)
            found.append(_change(item, contents, resource.component if resource else ""))
    return tuple(found)


def held_of(changes: Iterable[Change], declared: HostResources, decisions: Iterable[Decision]) -> tuple[str, ...]:
    """The changes that wait for other hosts where the rest need not; nothing where a decision has all of them wait."""
    waiting = [one for one in decisions if one.after]
    if not all(one.held for one in waiting):
        return ()
    held = declared.standing_on(key for one in waiting for key in one.held)
    return tuple(change.key for change in changes if change.key in held)


def _change(item: Item, contents: Mapping[str, object], component: str) -> Change:
    written = any("write" in line for line in item.summary)
    diffs = tuple(_diff(state, contents.get(state.path), written=written) for state in item.files)
    if item.status == "remove":
        kind: Kind = "remove"
    elif item.status == "refused":
        kind = "refused"
    elif item.status == "unknown":
        kind = "unknown"
    else:
        kind = "add" if item.new else "change"
    rejection = None
    if item.error is not None:
        rejection = reject(item.error.message, item.error.output, item.error.path, item.error.line, contents)
    shown = tuple(diff for diff in diffs if diff.lines or diff.note or diff.new)
    return Change(item.key, kind, item.summary, item.impact, item.after, shown, rejection, component)


def reject(message: str, output: str, path: str | None, line: int | None, contents: Mapping[str, object]) -> Rejection:
    """A rejection with the source of the line it points at."""
    content = contents.get(path) if path else None
    source = content.source(line) if isinstance(content, Content) and line else None
    return Rejection(message, output, path, line, source)


def _diff(state: FileState, content: object, *, written: bool) -> FileDiff:
    """How a file changes; `written` says that its content does, though the texts without secrets may be equal."""
    if state.why_hidden:
        return FileDiff(state.path, (), note=state.why_hidden)
    new = content.masked() if isinstance(content, Content) else ""
    old = state.old or ""
    lines = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2))[2:]
    note = None
    if not lines and state.old is not None and content is not None:
        note = "only the ends of lines differ" if old != new else "a secret in it changes" if written else None
    return FileDiff(state.path, tuple(lines), new=state.old is None and content is not None, note=note)
