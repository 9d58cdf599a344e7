"""What is known of a host's disks and arrays beyond the inventory: as its agent tells it and the record keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SeenMember:
    """An md superblock: the array's UUID, its name (`host:array`, empty in metadata 0.90), level, this member's role.

    `role` is the slot, `spare`, `faulty` or `journal`; `version` the metadata's.
    """

    uuid: str
    name: str = ""
    level: str = ""
    role: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class SeenDisk:
    """A disk: what it is known by, its size in bytes, and the md superblocks on it and its partitions.

    `links` are names in /dev/disk/by-id, the partitions' too. `bus` is udev's: `ata`, `scsi`, `nvme`, `virtio`, `usb`.
    """

    serial: str
    wwn: str = ""
    links: tuple[str, ...] = ()
    size: int = 0
    bus: str = ""
    removable: bool = False
    members: tuple[SeenMember, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenArray:
    """An array that runs: `device` is its name in /dev/md (empty: none), `degraded` the number of missing members.

    `sync` is md's own word for what it does (`idle`, `resync`, `recover`, `check`, …).
    """

    uuid: str
    name: str = ""
    device: str = ""
    level: str = ""
    version: str = ""
    degraded: int = 0
    sync: str = ""
    filesystem: str = ""
    filesystem_uuid: str = ""


@dataclass(frozen=True, slots=True)
class SeenVolume:
    """A logical volume that is active, and the file system on it, empty where there is none."""

    group: str
    volume: str
    filesystem: str = ""
    filesystem_uuid: str = ""


@dataclass(frozen=True, slots=True)
class SeenStorage:
    """Disks, arrays that run, volumes, and the ARRAY lines of the host's present mdadm.conf."""

    disks: tuple[SeenDisk, ...] = ()
    arrays: tuple[SeenArray, ...] = ()
    lines: tuple[str, ...] = ()
    volumes: tuple[SeenVolume, ...] = ()


def storage(seen: Any) -> SeenStorage | None:
    """What a host, or the record of one, tells of its disks. Raises ValueError, KeyError, TypeError."""
    if seen is None:
        return None
    return SeenStorage(
        tuple(_disk(one) for one in seen["disks"]),
        tuple(_array(one) for one in seen["arrays"]),
        tuple(str(line) for line in seen["lines"]),
        tuple(_volume(one) for one in seen.get("volumes", ())),
    )


def _volume(seen: Any) -> SeenVolume:
    return SeenVolume(**{name: str(seen[name]) for name in ("group", "volume", "filesystem", "filesystem_uuid")})


def _disk(seen: Any) -> SeenDisk:
    return SeenDisk(
        serial=str(seen["serial"]),
        wwn=str(seen["wwn"]),
        links=tuple(str(one) for one in seen["links"]),
        size=int(seen["size"]),
        bus=str(seen["bus"]),
        removable=bool(seen["removable"]),
        members=tuple(
            SeenMember(**{name: str(one[name]) for name in ("uuid", "name", "level", "role", "version")})
            for one in seen["members"]
        ),
    )


def _array(seen: Any) -> SeenArray:
    words = ("uuid", "name", "device", "level", "version", "sync", "filesystem", "filesystem_uuid")
    return SeenArray(**{name: str(seen[name]) for name in words}, degraded=int(seen["degraded"]))
