"""An array on a host that is not there: disks come, go and are rebuilt as a test says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hakit.components.storage import SeenDisk, SeenStorage
from hakit.errors import RefusedError
from hakit.raid.picture import Disk, Picture

TIB = 1 << 40


def disk(serial: str, state: str = "in_sync", slot: int = 0, **others: Any) -> Disk:
    known: dict[str, Any] = {
        "serial": serial,
        "model": "ST4000",
        "now": f"sd{serial[:1].lower()}",
        "word": f"serial:{serial}",
        "slot": slot,
        "role": "active",
        "state": state,
        "size": 4 * TIB,
        "path": f"pci-{serial}",
        "errors": 0,
    }
    return Disk(**{**known, **others})


def array(*members: Disk, state: str = "clean", degraded: int = 0, **others: Any) -> Picture:
    return Picture(
        "db1", "data", state, "/dev/md/data", "u", "1", 4 * TIB, 2, degraded, members, **{"others": (), **others}
    )


@dataclass
class Bench:
    """`Hands` on two disks; `plugged` are serials that appear at the look with that number."""

    members: dict[str, Disk] = field(default_factory=dict)
    declared: dict[str, Disk] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    plugged: dict[int, str] = field(default_factory=dict)
    refuses: str = ""
    rebuild: int = 3
    did: list[tuple[str, str]] = field(default_factory=list)
    looks: int = 0

    def look(self, name: str) -> Picture:
        assert name == "data"
        self.looks += 1
        if self.looks in self.plugged:
            serial = self.plugged[self.looks]
            self.there.add(serial)
            if serial in self.declared:
                self.declared[serial] = replace(self.declared[serial], state="empty")
        for serial, one in list(self.members.items()):
            if one.state == "rebuilding":
                self.rebuild -= 1
                if self.rebuild <= 0:
                    self.members[serial] = replace(one, state="in_sync")
        missing = [disk("", "missing", 1, word="", now="", path="")] * (2 - len(self.members))
        lacks = 2 - sum(one.state == "in_sync" for one in self.members.values())
        busy = any(one.state == "rebuilding" for one in self.members.values())
        state = "rebuilding" if busy else "degraded" if lacks else "clean"
        others = tuple(one for serial, one in self.declared.items() if serial not in self.members)
        progress = 0.5 if busy else None
        return array(*self.members.values(), *missing, state=state, degraded=lacks, others=others, progress=progress)

    def do(self, name: str, verb: str, **arguments: str) -> dict[str, Any]:
        assert name == "data"
        word = arguments["device"]
        if verb == self.refuses:
            raise RefusedError(f"{word}: no")
        serial = word.removeprefix("serial:")
        self.did.append((verb, word))
        if verb == "fail" and self.members[serial].state != "faulty":
            self.members[serial] = replace(self.members[serial], state="faulty")
        elif verb == "remove":
            assert self.members.pop(serial).state == "faulty"
        elif verb == "add":
            assert serial in self.there
            whole = sum(one.state == "in_sync" for one in self.members.values()) == 2
            self.members[serial] = disk(serial, "spare", -1) if whole else disk(serial, "rebuilding", 1)
        return {}

    def exchange(self, name: str, old: str, new: str) -> None:
        assert name == "data"
        self.did.append(("exchange", f"{old} {new}"))

    def disks(self) -> SeenStorage:
        self.look("data")
        return SeenStorage(tuple(SeenDisk(serial, size=4 * TIB) for serial in sorted(self.there)))


def bench(*, new: str = "empty", old: str = "in_sync") -> Bench:
    """A1 and B2 in sync, C3 declared and no member yet."""
    members = {"A1": disk("A1"), "B2": disk("B2", old, 1)}
    declared = {"C3": disk("C3", new, -1)} if new else {}
    return Bench(members, declared, {"A1", "B2"} | ({"C3"} if new == "empty" else set()))
