"""What units have loaded and the inventory does not name any more: it goes, and they have to do without it.

A path that leaves will be absent, or have its content from before hakit. Until the running invocation has loaded that,
its reload or restart is due, as the unit was last declared to take a change of that path. While the path is there the
manifest tells that it leaves; afterwards the note of its removal does.
"""

from __future__ import annotations

import os
import stat

from hakit.agent import disk, loaded
from hakit.agent.handlers.files import declared_paths
from hakit.agent.loaded import RESTART
from hakit.agent.work import REFUSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.work import Work

PACKAGE = "package:"  # what a leaving package does to a unit is told by the package's own scripts


def due(listed: Iterable[str], record: dict[str, Any], state: dict[str, str], work: Work) -> list[tuple[str, str]]:
    """What a running unit has loaded that leaves or has left: (reload or restart, why). `listed` is not looked at."""
    left = {entry: how for entry, how in loaded.used(record).items() if entry not in listed}
    if not loaded.invocation(state) or not left:
        return []
    declared = _declared(work)
    found = []
    for entry, how in left.items():
        if not entry.startswith("/"):
            if not entry.startswith(PACKAGE) and entry in work.removing and is_going(entry, work):
                found.append((RESTART, f"{entry.partition(':')[2]} removed"))
        elif entry not in declared:
            wanted = _wanted(entry, record, work)
            if wanted is not None and not _has_loaded(entry, wanted, record, state, work):
                word = "removed" if wanted == disk.ABSENT else "restored"
                found.append((how, f"{os.path.basename(entry)} {word}"))
    return found


def _declared(work: Work) -> set[str]:
    """The paths of all files and links that do not leave."""
    return {*declared_paths(work), *loaded.declared_links(work), *work.elsewhere}


def is_going(key: str, work: Work) -> bool:
    """Whether what leaves under this key will go: a removal that was refused or that failed changes nothing."""
    return (key in work.removing or key in work.declared) and work.status.get(key) != REFUSED


def kept_uses(listed: Iterable[str], record: dict[str, Any], work: Work) -> dict[str, str]:
    """What a unit was declared to load, and that leaves but is there yet: a start of the unit has loaded it again."""
    declared = _declared(work)
    return {
        entry: how
        for entry, how in loaded.used(record).items()
        if entry not in listed
        and entry not in declared
        and (entry in work.state.files or f"symlink:{entry}" in work.state.items)
    }


def guests(work: Work, owned: list[str] | None) -> list[str]:
    """The keys of running units that only what they load was declared of, of which something leaves or has left."""
    found = {
        unit: record
        for unit, record in work.state.loaded.items()
        if record.get("guest") and (owned is None or record["guest"] in owned)
        if not {f"unit:{unit}"} & (work.declared.keys() | work.state.items.keys() | work.elsewhere)
    }
    states = loaded.show(found, work)
    return [f"unit:{unit}" for unit, record in found.items() if due((), record, states[unit], work)]


def _wanted(path: str, record: dict[str, Any], work: Work) -> str | None:
    """The hash of what stands at a path once it has left, None for what does not leave."""
    owned = work.state.files.get(path)
    if owned is not None:
        info = disk.look(work.at(path))
        if not is_going(owned["key"], work) or (info is not None and not stat.S_ISREG(info.st_mode)):
            return None
        if not owned["existed"]:
            return disk.ABSENT
        original = work.state.original(path)
        if original is not None:
            return disk.digest(original[0])
    link = work.state.items.get(f"symlink:{path}")
    if link is not None:
        return target_hash(path, link.get("was"), work) if is_going(f"symlink:{path}", work) else None
    note = record.get("written", {}).get(path)
    return None if note is None else str(note["after"])


def _has_loaded(path: str, wanted: str, record: dict[str, Any], state: dict[str, str], work: Work) -> bool:
    """Whether a unit has loaded that; what others change once the path has left is no business of ours."""
    there = path in work.state.files or f"symlink:{path}" in work.state.items
    on_disk = disk.hash_of(work.at(path)) if there else wanted
    current, stamp = loaded.invocation(state), loaded.stamp_of(state)
    stale = state.get("NeedDaemonReload") == "yes"
    return loaded.content(record, path, current, on_disk, stamp=stamp, stale=stale) == wanted


def target_hash(path: str, target: str | None, work: Work) -> str:
    """The hash of what a symbolic link at `path` leads to; `absent` for no link."""
    return disk.ABSENT if not target else disk.hash_of(work.at(os.path.join(os.path.dirname(path), target)))
