"""A member's part in an instance, beyond its configuration: whether it serves, how it is taken out and back in."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from hakit.agent.actions import Action
from hakit.agent.probes import Probe
from hakit.components.base import Order, RedundancyGroup, Report, Withdrawal
from hakit.components.keepalived.paths import MAINTENANCE, STATES, UNIT
from hakit.components.keepalived.routers import instance_path, memberships, virtual_routers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from hakit.components.base import Answer
    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.inventory.model import Host, Site

    Level = Literal["good", "risk", "bad"]

HEALTHY = r"^(?:MASTER|BACKUP)$"
"""The states in which a member holds the addresses or can take them (RFC 5798, 6.4; FAULT is keepalived's own)."""


def state_file(router: VirtualRouter) -> str:
    """Where a member keeps its state of an instance while its keepalived runs."""
    return f"{STATES}/{router.name}"


def addresses(member: Member) -> list[str]:
    """The addresses of a member's instance, without their prefix lengths."""
    return [str(ipaddress.ip_interface(address).ip) for address in member.settings.addresses]


def groups(site: Site) -> Iterator[RedundancyGroup]:
    """The members of each instance, the backups first: disrupting them moves nothing."""
    for router in virtual_routers(site).values():
        probes = (
            Probe(kind="unit", target=UNIT),
            Probe(kind="says", target=state_file(router), match=HEALTHY),
        )
        hosts = tuple(member.host.name for member in reversed(router.members))
        yield RedundancyGroup(
            name=f"keepalived {router.name}",
            component="keepalived",
            hosts=hosts,
            probes=dict.fromkeys(hosts, probes),
            holder=Probe(kind="address", target=addresses(router.members[0])[0]),
            unit=UNIT,
        )


def withdrawals(site: Site, host: Host) -> Iterator[Withdrawal]:
    """How a host gives up the addresses of its instances, and stands by again.

    One file speaks for the whole host, so the orders of its instances are the same.
    """
    for router, member in memberships(site, host):
        held = addresses(member)
        gone = [Probe(kind="absent", target=address, seen_from=host.name) for address in held]
        others = [one.host.name for one in router.members if one is not member]
        # Of several others any one may take the addresses, and a probe can't say "one of these".
        if len(others) == 1:
            gone += [Probe(kind="address", target=address, seen_from=others[0]) for address in held]
        yield Withdrawal(
            what=f"keepalived {router.name}",
            out=(Order(host.name, Action(kind="write", target=MAINTENANCE, text="1\n")),),
            back=(Order(host.name, Action(kind="write", target=MAINTENANCE, text="0\n")),),
            gone=tuple(gone),
        )


def inspect(site: Site, host: Host) -> dict[str, Probe]:
    """What `report` needs to know."""
    asked = {
        "unit": Probe(kind="unit", target=UNIT),
        "maintenance": Probe(kind="says", target=MAINTENANCE, match=r"^[1-9]"),
    }
    for router, member in memberships(site, host):
        asked[f"state {router.name}"] = Probe(kind="says", target=state_file(router), match=HEALTHY)
        for address in addresses(member):
            asked[f"address {address}"] = Probe(kind="address", target=address)
    return asked


def report(site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterator[Report]:
    """The VRRP state of each instance, and where it and the addresses contradict each other."""
    if "unit" not in answers:
        return
    for router, member in memberships(site, host):
        yield _report(router, member, answers)


def _report(router: VirtualRouter, member: Member, answers: Mapping[str, Answer]) -> Report:
    subject, path = f"VRRP {router.name}", instance_path(router)
    if not answers["unit"].ok:
        return Report(subject, "stopped", "bad", answers["unit"].detail, path)
    answer = answers.get(f"state {router.name}")
    state = _word(answer)
    if state is None:
        return Report(subject, "unknown", "bad", answer.detail if answer else "", path)
    level, detail = _meaning(state, addresses(member), answers)
    return Report(subject, state, level, detail, path)


def _meaning(state: str, all_addresses: list[str], answers: Mapping[str, Answer]) -> tuple[Level, str]:
    """What a state means, with the addresses that the host has and has not."""
    held = [one for one in all_addresses if _yes(answers, f"address {one}")]
    missing = [one for one in all_addresses if one not in held and f"address {one}" in answers]
    out = _yes(answers, "maintenance")
    if state == "MASTER" and missing:
        return "bad", f"{', '.join(missing)} is not on this host"
    if state == "MASTER":
        holds = f"holds {', '.join(held)}" if held else ""
        return ("risk", f"taken out of service; {holds} until another can") if out else ("good", holds)
    if held:
        return "bad", f"{', '.join(held)} is on this host all the same"
    if out:
        return "risk", "taken out of service"
    return ("good", "") if state == "BACKUP" else ("bad", "can't take over")


def _word(answer: Answer | None) -> str | None:
    """The state in a file's text, the last line of what the host answered."""
    found = re.search(r"\b(MASTER|BACKUP|FAULT|STOP|DELETED)\b", answer.detail) if answer else None
    return found[1] if found else None


def _yes(answers: Mapping[str, Answer], name: str) -> bool:
    return name in answers and answers[name].ok
