"""How LVM groups and volumes on arrays are read, compared and made; nothing is ever grown, shrunk or removed."""

from __future__ import annotations

import os

from hakit.agent.errors import Failure
from hakit.agent.process import find
from hakit.agent.raid import intent as intents
from hakit.agent.raid.arrays import arrays
from hakit.agent.raid.disks import Disk
from hakit.agent.raid.finding import DATA, HELD, MIB, texts
from hakit.agent.raid.looking import prove
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.raid.arrays import Running
    from hakit.agent.raid.finding import Finding
    from hakit.agent.resources.raid import Volume, Volumegroup
    from hakit.agent.work import Work

LVM = 60.0  # seconds


def _rows(argv: list[str], work: Work) -> list[list[str]]:
    """What a report of LVM's says, field by field. Raises Failure."""
    words = [argv[0], "--noheadings", "--separator=|", "--units=b", "--nosuffix", *argv[1:]]
    told = work.must(words, f"read what {argv[0]} tells", LVM).out
    return [[field.strip() for field in line.split("|")] for line in told.splitlines() if "|" in line]


class _Staying:
    """What both have in common: their removal only reports."""

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing to the data."""
        del record, work
        return Change(summary=(f"forget; {key.partition(':')[2]} stays",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave it alone; that was said."""
        del key, record, work
        return ()


class Volumegroups(_Staying):
    """The handler of `Volumegroup`."""

    def read(self, resources: list[Volumegroup], work: Work) -> dict[str, list[list[str]] | None]:
        """All physical volumes (device, group); None where LVM is not installed. Raises Failure."""
        found = _rows(["pvs", "-o", "pv_name,vg_name"], work) if find("pvs") else None
        return {one.key: found for one in resources}

    def diff(self, resource: Volumegroup, state: list[list[str]] | None, work: Work) -> Change:
        """Whether it is to be made. Raises Failure for what is on other devices, or on the array."""
        line = f"make the volume group {resource.group} on /dev/md/{resource.array}"
        if state is None:
            after = work.require(resource, "lvm2 is not installed on this host")
            return Change(summary=(line,), after=f"known after {after}", new=True)
        live = _array(resource.array, work)
        if live is None:
            after = work.require(resource, f"there is no array {resource.array} on this host")
            return Change(summary=(line,), after=f"known after {after}", new=True)
        devices = {os.path.basename(os.path.realpath(name)): group for name, group in state}
        there = [name for name, group in devices.items() if group == resource.group]
        if there == [live.name]:
            return Change()
        if there:
            raise Failure(f"a volume group {resource.group} is there on {', '.join(there)}: hakit leaves it alone")
        if devices.get(live.name):
            raise Failure(f"/dev/md/{resource.array} belongs to the volume group {devices[live.name]}")
        intent = intents.read(resource.array, live.uuid, work)
        begun = live.name in devices and intent is not None and intent.fresh
        found = [] if begun else _bears(live, intent, work)
        if found:
            raise Failure(f"/dev/md/{resource.array} is left alone: {', '.join(texts(found))}")
        return Change(summary=(line,), new=True)

    def apply(self, resource: Volumegroup, change: Change, work: Work) -> tuple[str, ...]:
        """Make it; LVM opens the array exclusively, and looks for signatures as well. Raises Failure."""
        live = _array(resource.array, work)
        if live is None:
            raise Failure(f"there is no array {resource.array} on this host")
        work.state.own(resource.key, resource.component, {"array": resource.array})
        work.must(["vgcreate", "--", resource.group, work.at(live.path)], f"make {resource.group}", LVM)
        intent = intents.read(resource.array, live.uuid, work)
        if intent is not None and not intent.wiped:  # old blocks of wiped disks will show up in the volumes
            intents.settle(intent, work, fresh=False)
        return change.summary


def _array(name: str, work: Work) -> Running | None:
    declared: Any = work.declared.get(f"array:{name}")
    for one in arrays(work):
        if one.started and (one.uuid == declared.uuid if declared is not None else name in one.called):
            return one
    return None


def _bears(live: Running, intent: intents.Intent | None, work: Work) -> list[Finding]:
    device = Disk(live.name, live.number, live.size)
    found = prove(device, [device], work)
    if intent is not None and intent.fresh and intent.wiped:
        found = [one for one in found if one.kind == HELD or (one.kind != DATA and one.where <= 0)]
    return found


class Volumes(_Staying):
    """The handler of `Volume`."""

    def read(self, resources: list[Volume], work: Work) -> dict[str, list[list[str]] | None]:
        """All volumes (group, volume, bytes); None where LVM is not installed. Raises Failure."""
        found = _rows(["lvs", "-o", "vg_name,lv_name,lv_size"], work) if find("lvs") else None
        return {one.key: found for one in resources}

    def diff(self, resource: Volume, state: list[list[str]] | None, work: Work) -> Change:
        """Whether it is to be made; another size is only told. Raises Failure."""
        size = f"{resource.size} MiB" if resource.size else "all that is left"
        line = f"make the volume {resource.name} ({size})"
        pending = work.pending(resource)
        if state is None:
            after = work.require(resource, "lvm2 is not installed on this host")
            return Change(summary=(line,), after=f"known after {after}", new=True)
        for group, volume, count in state:
            if (group, volume) == (resource.group, resource.volume):
                if resource.size and int(count) != resource.size * MIB:
                    work.say(f"the volume {resource.name} has {int(count) // MIB} MiB, not {resource.size}: it stays")
                return Change()
        return Change(summary=(line,), after=f"known after {pending}" if pending else "", new=True)

    def apply(self, resource: Volume, change: Change, work: Work) -> tuple[str, ...]:
        """Make it, and remember that it has nothing on it yet. Raises Failure."""
        work.state.own(resource.key, resource.component, {})
        group: Any = work.declared.get(f"volumegroup:{resource.group}")
        live = _array(group.array, work) if group is not None else None
        intent = intents.read(group.array, live.uuid, work) if live is not None else None
        if intent is not None and intent.wiped and resource.name not in intent.volumes:
            intents.settle(intent, work, volumes=(*intent.volumes, resource.name))
        extent = ["--size", f"{resource.size}m"] if resource.size else ["--extents", "100%FREE"]
        argv = ["lvcreate", "--wipesignatures", "n", *extent, "--name", resource.volume, "--", resource.group]
        work.must(argv, f"make {resource.name}", LVM)
        work.run(["udevadm", "settle", "--timeout=15"], 20.0)
        return change.summary
