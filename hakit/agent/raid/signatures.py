"""What stands on a disk, or behind an offset on it, named by its signature: read by ourselves, without tools.

The names are for people. That a disk is *empty* follows from no list of signatures, but from its bytes being zero
(`hakit.agent.raid.proof`). Sources of offsets: libblkid's and the file systems' own on-disk formats (ext4: kernel,
Documentation/filesystems/ext4/super.rst; XFS Algorithms & Data Structures; btrfs on-disk format; LUKS2 on-disk format;
lvm2, lib/format_text/layout.h; swapon(8); NTFS and FAT boot sectors).
"""

from __future__ import annotations

from hakit.agent.raid.finding import MEMBER, SIGNATURE, TABLE, Finding
from hakit.agent.raid.superblock import SECTOR, members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.raid.superblock import Read

HEAD = 68 << 10  # bytes from the beginning that hold every signature below: btrfs has its own at 64 KiB
MARKS = (
    (0x438, b"\x53\xef", "ext2, ext3 or ext4"),
    (0, b"XFSB", "xfs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0x4000, b"SKUL\xba\xbe", "LUKS (its second header)"),
    (4096 - 10, b"SWAPSPACE2", "swap"),
    (4096 - 10, b"SWAP-SPACE", "swap"),
    (65536 - 10, b"SWAPSPACE2", "swap"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (54, b"FAT1", "FAT"),
    (82, b"FAT32   ", "FAT"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x8001, b"CD001", "ISO 9660"),
    (4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), "bcache"),
    (0, b"bluestore block device", "Ceph BlueStore"),
)
LABELS = 4  # sectors of which one may bear LVM's label
ENDS = ((1024, b"Intel Raid ISM Cfg Sig. ", "Intel firmware RAID"), (512, b"\xde\x11\xde\x11", "DDF firmware RAID"))


def signatures(read: Read, base: int = 0) -> list[Finding]:
    """What begins at `base`: file systems, swap, LUKS, LVM. Raises OSError."""
    data = read(base, HEAD)
    found = [
        Finding(SIGNATURE, what, base) for offset, mark, what in MARKS if data[offset : offset + len(mark)] == mark
    ]
    for sector in range(LABELS):
        label = data[sector * SECTOR : (sector + 1) * SECTOR]
        if label.startswith(b"LABELONE"):
            found.append(Finding(SIGNATURE, "an LVM physical volume", base))
    return found


def superblocks(read: Read, size: int) -> list[Finding]:
    """The md superblocks on a device of `size` bytes. Raises OSError."""
    return [
        Finding(MEMBER, one.text() if one.sound else "a damaged md superblock", one.offset)
        for one in members(read, size)
    ]


def tables(read: Read, size: int) -> list[Finding]:
    """Partition tables on a disk of `size` bytes, the spare one at its end too. Raises OSError."""
    found = []
    first = read(0, SECTOR)
    if first[510:512] == b"\x55\xaa":
        kinds = [first[446 + 16 * number + 4] for number in range(4)]
        parts = sum(1 for kind in kinds if kind)
        if 0xEE in kinds:  # noqa: PLR2004 - the type of a protective partition
            found.append(Finding(TABLE, "the protective MBR of a GPT", 0))
        elif parts:
            found.append(Finding(TABLE, f"an MBR with {parts} partition{'s' * (parts > 1)}", 0))
        else:
            found.append(Finding(TABLE, "a boot sector", 0))
    for sector in (SECTOR, 4096):
        for offset, what in ((sector, "a GPT"), (size // sector * sector - sector, "the spare GPT at the disk's end")):
            if offset >= 0 and read(offset, 8) == b"EFI PART":
                found.append(Finding(TABLE, what, offset))
    return found


def ends(read: Read, size: int) -> list[Finding]:
    """What firmware RAID keeps at a disk's end. Raises OSError."""
    return [
        Finding(SIGNATURE, what, size - back)
        for back, mark, what in ENDS
        if size >= back and read(size - back, len(mark)) == mark
    ]
