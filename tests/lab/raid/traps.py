"""The traps: two disks that an array is declared on, of which one at least is not what it seems.

Each is an array of RAID 1, called t00, t01, … so that its name tells nothing, on the disks `tNN` and `tNN-p`. The first
is the trap; the second, its partner, is blank and of the same size unless said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.raid import images

if TYPE_CHECKING:
    from tests.lab.raid.images import Write

MIB = 1 << 20
BY_ID = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_"
ARRAY = "{array}"
"""In a script: what the array is called."""
CREATE = (
    "mdadm --create /dev/md99 --run --assume-clean --level=1 --raid-devices=2 --bitmap=none"
    " --metadata={metadata} --homehost={home} --name={name} {disks} </dev/null"
)
"""An array of somebody else's making: with the words that hakit must never say."""


@dataclass(frozen=True)
class Trap:
    """A trap; what hakit says of it matches `said` (a regular expression).

    `write` makes the disk's image on this machine, `kind` is what util-linux takes that for. `made` is a script that
    makes it on the machine itself before it is booted for the trap, `sprung` one that runs when it has booted; both
    have the disks in `$a` and `$b`. `alone`: what is wrong is seen before the disks are, and keeps every array of the
    inventory from being planned. The partner of a trap that is `absent` is not there; one with a `clone` has a third
    disk that tells the serial of the first; of one that is `double` both devices are the first disk.
    """

    name: str
    said: str
    write: Write | None = None
    kind: str = ""
    size: int = 64 * MIB
    partner: int = 0
    made: str = ""
    sprung: str = ""
    alone: bool = False
    absent: bool = False
    clone: bool = False
    double: bool = False

    @property
    def array(self) -> str:
        """What its array is called, and its first disk."""
        return f"t{ALL.index(self):02}"

    @property
    def disks(self) -> tuple[str, ...]:
        """The names of its disks in the lab; the names are their serials, but a clone tells that of the first."""
        pair = (self.array, f"{self.array}-p")
        return (*pair[: 1 if self.absent else 2], *((f"{self.array}-c",) if self.clone else ()))

    def serial(self, disk: str) -> str:
        """What a disk tells."""
        return self.array if disk.endswith("-c") else disk

    @property
    def words(self) -> tuple[str, ...]:
        """What the inventory says."""
        same = f"{BY_ID}{self.array}" if self.double else f"serial:{self.array}-p"
        return f"serial:{self.array}", same

    def script(self, text: str) -> str:
        """A shell script about its disks, which are `$a` and `$b` under names that last."""
        return f"set -e; a={BY_ID}{self.array}; b={BY_ID}{self.array}-p; {text.replace(ARRAY, self.array)}"


def superblock(metadata: str) -> str:
    """Shell: make the first disk a member of an array that nobody declares, with metadata of this version."""
    made = CREATE.format(metadata=metadata, home="elsewhere", name="old", disks="$a missing")
    return f"{made} && mdadm --stop /dev/md99"


RELEASED = (
    "for held in /sys/class/block/$(basename $(readlink -f $a))/holders/*; do"
    " [ ! -e $held ] || mdadm --stop /dev/${held##*/}; done"
)
"""udev starts what it finds members of; here it is only the superblock that counts."""
FOREIGN = (
    f"{CREATE.format(metadata='1.2', home='elsewhere', name='theirs', disks='$a $b')}"
    " && echo theirs >/dev/md99 && sync && mdadm --stop /dev/md99"
)
TRAPS = (
    Trap("ext4", "ext4 at the beginning", images.ext4, "ext4"),
    Trap("xfs", "xfs at the beginning", images.xfs, "xfs", size=320 * MIB),
    Trap("btrfs", "btrfs at the beginning", images.btrfs, "btrfs", size=160 * MIB),
    Trap("luks", "LUKS at the beginning", images.luks, "crypto_LUKS"),
    Trap("lvm", "LVM physical volume", images.physical_volume, "LVM2_member"),
    Trap("gpt", "a GPT at byte 512", images.gpt, "gpt"),
    Trap("mbr", "MBR with 1 partition", images.table, "dos"),
    Trap("swap", "swap at the beginning", images.swap, "swap"),
    Trap("old090", r"a member of the array .*metadata 0\.90", made=superblock("0.90"), sprung=RELEASED),
    Trap("old10", r"a member of the array elsewhere:old .*metadata 1\.0", made=superblock("1.0"), sprung=RELEASED),
    Trap("old12", r"a member of the array elsewhere:old .*metadata 1\.2", made=superblock("1.2"), sprung=RELEASED),
    Trap("foreign", "elsewhere:theirs", made=FOREIGN),
    Trap(
        "mounted",
        "is mounted on /mnt/t",
        images.ext4,
        "ext4",
        sprung="mkdir -p /mnt/t && mount -t ext4 -o ro,noload $a /mnt/t",
    ),
    Trap("held", "is open in sleep", sprung="setsid -f sleep 100000 <$a >/dev/null 2>&1"),
    Trap("looped", "is behind loop0", sprung="modprobe loop && losetup --find $a"),
    Trap("nogpt", "ext4, as behind a lost partition table, at 1 MiB", images.behind_gpt),
    Trap("nombr", "ext4, as behind a lost partition table, at byte 32256", images.behind_mbr),
    Trap("backup", "the spare GPT", images.wiped_front),
    Trap("nameless", "data without any signature", images.nameless),
    Trap("archive", "data without any signature", images.archive),
    Trap("missing", "there is no disk serial:", absent=True),
    Trap("smaller", "only 32", partner=32 * MIB, alone=True),
    Trap("twins", "is 2 disks", clone=True),
    Trap("twice", "same disk", alone=True, double=True),
)
"""Refused, every one, and every disk left as it is."""
STALE = Trap(
    "stale",
    "",
    made=(
        CREATE.format(metadata="1.2", home="one", name=ARRAY, disks="$a $b")
        + " && echo before >/dev/md99 && sync"
        + " && mdadm /dev/md99 --fail $b && echo behind >/dev/md99 && sync && mdadm --stop /dev/md99"
    ),
)
"""A member that was out of the array while that was written to: it is no copy any more, and never taken for one."""
OURS = Trap(
    "ours",
    "",
    made=(
        CREATE.format(metadata="1.2", home="one", name=ARRAY, disks="$a $b")
        + " && echo ours >/dev/md99 && sync && mdadm --stop /dev/md99"
    ),
    sprung=RELEASED,
)
"""An array of this host's own, which does not run: it is assembled, and never created."""
LATE = Trap("late", "ext4", images.ext4, "ext4")
"""A blank disk when the plan was made; another one with its serial when it is carried out."""
ASSEMBLED = (STALE, OURS)
ALL = (*TRAPS, *ASSEMBLED, LATE)
