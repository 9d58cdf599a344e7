"""What is done to the members of an array that runs: fail, remove, add; and comparing them."""

from __future__ import annotations

from hakit.agent.errors import Failure
from hakit.agent.raid import intent as intents
from hakit.agent.raid.arrays import FAULTY, IN_SYNC, Running, holder, running
from hakit.agent.raid.deciding import JOURNAL, SPARE, Bearing, least, may_wipe, usable
from hakit.agent.raid.disks import CLASS, disks, resolve, text
from hakit.agent.raid.finding import size, texts
from hakit.agent.raid.looking import our_table, parts_of, prove
from hakit.agent.raid.making import Exclusive, node, prepare, settle, wipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.raid.arrays import Place
    from hakit.agent.raid.deciding import Part
    from hakit.agent.raid.disks import Disk
    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

DETACHED = "detached"
"""mdadm's word for members whose device is gone from the host."""
CHECK, REPAIR, STOP = "check", "repair", "stop"


def must_run(array: Array, work: Work) -> Running:
    """The array as the kernel has it. Raises Failure."""
    live = running(array.uuid, work)
    if live is None or not live.started:
        raise Failure(f"the array {array.array} does not run on this host")
    return live


def _find(word: str, live: Running, work: Work) -> tuple[Disk | None, Place | None]:
    """The disk that a word means, and the member that it is, or that a partition of it is. Raises Failure."""
    there = disks(work)
    disk = resolve(word, there)
    if disk is None:
        return None, None
    names = [disk.name, *(one.name for one in there if one.parent == disk.name)]
    return disk, next((place for place in live.places if place.name in names), None)


def _gone(live: Running, work: Work) -> list[Place]:
    """Members whose device is no longer on the host."""
    return [one for one in live.places if not text(f"{CLASS}/{one.name}/dev", work)]


def fail(array: Array, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Have the array go on without a member. Refused where it could not. Raises Failure."""
    live = must_run(array, work)
    disk, place = _find(arguments["device"], live, work)
    if disk is None or place is None:
        gone = _gone(live, work)
        if disk is not None or not gone:
            return {"failed": ""}
        if all(one.state == FAULTY for one in gone):
            return {"failed": DETACHED}
        _manage(live, ["--fail", DETACHED], f"fail {arguments['device']}", work, timeout)
        return {"failed": DETACHED}
    if place.state == FAULTY:
        return {"failed": place.name}
    _must_not_need(live, place)
    _manage(live, ["--fail", work.at(f"/dev/{place.name}")], f"fail {disk.text()}", work, timeout)
    return {"failed": place.name}


def _must_not_need(live: Running, place: Place) -> None:
    """See that the array runs on without a member. Raises Failure."""
    if place.state != IN_SYNC or place.journal:
        return
    whole = [one for one in live.places if one.state == IN_SYNC and not one.journal]
    enough = len(whole) - 1 >= least(live.level, live.slots)
    if live.level == "10":  # which others hold its copies is the layout's secret: whole arrays can do without any one
        enough = not live.degraded
    if not enough:
        raise Failure(
            f"the array needs {place.name}: {len(whole)} of its {live.slots} members hold all its data. Add another "
            "and wait until it is rebuilt"
        )


def remove(array: Array, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Let go of a member that has failed, or is a spare. Raises Failure."""
    live = must_run(array, work)
    disk, place = _find(arguments["device"], live, work)
    if disk is None:
        if _gone(live, work):
            _manage(live, ["--remove", DETACHED], f"remove {arguments['device']}", work, timeout)
        return {"removed": DETACHED}
    if place is None:
        return {"removed": ""}
    if place.state not in {FAULTY, "spare"}:
        raise Failure(f"{disk.text()} is a member that works: fail it first")
    _manage(live, ["--remove", work.at(f"/dev/{place.name}")], f"remove {disk.text()}", work, timeout)
    return {"removed": place.name}


def _manage(live: Running, words: list[str], doing: str, work: Work, timeout: float) -> None:
    work.must(["mdadm", "--manage", work.at(live.path), *words], doing, timeout)


def add(array: Array, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Give the array a disk: one that is proven empty, confirmed to be wiped, or was its member and is not newer.

    Raises Failure, OSError.
    """
    live, word = must_run(array, work), arguments["device"]
    disk, place = _find(word, live, work)
    if disk is None:
        raise Failure(f"there is no disk {word} on this host")
    if place is not None and place.state != FAULTY:
        return {"added": place.name}
    if place is not None:
        raise Failure(f"{disk.text()} has failed in this array: remove it first")
    there = disks(work)
    family = [disk, *(one for one in there if one.parent == disk.name)]
    own = parts_of(family, array.uuid, work)
    if own:
        return _return(live, own[0], array, work, timeout)
    role = SPARE if word in array.spares else JOURNAL if word == array.journal else "device"
    needed = live.each + max((one.offset for one in live.places if not one.journal), default=0)
    if role != JOURNAL and usable(array, disk) < needed:
        raise Failure(f"{disk.text()} is smaller ({size(disk.size)}) than what each member takes ({size(needed)})")
    bearing = Bearing(word, role, disk, [])
    with Exclusive([disk], work) as opened:
        fd = opened.fds[disk.name]
        found = prove(disk, there, work, fd, known=[] if role == JOURNAL else our_table(array, disk, work))
        if found and may_wipe(array, disk, found, None):
            wipe(fd, disk)
        elif found:
            raise Failure(f"{disk.text()} is left alone: {', '.join(texts(found))}")
        prepare(array, bearing, fd, work)
    settle(work)
    name = node(array, bearing, work)
    _settled(array, work)
    _manage(live, ["--add-journal" if role == JOURNAL else "--add", name], f"add {disk.text()}", work, timeout)
    return {"added": name.rpartition("/")[2]}


def _return(live: Running, own: Part, array: Array, work: Work, timeout: float) -> dict[str, Any]:
    """Take a former member back, whose old content the rebuild replaces. Raises Failure."""
    device, member = own
    inside = [one for one in disks(work) if (place := live.place(one.name)) is not None and place.state == IN_SYNC]
    newest = max((theirs.events for _, theirs in parts_of(inside, array.uuid, work)), default=0)
    if member.events > newest:
        raise Failure(
            f"{device.text()} was a member of this array and is newer than it ({member.events} events, {newest} here): "
            "it ran without the others, and holds what they don't"
        )
    if other := holder(device, work):
        raise Failure(f"{device.text()} is in use by {other.path}")
    _settled(array, work)
    _manage(live, ["--add", work.at(device.path)], f"add {device.text()}", work, timeout)
    return {"added": device.name}


def _settled(array: Array, work: Work) -> None:
    """From now on what rebuilds is no first build."""
    record = intents.read(array.array, array.uuid, work)
    if record is not None and record.building:
        intents.settle(record, work, building=False)


def scrub(array: Array, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Begin to compare all members (`check`), to mend what differs as well (`repair`), or stop that. Raises Failure."""
    del timeout
    live, action = must_run(array, work), arguments["action"]
    if action not in {CHECK, REPAIR, STOP}:
        raise Failure(f"a scrub knows check, repair and stop, not {action!r}")
    if action == STOP:
        if live.action in {CHECK, REPAIR}:
            _write(live, "idle", work)
        return {"action": "idle"}
    if live.action == action:
        return {"action": action}
    if live.action != "idle" or live.degraded:
        doing = live.action if live.action != "idle" else "degraded"
        raise Failure(f"the array {array.array} can't be compared now: it is {doing}")
    if not live.level.isdigit() or live.level == "0":
        raise Failure(f"a RAID{live.level} holds nothing twice that could be compared")
    _write(live, action, work)
    return {"action": action}


def _write(live: Running, action: str, work: Work) -> None:
    with open(work.at(f"{CLASS}/{live.name}/md/sync_action"), "w", encoding="ascii") as file:
        file.write(f"{action}\n")
