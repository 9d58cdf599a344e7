"""The disks and arrays that a plan has to know before it can say what is declared: read from files, nothing is run."""

from __future__ import annotations

import os
from re import findall

from hakit.agent.raid.arrays import uuid_of
from hakit.agent.raid.disks import CLASS, SECTOR, disks, text, udev
from hakit.agent.raid.superblock import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.raid.disks import Disk
    from hakit.agent.work import Work

CONF = "/etc/mdadm/mdadm.conf"
UUID = r"(?i)\buuid=([0-9a-f:]{32,35})"


def found(work: Work) -> dict[str, Any]:
    """`disks`, `arrays`, `volumes` and `lines`.

    Of a disk: serial, wwn, links (names in /dev/disk/by-id, its partitions' too), size in bytes, bus, removable, and
    `members`, the md superblocks on it and its partitions (uuid, name, level, role, version). Of an array that runs:
    uuid, name (`host:array`, or empty), device (its name in /dev/md, or empty), level, version, degraded (members that
    are missing), sync (what it does), filesystem and its uuid. Of a logical volume: group, volume, size, filesystem
    and its uuid. `lines` are the ARRAY lines of mdadm.conf.
    """
    there = disks(work)
    return {
        "disks": [_disk(one, there, work) for one in there if not one.parent],
        "arrays": [one for one in (_array(name, work) for name in _names(work)) if one["uuid"]],
        "volumes": [one for one in (_volume(name, work) for name in _mapped(work)) if one["group"]],
        "lines": lines(text(CONF, work)),
    }


def _names(work: Work) -> list[str]:
    folder = work.at(CLASS)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [name for name in names if os.path.isdir(f"{folder}/{name}/md")]


def lines(conf: str) -> list[str]:
    """The ARRAY lines of a mdadm.conf(5) with a UUID, each in one line: one that is indented continues the last."""
    joined: list[str] = []
    for line in conf.splitlines():
        bare = line.partition("#")[0]
        if bare[:1].isspace() and joined:
            joined[-1] += " " + bare.strip()
        else:
            joined.append(bare.strip())
    return [" ".join(line.split()) for line in joined if line.lower().startswith("array ") and findall(UUID, line)]


def _disk(one: Disk, there: Iterable[Disk], work: Work) -> dict[str, Any]:
    parts = [other for other in there if other.parent == one.name]
    return {
        "serial": one.serial,
        "wwn": one.wwn,
        "links": [name for part in (one, *parts) for name in part.links],
        "size": one.size,
        "bus": one.bus,
        "removable": one.removable,
        "members": [member for part in (one, *parts) for member in _members(part, work)],
    }


def _members(one: Disk, work: Work) -> list[dict[str, Any]]:
    try:
        fd = os.open(work.at(one.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:  # it was just pulled, or holds no medium: whoever needs it says so
        return []
    try:
        there = members(lambda offset, length: os.pread(fd, length, offset), one.size)
    except OSError:
        return []
    finally:
        os.close(fd)
    names = ("uuid", "name", "level", "role", "version")
    return [{name: getattr(member, name) for name in names} for member in there if member.sound and member.here]


def _array(name: str, work: Work) -> dict[str, Any]:
    folder = f"{CLASS}/{name}"
    known = udev(text(f"{folder}/dev", work), work)
    degraded = text(f"{folder}/md/degraded", work)
    return {
        "uuid": known.get("MD_UUID", "") or uuid_of(text(f"{folder}/md/uuid", work)),
        "name": known.get("MD_NAME", ""),
        "device": known.get("MD_DEVNAME", ""),
        "level": text(f"{folder}/md/level", work).replace("raid", ""),
        "version": text(f"{folder}/md/metadata_version", work),
        "degraded": int(degraded) if degraded.isdigit() else 0,
        "sync": text(f"{folder}/md/sync_action", work),
        "filesystem": known.get("ID_FS_TYPE", ""),
        "filesystem_uuid": known.get("ID_FS_UUID", ""),
    }


def _mapped(work: Work) -> list[str]:
    folder = work.at(CLASS)
    return sorted(name for name in os.listdir(folder) if name.startswith("dm-")) if os.path.isdir(folder) else []


def _volume(name: str, work: Work) -> dict[str, Any]:
    folder = f"{CLASS}/{name}"
    known = udev(text(f"{folder}/dev", work), work)
    size = text(f"{folder}/size", work)
    return {
        "group": known.get("DM_VG_NAME", ""),
        "volume": known.get("DM_LV_NAME", ""),
        "size": int(size) * SECTOR if size.isdigit() else 0,
        "filesystem": known.get("ID_FS_TYPE", ""),
        "filesystem_uuid": known.get("ID_FS_UUID", ""),
    }
