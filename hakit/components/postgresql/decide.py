"""What each member is to do, from what all of them say: who makes the cluster, who copies whom, who restarts first.

Pure. Nobody is made a primary here: a cluster that has data has had one, and an operator's command names the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hakit.agent.postgres import decision
from hakit.agent.resources.postgres import Cluster as Data
from hakit.agent.tasks import Task
from hakit.components.base import Decision
from hakit.components.postgresql import behind, room
from hakit.components.postgresql.members import clusters, place, settings_of
from hakit.components.postgresql.part import COPY, CREATE, Part
from hakit.components.postgresql.tuning import NEEDED, needed
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.components.base import Facts
    from hakit.components.postgresql.members import Cluster
    from hakit.inventory.model import Host, Site

    Answers = Mapping[str, Mapping[str, Any]]

LOOK = 30.0
"""Seconds for a member to tell its state; it gives up on its own server long before."""
NOTHING, CLUSTER, PRIMARY = frozenset({"absent", "empty"}), "cluster", "primary"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one member said; the words are those of the task `look`. `last`: who was named primary, as it knows."""

    name: str
    data: str
    system: str = ""
    timeline: int = 0
    standby: bool = False
    running: bool = False
    role: str = ""
    lsn: str = ""
    committed: str = ""
    last: decision.Decision = decision.UNDECIDED
    settings: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, name: str, answer: Mapping[str, Any]) -> Seen:
        """From the answer to `look`; what it does not say is unknown."""
        settings = answer.get("settings") or {}
        numbers = {key: int(settings[key]) for key in NEEDED if str(settings.get(key, "")).isdecimal()}
        return cls(
            name=name,
            data=str(answer.get("data") or ""),
            system=str(answer.get("system") or ""),
            timeline=int(answer.get("timeline") or 0),
            standby=bool(answer.get("standby")),
            running=bool(answer.get("running")),
            role=str(answer.get("role") or ""),
            lsn=str(answer.get("lsn") or ""),
            committed=str(answer.get("replayed_at") or ""),
            last=decision.from_wire(answer.get("decision") or {}),
            settings=tuple(numbers.items()),
        )

    @property
    def leads(self) -> bool:
        """Whether it runs and takes writes."""
        return self.running and self.role == PRIMARY

    @property
    def there(self) -> bool:
        """Whether it has data of a cluster."""
        return self.data == CLUSTER

    @property
    def closed(self) -> bool:
        """Whether it would open for writes if it were started."""
        return self.there and not self.standby and not self.running


def observe(site: Site, host: Host, facts: Facts) -> Task:
    """The question to a member."""
    return Task(kind="postgres", do="look", about=place(site, host, facts.release), timeout=LOOK)


def decide(site: Site, facts: Mapping[str, Facts], observed: Answers) -> dict[str, Decision]:
    """What each member that answered is to do. Raises RefusedError."""
    found: dict[str, Decision] = {}
    for cluster in clusters(site).values():
        answers = {name: observed[name] for name in cluster.names if name in observed}
        seen = {name: Seen.of(name, answer) for name, answer in answers.items()}
        for name, one in _cluster(site, cluster, seen).items() if seen else ():
            notes = *room.warnings(site.hosts[name], answers[name]), *behind.warnings(cluster.name, name, answers)
            found[name] = replace(_held(site, name, facts[name], one), notes=notes)
    return found


def _held(site: Site, name: str, facts: Facts, one: Decision) -> Decision:
    """A decision to copy holds back the data directory alone: what else a member without data needs disturbs nobody."""
    if not isinstance(one.value, Part) or one.value.origin != COPY:
        return one
    return replace(one, held=(Data(place=place(site, site.hosts[name], facts.release)).key,))


def _cluster(site: Site, cluster: Cluster, seen: Mapping[str, Seen]) -> dict[str, Decision]:
    _beneath(cluster, seen)
    _one_system(cluster, seen)
    _one_primary(cluster, seen)
    if not any(one.there for one in seen.values()):
        empty = all(one.data in NOTHING for one in seen.values())
        return _first(cluster, seen) if empty else {name: Decision(Part()) for name in seen}
    named = _named(cluster, seen)
    primary = _primary(seen, named)
    system = next((one.system for one in seen.values() if one.there and one.system), "")
    found = {}
    for name, one in seen.items():
        if one.data in NOTHING:
            found[name] = _copy(cluster, seen, _source(cluster, primary, named), name, system)
        else:
            found[name] = Decision(Part(system=system, parted=_parted(cluster, one, seen, primary or named)))
    return _ordered(site, cluster, seen, primary, found)


def _beneath(cluster: Cluster, seen: Mapping[str, Seen]) -> None:
    """Raise RefusedError where a server runs whose data directory is gone from beneath it."""
    lost = [one.name for one in seen.values() if one.running and one.data in NOTHING]
    if lost:
        raise RefusedError(
            f"{cluster.name}: the server of {', '.join(lost)} runs, but its data directory is gone",
            why="what it still has in memory, and in files that are open, is all that there is of it",
            hint=f"Dump what you can from it first, then stop it and  hakit postgres reinit {cluster.name} {lost[0]}",
        )


def _one_system(cluster: Cluster, seen: Mapping[str, Seen]) -> None:
    """Raise RefusedError where members hold data of different clusters."""
    systems: dict[str, list[str]] = {}
    for one in seen.values():
        if one.there and one.system:
            systems.setdefault(one.system, []).append(one.name)
    if len(systems) > 1:
        told = "; ".join(f"{', '.join(names)}: {system}" for system, names in systems.items())
        raise RefusedError(
            f"the members of {cluster.name} hold data of different clusters",
            why=f"their system identifiers are {told}",
            hint=_stray(cluster, seen, systems)
            or "Find out which of them are right, and move the other data directories aside by hand.",
        )


def _stray(cluster: Cluster, seen: Mapping[str, Seen], systems: Mapping[str, list[str]]) -> str:
    """How to have one member take the others' data, where one cluster of two runs; empty where that isn't plain."""
    running = [system for system, names in systems.items() if any(seen[name].leads for name in names)]
    others = [name for system, names in systems.items() if system not in running for name in names]
    if len(running) != 1 or len(others) != 1:
        return ""
    reinit = f"hakit postgres reinit {cluster.name} {others[0]}"
    return f"If those of {others[0]} are the wrong ones:  {reinit}  moves them aside"


def _one_primary(cluster: Cluster, seen: Mapping[str, Seen]) -> None:
    """Raise RefusedError in a split brain."""
    leading = [one for one in seen.values() if one.leads]
    if len(leading) > 1:
        told = "; ".join(_described(one) for one in leading)
        raise RefusedError(
            f"{cluster.name} has {len(leading)} primaries: {' and '.join(one.name for one in leading)}",
            why=f"each may have commits that the others lack. {told}",
            hint=f"Nothing was changed. Decide which one stays, stop the other, then  hakit postgres rejoin "
            f"{cluster.name} HOST",
        )


def _described(one: Seen) -> str:
    last = f", last commit {one.committed}" if one.committed else ""
    return f"{one.name} is on timeline {one.timeline} at {one.lsn or 'an unknown position'}{last}"


def _named(cluster: Cluster, seen: Mapping[str, Seen]) -> str:
    """Whom the latest decision names; empty where there is none. Raises RefusedError for two of the same epoch."""
    epoch = max(one.last.epoch for one in seen.values())
    names = {one.last.primary: one.name for one in seen.values() if one.last.epoch == epoch and epoch}
    if len(names) > 1:
        told = " and ".join(f"{named} (on {host})" for named, host in names.items())
        raise RefusedError(
            f"the members of {cluster.name} remember two decisions with the number {epoch}: {told}",
            why="two operators acted at once, or a record was copied from one host to another",
            hint=f"See  hakit postgres status {cluster.name}",
        )
    return next(iter(names), "")


def _primary(seen: Mapping[str, Seen], named: str) -> str:
    """Who leads: the one that runs as primary, else the one that was named, else the only one that could."""
    for one in seen.values():
        if one.leads:
            return one.name
    if named:
        return named if named in seen and seen[named].there else ""
    closed = [one.name for one in seen.values() if one.closed]
    return closed[0] if len(closed) == 1 else ""


def _parted(cluster: Cluster, one: Seen, seen: Mapping[str, Seen], leader: str) -> str:
    """Why a stopped member must not be started: it would open as a second primary. Empty when it may be."""
    if not one.closed or one.name == leader:
        return ""
    if leader:
        return (
            f"{one.name} has the data of a former primary of {cluster.name}, and {leader} was made primary after it: "
            f"take it back with  hakit postgres rejoin {cluster.name} {one.name}"
        )
    others = [other.name for other in seen.values() if other.closed and other is not one]
    if not others:
        return ""
    return (
        f"{one.name} and {' and '.join(others)} could each open as the primary of {cluster.name}, and no decision says "
        f"which: see  hakit postgres status {cluster.name}"
    )


def _first(cluster: Cluster, seen: Mapping[str, Seen]) -> dict[str, Decision]:
    """Nobody has anything: the inventory's primary makes the cluster, the others copy it."""
    silent = [name for name in cluster.names if name not in seen]
    if silent:
        raise RefusedError(
            f"{cluster.name} is not made: {', '.join(silent)} can't be asked",
            why="whether the cluster is there already isn't known, and a second one beside it would split it",
            hint="Bring all members up, or take those that are gone out of the inventory.",
        )
    past = next((one for one in seen.values() if one.last.epoch > 1 or one.last.kind not in {"", decision.MADE}), None)
    if past is not None:
        raise RefusedError(
            f"{cluster.name} is not made anew: its data are gone from every member, but it was there",
            why=f"{past.name} remembers that {past.last.primary} was its primary",
            hint="Restore the data of one member; or, to begin with nothing, remove /var/lib/hakit-postgresql on all.",
        )
    found = {cluster.maker: Decision(Part(CREATE))}
    for name in cluster.names:
        if name != cluster.maker:
            found[name] = _copy(cluster, seen, cluster.maker, name, "")
    return found


def _source(cluster: Cluster, primary: str, named: str) -> str:
    """The primary that a new member follows. Raises RefusedError where it isn't known."""
    if primary and (not named or named == primary):
        return primary
    if primary:
        why = f"{primary} runs as primary, but {named} was named: a switchover or failover is not finished"
        hint = f"Run the command again that began it; see  hakit postgres status {cluster.name}"
    elif named:
        why, hint = (
            f"{named} is the primary, but it does not answer or its data are gone",
            f"Bring {named} up, or fail over",
        )
    else:
        why = "none of its members runs as primary, and no decision names one"
        hint = f"See  hakit postgres status {cluster.name}"
    raise RefusedError(f"nobody is known whom new members of {cluster.name} could copy", why=why, hint=hint)


def _copy(cluster: Cluster, seen: Mapping[str, Seen], primary: str, name: str, system: str) -> Decision:
    """A member without data copies from the one it is to follow; from the primary where that one can't be asked."""
    host = cluster.host(name)
    upstream = settings_of(host).upstream if host else None
    source = str(upstream) if upstream is not None and str(upstream) in seen and str(upstream) != name else primary
    return Decision(Part(COPY, source, system), after=(source,))


def _ordered(
    site: Site, cluster: Cluster, seen: Mapping[str, Seen], primary: str, found: dict[str, Decision]
) -> dict[str, Decision]:
    """Raise what standbys need as much of as the primary on standbys first; lower it on the primary first, in place.

    Raises RefusedError for both at once.
    """
    host = cluster.host(primary)
    if host is None or primary not in seen or not seen[primary].leads:
        return found
    wanted, now = needed(site, host), dict(seen[primary].settings)
    more = [name for name, value in wanted.items() if value > now.get(name, value)]
    less = [name for name, value in wanted.items() if value < now.get(name, value)]
    standbys = tuple(name for name, one in seen.items() if name != primary and one.there and one.running)
    if more and less and standbys:
        raise RefusedError(
            f"{cluster.name}: {', '.join(more)} can't be raised while {', '.join(less)} is lowered",
            why="standbys take the higher value first, the primary the lower one: one restart of each can't do both",
            hint="Change them in two applies: raise first.",
        )
    if more:
        found[primary] = replace(found[primary], after=standbys)
    if less and standbys:
        _refuse_delayed(cluster, standbys, less)
        found[primary] = replace(found[primary], first=True)
        for name in standbys:
            found[name] = replace(found[name], after=(primary,))
    return found


def _refuse_delayed(cluster: Cluster, standbys: tuple[str, ...], less: list[str]) -> None:
    for host in cluster.hosts:
        if host.name in standbys and settings_of(host).delay:
            raise RefusedError(
                f"{cluster.name}: {', '.join(less)} can't be lowered while {host.name} is delayed",
                why="it learns of the primary's lower value only after its delay, and does not start before that",
                hint=f"Set  delay: 0  for {host.name}, apply, then lower it.",
            )
