"""The rules about instances and their members: what must differ, what must agree."""

from __future__ import annotations

import ipaddress
from itertools import combinations
from typing import TYPE_CHECKING

from hakit.components.keepalived.routers import instance_path, members, virtual_routers
from hakit.components.keepalived.settings import KeepalivedSettings
from hakit.lint.rule import Finding, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.components.keepalived.settings import Instance
    from hakit.inventory.model import Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MANUAL = "keepalived.conf(5)"


@rule(
    "KA004",
    "error",
    reason="Two instances with one virtual router id on one segment take each other's adverts for their own.",
    source=f"{MANUAL}, virtual_router_id; RFC 5798, 5.2.3",
)
def same_router_id(site: Site, components: Components) -> Iterator[Finding]:
    """Each instance that shares its id and a segment with one before it."""
    del components
    by_id: dict[int, list[VirtualRouter]] = {}
    for router in virtual_routers(site).values():
        others = by_id.setdefault(router.members[0].settings.virtual_router_id, [])
        if found := next(filter(None, (_clash(other, router) for other in others)), None):
            yield found
        others.append(router)


def _clash(first: VirtualRouter, second: VirtualRouter) -> Finding | None:
    """What two instances of the same id do to each other, if they meet."""
    one, other = first.members[0].settings, second.members[0].settings
    why = f"{first.name} uses virtual router id {one.virtual_router_id}"
    if shared := _nics(first) & _nics(second):
        why += f" on the same NIC ({', '.join(f'{host} {nic}' for host, nic in sorted(shared))})"
    elif one.unicast == other.unicast and _segments(first) & _segments(second):
        why += " on the same segment" + ("; unicast keeps them apart, for now" if one.unicast else "")
    else:
        return None
    return Finding(
        second.members[0].host,
        instance_path(second, "virtual_router_id"),
        why,
        write="an id of its own, 1 to 255",
        severity="warning" if one.unicast and not shared else None,
    )


def _nics(router: VirtualRouter) -> set[tuple[str, str]]:
    return {(member.host.name, member.settings.interface) for member in router.members}


def _segments(router: VirtualRouter) -> set[str]:
    """The subnets its addresses claim: where two instances share one, they share the layer-2 segment."""
    return {
        str(ipaddress.ip_interface(address).network)
        for member in router.members
        for address in member.settings.addresses
    }


def _names(router: VirtualRouter) -> frozenset[str]:
    return frozenset(member.host.name for member in router.members)


_SHARED = ("virtual_router_id", "addresses", "version", "advert", "unicast", "auth", "prefer")


@rule(
    "KA006",
    "error",
    reason="Members that disagree ignore each other's adverts, and each takes the addresses.",
    source="RFC 5798, 7.1 (adverts are checked); https://github.com/acassen/keepalived/issues/2370",
)
def disagreement(site: Site, components: Components) -> Iterator[Finding]:
    """What must be equal on all members of an instance, and is not."""
    del components
    for router, member in members(site):
        first = router.members[0]
        for key in _SHARED:
            mine, theirs = _shared(member.settings, key), _shared(first.settings, key)
            if mine != theirs:
                setting = "advert_interval" if key == "advert" else key
                message = f"{member.host.name} has {mine}, {first.host.name} has {theirs}: members must agree"
                write = "the setting once, where all members get it; two different instances need two names"
                yield Finding(member.host, instance_path(router, setting), message, write=write)


def _shared(settings: Instance, key: str) -> str:
    value = getattr(settings, key)
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}s" if key == "advert" else str(value)


@rule(
    "KA007",
    "error",
    reason="Unicast adverts reach only the listed peers: a list that is empty or one-sided makes two holders.",
    source=f"{MANUAL}, unicast_peer: unicast without peers is not possible",
)
def unicast_peers(site: Site, components: Components) -> Iterator[Finding]:
    """Instances without a peer, and members that no peer can tell apart or reach."""
    del components
    for router in virtual_routers(site).values():
        unicast = [member for member in router.members if member.settings.unicast]
        if len(router.members) == 1 and unicast:
            message = f"{unicast[0].host.name} is the only member: nobody can take over"
            write = "the instance on a second host (in the variables of a group that holds both)"
            yield Finding(unicast[0].host, instance_path(router), message, write=write)
        yield from _unreachable(router, unicast)


def _unreachable(router: VirtualRouter, unicast: list[Member]) -> Iterator[Finding]:
    for first, second in combinations(unicast, 2):
        if first.source == second.source:
            message = f"{first.host.name} and {second.host.name} both send from {first.source}"
            where = instance_path(router, "source") if second.settings.source else instance_path(router)
            yield Finding(second.host, where, message, write="source: an address of the host's own")


@rule(
    "KA016",
    "error",
    reason="Two instances on the same hosts that prefer the same one leave the others idle.",
    source="https://keepalived.readthedocs.io/en/latest/case_study_failover.html",
)
def same_owner(site: Site, components: Components) -> Iterator[Finding]:
    """Instances with the members and the preferred host of one before them, while another member owns nothing."""
    del components
    together = _in_one_sync_group(site)
    busy = {router.members[0].host.name for router in virtual_routers(site).values()}
    alike: dict[tuple[str, frozenset[str]], list[VirtualRouter]] = {}
    for second in virtual_routers(site).values():
        owner = second.members[0]
        before = alike.setdefault((owner.host.name, _names(second)), [])
        first = next((one for one in before if frozenset((one.name, second.name)) not in together), None)
        before.append(second)
        idle = [member.host.name for member in second.members if member.host.name not in busy]
        if first is None or not idle:
            continue
        stated = first.members[0].settings.prefer is not None or owner.settings.prefer is not None
        yield Finding(
            owner.host,
            instance_path(second, "prefer") if owner.settings.prefer else instance_path(second),
            f"{first.name} and {second.name} both prefer {owner.host.name}; {', '.join(idle)} would stand idle",
            write=f"prefer: {idle[0]}  for {second.name}, or a sync group of both",
            severity=None if stated else "warning",
        )


def _in_one_sync_group(site: Site) -> set[frozenset[str]]:
    """Pairs of instances that are meant to move together."""
    return {
        frozenset(pair)
        for _, settings in configured(site, "keepalived", KeepalivedSettings)
        for group in settings.sync_groups.values()
        for pair in combinations((str(name) for name in group.instances), 2)
    }


@rule(
    "KA011",
    "error",
    reason="A sync group moves as one: weighted checks of a member are ignored, and owners must not contradict.",
    source=f"{MANUAL}, vrrp_sync_group and sync_group_tracking_weight",
)
def sync_group(site: Site, components: Components) -> Iterator[Finding]:
    """Weighted trackers without tracking_weight, and members that prefer different hosts."""
    del components
    routers = virtual_routers(site)
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, group in settings.sync_groups.items():
            path: Path = ("keepalived", "sync_groups", name)
            weighted = [one for one in group.instances if one in settings.instances and _weighted(settings, one)]
            if weighted and not group.tracking_weight:
                message = f"the weighted checks of {', '.join(weighted)} are ignored in a sync group"
                yield Finding(host, path, message, write="tracking_weight: true, or weight: 0 for the checks")
            owners = {one: routers[one].members[0].host.name for one in group.instances if one in settings.instances}
            if len(set(owners.values())) > 1:
                listed = ", ".join(f"{one} prefers {owner}" for one, owner in owners.items())
                yield Finding(
                    host, (*path, "instances"), f"its instances pull apart: {listed}", write="one prefer for all"
                )


def _weighted(settings: KeepalivedSettings, instance: str) -> bool:
    scripts = settings.instances[instance].track_scripts
    files = settings.instances[instance].track_files
    return any(settings.scripts[one].weight for one in scripts if one in settings.scripts) or any(
        settings.files[one].weight for one in files if one in settings.files
    )


AGREEMENT_RULES = (same_router_id, disagreement, unicast_peers, sync_group, same_owner)
