"""md superblocks, read by ourselves: what tells an array that is from a disk that is free must not need mdadm.

Source of all offsets: linux/raid/md_p.h of the kernel (`mdp_superblock_s`, `mdp_superblock_1`), md(4).
"""

from __future__ import annotations

from struct import error, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int, int], bytes]  # offset and length in bytes; what is beyond the end is left out

MAGIC = 0xA92B4EFC  # MD_SB_MAGIC
SECTOR = 512
SIZE = 4096  # MD_SB_BYTES; a superblock 1.x has 256 bytes and two for each of at most 1920 devices
_ROLES = 256  # where the roles begin in a superblock 1.x
SPARE, FAULTY, OF_JOURNAL = 0xFFFF, 0xFFFE, 0xFFFD  # MD_DISK_ROLE_*
RESHAPING = 0x4  # MD_FEATURE_RESHAPE_ACTIVE
LEVELS = {-1: "linear", -4: "multipath"}
MISSING = -1


class Member:
    """What one superblock says.

    `version` is `0.90`, `1.0`, `1.1` or `1.2`, `offset` where it begins, in bytes. `uuid` is the array's, as mdadm
    prints it; `name` the array's, `host:array` (empty for 0.90). `level` is the number or md's word for it. `role` is
    the slot in the array, `spare`, `faulty` or `journal`. `created` and `events` tell which of two is the older one.
    `active` are the slots that have a device in its view of the array (metadata 1.x: empty for 0.90).
    `sound` is whether its checksum holds, `here` whether it stands where it says that it does: metadata 1.0 of the last
    partition stands at the end of the disk as well.
    """

    __slots__ = (
        "active",
        "created",
        "devices",
        "events",
        "here",
        "level",
        "name",
        "offset",
        "reshaping",
        "role",
        "sound",
        "uuid",
        "version",
    )

    def __init__(self, version: str, offset: int, uuid: bytes) -> None:
        self.version = version
        self.offset = offset
        self.uuid = text_of(uuid)
        self.name = ""
        self.level = ""
        self.role = ""
        self.active: frozenset[int] = frozenset()
        self.devices = 0
        self.created = 0
        self.events = 0
        self.sound = False
        self.here = True
        self.reshaping = False

    def text(self) -> str:
        """In words, for whoever has to find out whose it is."""
        named = f" {self.name}" if self.name else ""
        return f"a member of the array{named} {self.uuid} (level {self.level}, metadata {self.version})"


def text_of(uuid: bytes) -> str:
    """An array's UUID as mdadm prints it: four words of eight hexadecimal digits."""
    return ":".join(uuid[place : place + 4].hex() for place in range(0, 16, 4))


def places(size: int) -> list[tuple[str, int]]:
    """Version and offset of every superblock that a device of `size` bytes can bear."""
    sectors = size // SECTOR
    found = [("1.1", 0), ("1.2", 8 * SECTOR)]
    if sectors >= 16:  # noqa: PLR2004 - 8 KiB from the end, on a multiple of 4 KiB
        found.append(("1.0", ((sectors - 16) & ~7) * SECTOR))
    if sectors >= 128:  # noqa: PLR2004 - the last whole 64 KiB
        found.append(("0.90", ((sectors & ~127) - 128) * SECTOR))
    return found


def members(read: Read, size: int) -> list[Member]:
    """Every md superblock on a device of `size` bytes, damaged ones too. Raises OSError where it can't be read."""
    found = []
    for version, offset in places(size):
        data = read(offset, SIZE)
        one = old(data, offset) if version == "0.90" else new(data, offset, version)
        if one is not None:
            found.append(one)
    return found


def new(data: bytes, offset: int, version: str) -> Member | None:
    """A superblock of metadata 1.x, where `data` begins with one."""
    if len(data) < _ROLES or unpack_from("<II", data) != (MAGIC, 1):
        return None
    one = Member(version, offset, data[16:32])
    one.name = data[32:64].split(b"\0", 1)[0].decode("utf-8", "replace")
    level: int = unpack_from("<i", data, 72)[0]
    one.level = LEVELS.get(level, str(level))
    one.devices = unpack_from("<I", data, 92)[0]
    one.created = unpack_from("<Q", data, 64)[0] & 0xFF_FFFF_FFFF  # seconds are its lower 40 bits
    one.events = unpack_from("<Q", data, 200)[0]
    one.reshaping = bool(unpack_from("<I", data, 8)[0] & RESHAPING)
    one.here = unpack_from("<Q", data, 144)[0] == offset // SECTOR
    number, slots = unpack_from("<I", data, 160)[0], unpack_from("<I", data, 220)[0]
    one.role = _role(data, number, slots)
    one.active = _active(data, slots)
    one.sound = _checksum(data, slots) == unpack_from("<I", data, 216)[0]
    return one


def _role(data: bytes, number: int, slots: int) -> str:
    if number >= slots or _ROLES + 2 * number + 2 > len(data):
        return "spare"
    role: int = unpack_from("<H", data, _ROLES + 2 * number)[0]
    return {SPARE: "spare", FAULTY: "faulty", OF_JOURNAL: "journal"}.get(role, str(role))


def _active(data: bytes, slots: int) -> frozenset[int]:
    if _ROLES + 2 * slots > len(data):
        return frozenset()
    return frozenset(role for role in unpack_from(f"<{slots}H", data, _ROLES) if role < OF_JOURNAL)


def _checksum(data: bytes, slots: int) -> int:
    """calc_sb_1_csum: words of four bytes, the checksum's own left out, the carry added once."""
    length = _ROLES + 2 * slots
    if length > len(data):
        return MISSING
    words = sum(unpack_from(f"<{length // 4}I", data)) - unpack_from("<I", data, 216)[0]
    if length % 4:
        words += unpack_from("<H", data, length - 2)[0]
    folded: int = (words & 0xFFFFFFFF) + (words >> 32) & 0xFFFFFFFF
    return folded


def old(data: bytes, offset: int) -> Member | None:
    """A superblock of metadata 0.90, where `data` begins with one; its words are in the order of its machine."""
    for order in "<>":
        try:
            words = unpack_from(f"{order}1024I", data)
        except error:
            return None
        if words[0] == MAGIC and words[1] == 0:
            return _old(words, offset)
    return None


def _old(words: tuple[int, ...], offset: int) -> Member:
    uuid = b"".join(words[place].to_bytes(4, "big") for place in (5, 13, 14, 15))
    one = Member("0.90", offset, uuid)
    level = words[7] - (1 << 32) if words[7] >> 31 else words[7]
    one.level = LEVELS.get(level, str(level))
    one.devices = words[10]
    one.created = words[6]
    one.events = words[39] | words[40] << 32
    number, slot, state = words[992], words[995], words[996]
    faulty, active = state & 1, state >> 1 & 1  # MD_DISK_FAULTY, MD_DISK_ACTIVE
    one.role = "faulty" if faulty else str(slot) if active and number < 27 else "spare"  # noqa: PLR2004 - MD_SB_DISKS
    rest = sum(words) - words[38]
    one.sound = (rest & 0xFFFFFFFF) + (rest >> 32) & 0xFFFFFFFF == words[38]
    return one
