"""The traps: two disks that an array is declared on, of which one at least is not what it seems.

Each is an array of RAID 1, called as the trap, on the disks `NAME` and `NAME-p`. The first is the trap; the second, its
partner, is blank and of the same size unless said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.raid import images

if TYPE_CHECKING:
    from tests.lab.raid.images import Write

MIB = 1 << 20
BY_ID = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_"
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
    inventory from being planned. `devices` are what the inventory calls its disks. The partner of a trap that is
    `absent` is not there; one with a `clone` has a third disk that tells the serial of the first.
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
    devices: tuple[str, ...] = ()
    absent: bool = False
    clone: bool = False

    @property
    def disks(self) -> tuple[str, ...]:
        """The names of its disks in the lab; the names are their serials, but a clone tells that of the first."""
        pair = (self.name, f"{self.name}-p")
        return (*pair[: 1 if self.absent else 2], *((f"{self.name}-c",) if self.clone else ()))

    def serial(self, disk: str) -> str:
        """What a disk tells."""
        return self.name if disk.endswith("-c") else disk

    @property
    def words(self) -> tuple[str, ...]:
        """What the inventory says."""
        return self.devices or (f"serial:{self.name}", f"serial:{self.name}-p")

    @property
    def variables(self) -> str:
        """Shell: `a` and `b` are its disks, under names that last."""
        return f"a={BY_ID}{self.name}; b={BY_ID}{self.name}-p;"


def superblock(metadata: str) -> str:
    """Shell: make the first disk a member of an array that nobody declares, with metadata of this version."""
    made = CREATE.format(metadata=metadata, home="elsewhere", name="old", disks="$a missing")
    return f"{made} && mdadm --stop /dev/md99"


RELEASED = (
    "for held in /sys/class/block/$(basename $(readlink -f $a))/holders/*; do mdadm --stop /dev/${held##*/}; done"
)
"""udev starts what it finds members of; here it is only the superblock that counts."""
FOREIGN = (
    f"{CREATE.format(metadata='1.2', home='elsewhere', name='theirs', disks='$a $b')}"
    " && echo theirs >/dev/md99 && sync && mdadm --stop /dev/md99"
)
OLD = r"array (elsewhere:old )?.*metadata {}|superblock.*{}"
TRAPS = (
    Trap("ext4", "ext4", images.ext4, "ext4"),
    Trap("xfs", "xfs", images.xfs, "xfs", size=320 * MIB),
    Trap("btrfs", "btrfs", images.btrfs, "btrfs", size=160 * MIB),
    Trap("luks", "luks", images.luks, "crypto_LUKS"),
    Trap("lvm", "LVM", images.physical_volume, "LVM2_member"),
    Trap("gpt", "GPT|partition", images.gpt, "gpt"),
    Trap("mbr", "MBR|DOS|partition", images.table, "dos"),
    Trap("swap", "swap", images.swap, "swap"),
    Trap("old090", OLD.format("0.90", "0.90"), made=superblock("0.90"), sprung=RELEASED),
    Trap("old10", OLD.format("1.0", "1.0"), made=superblock("1.0"), sprung=RELEASED),
    Trap("old12", OLD.format("1.2", "1.2"), made=superblock("1.2"), sprung=RELEASED),
    Trap("foreign", "elsewhere:theirs", made=FOREIGN),
    Trap("mounted", "mounted", images.ext4, "ext4", sprung="mkdir -p /mnt/t && mount -t ext4 -o ro,noload $a /mnt/t"),
    Trap("held", r"held|in use|open|busy|uses", sprung="setsid -f sleep 100000 <$a >/dev/null 2>&1"),
    Trap("looped", r"held|in use|open|busy|uses|loop", sprung="modprobe loop && losetup --find $a"),
    Trap("nogpt", "ext4", images.behind_gpt),
    Trap("nombr", "ext4", images.behind_mbr),
    Trap("backup", "GPT|partition", images.wiped_front),
    Trap("nameless", "data", images.nameless),
    Trap("archive", "data|tar", images.archive),
    Trap("missing", "missing-p|no disk|not there|absent|means no", absent=True),
    Trap("smaller", "smaller|only|differ|equal", partner=32 * MIB, alone=True),
    Trap("twins", "both say|same serial|clones|is 2 disks|2 disks", clone=True),
    Trap(
        "twice",
        "same disk|already",
        alone=True,
        devices=("serial:twice", f"{BY_ID}twice"),
    ),
)
"""Refused, every one, and every disk left as it is."""
STALE = Trap(
    "stale",
    "",
    made=(
        CREATE.format(metadata="1.2", home="one", name="stale", disks="$a $b")
        + " && echo before >/dev/md99 && sync"
        + " && mdadm /dev/md99 --fail $b && echo behind >/dev/md99 && sync && mdadm --stop /dev/md99"
    ),
)
"""A member that was out of the array while that was written to: it is no copy any more, and never taken for one."""
OURS = Trap(
    "ours",
    "",
    made=(
        CREATE.format(metadata="1.2", home="one", name="ours", disks="$a $b")
        + " && echo ours >/dev/md99 && sync && mdadm --stop /dev/md99"
    ),
    sprung=RELEASED,
)
"""An array of this host's own, which does not run: it is assembled, and never created."""
LATE = Trap("late", "ext4", images.ext4, "ext4")
"""A blank disk when the plan was made; another one with its serial when it is carried out."""
ASSEMBLED = (STALE, OURS)
ALL = (*TRAPS, *ASSEMBLED, LATE)
