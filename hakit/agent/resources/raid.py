"""RAID arrays and what stands on them: volumes, file systems, mounts, and what the early boot knows of it all.

A device is one of three words, and never the kernel's name, which may be another disk's after the next boot:
`/dev/disk/by-id/NAME` (udev's link), `serial:SERIAL`, `wwn:0xWWN`. Whoever carries a declaration out resolves the words
a moment before each step, in one place (`hakit.agent.raid.disks`), and refuses a word that means no disk, or two.

The UUID of an array, `uuid`, is known before the array is: it is that of the superblocks on its disks, or where there
are none the one that hakit gives it. So it tells for each device what it is: a member (its superblock says this UUID),
empty (`hakit.agent.raid.proof` finds nothing, anywhere), or something that nobody touches.
"""

from __future__ import annotations

from hakit.agent.resources.base import Resource
from hakit.agent.resources.files import File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from hakit.agent.declare import Declaration

    Nested = dict[str, type[Declaration]]

BITMAP, PPL, JOURNAL, RESYNC = "bitmap", "ppl", "journal", "resync"
"""How an array gets its members to agree after a crash: md(4), and mdadm(8) `--consistency-policy`."""

STARTED = "/etc/modprobe.d/mdraid-hakit.conf"
"""What has md start arrays writable, on hosts with a RAID 10. By its name it comes after Debian's mdadm.conf, which
says otherwise: of what is said twice the last counts (modprobe.d(5) and the kernel's parameters)."""


class Array(Resource):
    """An md array, `/dev/md/<array>`.

    What is to be done follows from what its devices bear, in this order:

    - It runs, with this UUID: it is as it is. A declared device that is no member of it and a member that is not
      declared are told, never added, never removed (`hakit raid replace` does). Another level, number of members, chunk
      or layout than declared is told, too: a reshape is a command of its own.
    - Some devices have its superblocks (UUID `uuid`): it is assembled from those, by `--uuid` and the devices, without
      `--force`; the rest is told. Where the superblocks contradict each other it is refused.
    - All devices are proven empty: it is created, unless `adopt`. The proof is made for the plan, and again in the
      moment of the change with all devices opened exclusively. mdadm gets metadata 1.2, the bitmap's choice, `host`,
      `array` and `uuid`, nothing on its stdin, and neither `--force` nor `--run` nor `--assume-clean`: where it would
      ask, it has refused.
    - A device bears anything else: it is refused with what was found on which disk. A disk whose serial is in `wipe`
      *and* confirmed for this very run is wiped of that first, unless somebody holds it.

    `uuid` is four times eight small hexadecimal digits with colons, as mdadm prints it. `adopt` when the inventory
    names it: the array is somebody's already. `host` and `array` make the name in the superblock, `host:array`. `level`
    is 0, 1, 4, 5, 6 or 10. `devices` are the members in their order, `spares` and `journal` (empty: none) come
    beside them. With `partition` a disk is not a member itself: the GPT partition is that hakit makes on it, `size`
    MiB from 1 MiB on (0: all but the first and the last MiB of the disk). Without it `size` is
    what each member gives (0: all of it).
    `chunk` is in KiB (0: mdadm's choice), `layout` mdadm's word for it (empty: its choice). `consistency` is one of
    `bitmap`, `ppl`, `journal`, `resync`. `wipe` are the serials that the inventory allows to wipe, `confirmed` those
    that the command line names for this very run: a disk is wiped that is among both.

    Removal only reports: an array that leaves the inventory goes on as it is.
    """

    type: ClassVar[str] = "array"
    array: str
    host: str
    uuid: str
    level: int
    devices: tuple[str, ...]
    spares: tuple[str, ...] = ()
    journal: str = ""
    partition: bool = False
    size: int = 0
    chunk: int = 0
    layout: str = ""
    consistency: str = BITMAP
    adopt: bool = False
    wipe: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.array


class Initramfs(Resource):
    """The early boot's copy of mdadm.conf: without it an array comes up under a name that nobody expects (md127).

    In place when each `/boot/initrd.img-*` holds `path` and the files in `also` as they are on the disk now, lines that
    say CREATE aside (Debian's hook takes them out); otherwise `update-initramfs -u -k all`. What a copy was found to
    hold is remembered with what nobody can set back: the image's inode, size and change time. A host without such
    images has nothing to do.
    """

    type: ClassVar[str] = "initramfs"
    path: str
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.path


class Volumegroup(Resource):
    """An LVM volume group on an array, and on nothing else.

    Made where the array is new in this run or reads as nothing but zeros in the places of the proof; there when its one
    physical volume is the array. A group of this name on other devices, or other physical volumes in it, is refused.
    Removal only reports.
    """

    type: ClassVar[str] = "volumegroup"
    group: str
    array: str

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.group


class Volume(Resource):
    """A logical volume: `size` MiB, or all that is left of the group where it is 0.

    Made where there is none of this name, with `--wipesignatures n` and `--yes` never given: a signature that shows up
    in it is refused. A smaller one is told, never grown, and never shrunk. Removal only reports.
    """

    type: ClassVar[str] = "volume"
    group: str
    volume: str
    size: int = 0

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return f"{self.group}/{self.volume}"


class Filesystem(Resource):
    """A file system on an array or a volume.

    `device` is `/dev/md/<array>` or `/dev/<group>/<volume>`; `array` the UUID that an array there must have, empty for
    a volume. `kind` is ext4 or xfs. `uuid` is what it gets, or has. Made only on a device that is proven empty as a
    disk is, or on one whose making by hakit was cut short: the host remembers before mkfs begins which array (its UUID)
    it is for. One that is there with `uuid` and `kind` is as it is, its `label` told where it differs; any other is
    refused. `options` go to mkfs when it is made. It has no removal but a report.
    """

    type: ClassVar[str] = "filesystem"
    device: str
    kind: str
    uuid: str
    array: str = ""
    label: str = ""
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.device


class Mount(Resource):
    """A mount unit, enabled and mounted: `path` by the UUID of the file system.

    `unit` is its name (systemd-escape --path) and `file` its file. The unit is wanted by local-fs.target and its
    options say `nofail`: a host boots without the array, while what needs the mount (RequiresMountsFor=) does not start
    without it. A mount point that holds anything while it is not mounted is refused: that would be hidden. Another
    device mounted there is refused. Changed options are taken by a remount. Removal only reports: nothing is ever
    unmounted.
    """

    type: ClassVar[str] = "mount"
    nested: ClassVar[Nested] = {"file": File}
    path: str
    unit: str
    uuid: str
    file: File

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.path
