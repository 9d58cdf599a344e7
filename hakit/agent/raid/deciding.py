"""What is to be done about an array, from what its devices bear: pure, and the only place where that is decided."""

from __future__ import annotations

from hakit.agent.raid.finding import HELD, MIB, Finding, held, size, texts
from hakit.agent.raid.intent import CREATING
from hakit.agent.raid.table import extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.raid.arrays import Running
    from hakit.agent.raid.disks import Disk
    from hakit.agent.raid.intent import Intent
    from hakit.agent.raid.superblock import Member
    from hakit.agent.resources.raid import Array

    Part = tuple[Disk, Member]

FINE, RENAME, ASSEMBLE, PROVE, CREATE, REFUSE = "fine", "rename", "assemble", "prove", "create", "refuse"
"""As it is; runs under another name, unused; has superblocks; the proof is yet to be made; empty; none of these."""
DEVICE, SPARE, JOURNAL = "device", "spare", "journal"
MARGIN = 1  # events by which members differ that were cut off at once (mdadm, Assemble.c: event_margin)
UNEVEN = 0.01  # of a member's size: mdadm asks above that


class Bearing:
    """One declared device as it is just now.

    `disk` is None where there is none, `trouble` why the word can't be resolved. `parts` are the superblocks with the
    array's UUID on the disk and its partitions, `others` those of other arrays that bear its name. `found` is what else
    it bears, None until the proof was made: with `half` what our own cut-short creation may have left is no finding.
    """

    __slots__ = ("disk", "found", "half", "others", "parts", "role", "trouble", "word")

    def __init__(self, word: str, role: str, disk: Disk | None, parts: list[Part], trouble: str = "") -> None:
        self.word = word
        self.role = role
        self.disk = disk
        self.parts = parts
        self.trouble = trouble
        self.others: list[Part] = []
        self.found: list[Finding] | None = None
        self.half = False

    def text(self) -> str:
        """For people: the disk, or the word that means none."""
        return self.word if self.disk is None else self.disk.text()


class Scene:
    """All that a decision is made from.

    `live` is the array as the kernel has it, `busy` whether somebody uses it; `strays` are superblocks with its UUID on
    disks that are not declared; `namesake` is another array that runs under its name.
    """

    __slots__ = ("bearings", "busy", "intent", "live", "namesake", "strays")

    def __init__(
        self,
        bearings: list[Bearing],
        live: Running | None = None,
        intent: Intent | None = None,
        strays: list[Part] | None = None,
    ) -> None:
        self.bearings = bearings
        self.live = live
        self.intent = intent
        self.strays = strays or []
        self.busy = False
        self.namesake = ""


class Verdict:
    """`kind` as above; `why` it is refused; `told` what an operator should know; `parts` what it is assembled from.

    `wipe` are the disks that are wiped first; `again` whether a creation is begun anew that was cut short.
    """

    __slots__ = ("again", "kind", "parts", "told", "why", "wipe")

    def __init__(self, kind: str, why: list[str] | None = None, told: list[str] | None = None) -> None:
        self.kind = kind
        self.why = why or []
        self.told = told or []
        self.parts: list[Part] = []
        self.wipe: list[Disk] = []
        self.again = False

    def same(self, other: Verdict) -> bool:
        """Whether both come to the same on the same disks, however those are called just now."""
        return self.mark() == other.mark()

    def mark(self) -> tuple[str, ...]:
        """What has to stay between a plan and its change."""
        return (self.kind, *sorted(one.serial for one, _ in self.parts), "", *sorted(one.serial for one in self.wipe))


def decide(array: Array, scene: Scene) -> Verdict:
    """What is to be done. PROVE asks for the proof of each bearing, and to be called again with it."""
    live = scene.live
    if live is not None and live.started and not _torn(array, scene):
        return _running(array, scene, live)
    trouble = [one.trouble for one in scene.bearings if one.trouble] + _twice(scene)
    if scene.namesake:
        trouble.append(f"/dev/md/{array.array} is another array: {scene.namesake}")
    if trouble:
        return Verdict(REFUSE, trouble)
    parts = [part for one in scene.bearings for part in one.parts]
    if (parts or scene.strays) and not _torn(array, scene):
        return _assemble(array, scene)
    return _create(array, scene)


def _torn(array: Array, scene: Scene) -> bool:
    """Whether a creation of ours was cut short before all members were members."""
    if scene.intent is None or scene.intent.stage != CREATING or array.adopt:
        return False
    live = scene.live
    if live is not None and live.started:
        return live.degraded > 0 and not scene.busy and len(live.places) < _count(array)
    # Written by mdadm, and never run: the bitmap of the last one may be missing.
    unborn = all(member.events == 0 for one in scene.bearings for _, member in one.parts)
    return unborn or any(not one.parts for one in scene.bearings)


def _count(array: Array) -> int:
    return len(array.devices) + len(array.spares) + bool(array.journal)


def _twice(scene: Scene) -> list[str]:
    """Devices that are one disk."""
    seen: dict[str, str] = {}
    found = []
    for one in scene.bearings:
        if one.disk is not None:
            whole = one.disk.parent or one.disk.name
            if whole in seen:
                found.append(f"{seen[whole]} and {one.word} are one disk: {one.disk.text()}")
            seen[whole] = one.word
    return found


def _running(array: Array, scene: Scene, live: Running) -> Verdict:
    told = differences(array, live) + _members(scene, live)
    if array.array in live.called:
        return Verdict(FINE, told=told)
    wrong = f"it runs as {live.path}, not as /dev/md/{array.array}"
    # Stopped, an array that misses members would not start again without force.
    why = "it is in use now" if scene.busy else "it misses members now" if live.degraded else ""
    if why:
        return Verdict(FINE, told=[*told, f"{wrong}: its name is right after the next boot, {why}"])
    verdict = Verdict(RENAME, [wrong], told)
    parts = [part for one in scene.bearings for part in one.parts] + scene.strays
    verdict.parts = [part for part in parts if live.place(part[0].name)]
    return verdict


def differences(array: Array, live: Running) -> list[str]:
    """What is declared of an array that runs and is otherwise: a reshape, which is a command of its own."""
    layout = layout_word(live)
    pairs = (
        ("level", str(array.level), live.level),
        ("number of members", str(len(array.devices)), str(live.slots)),
        ("chunk in KiB", str(array.chunk or live.chunk), str(live.chunk)),
        ("layout", array.layout or layout, layout),
        ("consistency policy", array.consistency, live.policy if array.level else array.consistency),
    )
    return [
        f"the array's {what} is {actual}, not {declared} as declared (hakit raid grow changes it)"
        for what, declared, actual in pairs
        if actual and declared != actual
    ]


LAYOUTS = {0: "left-asymmetric", 1: "right-asymmetric", 2: "left-symmetric", 3: "right-symmetric"}


def layout_word(live: Running) -> str:
    """The word of mdadm for an array's layout; empty where it has none, or a rare one (md(4))."""
    if live.level in {"5", "6"}:
        return LAYOUTS.get(live.layout, "")
    if live.level == "10":
        near, far, offset = live.layout & 0xFF, live.layout >> 8 & 0xFF, live.layout >> 16 & 1
        if far > 1:
            return f"{'o' if offset else 'f'}{far}"
        return f"n{near}"
    return ""


def _members(scene: Scene, live: Running) -> list[str]:
    found = []
    declared = set()
    for one in scene.bearings:
        names = {part.name for part, _ in one.parts} | ({one.disk.name} if one.disk else set())
        declared |= names
        if one.disk is None:
            found.append(
                f"{one.trouble or f'there is no disk {one.word}'}; hakit raid replace puts another in its place"
            )
        elif not any(live.place(name) for name in names):
            found.append(f"{one.text()} is declared and no member of it: hakit raid replace adds it")
    strange = [place.name for place in live.places if place.name not in declared]
    strays = {part.name: part for part, _ in scene.strays}
    found += [
        f"{strays[name].text() if name in strays else name} is a member of it and not declared: it stays"
        for name in strange
    ]
    return found


def _assemble(array: Array, scene: Scene) -> Verdict:
    declared = [part for one in scene.bearings for part in one.parts]
    parts = declared + [part for part in scene.strays if part[1].role not in {member.role for _, member in declared}]
    newest = max(member.events for _, member in parts)
    fresh = [part for part in parts if part[1].events >= newest - MARGIN]
    why = _contradictions(fresh)
    why += [
        f"{disk.text()} is a member of another array of this name, {member.uuid}"
        for one in scene.bearings
        for disk, member in one.others
    ]
    chosen, told = _slots(parts, why)
    present = {member.role for _, member in chosen if member.role.isdigit() and member.events >= newest - MARGIN}
    slots = fresh[0][1].devices
    needed = least(fresh[0][1].level, slots)
    if not why and len(present) < needed:
        why.append(f"{len(present)} of its {slots} members are here, and a RAID{array.level} needs {needed}")
        why += [f"there is no disk {one.word}" for one in scene.bearings if one.disk is None]
    if why:
        return Verdict(REFUSE, why)
    told += [
        f"there is no disk {one.word}: the array is assembled without it" for one in scene.bearings if not one.disk
    ]
    told += [
        f"{one.text()} bears no superblock of it: left alone" for one in scene.bearings if one.disk and not one.parts
    ]
    told += [
        f"{part.text()} is a member of it and not declared"
        for part, _ in chosen
        if part in [stray for stray, _ in scene.strays]
    ]
    verdict = Verdict(ASSEMBLE, told=told)
    verdict.parts = chosen
    return verdict


def _slots(parts: list[Part], why: list[str]) -> tuple[list[Part], list[str]]:
    """One member for each slot, the newest; two that are equally new are added to `why`."""
    chosen: dict[str, Part] = {}
    told, others = [], []
    for part in sorted(parts, key=lambda part: -part[1].events):
        role = part[1].role
        if not role.isdigit():
            others.append(part)
        elif role not in chosen:
            chosen[role] = part
        elif chosen[role][1].events == part[1].events:
            why.append(f"{chosen[role][0].text()} and {part[0].text()} both say that they are its member {role}")
        else:
            told.append(f"{part[0].text()} is an older copy of its member {role}: left alone")
    return [*chosen.values(), *(part for part in others if part[1].role != "faulty")], told


def _contradictions(parts: list[Part]) -> list[str]:
    """What the newest superblocks of an array can't all be right about."""
    first_disk, first = parts[0]
    why = [
        f"{disk.text()} says level {member.level} of {member.devices} since {member.created}, {first_disk.text()} says "
        f"level {first.level} of {first.devices} since {first.created}"
        for disk, member in parts[1:]
        if (member.level, member.devices, member.created) != (first.level, first.devices, first.created)
    ]
    slotted = [(disk, member) for disk, member in parts if member.role.isdigit() and member.active]
    for number, (disk, member) in enumerate(slotted):
        for other, theirs in slotted[number + 1 :]:
            if int(member.role) not in theirs.active and int(theirs.role) not in member.active:
                why.append(
                    f"{disk.text()} and {other.text()} each say that the other failed: they ran one without the other"
                )
    return why


def least(level: str, slots: int) -> int:
    """The members without which an array of this level can't run; of RAID10 half of them may do, md says which."""
    return {"1": 1, "4": slots - 1, "5": slots - 1, "6": slots - 2, "10": slots // 2}.get(level, slots)


def _create(array: Array, scene: Scene) -> Verdict:
    if array.adopt:
        return Verdict(REFUSE, [f"no disk bears a superblock of the array {array.uuid}, which is adopted, never made"])
    missing = [f"there is no disk {one.word}" for one in scene.bearings if one.disk is None]
    if missing:
        return Verdict(REFUSE, missing)
    if any(one.found is None for one in scene.bearings):
        return Verdict(PROVE)
    why: list[str] = []
    verdict = Verdict(CREATE)
    for one in scene.bearings:
        if not one.found or one.disk is None:
            continue
        if may_wipe(array, one.disk, one.found, scene.intent):
            verdict.wipe.append(one.disk)
        else:
            why.append(f"{one.text()}: {', '.join(texts(one.found))}{_remedy(array, one.disk, one.found)}")
    why += _sizes(array, scene.bearings)
    if why:
        return Verdict(REFUSE, why)
    verdict.again = any(one.half for one in scene.bearings)
    return verdict


def may_wipe(array: Array, disk: Disk, found: list[Finding], intent: Intent | None) -> bool:
    """Whether a disk may be wiped of what was found: named, confirmed, and used by nobody."""
    allowed = set(array.wipe) & (set(array.confirmed) | set(intent.wiped if intent else ()))
    return bool(allowed & set(disk.serials)) and not held(found) and len(disk.serials) > 0


def _remedy(array: Array, disk: Disk, found: list[Finding]) -> str:
    """What to type where the disk may go; nothing where somebody uses it."""
    if any(one.kind == HELD for one in found) or not disk.serials or disk.parent:
        return ""
    named = set(array.wipe) & set(disk.serials)
    if named:
        return f" (to lose that:  hakit apply --wipe {min(named)} )"
    return f" (to lose that name {disk.serial} in raid.wipe, then  hakit apply --wipe {disk.serial} )"


def usable(array: Array, disk: Disk) -> int:
    """The bytes that a disk offers to the array."""
    return extent(disk.size, array.size)[1] if array.partition else disk.size


def _sizes(array: Array, bearings: list[Bearing]) -> list[str]:
    """Members that are too small, or too unequal."""
    disks = [one.disk for one in bearings if one.role != JOURNAL and one.disk is not None]
    if array.size:
        room = (2 if array.partition else 0) * MIB
        return [
            f"{one.text()} is smaller ({size(one.size)}) than the {array.size} MiB that are declared"
            for one in disks
            if one.size - room < array.size * MIB
        ]
    largest = max(disks, key=lambda one: one.size)
    return [
        f"{one.text()} is smaller ({size(one.size)}) than {largest.text()} ({size(largest.size)}): say by `size` what "
        "each gives"
        for one in disks
        if usable(array, one) < (1 - UNEVEN) * usable(array, largest)
    ]
