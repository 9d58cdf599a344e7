"""The plan of one host: read everything, compare in order, tell what would be done; and what is left over."""

from __future__ import annotations

from hakit.agent.errors import Failure, from_os
from hakit.agent.handlers import handler
from hakit.agent.loaded import SYSTEMD, used
from hakit.agent.work import REFUSED, REMOVE, SAME, Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.base import Resource
    from hakit.agent.work import Work

# What is taken away first must not be needed by what follows.
REMOVAL = (
    "unit",
    "files",
    "symlink",
    "sysctl",
    "package",
    "user",
    "group",
    "directory",
    "command",
    "grant",
    "extension",
    "database",
    "role",
    "cluster",
    "network",
    "mount",
    "filesystem",
    "volume",
    "volumegroup",
    "array",
    "initramfs",
)


def plan(work: Work, owned: list[str] | None) -> list[dict[str, Any]]:
    """The items of a plan, in the order in which `apply` should get them: early removals, changes, late removals."""
    work.state.forget_cache()
    work.status.clear()
    work.seen.clear()
    work.decided.clear()
    left = leftovers(work, owned)
    work.removing = dict.fromkeys(left, ())
    early = [_removal(key, work) for key in left if is_early(key, work)]
    states = _read_all(work)
    items = [_item(resource, states[key], work) for key, resource in work.declared.items()]
    late = [_removal(key, work) for key in [*_guests(work, owned), *left] if not is_early(key, work)]
    work.versions = None
    return [*early, *items, *late]


def leftovers(work: Work, owned: list[str] | None) -> list[str]:
    """The keys of what hakit made and nobody declares any more, in the order of their removal."""
    keys = [
        key
        for key, record in work.state.items.items()
        if key.partition(":")[0] in REMOVAL  # what a newer hakit has made is left for that one
        if key not in work.declared and (owned is None or record.get("component") in owned)
        if not _is_elsewhere(key, work)
    ]
    return sorted(keys, key=lambda key: (REMOVAL.index(key.partition(":")[0]), *_deepest_first(key)))


def _is_elsewhere(key: str, work: Work) -> bool:
    """Whether this, or a path or parameter of it, is declared by who is not asked for: a whole plan says whose."""
    names = {key, key.partition(":")[2], *work.state.items[key].get("live", ())}
    names.update(path for path, record in work.state.files.items() if record.get("key") == key)
    return not names.isdisjoint(work.elsewhere)


def _guests(work: Work, owned: list[str] | None) -> list[str]:
    """The keys of units that nobody declares any more and that have to do without what they have loaded."""
    if not any(record.get("guest") for record in work.state.loaded.values()):
        return []
    from hakit.agent.leaving import guests

    return guests(work, owned)


def _deepest_first(key: str) -> tuple[int, str]:
    return (-key.count("/"), key)


def is_early(key: str, work: Work) -> bool:
    """Whether a removal has to come before the changes: a unit, or what a unit has loaded and is told to do without.

    What others may still run or read goes after the changes that make them do without it.
    """
    kind, _, name = key.partition(":")
    if kind in {"unit", "package"}:
        return kind == "unit" and key in work.state.items
    loads = {entry for record in work.state.loaded.values() for entry in used(record)}
    paths = (
        [path for path, record in work.state.files.items() if record.get("key") == key] if kind == "files" else [name]
    )
    return key in loads or any(path in loads or path.startswith(SYSTEMD) for path in paths)


def _read_all(work: Work) -> dict[str, Any]:
    """The actual states by key, read type by type; where that fails, one by one, and a Failure stands for the state."""
    kinds: dict[str, list[Resource]] = {}
    for resource in work.declared.values():
        kinds.setdefault(resource.type, []).append(resource)
    states: dict[str, Any] = {}
    for kind, resources in kinds.items():
        how = handler(kind)
        try:
            states.update(how.read(resources, work))
        except (Failure, OSError):
            for resource in resources:
                states[resource.key] = read_one(resource, work)
    return states


def read_one(resource: Resource, work: Work) -> Any:
    """The actual state of one resource, or the Failure to read it."""
    try:
        return handler(resource.type).read([resource], work)[resource.key]
    except Failure as failure:
        return failure
    except OSError as error:
        return from_os(error, "reading it")


def compare(resource: Resource, state: Any, work: Work) -> Change:
    """What differs. Raises Failure."""
    if isinstance(state, Failure):
        raise state
    try:
        change: Change = handler(resource.type).diff(resource, state, work)
    except OSError as error:
        raise from_os(error, "comparing it") from None
    return change


def _item(resource: Resource, state: Any, work: Work) -> dict[str, Any]:
    try:
        change = compare(resource, state, work)
    except Failure as failure:
        work.status[resource.key] = REFUSED
        return item(resource.key, REFUSED, Change(), work.told(failure))
    work.status[resource.key] = SAME if change.memory else change.status
    if change.seen:
        work.seen[resource.key] = dict(change.seen)
    return item(resource.key, change.status, change, None)


def _removal(key: str, work: Work) -> dict[str, Any]:
    try:
        change = handler(key.partition(":")[0]).leftover(key, work.state.items.get(key, {}), work)
    except Failure as failure:
        work.status[key] = REFUSED
        return item(key, REFUSED, Change(), work.told(failure))
    except OSError as error:
        work.status[key] = REFUSED
        return item(key, REFUSED, Change(), from_os(error, "looking at what is left over"))
    work.removing[key] = change.summary
    if change.seen:
        work.seen[key] = dict(change.seen)
    return item(key, REMOVE, change, None)


def item(key: str, status: str, change: Change, failure: Failure | None) -> dict[str, Any]:
    """One line of a plan, as a frame carries it."""
    return {
        "key": key,
        "status": status,
        "summary": change.summary,
        "impact": change.impact,
        "after": change.after,
        "new": change.new,
        "files": [file.wire() for file in change.files],
        "error": None if failure is None else failure.wire(),
    }


def sweep(work: Work) -> None:
    """Clear what killed runs left on disk, and have systemd read what they changed; only under the lock.

    Raises Failure.
    """
    try:
        work.state.sweep()
    except OSError as error:
        raise from_os(error, f"cleaning up in {work.state.folder}") from None
    if work.state.unread:
        from hakit.agent.handlers.unit import daemon_reload

        daemon_reload(work)
