"""In which order steps will be carried out, for people: read off the steps themselves, so that it is what happens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hakit.engine.steps import Step


@dataclass(frozen=True, slots=True)
class Turns:
    """Hosts that are changed one at a time, in this order."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waits:
    """Hosts whose turn comes after that of others, in no order among themselves.

    `since` is the key of the resource with which the wait begins, what comes before it is done before; empty where the
    hosts wait with everything.
    """

    hosts: tuple[str, ...]
    on: tuple[str, ...]
    since: str = ""


@dataclass(frozen=True, slots=True)
class Together:
    """Hosts that must agree: `stopped` stop `unit`, `first` change, then `after` change and start."""

    stopped: tuple[str, ...]
    first: tuple[str, ...]
    after: tuple[str, ...]
    unit: str


Part = Turns | Waits | Together


def order(steps: Iterable[Step]) -> tuple[Part, ...]:
    """What a reader needs to know of the order: hosts that wait for nobody, and for whom nobody waits, are left out."""
    every = tuple(steps)
    first = frozenset(step.name for step in every if step.half == "first")
    steps = tuple(replace(step, after=step.after - first) for step in every if step.half != "first")
    joint = [step for step in steps if step.atomic]
    alone = [step for step in steps if not step.atomic]
    return (
        *(part for found in _clusters(alone) for part in _turns(found)),
        *(part for found in _clusters(joint) if (part := _together(found))),
    )


def _clusters(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps that are bound to each other by waiting, directly or by others, in their order."""
    found: list[list[Step]] = []
    for step in steps:
        bound = [one for one in found if any(step.name in other.after or other.name in step.after for other in one)]
        found = [one for one in found if one not in bound] + [[*(other for one in bound for other in one), step]]
    rank = {step.name: place for place, step in enumerate(steps)}
    return [sorted(one, key=lambda step: rank[step.name]) for one in found]


def _turns(steps: Sequence[Step]) -> list[Part]:
    """Rows of hosts that go one at a time; all in one row where each waits for all before it."""
    before = _before(steps)
    rows: list[list[Step]] = []
    waiting: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for step in sorted(steps, key=lambda step: len(before[step.name])):
        # Who waits for the same as another does not stand behind it, so neither goes on with a row.
        alike = step.half == "second" or any(other is not step and other.after == step.after for other in steps)
        open_ = [row for row in rows if row[-1].name in before[step.name] and not alike]
        row = max(open_, key=lambda row: len(before[row[-1].name]), default=None)
        implied: frozenset[str] = frozenset()
        if row is None:
            rows.append([step])
        else:
            implied = before[row[-1].name] | {row[-1].name}
            row.append(step)
        others = tuple(other.host for other in steps if other.name in step.after - implied)
        if others:
            since = step.keys[0] if step.half == "second" else ""
            waiting.setdefault((others, since), []).append(step.host)
    turns = (Turns(tuple(step.host for step in row)) for row in rows if len(row) > 1)
    return [*turns, *(Waits(tuple(hosts), others, since) for (others, since), hosts in waiting.items())]


def _before(steps: Sequence[Step]) -> Mapping[str, frozenset[str]]:
    """The names of all steps that a step waits for, also by way of others."""
    by_name = {step.name: step for step in steps}
    found: dict[str, frozenset[str]] = {}

    def reach(name: str) -> frozenset[str]:
        if name not in found:
            direct = by_name[name].after & by_name.keys()
            found[name] = direct.union(*(reach(other) for other in direct))
        return found[name]

    for step in steps:
        reach(step.name)
    return found


def _together(steps: Sequence[Step]) -> Together | None:
    names = {step.name for step in steps if step.act != "stop"}
    stops = [step for step in steps if step.act == "stop"]
    first = tuple(step.host for step in steps if step.act != "stop" and not step.after & names)
    after = tuple(step.host for step in steps if step.act != "stop" and step.after & names)
    if not stops and not after:
        return None
    return Together(tuple(step.host for step in stops), first, after, stops[0].unit if stops else "")
