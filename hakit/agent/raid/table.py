"""The GPT that hakit makes on a disk: one partition for one array, the same bytes each time.

So a table that a killed run left half written is told from anybody else's: each of its sectors is either zero or what
would be written now. Source: UEFI specification, "GUID Partition Table (GPT) Disk Layout".
"""

from __future__ import annotations

from binascii import crc32
from struct import pack
from uuid import UUID, uuid5

from hakit.agent.raid.finding import MIB

LINUX_RAID = UUID("a19d880f-05fc-4d3b-a006-743f0f84911e")  # the Discoverable Partitions' and fdisk's type
ENTRIES, ENTRY, HEADER = 128, 128, 92


def extent(disk: int, size: int) -> tuple[int, int]:
    """First byte and length of the partition; `size` MiB of `disk` bytes, or 0: all but a MiB at each end."""
    return MIB, size * MIB if size else (disk // MIB - 2) * MIB


def table(disk: int, sector: int, size: int, array: str, uuid: str, serial: str) -> list[tuple[int, bytes]]:  # noqa: PLR0917 - what makes the bytes
    """Offsets and bytes of the whole table, spare one first; `sector` is the disk's logical one. Raises ValueError."""
    begin, length = extent(disk, size)
    last = disk // sector - 1
    reserved = 1 + ENTRIES * ENTRY // sector  # sectors of a header and its entries
    if length <= 0 or begin + length > (last + 1 - reserved) * sector:
        raise ValueError("the disk is too small")
    space = UUID(uuid.replace(":", ""))
    entry = pack(
        "<16s16sQQQ72s",
        LINUX_RAID.bytes_le,
        uuid5(space, f"partition {serial}").bytes_le,
        begin // sector,
        (begin + length) // sector - 1,
        0,
        f"hakit {array}"[:36].encode("utf-16-le"),
    )
    entries = entry + bytes(ENTRIES * ENTRY - len(entry))
    disk_id = uuid5(space, f"disk {serial}").bytes_le

    def header(mine: int, other: int, at: int) -> bytes:
        fields = (mine, other, 1 + reserved, last - reserved, disk_id, at, ENTRIES, ENTRY, crc32(entries))
        plain = pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, HEADER, 0, 0, *fields)
        whole = plain[:16] + pack("<I", crc32(plain)) + plain[20:]
        return whole + bytes(sector - len(whole))

    covered = min(last, 0xFFFFFFFF)
    protective = (
        bytes(446) + pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, covered) + bytes(48) + b"\x55\xaa"
    )
    spare = last - reserved + 1
    return [
        (spare * sector, entries),
        (last * sector, header(last, 1, spare)),
        (2 * sector, entries),
        (sector, header(1, last, 2)),
        (0, protective),
    ]
