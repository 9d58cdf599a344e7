"""Bringing an array that runs to the shape that is declared, step by step: mdadm --grow."""

from __future__ import annotations

import os
import re

from hakit.agent.errors import Failure
from hakit.agent.raid import intent as intents
from hakit.agent.raid.acts import must_run
from hakit.agent.raid.arrays import IN_SYNC, running
from hakit.agent.raid.deciding import ASSEMBLE, layout_word
from hakit.agent.raid.disks import disks
from hakit.agent.raid.early import outdated
from hakit.agent.raid.finding import MIB
from hakit.agent.raid.looking import look
from hakit.agent.raid.making import assemble
from hakit.agent.resources.raid import BITMAP, JOURNAL, PPL, RESYNC, STARTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.raid.arrays import Running
    from hakit.agent.raid.deciding import Verdict
    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

RESUME = "start it again of the members that it has, and go on"
PARITY = {"4": 1, "5": 1, "6": 2}
"""The members' worth that is no data, by level."""
START_RO = "/sys/module/md_mod/parameters/start_ro"
EXAMINE = 60.0  # seconds
SLACK = 8 * MIB
"""What rounding to chunks may leave of a member; less than this is nothing to grow by."""


class Step:
    """One call of mdadm --grow: its words, what it does in words, and whether it moves data (may need a copy aside)."""

    __slots__ = ("moves", "text", "words")

    def __init__(self, text: str, words: list[str], *, moves: bool) -> None:
        self.text = text
        self.words = words
        self.moves = moves


def steps(array: Array, live: Running, each: int) -> list[Step]:
    """What brings the array to its declared shape, in order; `each` is the bytes for data on the smallest member.

    An array with a PPL is neither reshaped nor resized (kernel, drivers/md/raid5.c: check_reshape, raid5_resize): it
    does without meanwhile.
    """
    shape = [*_moves(array, live), *_sizes(array, live, each)]
    away, given = _policy(array, live, meanwhile=bool(shape) and live.policy == PPL)
    return [*away, *shape, *given] if live.policy == PPL else [*shape, *away, *given]


def _moves(array: Array, live: Running) -> list[Step]:
    found = []
    if str(array.level) != live.level:
        words = [f"--level={array.level}"]
        found.append(Step(f"make the RAID{live.level} a RAID{array.level}", words, moves=True))
    if len(array.devices) > live.slots:
        words = [f"--raid-devices={len(array.devices)}"]
        found.append(Step(f"spread it over {len(array.devices)} members, from {live.slots}", words, moves=True))
    if array.chunk and live.chunk and array.chunk != live.chunk:
        words = [f"--chunk={array.chunk}"]
        found.append(Step(f"make its chunks {array.chunk} KiB, from {live.chunk}", words, moves=True))
    if array.layout and array.layout != layout_word(live):
        words = [f"--layout={array.layout}"]
        found.append(Step(f"lay it out {array.layout}, from {layout_word(live)}", words, moves=True))
    return found


def _sizes(array: Array, live: Running, each: int) -> list[Step]:
    if live.level != "0" and each - live.each > SLACK and not array.size:
        return [Step("use all that its members have", ["--size=max"], moves=False)]
    if array.size * MIB > live.each + SLACK and not array.partition:
        return [Step(f"use {array.size} MiB of each member", [f"--size={array.size * 1024}"], moves=False)]
    return []


def _policy(array: Array, live: Running, *, meanwhile: bool) -> tuple[list[Step], list[Step]]:
    """What is taken away, and what is given; `meanwhile` also where it is as declared."""
    if live.level == "0" or not live.policy or (live.policy == array.consistency and not meanwhile):
        return [], []
    away = {
        BITMAP: [Step("take its bitmap away", ["--bitmap=none"], moves=False)],
        PPL: [Step("take its PPL away", [f"--consistency-policy={RESYNC}"], moves=False)],
    }
    given = {
        BITMAP: [Step("give it a bitmap", ["--bitmap=internal"], moves=False)],
        PPL: [Step("give it a PPL", ["--consistency-policy=ppl"], moves=False)],
    }
    return away.get(live.policy, []), given.get(array.consistency, [])


def _todo(array: Array, live: Running, work: Work) -> list[Step]:
    """The steps. Raises Failure where md knows no way, or no safe one."""
    found = steps(array, live, _each(live, work))
    if found and "0" in {live.level, str(array.level)}:
        raise Failure(
            f"the array {array.array} can't become what is declared: a RAID 0 has no second copy, from or to which it "
            "could be reshaped safely; make the declared one of other disks, and copy its content"
        )
    if live.level == "10" and any(one.moves for one in found) and _starts_read_only(work):
        raise Failure(
            f"the array {array.array} can't become what is declared yet: if the power failed meanwhile, this host's "
            "boot would start it read-only, and the kernel would read what has moved in the wrong place; run hakit "
            f"apply first, which writes {STARTED} and has the early boot know it"
        )
    if found and JOURNAL in {live.policy, array.consistency}:
        raise Failure(
            f"the array {array.array} can't become what is declared: md neither reshapes nor resizes an array with a "
            "journal, and gives or takes none; it would have to be made anew, and its content copied"
        )
    return found


def _starts_read_only(work: Work) -> bool:
    """Whether the boot starts arrays read-only until the first write, as Debian has it do.

    Seen with Linux 6.1 and 6.12 and a RAID 10 that is being reshaped: so started, md clears MD_RECOVERY_RESHAPE, and
    raid10.c, choose_data_offset, adds the old offset to the new place of what has moved.
    """
    return not os.path.exists(work.at(STARTED)) or bool(outdated((STARTED,), work))


def _start_writable(work: Work) -> None:
    """Have the kernel start arrays as the next boot will. Raises OSError."""
    with open(work.at(START_RO), "r+", encoding="ascii") as file:
        file.write("0\n")


def _each(live: Running, work: Work) -> int:
    sizes = {one.name: one.size for one in disks(work)}
    room = [sizes.get(one.name, 0) - one.offset for one in live.places if one.state == IN_SYNC and not one.journal]
    return min(room, default=0)


def growth(array: Array, work: Work) -> dict[str, Any]:
    """What would bring the array to what is declared; of one that does not run, that it is started. Raises Failure."""
    live = running(array.uuid, work)
    if live is None or not live.started:
        _startable(array, work)
        return {"steps": [RESUME], "action": "stopped"}
    return {"steps": [one.text for one in _todo(array, live, work)], "action": live.action}


def _startable(array: Array, work: Work) -> Verdict:
    """How an array that does not run is assembled of the members that it has. Raises Failure."""
    verdict = look(array, work).verdict
    if verdict.kind != ASSEMBLE:
        raise Failure("; ".join([f"the array {array.array} does not run on this host", *verdict.why]))
    return verdict


def resume(array: Array, work: Work) -> dict[str, Any]:
    """Start an array that does not run: the boot leaves one alone whose reshape needs its backup file.

    Nothing is forced. Raises Failure, OSError.
    """
    live = running(array.uuid, work)
    if live is not None and live.started:
        return {"resumed": False}
    assemble(array, _startable(array, work), work)
    return {"resumed": True}


def grow(array: Array, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Take the first step of the growth, or say that none is left; refused while anything else goes on.

    Raises Failure, OSError.
    """
    live = must_run(array, work)
    todo = _todo(array, live, work)
    if live.action == "reshape":
        return {"step": "reshape", "left": [one.text for one in todo]}
    if not todo:
        return {"step": "", "left": []}
    if live.action not in {"idle", "frozen"} or live.degraded:
        raise Failure(
            f"the array {array.array} can't change its shape now: it is {live.action}, {live.degraded} missing"
        )
    step, words = todo[0], list(todo[0].words)
    if step.words[0].startswith("--raid-devices"):
        spares = sum(1 for one in live.places if one.state == "spare" and not one.journal)
        lacking = len(array.devices) - live.slots - spares
        if lacking > 0:
            raise Failure(f"the array {array.array} has {spares} spares, and {lacking} more have to be added first")
    if step.moves:
        words.append(_way(array, live, step, arguments.get("backup", ""), work))
        if live.level == "10":
            _start_writable(work)
    work.must(["mdadm", "--grow", work.at(live.path), *filter(None, words)], step.text, timeout)
    return {"step": step.text, "left": [one.text for one in todo[1:]]}


def _way(array: Array, live: Running, step: Step, backup: str, work: Work) -> str:
    """The word for mdadm that says how a crash in the middle is survived; empty where nothing is overwritten.

    Raises Failure, OSError.
    """
    if live.level == "10":  # data move into the room before them, or md refuses; the kernel keeps count
        return ""
    path = _backup(array, live, backup, work)
    if step.words[0].startswith("--raid-devices"):
        if live.level == "1":  # it gets copies
            return ""
        if live.level in PARITY and (offset := _offset(array, live, work)):
            return f"--data-offset={offset}K"
    intents.remember_backup(array.array, path, work)
    return f"--backup-file={work.at(path)}"


def _offset(array: Array, live: Running, work: Work) -> int:
    """Where data are to begin from now on, in KiB; 0 where the members lack the room to move them that far.

    The kernel writes down how far it is before it overwrites what would be read again, but believes of an array that it
    has not just started that nothing moves (raid5.c: min_offset_diff is set by raid5_run alone). So it begins to do so
    when it reads further ahead than it writes, by 2 chunks: after 2 chunks of each old data disk, and one
    (reshape_request). Moved further than that, nothing is overwritten before; mdadm by itself moves less.
    """
    old, new = (slots - PARITY[live.level] for slots in (live.slots, len(array.devices)))
    shift = max(2 * old + 4, new + 2) * live.chunk
    members = [one for one in live.places if not one.journal]
    room = []
    for one in members:
        told = work.run(["mdadm", "--examine", work.at(f"/dev/{one.name}")], EXAMINE).out
        found = re.search(r"Unused Space : before=(\d+) sectors", told)
        if found is None:
            return 0
        room.append(one.offset // 512 - int(found[1]))
    begin = min((one.offset for one in members), default=0) // 1024 - shift
    return begin if begin > 0 and begin * 2 >= max(room) else 0


def _backup(array: Array, live: Running, name: str, work: Work) -> str:
    """The backup file, should one be needed. Raises Failure, OSError."""
    if not name.startswith("/"):
        raise Failure("a change of an array's shape needs a backup file: an absolute path, not on the array")
    folder = work.at(os.path.dirname(name))
    if not os.path.isdir(folder):
        raise Failure(f"{os.path.dirname(name)} is no directory", path=name)
    device = os.stat(folder).st_dev
    if f"{os.major(device)}:{os.minor(device)}" in _above(live, work):
        raise Failure(f"{name} is on the array itself: name a file elsewhere", path=name)
    if live.action == "idle" and intents.backup_of(array.array, work) == name:
        os.unlink(work.at(name))  # of a reshape that a crash kept from beginning, or that has ended since
    if os.path.lexists(work.at(name)):
        raise Failure(f"{name} is there already: see whether a reshape still needs it, then move it away", path=name)
    return name


def _above(live: Running, work: Work) -> set[str]:
    """The device numbers of an array and of what is made of it."""
    from hakit.agent.raid.disks import CLASS, text

    found, queue = set(), [live.name]
    while queue:
        name = queue.pop()
        found.add(text(f"{CLASS}/{name}/dev", work))
        holders = work.at(f"{CLASS}/{name}/holders")
        queue += os.listdir(holders) if os.path.isdir(holders) else []
    return found
