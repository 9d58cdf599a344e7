"""A cluster as all of its members together show it, and what that means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from hakit.agent.postgres import serverlog
from hakit.agent.postgres.decision import FAILOVER, MADE, STARTED, SWITCHOVER, UNDECIDED, Decision
from hakit.agent.postgres.place import SLOT_LOST, slot_name
from hakit.agent.postgres.wal import written
from hakit.postgres.layout import Synchrony
from hakit.postgres.member import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hakit.postgres.layout import Layout
    from hakit.postgres.member import MemberState, Replica

Level = Literal["alarm", "bad", "risk"]
OTHER = {"partial": "a cluster that is not whole", "foreign": "something else than a cluster"}
"""What is in a data directory that isn't a cluster, by the words of `look`."""


STRANGE = "it has the data of another cluster"
"""Why nothing else is told of a member that is left out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be; `command` is what mends it, without the inventory."""

    level: Level
    text: str
    command: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the members said, and why some said nothing (`errors`)."""

    layout: Layout
    states: Mapping[str, MemberState]
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def absent(self) -> tuple[str, ...]:
        """The members that did not answer."""
        return tuple(host for host in self.layout.members if host not in self.states)

    @property
    def leaders(self) -> tuple[str, ...]:
        """The members that run as a primary."""
        return tuple(host for host in self.layout.members if host in self.states and self.states[host].leads)

    @property
    def primary(self) -> str:
        """The one that runs as a primary; empty when there is none, or more than one."""
        return self.leaders[0] if len(self.leaders) == 1 else ""

    @property
    def decision(self) -> Decision:
        """The last decision that a member knows. Whom any of its records still excuses, it excuses."""
        known = [state.decision for state in self.states.values()]
        last = max((one.epoch for one in known), default=0)
        named = [one for one in known if one.epoch == last]
        if not last:
            return UNDECIDED
        excused = tuple(host for host in self.layout.members if any(host in one.excused for one in named))
        return named[0].replace(excused=excused)

    @property
    def torn(self) -> str:
        """Why nothing may be changed here: two primaries, two histories; empty when all is of one piece."""
        if self._parted:
            return self._parted
        if self._strangers:
            told = "; ".join(f"{', '.join(hosts)}: {system}" for system, hosts in self._systems.items())
            return f"the members of {self.layout.name} have the data of different clusters ({told})"
        if not self._ahead:
            return ""
        lead, host = self.states[self.primary], self.states[self._ahead[0]]
        return f"{lead.host} is the primary on timeline {lead.timeline}, and {host.host} is on timeline {host.timeline}"

    @property
    def astray(self) -> tuple[str, ...]:
        """The members with another history than the decided primary, which leads.

        They have the data of another cluster, or were promoted by other means, or followed one that was. They are all
        that tears the cluster: it is of one piece once these are copied anew.
        """
        lead = self.primary
        decided = lead and self.decision.primary == lead and not self._parted
        return (*self._strangers, *self._ahead) if decided else ()

    @property
    def _strangers(self) -> tuple[str, ...]:
        """The members with the data of another cluster than the primary's; where nobody leads, than the first one's."""
        return self._beside(self.states[self.primary].system if self.primary else next(iter(self._systems), ""))

    def apart_from(self, host: str) -> tuple[str, ...]:
        """The members with the data of another cluster than one of them has."""
        ours = self.states[host].system if host in self.states else ""
        return self._beside(ours) if ours else ()

    def _beside(self, ours: str) -> tuple[str, ...]:
        """The members with data of other clusters than this one."""
        return tuple(host for system, hosts in self._systems.items() if system != ours for host in hosts)

    def without(self, hosts: Collection[str]) -> Picture:
        """The same without what some members have, which is another cluster's."""
        states = {host: state for host, state in self.states.items() if host not in hosts}
        return Picture(self.layout, states, {**self.errors, **dict.fromkeys(hosts, STRANGE)})

    @property
    def _systems(self) -> dict[str, list[str]]:
        """The members by the cluster whose data they have."""
        found: dict[str, list[str]] = {}
        for host in self.layout.members:
            state = self.states.get(host)
            if state is not None and state.data == CLUSTER and state.system:
                found.setdefault(state.system, []).append(host)
        return found

    @property
    def _ahead(self) -> tuple[str, ...]:
        """The members that are on a newer timeline than the primary."""
        lead = self.states.get(self.primary)
        ours = self._systems.get(lead.system, []) if lead else []
        return tuple(host for host in ours if lead and self.states[host].timeline > lead.timeline)

    @property
    def _parted(self) -> str:
        """Why it can't be told whose data are the right ones; empty when it can."""
        if len(self.leaders) > 1:
            return f"{' and '.join(self.leaders)} both run as primaries of {self.layout.name}"
        if self.rivals:
            named = " and ".join(self.rivals)
            return f"epoch {self.decision.epoch} of {self.layout.name} names {named}: it was decided twice"
        return ""

    @property
    def rivals(self) -> tuple[str, ...]:
        """Those whom the last epoch names, where it was decided twice: members that knew nothing of each other did."""
        last = self.decision.epoch
        named = {one.decision.primary for one in self.states.values() if one.decision.epoch == last and last}
        return tuple(sorted(named)) if len(named) > 1 else ()

    @property
    def unmade(self) -> bool:
        """Whether all members answer, and none has data."""
        return not self.absent and all(state.blank for state in self.states.values())

    @property
    def half_way(self) -> bool:
        """Whether a switchover was killed while nobody was the primary: its target has never been promoted."""
        last = self.decision
        if last.kind != SWITCHOVER or self.leaders:
            return False
        target, old = self.states.get(last.primary), self.states.get(last.before)
        if target is not None:
            return target.signal
        return old is not None and (old.former or old.demoted)

    def histories(self) -> tuple[str, ...]:
        """Each member's timeline, end of WAL, and last commit, in words."""
        found = []
        for host in self.layout.members:
            state = self.states.get(host)
            if state is not None and state.data == CLUSTER:
                end = state.lsn or state.checkpoint
                last = f", last commit {state.replayed_at}" if state.replayed_at else ""
                role = state.role if state.running else "stopped"
                found.append(
                    f"{host}: {role or 'does not answer SQL'}, timeline {state.timeline}, {written(end)}{last}"
                )
        return tuple(found)

    def behind(self, host: str) -> int | None:
        """The bytes that a standby has not replayed yet; None where nobody can tell."""
        state = self.states.get(host)
        lead = self.states.get(self.primary)
        if state is None or lead is None or not state.follows or not state.replayed:
            return None
        return max(0, lead.lsn - state.replayed)

    def late(self, host: str, now: datetime) -> float | None:
        """The seconds since the last commit that a standby has replayed; 0 when it has everything."""
        behind = self.behind(host)
        if behind is None or not behind:
            return 0.0 if behind == 0 else None
        try:
            last = datetime.fromisoformat(self.states[host].replayed_at)
            return max(0.0, (now - last).total_seconds())
        except (ValueError, TypeError):
            return None

    def replica(self, host: str) -> Replica | None:
        """A standby as the one that it follows sees it."""
        for state in self.states.values():
            for one in state.replicas:
                if state.running and one.name == host:
                    return one
        return None

    def synchrony(self) -> tuple[Synchrony, ...]:
        """For whom commits may have waited: as each member that runs is configured, and as the inventory has it.

        They differ while a change is on its way, and it may have reached a primary that is gone before all others.
        """
        found: list[Synchrony] = []
        for state in self.states.values():
            if state.running and "synchronous_standby_names" in state.settings:
                commit = state.settings.get("synchronous_commit", "on")
                one = Synchrony.parse(state.settings["synchronous_standby_names"], commit)
                if one not in found:
                    found.append(one)
        return tuple(dict.fromkeys([*found, self.layout.synchrony]))

    @property
    def waits(self) -> int:
        """For how many standbys the primary's commits wait now."""
        lead = self.states.get(self.primary)
        names = lead.settings.get("synchronous_standby_names") if lead else None
        if lead is None or names is None:
            return self.layout.synchrony.count
        return Synchrony.parse(names, lead.settings.get("synchronous_commit", "on")).count

    def attached(self) -> bool:
        """Whether as many synchronous standbys are attached to the primary as its commits wait for."""
        lead = self.states.get(self.primary)
        return lead is not None and sum(one.acknowledges for one in lead.replicas) >= self.waits

    def findings(self) -> tuple[Finding, ...]:
        """What is not as it should be, the worst first."""
        found = [*self._cluster(), *(one for host in self.layout.members for one in self._member(host))]
        return tuple(sorted(found, key=lambda one: ("alarm", "bad", "risk").index(one.level)))

    def _cluster(self) -> Iterator[Finding]:
        name, last = self.layout.name, self.decision
        if self.torn:
            yield Finding("alarm", "\n".join([f"split brain: {self.torn}", *self.histories()]))
            for host in self.astray:
                text = f"{host}, or whom it followed, was promoted by other means: it has a history of its own"
                if host in self._strangers:
                    text = f"{host} has the data of another cluster"
                yield Finding("bad", text, f"hakit postgres reinit {name} {host}", host)
            if self._strangers and not self.leaders:
                text = f"nobody leads {name}: of those that have the right data, one can be made the primary"
                yield Finding("bad", text, f"hakit postgres failover {name} --to HOST")
            if self.rivals and self.primary:
                text = f"{self.primary} alone leads now; if its data are the right ones, all members can be told"
                yield Finding("bad", text, f"hakit postgres failover {name} --to {self.primary}", self.primary)
            return
        if not self.primary:
            yield self._leaderless()
        elif last.epoch and last.primary != self.primary:
            yield Finding("bad", self._contradiction(), f"hakit postgres {self._verb()} {name}")
        elif self.states[self.primary].held:
            text = f"{self.primary} gets no writes: {self.states[self.primary].held}"
            yield Finding("bad", text, f"hakit postgres {self._verb()} {name}", self.primary)
        elif not self.attached():
            yield Finding("bad", f"writes hang: commits wait for {_standbys(self.waits)}, and {self._there()}")

    def _contradiction(self) -> str:
        """What a decision means that names another one than who leads."""
        last, lead = self.decision, self.primary
        if last.kind in (SWITCHOVER, FAILOVER) and last.before in ("", lead):
            return f"a {last.kind} to {last.primary} was begun and not ended; {lead} is still the primary"
        was = "was made the primary" if last.kind == MADE else f"was named the primary (by a {last.kind})"
        if last.kind == STARTED:
            was = "was to go on as the primary"
        return f"{last.primary} {was}, but {lead} leads: it was promoted by other means, and could not start again"

    def _there(self) -> str:
        """How many of them are attached."""
        there = sum(one.acknowledges for one in self.states[self.primary].replicas)
        return f"{there or 'none'} {'is' if there < 2 else 'are'} attached to {self.primary}"  # noqa: PLR2004 - the plural of the verb

    def _verb(self) -> str:
        return SWITCHOVER if self.decision.kind == SWITCHOVER else FAILOVER

    def _leaderless(self) -> Finding:
        name, last = self.layout.name, self.decision
        if not self.states:
            return Finding("bad", f"no member of {name} answers, so nobody can tell who leads")
        if self.unmade:
            return Finding("bad", f"{name} is not made yet", "hakit apply")
        if self.half_way and {last.primary, last.before} <= set(self.states):
            text = f"the switchover from {last.before} to {last.primary} stopped half-way: nobody is the primary"
            return Finding("bad", text, f"hakit postgres switchover {name}")
        if last.kind == FAILOVER and last.primary in self.states and self.states[last.primary].follows:
            text = f"the failover to {last.primary} stopped half-way: nobody is the primary"
            vouched = f" --fenced {last.before}" if last.before in self.absent else ""
            return Finding("bad", text, f"hakit postgres failover {name}{vouched}")
        if last.primary in self.states:
            why = self.states[last.primary].why
            text = f"nobody is the primary; {last.primary} should be, and does not run{f': {why}' if why else ''}"
        else:
            lost = f"; {last.primary} was, and does not answer" if last.primary else ""
            text = f"no member that answers is the primary{lost}"
        return Finding("bad", text, f"hakit postgres failover {name}", last.primary)

    def _member(self, host: str) -> Iterator[Finding]:
        state, name = self.states.get(host), self.layout.name
        if state is None:
            yield Finding("risk", f"{host} does not answer: {self.errors.get(host, 'no session')}", "", host)
            return
        if state.blank:
            if not self.unmade:
                yield Finding("risk", f"{host} has no data yet", "hakit apply", host)
        elif state.data != CLUSTER:
            command = f"hakit postgres reinit {name} {host}" if self.primary else ""
            yield Finding(
                "risk", f"the data directory of {host} holds {OTHER.get(state.data, state.data)}", command, host
            )
        elif self.primary and not self._parted and host not in (self.primary, *self.astray):
            yield from self._follower(state)
        if state.cramped:
            left = (state.free or 0) >> 20
            text = f"{host} has {left} MiB left for WAL, and its server stops when that is full: make room"
            yield Finding("risk", text, "", host)
        if state.pending:
            text = f"{host} needs a restart for {', '.join(state.pending)}"
            yield Finding("risk", text, "hakit apply", host)
        if state.held and host != self.primary:
            yield Finding("risk", f"{host} is held: {state.held}", f"hakit postgres {self._verb()} {name}", host)

    def _follower(self, state: MemberState) -> Iterator[Finding]:
        host, name = state.host, self.layout.name
        rejoin = f"hakit postgres rejoin {name} {host}"
        why = f": {state.why}" if state.why else ""
        if not state.system:
            yield Finding(
                "risk", f"the data of {host} can't be used{why}", f"hakit postgres reinit {name} {host}", host
            )
        elif state.former:
            yield Finding("risk", f"{host} has the data of a former primary, and is stopped", rejoin, host)
        elif self.is_left_behind(host):
            text = f"{host} was away for too long: the WAL that it needs is gone"
            yield Finding("risk", text, f"hakit postgres reinit {name} {host}", host)
        elif not state.running:
            yield Finding("risk", f"{host} does not run{why}", rejoin, host)
        elif not state.in_place:
            whom = f" from {state.upstream}{why}" if state.upstream else ": it follows nobody"
            command = "hakit apply" if serverlog.is_refused(state.why) else rejoin
            yield Finding("risk", f"{host} receives nothing{whom}", command, host)

    def is_left_behind(self, host: str) -> bool:
        """Whether a standby needs WAL that its upstream no longer has, by what it says, or by its slot."""
        state = self.states.get(host)
        if state is None or not state.signal or state.demoted or state.streams:
            return False
        slots = (slot for one in self.states.values() for slot in one.slots)
        lost = any(slot.name == slot_name(host) and slot.status == SLOT_LOST for slot in slots)
        return lost or serverlog.is_gone(state.why)


def _standbys(number: int) -> str:
    return f"{number} standby" if number == 1 else f"{number} standbys"
