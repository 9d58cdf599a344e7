"""The proof that a disk is empty: that nobody uses it, and that it reads as zeros wherever something would be.

A signature that is found names what would be lost. But that nothing is found proves nothing: the file system may begin
behind a partition table that was wiped, or be of a kind that no list knows. So the bytes themselves must be zero:

- the first 16 MiB and the last MiB, whole: tables, superblocks and what begins at sector 63 or at the first MiB;
- each MiB of the first 2 GiB as far as signatures go (68 KiB): where partitions have begun since 2009, aligned to MiB;
- a block of 64 KiB at a random place in each of 2048 equal parts of the rest. Something that takes up two parts in a
  row, 2 GiB of a disk of 2 TB, can't be missed; of something strewn all over a disk, one block in a hundred not zero,
  the chance to miss is 0.99 ** 2048, 1 in 800 million. Whoever proves again draws other places.

A disk of which that is more than all is read whole. What a disk returns as zeros after TRIM is empty by this proof.
"""

from __future__ import annotations

import os
from itertools import islice

from hakit.agent.raid.finding import DATA, MEMBER, MIB, SIGNATURE, Finding
from hakit.agent.raid.signatures import HEAD, ends, signatures, superblocks, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hakit.agent.raid.superblock import Read

    Choose = Callable[[int], int]  # a number from 0 up to, but without, its argument
    Ahead = Callable[[int, int], object]  # offset and length in bytes

FRONT, BACK, STEP, ALIGNED = 16 * MIB, MIB, MIB, 2048 * MIB
BLOCK, PARTS = 64 << 10, 2048
AHEAD = 64  # reads that a disk is told of before the first of them
OLD = (34 * 512, 40 * 512, 63 * 512, 64 * 512)
"""Where a first partition began, or begins, that is not aligned to MiB: GPT's first sector, old MBR tables."""
CHUNK = MIB
ZEROS = bytes(CHUNK)


def random(below: int) -> int:
    """A number that nobody can foresee."""
    return int.from_bytes(os.urandom(8), "little") % below


def bears(read: Read, size: int, choose: Choose = random, ahead: Ahead | None = None) -> list[Finding]:
    """What a device of `size` bytes bears; nothing when it is proven empty. Raises OSError.

    A device that ends before its size is not read to its end: that is a finding, too. `ahead` is told what will be read
    soon, so that a disk can put its seeks in order.
    """
    found = [*tables(read, size), *superblocks(read, size), *ends(read, size)]
    found += signatures(read)
    if read(0, 1) == b"":
        return [Finding(DATA, "nothing that can be read")]
    first = _first(read, spans(size, choose), ahead)
    if first < 0:
        return found
    named = any(one.kind in {SIGNATURE, MEMBER} for one in found)  # and what follows is its own: spare superblocks
    for base in () if named else (*OLD, *range(STEP, min(ALIGNED, size), STEP)):
        behind = signatures(read, base) if nonzero(read, base, min(HEAD, size - base)) >= 0 else []
        found += [Finding(SIGNATURE, f"{one.what}, as behind a lost partition table,", base) for one in behind]
        if behind:
            break
    if not found:
        found.append(Finding(DATA, "data without any signature", first))
    return found


def _first(read: Read, wanted: Iterator[tuple[int, int]], ahead: Ahead | None) -> int:
    """Where the first byte is that is not zero in what is to be read; -1 when all are."""
    while group := list(islice(wanted, AHEAD)):
        if ahead is not None:
            for offset, length in group:
                ahead(offset, length)
        for offset, length in group:
            at = nonzero(read, offset, length)
            if at >= 0:
                return at
    return -1


def spans(size: int, choose: Choose) -> Iterator[tuple[int, int]]:
    """Offset and length of all that is read of a device of `size` bytes."""
    if size <= FRONT + BACK + PARTS * BLOCK:
        yield 0, size
        return
    yield 0, FRONT
    yield size - BACK, BACK
    end = min(ALIGNED, size - BACK)
    for offset in range(FRONT, end, STEP):
        yield offset, min(HEAD, size - offset)
    yield from samples(FRONT, size - BACK, choose)


def samples(start: int, end: int, choose: Choose) -> Iterator[tuple[int, int]]:
    """A block in each of the equal parts of what lies between two offsets, in their order."""
    length = (end - start) // PARTS
    for number in range(PARTS):
        begin = start + number * length
        yield begin + choose(max(1, length - BLOCK + 1)) // 512 * 512, BLOCK


def nonzero(read: Read, offset: int, length: int) -> int:
    """Where the first byte is that is not zero; -1 when all are. What can't be read counts as one. Raises OSError."""
    end = offset + length
    while offset < end:
        wanted = min(CHUNK, end - offset)
        data = read(offset, wanted)
        if data != (ZEROS if wanted == CHUNK else ZEROS[:wanted]):
            return offset + len(data) - len(data.lstrip(b"\0"))
        offset += wanted
    return -1


def without(read: Read, known: Iterable[tuple[int, bytes]]) -> Read:
    """A reader to which what is known to be ours, sector by sector, looks like zeros where it is exactly that."""
    ours = {}
    for offset, data in known:
        for place in range(0, len(data), 512):
            ours[offset + place] = data[place : place + 512]

    def masked(offset: int, length: int) -> bytes:
        data = read(offset, length)
        for place, sector in ours.items():
            if place + 512 > offset and place < offset + len(data):
                data = _blank(data, offset, place, sector, read)
        return data

    return masked


def _blank(data: bytes, offset: int, place: int, sector: bytes, read: Read) -> bytes:
    if read(place, 512) != sector:
        return data
    begin, end = max(0, place - offset), min(len(data), place + 512 - offset)
    return data[:begin] + bytes(end - begin) + data[end:]
