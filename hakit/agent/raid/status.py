"""How an array is: its members by serial, what it does and how long that will take, when it was last compared."""

from __future__ import annotations

import os
from time import gmtime, strftime

from hakit.agent.errors import Failure
from hakit.agent.raid import intent as intents
from hakit.agent.raid.arrays import FAULTY, IN_SYNC, MISSING, REBUILDING, SPARE, running
from hakit.agent.raid.disks import disks, resolve, text, udev
from hakit.agent.raid.found import CONF, lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.raid.arrays import Place, Running
    from hakit.agent.raid.disks import Disk
    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

CLEAN, RESYNC, CHECK, DEGRADED = "clean", "resync", "check", "degraded"
REBUILDS, RESHAPING, FAILED, ABSENT = "rebuilding", "reshaping", "failed", "absent"
OK = (CLEAN, RESYNC, CHECK)
"""States in which all the redundancy that an array promises is there, or was never there before."""
EMPTY, REFUSED = "empty", "refused"
SECTOR = 512


def state(live: Running | None, *, building: bool = False) -> str:
    """The word for an array; `building` while RAID4 or 5 build their parity first by what is called recovery."""
    if live is None:
        return ABSENT
    if not live.started:
        return FAILED
    working = [one for one in live.places if one.state == IN_SYNC and not one.journal]
    if live.action == "reshape":
        return RESHAPING
    if live.action == "recover" or (live.degraded and any(one.state == REBUILDING for one in live.places)):
        return RESYNC if building else REBUILDS
    if live.degraded or any(one.state == FAULTY for one in live.places):
        return DEGRADED if working else FAILED
    return {"resync": RESYNC, "check": CHECK, "repair": CHECK}.get(live.action, CLEAN)


def progress(live: Running) -> tuple[float | None, int | None, int | None]:
    """How much of what goes on is done (0 to 1), bytes a second, seconds that are left; None for what is not known."""
    if live.action == "idle" or not live.total:
        return None, None, None
    speed = live.speed * 1024 or None
    left = max(0, live.total - live.done) * SECTOR
    return live.done / live.total, speed, round(left / speed) if speed else None


def words(live: Running | None, *, building: bool = False) -> str:
    """In a line: the word for the state first, then what there is to say."""
    word = state(live, building=building)
    if live is None:
        return f"{word}, no disk of it is in use on this host"
    if not live.started:
        return f"{word}, it does not run"
    told = [word]
    if word not in OK:
        told.append(f"{max(0, live.slots - live.degraded)} of {live.slots} members in place")
    done, _, eta = progress(live)
    if done is not None:
        told.append(f"{done * 100:.0f} %")
    if eta is not None:
        told.append(f"{duration(eta)} left")
    if live.action in {"idle", "frozen"} and live.mismatches:
        told.append(f"{live.mismatches} sectors differed at the last check")
    return ", ".join(told)


def duration(seconds: int) -> str:
    """A time in the largest two units, for people."""
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}{f' {rest} {smaller}' if rest and unit != 'min' else ''}"
    return f"{seconds} s"


def building(array: Array, work: Work) -> bool:
    """Whether the first build of an array that hakit made was not seen to be over. Raises Failure."""
    record = intents.read(array.array, array.uuid, work)
    return record is not None and record.building


def probe(name: str, work: Work) -> tuple[bool, str]:
    """Whether the array that mdadm.conf has as /dev/md/NAME runs with all its redundancy, and its state in words."""
    uuid = named(name, work)
    live = running(uuid, work) if uuid else None
    first = any(one.building for one in intents.all_intents(work) if one.uuid == uuid)
    return state(live, building=first) in OK, words(live, building=first)


def named(name: str, work: Work) -> str:
    """The UUID of an array by its name, as mdadm.conf has it; empty where it has none."""
    for line in lines(text(CONF, work)):
        words = line.split()
        if words[1] in {name, f"/dev/md/{name}"}:
            return next((word.partition("=")[2].lower() for word in words if word.lower().startswith("uuid=")), "")
    return ""


def status(array: Array, work: Work) -> dict[str, Any]:
    """All that is known of an array. Raises Failure, OSError."""
    live = running(array.uuid, work)
    there = disks(work)
    declared = _declared(array, there)
    first = building(array, work)
    found: dict[str, Any] = {
        "state": state(live, building=first),
        "text": words(live, building=first),
        "device": "",
        "uuid": array.uuid,
        "level": str(array.level),
        "size": 0,
        "devices": len(array.devices),
        "degraded": 0,
        "members": [],
        "others": [],
        "action": "idle",
        "progress": None,
        "speed": None,
        "eta": None,
        "mismatches": None,
        "scrubbed": "",
    }
    if live is not None:
        done, speed, eta = progress(live)
        found.update(
            device=f"/dev/md/{array.array}" if array.array in live.called else live.path,
            level=live.level or found["level"],
            size=live.size,
            devices=live.slots,
            degraded=live.degraded,
            action=live.action,
            progress=done,
            speed=speed,
            eta=eta,
            mismatches=live.mismatches if live.started and live.level != "0" else None,
            scrubbed=scrubbed(live, work),
            members=members(live, there, declared, work),
        )
    inside = {one["now"] for one in found["members"]}
    found["others"] = [_other(word, one, there, work) for word, one in declared.items() if not _in(one, there, inside)]
    return found


def _declared(array: Array, there: list[Disk]) -> dict[str, Disk | Failure | None]:
    """The declared words and what each means just now."""
    found: dict[str, Disk | Failure | None] = {}
    for word in (*array.devices, *array.spares, *([array.journal] if array.journal else [])):
        try:
            found[word] = resolve(word, there)
        except Failure as failure:
            found[word] = failure
    return found


def _in(one: Disk | Failure | None, there: list[Disk], names: set[str]) -> bool:
    """Whether a disk, or a partition of it, is among the devices of these names."""
    if one is None or isinstance(one, Failure):
        return False
    return one.name in names or any(part.name in names for part in there if part.parent == one.name)


def members(live: Running, there: list[Disk], declared: dict[str, Any], work: Work) -> list[dict[str, Any]]:
    """The members as the kernel has them, and the slots that have none."""
    found = [_member(place, there, declared, work) for place in live.places]
    taken = {one.slot for one in live.places if one.state != FAULTY}
    blank = {"serial": "", "model": "", "now": "", "word": "", "size": 0, "path": "", "errors": 0}
    found += [
        {**blank, "slot": slot, "role": "active", "state": MISSING} for slot in range(live.slots) if slot not in taken
    ]
    return sorted(found, key=lambda one: (one["slot"] < 0, one["slot"]))


def _member(place: Place, there: list[Disk], declared: dict[str, Any], work: Work) -> dict[str, Any]:
    disk = next((one for one in there if one.name == place.name), None)
    whole = disk if disk is None or not disk.parent else next(one for one in there if one.name == disk.parent)
    word = next((word for word, one in declared.items() if _in(one, there, {place.name})), "")
    role = "journal" if place.journal else "spare" if place.state == SPARE else "active"
    return {
        "serial": disk.serial if disk else "",
        "model": disk.model if disk else "",
        "now": place.name,
        "word": word,
        "slot": place.slot,
        "role": role,
        "state": place.state,
        "size": disk.size if disk else 0,
        "path": path(whole, work) if whole else "",
        "errors": place.errors,
    }


def path(one: Disk, work: Work) -> str:
    """Where a disk is plugged in, as udev calls it (ID_PATH)."""
    return udev(one.number, work).get("ID_PATH", "")


def _other(word: str, one: Any, there: list[Disk], work: Work) -> dict[str, Any]:
    """A declared device that is no member."""
    found: dict[str, Any] = {"word": word, "slot": -1, "role": "", "serial": "", "model": "", "now": "", "size": 0}
    found.update(path="", errors=0, state=ABSENT, why="")
    if isinstance(one, Failure):
        return {**found, "state": REFUSED, "why": one.message}
    if one is None:
        return {**found, "why": f"there is no disk {word}"}
    why = _first_look(one, there, work)
    found.update(serial=one.serial, model=one.model, now=one.name, size=one.size, path=path(one, work))
    return {**found, "state": REFUSED if why else EMPTY, "why": why}


def _first_look(one: Disk, there: list[Disk], work: Work) -> str:
    """What a disk bears at first sight; the whole proof is made when it is added."""
    from hakit.agent.raid.arrays import reader
    from hakit.agent.raid.finding import texts
    from hakit.agent.raid.signatures import signatures, superblocks, tables

    try:
        fd = os.open(work.at(one.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return f"it can't be opened ({error.strerror})"
    try:
        read = reader(fd)
        found = [*tables(read, one.size), *superblocks(read, one.size), *signatures(read)]
    except OSError as error:
        return f"it can't be read ({error.strerror})"
    finally:
        os.close(fd)
    parts = [part.name for part in there if part.parent == one.name]
    return ", ".join([*texts(found), *(f"the partition {name}" for name in parts if not found)])


def scrubbed(live: Running, work: Work) -> str:
    """When an array's last whole comparison ended since this boot, by the kernel's log; empty where unknown."""
    if not live.started:
        return ""
    words = [
        "journalctl",
        "-k",
        "-b",
        "-q",
        "-n",
        "1",
        "-o",
        "short-unix",
        "--grep",
        f"md: {live.name}: data-check done",
    ]
    stamp = work.run(words, 20.0).out.partition(" ")[0].partition(".")[0]
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(int(stamp))) if stamp.isdigit() else ""
