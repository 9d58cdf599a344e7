"""How the data directory of a cluster's member is recognised, made or copied; never removed."""

from __future__ import annotations

import os

from hakit.agent.errors import Failure
from hakit.agent.postgres import control, making, record, torn
from hakit.agent.postgres.replication import Upstream
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.postgres import Cluster
    from hakit.agent.work import Work

CREATE, COPY = "create", "copy"
SHOWN = 3  # names of a foreign directory that a message quotes


class State:
    """What is there: `data` in the words of `control`, the `system` identifier of a cluster, what a killed run left."""

    __slots__ = ("data", "left", "system")

    def __init__(self, data: str, system: str, left: str) -> None:
        self.data = data
        self.system = system
        self.left = left


class Clusters:
    """The handler of `Cluster`."""

    def read(self, resources: list[Cluster], work: Work) -> dict[str, State]:
        """What is in the data directories. Raises Failure."""
        return {one.key: self._state(one, work) for one in resources}

    def _state(self, resource: Cluster, work: Work) -> State:
        place = resource.place
        path = work.at(place.data)
        data = control.contents(path)
        system = ""
        if data == control.CLUSTER and os.path.exists(f"{place.programs}/pg_controldata"):
            system = control.read(path, place.programs, work).system
        return State(data, system, making.leftover(place, work))

    def diff(self, resource: Cluster, state: State, work: Work) -> Change:
        """What is to be made. Raises Failure for data that are not this cluster's."""
        if state.data in {control.ABSENT, control.EMPTY}:
            return self._missing(resource, state, work)
        place = resource.place
        if state.data != control.CLUSTER:
            # A file system of its own has a lost+found from the start.
            why = making.mounted(place, work) or _in_the_way(resource, state, work)
            raise Failure(why, path=place.data)
        why = torn.read(place, work)
        if why:
            raise Failure(f"{place.data} can't be used: {why}", path=place.data)
        control.check_version(work.at(place.data), place.version)
        if resource.system and state.system and state.system != resource.system:
            raise Failure(
                f"{place.data} holds another cluster: its system identifier is {state.system}, that of "
                f"{place.cluster} is {resource.system}. hakit leaves it alone: move it away, then apply again",
                path=place.data,
            )
        if resource.parted:
            raise Failure(resource.parted, path=place.data)
        if not state.left:
            return Change()
        return Change(summary=(f"clear {place.making}, left by an interrupted run",))

    def _missing(self, resource: Cluster, state: State, work: Work) -> Change:
        place = resource.place
        label = f"cluster {place.label}"
        after = self._after(resource, work)
        if resource.origin == CREATE:
            _check_never_made(resource, state, work)
            how = ", ".join(["initdb", *(["checksums"] if "--data-checksums" in resource.options else [])])
            summary = f"create {label} ({how})"
        elif resource.origin == COPY:
            source = f"{resource.upstream} ({place.address(resource.upstream)})"
            summary = f"finish the copy of {label} from {source}" if state.left == "whole" else f"copy from {source}"
        else:
            after = after or "known after the cluster's primary is known"
            return Change(summary=(f"create or copy {label}",), after=after, unknown=True, new=True)
        return Change(summary=(summary,), impact=resource.impact, after=after, new=True)

    def _after(self, resource: Cluster, work: Work) -> str:
        """What must be done before the data can be made; empty when nothing is missing. Raises Failure."""
        try:
            making.check_place(resource.place, resource.mount, work)
        except Failure as failure:
            if work.pending(resource) is None:
                raise
            return f"known after {work.require(resource, failure.message)}"
        return ""

    def apply(self, resource: Cluster, change: Change, work: Work) -> tuple[str, ...]:
        """Make or copy the data, or clear what an interrupted run left. Raises Failure, Stopped."""
        place = resource.place
        making.check_place(place, resource.mount, work)
        work.state.own(resource.key, resource.component, {"data": place.data})
        if not change.new:
            making.tidy(place, work)
        elif resource.origin == CREATE:
            making.create(place, resource.options, work)
        else:
            source = Upstream(place, resource.upstream, resource.user, work)
            making.copy(source, work, system=resource.system, rate=resource.rate)
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing to the data."""
        del key, work
        return Change(summary=(f"forget; the data stay in {record.get('data', '?')}",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave the data alone; that was said."""
        del key, record, work
        return ()


def _check_never_made(resource: Cluster, state: State, work: Work) -> None:
    """A member that knows of a cluster must not begin another one: its disk may only be missing. Raises Failure."""
    place = resource.place
    if resource.system:
        raise Failure(f"the cluster {place.cluster} is there already (system identifier {resource.system})")
    known = record.read(work.at(place.decision))
    if known.epoch and not state.left:
        raise Failure(
            f"{place.data} is {state.data}, but this host was a member of {place.cluster} already ({place.decision} "
            f"names {known.primary} the primary): is its file system mounted? To give its data up and begin a new "
            f"cluster, delete that file",
            path=place.data,
        )


def _in_the_way(resource: Cluster, state: State, work: Work) -> str:
    path = resource.place.data
    what = "is a symbolic link" if os.path.islink(work.at(path)) else "is not a directory"
    if os.path.isdir(work.at(path)) and not os.path.islink(work.at(path)):
        names = sorted(os.listdir(work.at(path)))
        what = f"holds {', '.join(names[:SHOWN])}{' and more' if len(names) > SHOWN else ''}"
    kind = "an incomplete cluster" if state.data == control.PARTIAL else "no cluster"
    return f"{path} is in the way: {kind}, it {what}. hakit leaves it alone: move it away, or name another directory"
