"""The rules that know more where something is known of the disks: which is which, how large, whose clone."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from hakit.components.raid.model import NAME, full_name, words
from hakit.components.raid.seen import disks
from hakit.components.raid.settings import RaidSettings
from hakit.components.raid.values import BY_ID, SERIAL, WWN
from hakit.inventory.types import mebibytes
from hakit.lint.rule import Finding, configured, informed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component, Facts
    from hakit.components.raid.settings import Array
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]
    Known = Mapping[str, Facts]

MIB = 1 << 20
SPREAD = 0.01
"""By how much members may differ before mdadm asks (mdadm's Create.c: 1 %)."""
_PART = re.compile(r"-part[0-9]+$")


@informed(
    "RD002",
    "error",
    reason="sda is whichever disk answers first: after the next boot it may be another one.",
    source="udev(7); https://wiki.debian.org/Persistent_disk_names",
)
def unstable_names(site: Site, components: Components, known: Known) -> Iterator[Finding]:
    """Devices by the kernel's name, and two members on one disk."""
    del components
    for host, settings in configured(site, NAME, RaidSettings):
        taken: dict[str, tuple[str, str]] = {}
        for name, array in settings.arrays.items():
            for word in words(name, array):
                if not word.device.startswith((BY_ID, SERIAL, WWN)):
                    message = f"{word.device} may be another disk after the next boot"
                    write = "/dev/disk/by-id/…  (ls -l /dev/disk/by-id on the host tells it),  serial:…  or  wwn:…"
                    yield Finding(host, word.path, message, write=write, waivable=False)
                    continue
                disk = _disk(host, word.device, known)
                other, before = taken.setdefault(disk, (name, word.device))
                if before is word.device:
                    continue
                same = "" if before == word.device else f" ({before} is the same disk)"
                if other == name:
                    message = f"{word.device} is a member of {name} already{same}: two on one disk die together"
                    yield Finding(host, word.path, message, write="a disk of its own for each member", waivable=False)
                elif not (_PART.search(word.device) and _PART.search(before)) or before == word.device:
                    message = f"{word.device} is in {other} already{same}"
                    yield Finding(host, word.path, message, write="a disk of its own for each array", waivable=False)


def _disk(host: Host, word: str, known: Known) -> str:
    """What tells a word's disk: its serial number where the host was asked, else the word without a partition."""
    facts = known.get(host.name)
    found = disks(word, facts.storage if facts is not None else None)
    return f"{SERIAL}{found[0].serial}" if len(found) == 1 and found[0].serial else _PART.sub("", word)


@informed(
    "RD013",
    "error",
    reason="The smallest member counts, and of two arrays with one UUID nobody knows which one is assembled.",
    source="mdadm(8), --create and --update=uuid; md(4)",
)
def unequal(site: Site, components: Components, known: Known) -> Iterator[Finding]:
    """Members whose sizes differ by more than 1 %, and arrays that are each other's clones."""
    del components
    homes: dict[str, list[tuple[Host, str]]] = defaultdict(list)
    for host, settings in configured(site, NAME, RaidSettings):
        for name, array in settings.arrays.items():
            yield from _sizes(host, name, array, known)
            for uuid in _uuids(host, name, array, known):
                homes[uuid].append((host, name))
    for uuid, places in homes.items():
        for host, name in places[1:]:
            first, other = places[0]
            message = f"{other} of {first.name} has the same UUID, {uuid}: one is a copy of the other's disks"
            write = "mdadm --assemble --update=uuid  on the copy, by hand, before it meets the other"
            yield Finding(host, (NAME, "arrays", name), message, write=write, waivable=False)


def _sizes(host: Host, name: str, array: Array, known: Known) -> Iterator[Finding]:
    if array.size is not None:
        return  # so much of each is taken: that is equal
    found = {
        word.device: _size(host, word.device, known) for word in words(name, array) if word.device != array.journal
    }
    sizes = {device: size for device, size in found.items() if size}
    if len(sizes) < 2:  # noqa: PLR2004 - two of them can differ
        return
    least, most = min(sizes, key=lambda one: sizes[one]), max(sizes, key=lambda one: sizes[one])
    if sizes[most] - sizes[least] > SPREAD * sizes[most]:
        path: Path = (NAME, "arrays", name, "devices")
        message = f"{most} has {sizes[most] // MIB} MiB, {least} only {sizes[least] // MIB}: the rest would be lost"
        yield Finding(host, path, message, write=f"size: {sizes[least] // MIB - 1}MiB  to say so, or equal disks")


def _size(host: Host, word: str, known: Known) -> int:
    """Octets of a disk, as was last seen, or as a lab's inventory says; 0 for unknown."""
    facts = known.get(host.name)
    found = disks(word, facts.storage if facts is not None else None)
    if len(found) == 1:
        return found[0].size
    made = host.hardware.disks.items() if host.hardware is not None else ()
    for name, disk in made:
        serial = disk.serial or name
        if word == f"{SERIAL}{serial}" or word.endswith(f"_{serial}"):
            return mebibytes(disk.size) * MIB
    return 0


def _uuids(host: Host, name: str, array: Array, known: Known) -> set[str]:
    """The UUIDs of a declared array that its disks bear."""
    facts = known.get(host.name)
    if facts is None or facts.storage is None:
        return set()
    wanted = full_name(host.name, name)
    return {
        member.uuid
        for word in words(name, array)
        for disk in disks(word.device, facts.storage)
        for member in disk.members
        if array.adopt or member.name == wanted
    }


KNOWN_RULES = (unstable_names, unequal)
