"""The rules of VRRP that settings can break, and those that deriving the configuration upholds."""

from __future__ import annotations

import ipaddress
import re
from itertools import combinations
from typing import TYPE_CHECKING

from hakit.components.keepalived.routers import virtual_routers
from hakit.components.keepalived.settings import KeepalivedSettings
from hakit.components.keepalived.weights import WEIGHT_RULES
from hakit.lint.rule import Finding, Upheld, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.components.base import Component
    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.components.keepalived.settings import Instance
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MANUAL = "keepalived.conf(5)"
_ONLY_A_PROCESS = re.compile(
    r"\b(?:pidof|pgrep)\b|\bkill(?:all)?\s+(?:-s\s+)?-?0\b|\bsystemctl\s.*\bis-active\b|\bservice\s+\S+\s+status\b"
)
_SLOW_TO_FORWARD = re.compile(r"(?:bond|team|br)[0-9._-]")
V2_SECOND = 1.0
"""VRRPv2 counts adverts in whole seconds (RFC 3768, 5.3.7)."""


def _path(router: VirtualRouter, *keys: str | int) -> Path:
    return ("keepalived", "instances", router.name, *keys)


def _members(site: Site) -> Iterator[tuple[VirtualRouter, Member]]:
    for router in virtual_routers(site).values():
        for member in router.members:
            yield router, member


def _directive(lines: Iterable[str], *names: str) -> tuple[int, str] | None:
    """Place and text of the first extra line that starts with one of the words."""
    for place, line in enumerate(lines):
        if line.split()[:1] and line.split()[0] in names:
            return place, line
    return None


@rule(
    "KA003",
    "error",
    reason="keepalived drops nopreempt and preempt_delay of an instance that starts as MASTER.",
    source=f"{MANUAL}, nopreempt and preempt_delay: the initial state must not be MASTER",
)
def starts_as_master(site: Site, components: Components) -> Iterator[Finding]:
    """`state MASTER` slipped in by extra lines."""
    del components
    for router, member in _members(site):
        settings = member.settings
        found = _directive(settings.extra, "state")
        if found and found[1].split()[1:] == ["MASTER"] and (not settings.preempt or settings.preempt_delay):
            what = "preempt_delay" if settings.preempt else "nopreempt"
            yield Finding(
                member.host,
                _path(router, "extra", found[0]),
                f"state MASTER makes keepalived drop {what}; members find the holder by priority anyway",
                write="leave the line out; prefer: HOST names the holder",
            )


@rule(
    "KA004",
    "error",
    reason="Two instances with one virtual router id on one segment take each other's adverts for their own.",
    source=f"{MANUAL}, virtual_router_id; RFC 5798, 5.2.3",
)
def same_router_id(site: Site, components: Components) -> Iterator[Finding]:
    """Each pair of instances that share an id and a segment."""
    del components
    for first, second in combinations(virtual_routers(site).values(), 2):
        yield from _clash(first, second)


def _clash(first: VirtualRouter, second: VirtualRouter) -> Iterator[Finding]:
    one, other = first.members[0].settings, second.members[0].settings
    if one.virtual_router_id != other.virtual_router_id:
        return
    why = f"{first.name} uses virtual router id {one.virtual_router_id}"
    if shared := _nics(first) & _nics(second):
        why += f" on the same NIC ({', '.join(f'{host} {nic}' for host, nic in sorted(shared))})"
    elif one.unicast == other.unicast and _segments(first) & _segments(second):
        why += " on the same segment" + ("; unicast keeps them apart, for now" if one.unicast else "")
    else:
        return
    yield Finding(
        second.members[0].host,
        _path(second, "virtual_router_id"),
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


def _names(router: VirtualRouter) -> set[str]:
    return {member.host.name for member in router.members}


@rule(
    "KA005",
    "error",
    reason="VRRP's password goes over the wire in clear text, VRRPv3 has none, and only eight characters count.",
    source="RFC 5798, 9 (authentication removed); RFC 3768, 10; keepalived.conf(5), auth_pass",
)
def password(site: Site, components: Components) -> Iterator[Finding]:
    """A password: an error with VRRPv3, a warning with VRRPv2."""
    del components
    for router, member in _members(site):
        settings = member.settings
        if settings.auth is None:
            continue
        if settings.version != 2:  # noqa: PLR2004 - VRRP version
            message = "VRRPv3 has no authentication; keepalived ignores it or refuses the file"
            yield Finding(member.host, _path(router, "auth"), message, write="leave auth out, or  version: 2")
        else:
            message = (
                "the password crosses the network in clear text and proves nothing; unicast and a firewall that lets "
                "protocol 112 pass between the members alone do more (at most eight characters count)"
            )
            yield Finding(member.host, _path(router, "auth"), message, write="leave auth out", severity="warning")


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
    for router, member in _members(site):
        first = router.members[0]
        for key in _SHARED:
            mine, theirs = _shared(member.settings, key), _shared(first.settings, key)
            if mine != theirs:
                setting = "advert_interval" if key == "advert" else key
                message = f"{member.host.name} has {mine}, {first.host.name} has {theirs}: members must agree"
                write = "the setting once, where all members get it; two different instances need two names"
                yield Finding(member.host, _path(router, setting), message, write=write)


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
        members = [member for member in router.members if member.settings.unicast]
        if len(router.members) == 1 and members:
            message = f"{members[0].host.name} is the only member: nobody can take over"
            write = "the instance on a second host (in the variables of a group that holds both)"
            yield Finding(members[0].host, _path(router), message, write=write)
        yield from _unreachable(router, members)


def _unreachable(router: VirtualRouter, members: list[Member]) -> Iterator[Finding]:
    for first, second in combinations(members, 2):
        if first.source == second.source:
            message = f"{first.host.name} and {second.host.name} both send from {first.source}"
        elif (":" in first.source) != (":" in second.source):
            message = f"{first.host.name} sends from {first.source}, {second.host.name} from {second.source}: "
            message += "IPv4 and IPv6 don't meet"
        else:
            continue
        where = _path(router, "source") if second.settings.source else _path(router)
        yield Finding(second.host, where, message, write="source: an address of the host's own, one family for all")


@rule(
    "KA009",
    "warning",
    reason="A check that runs as root is a way to become root for whoever can change what it runs.",
    source=f"{MANUAL}, script_user and enable_script_security",
)
def check_as_root(site: Site, components: Components) -> Iterator[Finding]:
    """Checks with user root."""
    del components
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, script in settings.scripts.items():
            if script.user == "root":
                path: Path = ("keepalived", "scripts", name, "user")
                yield Finding(host, path, f"the check {name} runs as root", write="leave user out")


@rule(
    "KA010",
    "warning",
    reason="A process that is there may hang all the same: only an answer proves that it serves.",
    source="keepalived 2.2.7: track_process stays in FAULT inside network namespaces; " + MANUAL,
)
def only_a_process(site: Site, components: Components) -> Iterator[Finding]:
    """Checks that look for a process."""
    del components
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, script in settings.scripts.items():
            if _ONLY_A_PROCESS.search(script.command):
                path: Path = ("keepalived", "scripts", name, "command")
                yield _looks_for_process(host, path)
        for name, instance in settings.instances.items():
            if found := _directive(instance.extra, "track_process"):
                yield _looks_for_process(host, ("keepalived", "instances", name, "extra", found[0]))


def _looks_for_process(host: Host, path: Path) -> Finding:
    message = "the check only looks for a process: it misses one that hangs"
    return Finding(host, path, message, write="track: [COMPONENT], or a check that makes a request with a timeout")


@rule(
    "KA012",
    "warning",
    reason="Bonds and bridges forward late after a start, and switches learn an address's new port by its ARP.",
    source=f"{MANUAL}, vrrp_startup_delay and garp_master_refresh",
)
def slow_interface(site: Site, components: Components) -> Iterator[Finding]:
    """Addresses on a bond, a team or a bridge without a startup delay and repeated gratuitous ARP."""
    del components
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, instance in settings.instances.items():
            if not _SLOW_TO_FORWARD.match(instance.interface):
                continue
            missing = [
                *(["startup_delay: 5s"] if not settings.startup_delay else []),
                *(["garp: {refresh: 60s}"] if not instance.garp.refresh else []),
            ]
            if missing:
                message = f"{instance.interface} may forward late, and switches may keep the old port for the address"
                path: Path = ("keepalived", "instances", name, "interface")
                yield Finding(host, path, message, write="  and  ".join(missing))


@rule(
    "KA013",
    "error",
    reason="Strict mode refuses unicast and authentication, and drops packets to an address the host does not own.",
    source=f"{MANUAL}, vrrp_strict and no_accept",
)
def strict_mode(site: Site, components: Components) -> Iterator[Finding]:
    """`vrrp_strict` or `strict_mode` slipped in by extra lines."""
    del components
    message = "strict mode drops packets to an address that the host does not own, so nothing can be served there"
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        if found := _directive(settings.extra, "vrrp_strict"):
            path: Path = ("keepalived", "extra", found[0])
            yield Finding(host, path, message, write="leave the line out")
        for name, instance in settings.instances.items():
            found = _directive(instance.extra, "strict_mode")
            if found and found[1].split()[1:2] not in (["off"], ["no"], ["false"]):
                path = ("keepalived", "instances", name, "extra", found[0])
                yield Finding(host, path, message, write="leave the line out")


@rule(
    "KA016",
    "error",
    reason="Two instances on the same hosts that prefer the same one leave the others idle.",
    source="https://keepalived.readthedocs.io/en/latest/case_study_failover.html",
)
def same_owner(site: Site, components: Components) -> Iterator[Finding]:
    """Pairs of instances with the same members and the same preferred host."""
    del components
    together = _in_one_sync_group(site)
    for first, second in combinations(virtual_routers(site).values(), 2):
        one, other = first.members[0], second.members[0]
        if len(first.members) == 1 or _names(first) != _names(second) or one.host.name != other.host.name:
            continue
        if frozenset((first.name, second.name)) in together:
            continue
        stated = one.settings.prefer is not None or other.settings.prefer is not None
        idle = ", ".join(member.host.name for member in second.members[1:])
        yield Finding(
            other.host,
            _path(second, "prefer") if other.settings.prefer else _path(second),
            f"{first.name} and {second.name} both prefer {one.host.name}; {idle} would stand idle",
            write=f"prefer: {second.members[1].host.name}  for {second.name}, or a sync group of both",
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


RULES = (
    *WEIGHT_RULES,
    starts_as_master,
    same_router_id,
    password,
    disagreement,
    unicast_peers,
    check_as_root,
    only_a_process,
    sync_group,
    slow_interface,
    strict_mode,
    same_owner,
)
UPHELD = (
    Upheld(
        "KA014",
        reason="A firewall between the members that drops protocol 112 makes two holders.",
        source="RFC 5798, 5.1.1.4 (protocol 112)",
        how="hakit manages no firewall; where one of yours drops adverts, verify finds two holders",
    ),
    Upheld(
        "KA015",
        reason="keepalived works around errors in its file, and skips checks it finds insecure.",
        source="keepalived(8), --config-test: exit 5 and 6",
        how="the staged file must pass keepalived -t on the host, with exit 0, before it replaces the running one",
    ),
)
