"""ext4 and xfs as their superblocks tell of them, and how they are made.

Sources: kernel, Documentation/filesystems/ext4/super.rst; XFS Algorithms & Data Structures, "Superblocks".
"""

from __future__ import annotations

from struct import unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.raid.superblock import Read
    from hakit.agent.resources.raid import Filesystem

EXT4, XFS = "ext4", "xfs"
EXT = 1024  # bytes before the superblock of an ext file system
EXTENTS, JOURNAL = 0x40, 0x4


class Seen:
    """A file system: `uuid` with dashes, `begun` while mkfs says that it is not done, `used` once it was mounted."""

    __slots__ = ("begun", "kind", "label", "used", "uuid")

    def __init__(self, kind: str, uuid: bytes, label: bytes, *, begun: bool, used: bool) -> None:
        digits = uuid.hex()
        self.kind = kind
        self.uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        self.label = label.split(b"\0", 1)[0].decode("utf-8", "replace")
        self.begun = begun
        self.used = used


def seen(read: Read) -> Seen | None:
    """The ext or xfs file system that begins a device; None for anything else. Raises OSError."""
    data = read(0, 4096)
    if len(data) < 4096:  # noqa: PLR2004 - both superblocks are in that
        return None
    if data[:4] == b"XFSB":
        # Whether it was mounted xfs does not tell; one that mkfs has ended is never made again.
        return Seen(XFS, data[32:48], data[108:120], begun=data[126] != 0, used=data[126] == 0)
    if data[EXT + 56 : EXT + 58] == b"\x53\xef":
        compatible, incompatible = unpack_from("<II", data, EXT + 92)
        kind = EXT4 if incompatible & EXTENTS else "ext3" if compatible & JOURNAL else "ext2"
        mounted, count = unpack_from("<I", data, EXT + 44)[0], unpack_from("<H", data, EXT + 52)[0]
        used = bool(mounted or count)
        return Seen(kind, data[EXT + 104 : EXT + 120], data[EXT + 120 : EXT + 136], begun=False, used=used)
    return None


def command(resource: Filesystem, device: str) -> list[str]:
    """How the file system is made: without force, so that mkfs looks, too."""
    if resource.kind == XFS:
        argv = ["mkfs.xfs", "-q", "-m", f"uuid={resource.uuid}"]
    else:
        argv = [f"mkfs.{resource.kind}", "-q", "-U", resource.uuid]
    if resource.label:
        argv += ["-L", resource.label]
    return [*argv, *resource.options, device]


def check(kind: str, device: str) -> list[str]:
    """The command that tells by its exit whether a file system is whole, and changes nothing."""
    return ["xfs_repair", "-n", device] if kind == XFS else ["e2fsck", "-f", "-n", device]
