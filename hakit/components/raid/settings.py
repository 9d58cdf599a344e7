"""Settings of raid: arrays, what stands on them, and who is told when a disk dies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hakit.components.raid.values import ArrayName, Calendar, Chunk, Device, GroupName, Serial, VolumeName
from hakit.inventory.types import AbsPath, Duration, Settings, Size, Word, expected

Level = Literal[0, 1, 4, 5, 6, 10]
Consistency = Literal["bitmap", "ppl", "journal", "resync"]
Devices = tuple[Device, ...]


def _tenths(value: float) -> float:
    # SCT Error Recovery Control counts in tenths of a second, 16 bits of them (ACS-3, 8.3.3).
    if not 0.1 <= value <= 6553.5 or abs(value * 10 - round(value * 10)) > 1e-6:  # noqa: PLR2004 - as said above
        raise expected("a time from 100ms to 1h49m in tenths of a second", f"{value:g}s")
    return value


def _whole_seconds(value: float) -> float:
    if not 1 <= value <= 3600 or value != int(value):  # noqa: PLR2004 - the message says both
        raise expected("whole seconds from 1s to 1h", f"{value:g}s")
    return value


def _window(value: float) -> float:
    if value < 60 or value != int(value):  # noqa: PLR2004 - the message says it
        raise expected("whole seconds, at least 1m", f"{value:g}s")
    return value


def _option(value: str) -> str:
    if "," in value or "'" in value or '"' in value or "%" in value or "\\" in value:
        raise expected("one option (a list has one in each item) without quotes, '%' and '\\'", value)
    return value


def _mail(value: str) -> str:
    # mdadm.conf(5): words in a line, '#' begins a comment, '=' and quotes have meanings of their own.
    if any(sign in value for sign in "#\"'\\") or value.startswith("-"):
        raise expected("a mail address, or the name of a user of the host", value)
    return value


Option = Annotated[Word, AfterValidator(_option)]
Mail = Annotated[Word, AfterValidator(_mail)]


class OnDisk(Settings):
    """A file system, and where it is mounted."""

    filesystem: Literal["ext4", "xfs"] | None = Field(default=None, description="What it is formatted as, once.")
    label: Word | None = Field(default=None, description="The file system's label.")
    mkfs: tuple[Option, ...] = Field(default=(), description="More options for mkfs, each a word of its own.")
    mount: AbsPath | None = Field(default=None, description="Where it is mounted.")
    options: tuple[Option, ...] = Field(
        default=(), description="More options of the mount. `nofail` is always one: a host boots without its array."
    )


class Volume(OnDisk):
    """A logical volume."""

    size: Size | None = Field(default=None, description="How large it is made; left out: all that is left.")


class Lvm(Settings):
    """A volume group on an array."""

    group: GroupName | None = Field(default=None, description="Its name; left out: the array's.")
    volumes: dict[VolumeName, Volume] = Field(default_factory=dict, description="Logical volumes by name.")


class Array(OnDisk):
    """Several disks as one. It is created on disks that are proven empty, and on nothing else."""

    level: Level = Field(description="What it is made of: 0 stripes, 1 copies, 4, 5, 6 parity, 10 copies in stripes.")
    devices: Devices = Field(description="Its members, in their order.")
    spares: Devices = Field(default=(), description="Disks that stand by to take a dead one's place.")
    journal: Device | None = Field(default=None, description="A device (an SSD) for the write journal of RAID 4, 5, 6.")
    partition: bool = Field(
        default=False, description="Make one partition on each disk for it, instead of taking the disk whole."
    )
    size: Size | None = Field(default=None, description="How much of each disk it takes; left out: all.")
    chunk: Chunk | None = Field(default=None, description="How much of a stripe is on one disk; left out: mdadm's.")
    layout: Word | None = Field(
        default=None,
        description="mdadm's word for where copies or parity go (n2, f2, left-symmetric); left out: mdadm's.",
    )
    consistency: Consistency | None = Field(
        default=None,
        description="How members agree again after a crash; left out: bitmap. ppl: RAID 5; resync: reads all of it.",
    )
    lvm: Lvm | None = Field(default=None, description="Volumes on it, instead of one file system.")
    adopt: bool = Field(
        default=False, description="It is there already, made by somebody: it is assembled, never created."
    )


class Monitor(Settings):
    """Who is told of a dead disk."""

    mail: Mail | None = Field(default=None, description="Who gets mail; the host needs something that delivers it.")
    program: AbsPath | None = Field(
        default=None,
        description="A program that is run with the event, the array and the disk (mdadm(8), MONITOR MODE).",
    )


class Scrub(Settings):
    """Reading all arrays through from time to time, so that a bad sector is found while a good copy is there."""

    enabled: bool = Field(default=True, description="Whether it is done.")
    schedule: Calendar = Field(default="Sun *-*-1..7 01:00", description="When it begins, as systemd.time(7) has it.")
    window: Annotated[Duration, AfterValidator(_window)] = Field(
        default=21600.0, description="How long it may take at a time; the rest follows in the next nights."
    )


class Timeouts(Settings):
    """How long a disk tries to read a bad sector, and how long the kernel waits for it. ATA disks alone."""

    enabled: bool = Field(default=True, description="Whether they are set.")
    disk: Annotated[Duration, AfterValidator(_tenths)] = Field(
        default=7.0, description="What a disk is told to give up after (SCT ERC)."
    )
    kernel: Annotated[Duration, AfterValidator(_whole_seconds)] = Field(
        default=180.0, description="How long the kernel waits for a disk that can't be told."
    )


class RaidSettings(Settings):
    """Arrays of disks, what stands on them, and who is told when one dies.

    A disk that holds anything is never touched: its serial number has to be in `wipe` and on the command line.
    """

    arrays: dict[ArrayName, Array] = Field(default_factory=dict, description="Arrays by name.")
    wipe: tuple[Serial, ...] = Field(
        default=(), description="Serial numbers of disks that may be wiped, once  --wipe SERIAL  says so too."
    )
    monitor: Monitor = Field(default_factory=Monitor, description="Who is told of a dead disk.")
    scrub: Scrub = Field(default_factory=Scrub, description="When arrays are read through.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long bad sectors may take.")
