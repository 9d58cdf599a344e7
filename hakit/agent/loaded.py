"""Which content a unit's running invocation has loaded: systemd's InvocationID and hashes, never files' times.

The record of a unit holds
- `invocation` and `files` (path → hash): what that invocation had loaded when hakit last started or reloaded it;
- `stamp`: the moment of the unit's last change of state as systemd counts it (StateChangeTimestampMonotonic), seen
  then. A reload is such a change: another moment means that somebody else may have reloaded since;
- `written` (path → note): writes of hakit that no reload has followed yet;
- `pending`: keys of changed resources that ask for a restart;
- `uses` (path or key → `reload` or `restart`): what it was declared to load, and how it takes a change; what leaves the
  inventory is in no declaration any more;
- `guest`: the component that declared nothing of the unit but what it loads; empty where hakit manages it.
A note is made before the rename or removal and holds `during` (the invocation that ran then), `stamp`, `before` and
`after` (hashes) and `open`, which turns false once the same invocation was seen afterwards; for files of systemd, once
it was seen after systemd had read them, for whoever starts before runs by the old ones.
"""

from __future__ import annotations

import os

from hakit.agent import disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.resources.unit import Unit
    from hakit.agent.work import Work

RELOAD, RESTART = "reload", "restart"
RUNNING = ("active", "reloading", "refreshing", "activating", "deactivating")
PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,InvocationID,NeedDaemonReload,MainPID,Type,RemainAfterExit,"
    "CanReload,TimeoutStartUSec,NRestarts,Result,StateChangeTimestampMonotonic,ActiveEnterTimestampMonotonic"
)
SYSTEMD = ("/etc/systemd/system/", "/run/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/")


def show(units: Iterable[str], work: Work) -> dict[str, dict[str, str]]:
    """The properties of units, by the name that was asked, from one `systemctl show`. Raises Failure."""
    names = list(dict.fromkeys(units))
    if not names:
        return {}
    result = work.must(["systemctl", "show", f"--property={PROPERTIES}", "--", *names], "reading the units", 20.0)
    blocks = [block for block in result.out.strip("\n").split("\n\n") if block]
    found = [dict(line.partition("=")[::2] for line in block.split("\n")) for block in blocks]
    if len(found) != len(names):
        from hakit.agent.errors import Failure

        raise Failure("systemctl did not tell of every unit that was asked", output=result.tail())
    return dict(zip(names, found))  # noqa: B905 - equal, as just checked; Python 3.9 knows no strict


def invocation(properties: dict[str, str]) -> str:
    """The identity of the running invocation, empty when the unit does not run."""
    return properties.get("InvocationID", "") if properties.get("ActiveState") in RUNNING else ""


def stamp_of(properties: dict[str, str]) -> str:
    """The moment of a unit's last change of state, empty when unknown."""
    return properties.get("StateChangeTimestampMonotonic", "")


def content(
    record: dict[str, Any], path: str, current: str, on_disk: str, *, stamp: str = "", stale: bool = False
) -> str | None:
    """The hash of what invocation `current` has loaded from `path`, or None when that can't be known.

    `stamp` is its last change of state, and `stale` says that systemd itself has not read its unit files since they
    changed. Whoever else reloaded the unit has loaded what was on disk; a write of ours counts as loaded only when we
    saw it loaded.
    """
    if record.get("invocation") == current and path in record.get("files", {}) and not _moved(record, stamp):
        known: str = record["files"][path]
        return known
    note = record.get("written", {}).get(path)
    if note is None:
        return on_disk
    if note["during"] == current:
        before: str | None = note["before"]
        return None if _moved(note, stamp) and on_disk != note["after"] else before
    if note["open"] or (stale and path.startswith(SYSTEMD)):
        return None
    return on_disk if on_disk == note["after"] else None


def _moved(seen: dict[str, Any], stamp: str) -> bool:
    """Whether the unit has changed its state since a record or note was made; no, where either moment is unknown."""
    return bool(stamp and seen.get("stamp")) and seen["stamp"] != stamp


def note_of(
    record: dict[str, Any], path: str, current: str, before: str, after: str, *, stamp: str = ""
) -> dict[str, Any]:
    """The note of a write that is about to happen while `current` runs."""
    loaded = content(record, path, current, before, stamp=stamp)
    return {"during": current, "stamp": stamp, "before": loaded, "after": after, "open": True}


def declared_units(work: Work) -> list[Unit]:
    """The units that are declared for this host."""
    return [one for one in work.declared.values() if one.type == "unit"]  # type: ignore[misc]  # the type says that it is a Unit


def declared_links(work: Work) -> dict[str, str]:
    """The declared symbolic links, and the path that each of them leads to."""
    links = [one for one in work.declared.values() if one.type == "symlink"]
    return {one.path: os.path.normpath(os.path.join(os.path.dirname(one.path), one.target)) for one in links}  # type: ignore[attr-defined]  # the type says that it is a Symlink


def listed(resource: Unit) -> dict[str, str]:
    """What a unit is declared to load, and how it takes a change."""
    return {**dict.fromkeys(resource.reload_on, RELOAD), **dict.fromkeys(resource.restart_on, RESTART)}


def guest(resource: Unit) -> str:
    """The component of a unit of which nothing is declared but what it loads; empty for one that hakit manages."""
    return resource.component if resource.enabled is None and resource.running is None else ""


def is_guest(key: str, work: Work) -> bool:
    """Whether this key is that of a unit of which nothing was declared but what it loads."""
    kind, _, unit = key.partition(":")
    return kind == "unit" and bool(work.state.loaded.get(unit, {}).get("guest"))


def used(record: dict[str, Any]) -> dict[str, str]:
    """What a unit was declared to load, and how it takes a change, as recorded."""
    uses: dict[str, str] = record.get("uses", {})
    return uses


def users_of(paths: Iterable[str], work: Work) -> list[str]:
    """The units that load one of these paths: as declared, or as recorded."""
    wanted = set(paths)
    units = [one.name for one in declared_units(work) if wanted.intersection(listed(one))]
    units += [
        unit for unit, record in work.state.loaded.items() if unit not in units and wanted.intersection(used(record))
    ]
    return units


def remember_uses(work: Work) -> None:
    """Remember durably which of the things that hakit made are loaded by units, where that is news. Raises Failure.

    Whoever begins to list what is in place already is not changed, and so would leave no record of it.
    """
    from hakit.agent.handlers.files import declared_paths

    paths = {*declared_paths(work), *declared_links(work)}
    news = False
    for one in declared_units(work):
        now = listed(one)
        record = work.state.loaded.get(one.name, {})
        before = used(record)
        uses = {entry: how for entry, how in before.items() if entry in now or entry not in paths}
        uses.update(
            (entry, how)
            for entry, how in now.items()
            if entry in work.state.files or {entry, f"symlink:{entry}"} & work.state.items.keys()
        )
        if uses != before or (uses and record.get("guest", "") != guest(one)):
            work.state.loaded.setdefault(one.name, record).update({"uses": uses, "guest": guest(one)})
            news = True
    if news:
        work.state.save_loaded()


class Writing:
    """Notes around the renames of one set: made before, confirmed after."""

    def __init__(self, writes: dict[str, tuple[str, str]], work: Work) -> None:
        self._work = work
        links = {link: writes[path] for link, path in declared_links(work).items() if path in writes}
        self._writes = writes = {**links, **writes}
        self._units = users_of(writes, work)
        self._during: dict[str, str] = {}

    def before(self) -> None:
        """Remember durably what runs now. Raises Failure."""
        if not self._units:
            return
        state = show(self._units, self._work)
        for unit in self._units:
            record = self._work.state.loaded.setdefault(unit, {})
            self._during[unit] = current = invocation(state[unit])
            notes = {
                path: note_of(record, path, current, before, after, stamp=stamp_of(state[unit]))
                for path, (before, after) in self._writes.items()
                if self._loads(unit, record, path)
            }
            record.setdefault("written", {}).update(notes)
            declared = self._declared(unit)
            if declared is not None:
                uses = listed(declared)
                record["guest"] = guest(declared)
                record.setdefault("uses", {}).update((path, uses[path]) for path in self._writes if path in uses)
        self._work.state.save_loaded()

    def after(self) -> None:
        """Confirm the notes of the units whose invocation is still the same. Raises Failure."""
        if not self._units:
            return
        state = show(self._units, self._work)
        for unit in self._units:
            if invocation(state[unit]) != self._during[unit]:
                continue
            for path, note in self._work.state.loaded[unit]["written"].items():
                if path in self._writes and not path.startswith(SYSTEMD):
                    note["open"] = False
        self._work.state.save_loaded()

    def _declared(self, unit: str) -> Unit | None:
        return self._work.declared.get(f"unit:{unit}")  # type: ignore[return-value]  # a key of units names a Unit

    def _loads(self, unit: str, record: dict[str, Any], path: str) -> bool:
        declared = self._declared(unit)
        return path in used(record) or (declared is not None and path in listed(declared))


def confirm_read(work: Work) -> None:
    """Confirm, once systemd has read its files, the notes of the units that still run as before. Raises Failure."""
    open_notes = {
        unit: notes
        for unit, record in work.state.loaded.items()
        for notes in [
            [one for path, one in record.get("written", {}).items() if one["open"] and path.startswith(SYSTEMD)]
        ]
        if notes
    }
    for unit, properties in show(open_notes, work).items():
        for note in open_notes[unit]:
            note["open"] = note["during"] != invocation(properties)
    if open_notes:
        work.state.save_loaded()


def ask_restart(key: str, work: Work) -> None:
    """Remember durably, before a resource is changed or goes, which running units it makes restart. Raises Failure."""
    units = [
        one.name
        for one in declared_units(work)
        if key in one.restart_on or used(work.state.loaded.get(one.name, {})).get(key) == RESTART
    ]
    running = [unit for unit, found in show(units, work).items() if invocation(found)]
    for unit in running:
        asked = work.state.loaded.setdefault(unit, {}).setdefault("pending", [])
        if key not in asked:
            asked.append(key)
    if running:
        work.state.save_loaded()


def hashes(paths: Iterable[str], work: Work) -> dict[str, str]:
    """The hashes of what is on disk."""
    return {path: disk.hash_of(work.at(path)) for path in paths if path.startswith("/")}


def record_loaded(
    resource: Unit, properties: dict[str, str], files: dict[str, str], uses: dict[str, str], work: Work
) -> None:
    """Remember durably that what runs now has loaded these contents; nothing is due any more. Raises Failure."""
    work.state.loaded[resource.unit] = {
        "invocation": invocation(properties),
        "stamp": stamp_of(properties),
        "files": files,
        "written": {},
        "pending": [],
        "uses": uses,
        "guest": guest(resource),
    }
    work.state.save_loaded()
