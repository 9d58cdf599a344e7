"""What is known of a host's disks and arrays beyond the inventory, and what that makes of the declared ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.components.raid.model import NAME, device, filesystem_uuid, full_name, new_uuid, words
from hakit.components.raid.values import BY_ID, SERIAL, WWN
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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

    Where its disks hold several that could be meant it is one of them, the one that runs before the others: the host
    refuses it with what was found on which disk, and goes on with the other arrays.
    """
    storage = facts.storage
    wanted, own = full_name(host.name, name), new_uuid(host.name, name, array)
    if storage is None:
        return Known(own, wanted)
    there = list(_members(name, array, storage))
    running = {one.uuid: one for one in storage.arrays}
    if own in {*running, *(one.uuid for one in there)}:
        found = [own]
    else:
        found = list(dict.fromkeys(one.uuid for one in there if array.adopt or one.name == wanted))
        found.sort(key=lambda uuid: uuid not in running)
    if not found:
        return Known(own, wanted)
    names = [one.name for one in there if one.uuid == found[0]] or [wanted]
    return Known(found[0], names[0] or wanted, running.get(found[0]), made=True)


def _members(name: str, array: Array, storage: SeenStorage) -> Iterator[SeenMember]:
    """The superblocks on the declared disks."""
    for word in words(name, array):
        for disk in disks(word.device, storage):
            yield from disk.members


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


def foreign(known: Mapping[str, Known], storage: SeenStorage | None) -> tuple[str, ...]:
    """The ARRAY lines of arrays that are not hakit's: those of the host's own file, then of others that run.

    One that has the name of a declared array gets none: two arrays can't have one name, and the host refuses the
    declared one while the other is there.
    """
    if storage is None:
        return ()
    told = {plain(one.uuid) for one in known.values()}
    names = {device(name) for name in known}
    kept: list[str] = []
    for line in storage.lines:
        uuid = match[1] if (match := _UUID.search(line)) else ""
        path = match[1] if (match := _LINE.match(line)) else ""
        if plain(uuid) not in told and (path if path.startswith("/dev/") else device(path)) not in names:
            told.add(plain(uuid))
            kept.append(line)
    for one in storage.arrays:
        # A name with a colon is what mdadm calls an array that it takes for another host's.
        name = "" if ":" in one.device else one.device.rpartition("/")[2]
        if plain(one.uuid) not in told and name and device(name) not in names:
            kept.append(f"ARRAY {device(name)} UUID={one.uuid}")
    return tuple(kept)
