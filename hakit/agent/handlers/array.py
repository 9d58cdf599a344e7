"""How md arrays are recognised, assembled or created; the deciding itself is `hakit.agent.raid.deciding`."""

from __future__ import annotations

import os

from hakit.agent.errors import Failure
from hakit.agent.raid import intent as intents
from hakit.agent.raid import making
from hakit.agent.raid.deciding import ASSEMBLE, CREATE, DEVICE, FINE, REFUSE, RENAME
from hakit.agent.raid.finding import size
from hakit.agent.raid.looking import look
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.raid.looking import Looked
    from hakit.agent.resources.raid import Array
    from hakit.agent.work import Work

REMEMBER = "remember"


class Arrays:
    """The handler of `Array`."""

    def read(self, resources: list[Array], work: Work) -> dict[str, Looked]:
        """What the devices bear. Raises Failure."""
        return {one.key: look(one, work) for one in resources}

    def diff(self, resource: Array, state: Looked, work: Work) -> Change:
        """What is to be done. Raises Failure with all that stands against it."""
        verdict, intent = state.verdict, state.scene.intent
        for line in verdict.told:
            work.say(f"{resource.array}: {line}")
        if verdict.kind == REFUSE:
            raise Failure(f"the array {resource.array} is left alone: {'; '.join(verdict.why)}")
        planned = work.decided.setdefault(resource.key, verdict.mark())
        live = state.scene.live
        if verdict.kind == FINE:
            over = live is not None and live.action == "idle" and not live.degraded
            if intent is not None and intent.stage == intents.CREATING:
                step = (REMEMBER, over)
                return Change(summary=("remember that it is made",), steps=(step,), memory=True)
            if intent is not None and intent.building and over and os.geteuid() == 0:
                # Seen by a look: it says nothing of the array that would be a change of it.
                intents.settle(intent, work, building=False)
            return Change()
        if planned != verdict.mark():
            raise Failure("its disks have changed since the plan was made: look at it again with a new plan")
        return Change(summary=_lines(resource, state), steps=((verdict.kind, verdict),), new=verdict.kind == CREATE)

    def apply(self, resource: Array, change: Change, work: Work) -> tuple[str, ...]:
        """Create, or assemble. Raises Failure."""
        ((kind, what),) = change.steps
        work.state.own(resource.key, resource.component, {"uuid": resource.uuid})
        if kind == REMEMBER:
            record = intents.read(resource.array, resource.uuid, work)
            if record is not None:
                intents.settle(record, work, building=record.building and not what)
        elif kind == CREATE:
            making.create(resource, what, work)
        else:
            making.assemble(resource, what, work)
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing, an array goes on."""
        del key, work
        return Change(summary=(f"forget; the array {record.get('uuid', '?')} stays as it is",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave the array alone; that was said."""
        del key, record, work
        return ()


def _lines(resource: Array, state: Looked) -> tuple[str, ...]:
    verdict = state.verdict
    if verdict.kind == RENAME:
        return (f"have it as /dev/md/{resource.array}: {verdict.why[0]}, and nobody uses it",)
    if verdict.kind == ASSEMBLE:
        return ("assemble it from", *(f"  {disk.text()} (member {member.role})" for disk, member in verdict.parts))
    how = "create it anew, which was cut short," if verdict.again else "create it"
    told = [f"  wipe {disk.text()}" for disk in verdict.wipe]
    for one in state.scene.bearings:
        role = "" if one.role == DEVICE else f" ({one.role})"
        told.append(f"  {one.text()}, {size(one.disk.size if one.disk else 0)}{role}")
    return (f"{how} (RAID{resource.level}) from", *told)
