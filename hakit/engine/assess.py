"""What the hosts' answers mean for the services of a site. Pure.

A service is `healthy` when it serves and all that could take over can; `at risk` when it serves and some can't; `down`
when it does not serve; `alarm` when two hosts hold its address; `unknown` when those who could tell don't answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hakit.agent.probes import Probe
from hakit.engine.duty import describe
from hakit.engine.sound import sound, with_sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hakit.agent.actions import Mark
    from hakit.agent.answers import Hello, ProbeResult
    from hakit.components.base import Component, RedundancyGroup, Report, Serving, Tier
    from hakit.engine.examination import Clock
    from hakit.errors import HakitError
    from hakit.inventory.model import Site

    Components = Mapping[str, Component]

State = Literal["healthy", "at risk", "unknown", "down", "alarm"]
WORST: tuple[State, ...] = ("healthy", "at risk", "unknown", "down", "alarm")


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host said; `error` when it did not answer, `answers` to the probes that it was asked."""

    name: str
    error: HakitError | None = None
    hello: Hello | None = None
    clock: Clock | None = None
    reboot: bool = False
    answers: Mapping[Probe, ProbeResult] | None = None
    reports: tuple[Report, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A service, or what stands for one: its state, its address (empty for a group without one), who holds it, why.

    `roles` are what the members of a group are in it, where their component says so.
    """

    name: str
    kind: Literal["service", "address", "group"]
    state: State
    address: str = ""
    holders: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteState:
    """The state of a site at one moment.

    `marks` tell who is out of service, `risks` which hosts would not survive the next failure, and why.
    """

    rows: tuple[Row, ...]
    hosts: Mapping[str, HostState]
    marks: tuple[Mark, ...]
    risks: Mapping[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether everything is healthy and every host answers."""
        answering = not any(one.error for one in self.hosts.values())
        return all(row.state == "healthy" for row in self.rows) and answering and not self.risks


def holds(address: str) -> Probe:
    """The question whether a host has an address."""
    return Probe(kind="address", target=address)


def questions(site: Site, components: Components) -> dict[str, tuple[Probe, ...]]:
    """What is asked of each host: who has the addresses, what its components want to know, the groups' probes."""
    found: dict[str, dict[Probe, None]] = {name: {} for name in site.hosts}
    addresses = [serving.address for one in components.values() for serving in one.serves(site)]
    addresses += [service.address for service in site.services.values()]
    for name, host in site.hosts.items():
        found[name].update(dict.fromkeys(holds(address) for address in addresses))
        for key, one in components.items():
            if key in host.settings:
                found[name].update(dict.fromkeys(one.inspect(site, host).values()))
                found[name].update(dict.fromkeys(one.sound(site, host)))
    for group in groups_of(site, components):
        for member, probes in group.probes.items():
            for probe in probes:
                found[_asker(probe, member)][probe] = None
        for probe in group.service:
            if probe.seen_from in found:
                found[probe.seen_from][probe] = None
        for member in group.hosts if _leads(group) else ():
            found[member][_leads(group)[0]] = None
    return {name: tuple(probes) for name, probes in found.items()}


def groups_of(site: Site, components: Components) -> list[RedundancyGroup]:
    """All redundancy groups of a site."""
    return [with_sound(group, site, components) for one in components.values() for group in one.groups(site)]


def _leads(group: RedundancyGroup) -> tuple[Probe, ...]:
    """The question whether a member holds the group's role, where that is no address: those are asked for anyway."""
    return () if group.holder is None or group.holder.kind == "address" else (group.holder,)


def _asker(probe: Probe, member: str) -> str:
    return probe.seen_from or member


def assess(site: Site, components: Components, hosts: Mapping[str, HostState]) -> SiteState:
    """The state of a site by the answers of its hosts."""
    marks = tuple(_marks(hosts))
    judge = _Judge(site, components, hosts, {mark.host: mark for mark in marks})
    rows = tuple(judge.rows())
    return SiteState(rows, hosts, marks, judge.risks)


def risks_of(site: Site, components: Components, hosts: Mapping[str, HostState]) -> dict[str, str]:
    """The hosts that would not survive the next failure, and why, as they say themselves."""
    found: dict[str, str] = {}
    for name, one in hosts.items():
        for probe in sound(site, components, name) if one.answers is not None else ():
            result = one.answers.get(probe) if one.answers is not None else None
            if result is not None and not result.ok:
                found.setdefault(name, f"{probe.kind} {probe.target} {result.detail}")
    return found


def _marks(hosts: Mapping[str, HostState]) -> Iterator[Mark]:
    """Who is out of service, once each: every host that helped tells of it."""
    told: set[tuple[str, str]] = set()
    for one in hosts.values():
        for mark in one.hello.marks if one.hello is not None else ():
            if (mark.host, mark.kind) not in told:
                told.add((mark.host, mark.kind))
                yield mark


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Reasons why a service does not serve, and why it could stop to."""

    dead: list[str]
    risks: list[str]


def _address_of(target: str) -> str:
    """The address in `10.0.0.1:80` or `http://[::1]:80/path`."""
    place = target.partition("://")[2] or target
    return place.partition("/")[0].rpartition(":")[0].strip("[]")


def _told(report: Report) -> str:
    return f"{report.subject} {report.state}{f' ({report.detail})' if report.detail else ''}"


class _Judge:
    """Judges one moment."""

    def __init__(
        self, site: Site, components: Components, hosts: Mapping[str, HostState], marks: Mapping[str, Mark]
    ) -> None:
        self.site = site
        self.hosts = hosts
        self.marks = marks
        self.groups = groups_of(site, components)
        self.servings = [serving for one in components.values() for serving in one.serves(site)]
        self.tiers = [tier for one in components.values() for tier in one.tiers(site)]
        self.risks = risks_of(site, components, hosts)
        self._used: set[str] = set()

    def rows(self) -> Iterator[Row]:
        """The services, then addresses that no service names, then groups that stand behind none of them."""
        named = {service.address for service in self.site.services.values()}
        by_address = {serving.address: serving for serving in self.servings}
        for name, service in self.site.services.items():
            yield self._address(str(name), "service", str(service.address), by_address.get(service.address))
        for serving in self.servings:
            if serving.address not in named:
                yield self._address(self._called(serving), "address", serving.address, serving)
        for group in self.groups:
            if group.name not in self._used:
                yield self._group(group)

    def _called(self, serving: Serving) -> str:
        return next((group.name for group in self._own_groups(serving) if group.holder is not None), serving.address)

    def _address(self, name: str, kind: Literal["service", "address"], address: str, serving: Serving | None) -> Row:
        holders = tuple(host for host in self.site.hosts if self._holds(host, address))
        verdict = _Verdict([], [])
        if serving is not None:
            verdict.risks.extend(self._members(serving, holders))
            for tier in self.tiers:
                if tier.address in {address, "*"} and tier.host.name in serving.hosts:
                    self._tier(tier, serving, holders, verdict)
        unseen = self._service(address, verdict)
        state, why = self._verdict(serving, holders, verdict, unseen=unseen)
        return Row(name, kind, state, address, holders, tuple(dict.fromkeys(why)))

    def _verdict(
        self, serving: Serving | None, holders: Sequence[str], verdict: _Verdict, *, unseen: bool
    ) -> tuple[State, list[str]]:
        """The state of an address and why; `unseen` when nobody has seen it serve."""
        dead, risks = verdict.dead, verdict.risks
        silent = any(self.hosts[host].error for host in (serving.hosts if serving else self.site.hosts))
        if len(holders) > 1:
            return "alarm", [f"{' and '.join(holders)} both hold it", *dead, *risks]
        if not holders and unseen and silent and not dead:
            return "unknown", ["nobody who answers holds it", *risks]
        if not holders and (unseen or not silent):
            return "down", ["no host holds it", *dead, *risks]
        return ("down" if dead else "at risk" if risks else "healthy"), [*dead, *risks]

    def _own_groups(self, serving: Serving) -> list[RedundancyGroup]:
        """The groups whose members must serve for one of them to carry an address."""
        siblings = {one.address for one in self.servings if one.path[:-1] == serving.path[:-1]}
        return [
            group
            for group in self.groups
            if set(group.hosts) == set(serving.hosts) and (group.holder is None or group.holder.target in siblings)
        ]

    def _members(self, serving: Serving, holders: Sequence[str]) -> Iterator[str]:
        """Why members can't carry an address."""
        groups = self._own_groups(serving)
        self._used.update(group.name for group in groups)
        for host in serving.hosts:
            reason = self._unable(host, groups) or self._reported(host, serving)
            if reason:
                word = "is not well" if host in holders else "can't take over"
                yield f"{host} {word}: {reason}"
            elif risk := self._risk(host):
                yield f"{host} may not survive the next failure: {risk}"

    def _unable(self, host: str, groups: Sequence[RedundancyGroup]) -> str:
        """Why a host is not able to serve in some groups; empty when it is."""
        if host in self.marks:
            return describe(self.marks[host])
        error = self.hosts[host].error
        if error is not None:
            return f"does not answer: {error.message.removeprefix(f'{host}: ')}"
        return next((why for group in groups if (why := self._failing(group, host))), "")

    def _risk(self, host: str) -> str:
        """Why a host would not survive the next failure, though it serves; empty when nothing says so."""
        return self.risks.get(host, "")

    def _reported(self, host: str, serving: Serving) -> str:
        """What the host's components say against its part in an address."""
        for report in self.hosts[host].reports:
            about = report.path and report.path == serving.path[: len(report.path)]
            if about and report.level != "good":
                return _told(report)
        return ""

    def _tier(self, tier: Tier, serving: Serving, holders: Sequence[str], verdict: _Verdict) -> None:
        """What the servers behind an address are worth, by their group's probes, else by the balancers' reports."""
        name, well = str(tier.path[-1]), True
        for group in self.groups:
            if set(group.hosts) == set(tier.hosts) and group.component == tier.path[0] and group.holder is None:
                self._used.add(group.name)
                failing = {host: why for host in group.hosts if (why := self._failing(group, host))}
                out = [host for host in group.hosts if host in self.marks and host not in failing]
                well = well and not failing
                if len(failing) == len(group.hosts):
                    verdict.dead.append(f"no server of {name} serves: {next(iter(failing.values()))}")
                else:
                    verdict.risks.extend([f"{host} of {name} does not serve: {why}" for host, why in failing.items()])
                verdict.risks.extend([f"{host} of {name} is {describe(self.marks[host])}" for host in out])
                rest = [host for host in group.hosts if host not in failing and host not in out]
                verdict.risks.extend(
                    [
                        f"{host} of {name} may not survive the next failure: {why}"
                        for host in rest
                        if (why := self._risk(host))
                    ]
                )
        for host in serving.hosts:
            for report in self.hosts[host].reports:
                if report.path == tier.path and report.level != "good":
                    bad = report.level == "bad" and host in holders
                    if well or (bad and not verdict.dead):
                        (verdict.dead if bad else verdict.risks).append(f"{host}: {_told(report)}")

    def _service(self, address: str, verdict: _Verdict) -> bool:
        """What clients see; whether nobody saw it serve."""
        asked = [
            (probe, result)
            for group in self.groups
            for probe in group.service
            if _address_of(probe.target) == address and (result := self._answer(probe.seen_from, probe)) is not None
        ]
        failed = [(probe, result) for probe, result in asked if not result.ok]
        for probe, result in failed:
            text = f"seen from {probe.seen_from}: {result.detail}"
            (verdict.dead if len(failed) == len(asked) else verdict.risks).append(text)
        return len(failed) == len(asked)

    def _group(self, group: RedundancyGroup) -> Row:
        failing = {host: reason for host in group.hosts if (reason := self._unable(host, [group]))}
        state: State = "healthy" if not failing else "down" if len(failing) == len(group.hosts) else "at risk"
        holders = tuple(
            host for host in group.hosts if group.holder is not None and self._holds(host, group.holder.target)
        )
        why = [f"{host}: {reason}" for host, reason in failing.items()]
        risky = {host: risk for host in group.hosts if host not in failing and (risk := self._risk(host))}
        why += [f"{host} may not survive the next failure: {risk}" for host, risk in risky.items()]
        if risky and state == "healthy":
            state = "at risk"
        if state != "down" and self._headless(group):
            state = "unknown" if any(self.hosts[host].error for host in group.hosts) else "down"
            why.insert(0, "nobody who answers leads")
        return Row(group.name, "group", state, "", holders, tuple(why), self._roles(group))

    def _headless(self, group: RedundancyGroup) -> bool:
        """Whether the members say that none of them holds the group's role."""
        asked = [self._answer(host, probe) for probe in _leads(group) for host in group.hosts]
        said = [answer.ok for answer in asked if answer is not None]
        return bool(said) and not any(said)

    def _roles(self, group: RedundancyGroup) -> dict[str, str]:
        members = [host for name, host in self.hosts.items() if name in group.hosts]
        return {host.name: report.state for host in members for report in host.reports if report.group == group.name}

    def _failing(self, group: RedundancyGroup, host: str) -> str:
        """Why a member does not serve, as seen by whoever answered; empty when nothing speaks against it."""
        for probe in group.probes.get(host, ()):
            result = self._answer(_asker(probe, host), probe)
            if result is not None and not result.ok:
                return result.detail
        return ""

    def _holds(self, host: str, address: str) -> bool:
        result = self._answer(host, holds(address))
        return result is not None and result.ok

    def _answer(self, asker: str, probe: Probe) -> ProbeResult | None:
        one = self.hosts.get(asker)
        return one.answers.get(probe) if one is not None and one.answers is not None else None
