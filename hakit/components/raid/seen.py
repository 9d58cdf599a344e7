"""What is known of a host's disks and arrays beyond the inventory, and what that makes of the declared ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.components.raid.model import NAME, device, filesystem_uuid, full_name, new_uuid, words
from hakit.components.raid.values import BY_ID, SERIAL, WWN
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.components.base import Facts
    from hakit.components.raid.model import Store
    from hakit.components.raid.settings import Array, RaidSettings
    from hakit.components.storage import SeenArray, SeenDisk, SeenMember, SeenStorage
    from hakit.inventory.model import Host

_UUID = re.compile(r"(?i)\buuid=([0-9a-f:.-]{32,36})")
_LINE = re.compile(r"(?i)array\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Known:
    """Who a declared array is: its UUID, its name in superblocks, and what runs of it.

    `made` is whether it was seen anywhere: on a disk, or running.
    """

    uuid: str
    name: str
    running: SeenArray | None = None
    made: bool = False


def disks(word: str, storage: SeenStorage | None) -> tuple[SeenDisk, ...]:
    """The disks that a word of the inventory fits; several where one is another's clone."""
    if storage is None:
        return ()
    return tuple(one for one in storage.disks if _fits(word, one))


def _fits(word: str, disk: SeenDisk) -> bool:
    if word.startswith(SERIAL):
        serial = word[len(SERIAL) :]
        # udev's link ends with the serial number where a disk tells several.
        return serial == disk.serial or any(link.endswith((f"_{serial}", f"-{serial}")) for link in disk.links)
    if word.startswith(WWN):
        return bool(disk.wwn) and word[len(WWN) :].lower() == disk.wwn.lower()
    return word.startswith(BY_ID) and word[len(BY_ID) :] in disk.links


def plain(uuid: str) -> str:
    """A UUID's digits alone: mdadm.conf may have it with colons, dots, dashes or nothing in between."""
    return re.sub(r"[^0-9a-f]", "", uuid.lower())


def identify(host: Host, name: str, array: Array, facts: Facts) -> Known:
    """Who a declared array is on its host.

    Raises RefusedError where its disks hold two arrays that could be meant, or none that could be adopted; only where
    the host was asked.
    """
    storage = facts.storage
    wanted, own = full_name(host.name, name), new_uuid(host.name, name, array)
    if storage is None:
        return Known(own, wanted)
    there = list(_members(name, array, storage))
    known = {one.uuid for _, one in there} | {one.uuid for one in storage.arrays}
    if own in known:
        found = [own]
    elif array.adopt:
        found = list(dict.fromkeys(one.uuid for _, one in there))
    else:
        found = list(dict.fromkeys(one.uuid for _, one in there if one.name == wanted))
    running = {one.uuid: one for one in storage.arrays}
    if len(found) > 1:
        found = [uuid for uuid in found if uuid in running] or found
    if len(found) > 1 and facts.live:
        raise _ambiguous(host, name, there, found)
    if not found and array.adopt and facts.live:
        raise RefusedError(
            f"{host.name}: {NAME}.arrays.{name} is to be adopted, and none of its disks bears an array",
            why=f"Looked for at {', '.join(word.device for word in words(name, array))}.",
            hint="correct its devices, or take  adopt  out to have it made",
        )
    if not found:
        return Known(own, wanted)
    names = [one.name for _, one in there if one.uuid == found[0]] or [wanted]
    return Known(found[0], names[0] or wanted, running.get(found[0]), made=True)


def _members(name: str, array: Array, storage: SeenStorage) -> Iterator[tuple[SeenDisk, SeenMember]]:
    """The superblocks on the declared disks."""
    for word in words(name, array):
        for disk in disks(word.device, storage):
            for member in disk.members:
                yield disk, member


def _ambiguous(
    host: Host, name: str, there: Iterable[tuple[SeenDisk, SeenMember]], found: Iterable[str]
) -> RefusedError:
    told = "; ".join(
        f"{uuid} on {', '.join(disk.serial for disk, member in there if member.uuid == uuid)}" for uuid in found
    )
    return RefusedError(
        f"{host.name}: the disks of {NAME}.arrays.{name} bear {len(list(found))} arrays that could be meant",
        why=f"Their superblocks say {told}.",
        hint="keep the disks of the right one in the inventory; the others are left alone",
    )


def identities(host: Host, settings: RaidSettings, facts: Facts) -> dict[str, Known]:
    """All declared arrays of a host by name. Raises RefusedError where two of them are one."""
    found = {name: identify(host, name, array, facts) for name, array in settings.arrays.items()}
    taken: dict[str, str] = {}
    for name, known in found.items():
        other = taken.setdefault(known.uuid, name)
        if other != name:
            raise RefusedError(
                f"{host.name}: {NAME}.arrays.{other} and {name} are one array, {known.uuid}",
                hint="declare it once",
            )
    return found


def filesystem(store: Store, known: Known, storage: SeenStorage | None) -> str:
    """The UUID of a file system: of the one that is there where it is of the declared kind, else hakit's own."""
    own = filesystem_uuid(known.uuid, store.volume)
    if store.volume:
        volumes = storage.volumes if storage is not None else ()
        there = next((one for one in volumes if (one.group, one.volume) == (store.group, store.volume)), None)
        kind, seen = (there.filesystem, there.filesystem_uuid) if there is not None else ("", "")
    elif known.running is not None:
        kind, seen = known.running.filesystem, known.running.filesystem_uuid
    else:
        return own
    return seen if seen and kind == store.settings.filesystem else own


def foreign(host: Host, known: Mapping[str, Known], storage: SeenStorage | None) -> tuple[str, ...]:
    """The ARRAY lines of arrays that are not hakit's: those of the host's own file, then of others that run.

    Raises RefusedError where one that is there has the name of a declared array.
    """
    if storage is None:
        return ()
    ours = {plain(one.uuid) for one in known.values()}
    there = {plain(one.uuid): one for one in storage.arrays}
    alive = {*there, *(plain(member.uuid) for disk in storage.disks for member in disk.members)}
    names = {device(name): name for name in known}
    kept: list[str] = []
    told: set[str] = set()
    for line in storage.lines:
        uuid = _uuid_of(line)
        path = match[1] if (match := _LINE.match(line)) else ""
        path = path if path.startswith("/dev/") else device(path)
        if uuid in ours or uuid in told:
            continue
        if path in names and uuid not in alive:
            continue  # it named an array that is gone
        if path in names:
            raise _taken(host, names[path], uuid)
        told.add(uuid)
        kept.append(line)
    for uuid, one in there.items():
        name = one.device.rpartition("/")[2] or one.name.rpartition(":")[2]
        if uuid in ours or uuid in told or not name:
            continue
        if name in known:
            raise _taken(host, name, uuid)
        kept.append(f"ARRAY {device(name)} UUID={one.uuid}")
    return tuple(kept)


def _uuid_of(line: str) -> str:
    found = _UUID.search(line)
    return plain(found[1]) if found else ""


def _taken(host: Host, name: str, uuid: str) -> RefusedError:
    return RefusedError(
        f"{host.name}: another array of this host is called {device(name)}: the one with UUID {uuid}",
        why="Its disks are not those that the inventory declares.",
        hint=f"call {NAME}.arrays.{name} otherwise; or if it is meant, name its disks and say  adopt: true",
    )
