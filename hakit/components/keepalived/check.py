"""What can't be rendered although each value is fine by itself: names that lead nowhere, addresses of two families."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from hakit.components.keepalived.resources import MAINTENANCE_NAME, answers, lives
from hakit.components.keepalived.routers import virtual_routers
from hakit.components.keepalived.settings import KeepalivedSettings, plain_word
from hakit.lint.rule import configured
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Wrong = tuple[Host, Path, str]


def problems(site: Site) -> Iterator[Wrong]:
    """Host, path below `hakit`, message."""
    for router in virtual_routers(site).values():
        for member in router.members:
            yield from _member(router, member)
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        yield from _groups(host, settings)
        yield from _taken_names(host, settings)
        yield from _open_braces(host, settings)
        for name, group in settings.sync_groups.items():
            yield from _notify(host, ("keepalived", "sync_groups", name, "extra"), group.extra)
        for name, instance in settings.instances.items():
            base: Path = ("keepalived", "instances", name)
            yield from _notify(host, (*base, "extra"), instance.extra, own=True)
            if instance.auth is not None and (why := instance.auth.unfit(plain_word)):
                yield host, (*base, "auth"), f"the secret {instance.auth.name} {why}"
            yield from _unknown(host, (*base, "track_scripts"), instance.track_scripts, settings.scripts, "script")
            yield from _unknown(host, (*base, "track_files"), instance.track_files, settings.files, "file")


def _notify(host: Host, path: Path, lines: tuple[str, ...], *, own: bool = False) -> Iterator[Wrong]:
    """Scripts beside hakit's `own`, and a second one for one event: keepalived runs one of each alone."""
    seen: set[str] = set()
    for place, line in enumerate(lines):
        keyword = (line.split() or [""])[0]
        if own and keyword == "notify":
            message = "hakit's own notify script is there — use notify_master, notify_backup, notify_fault, …"
            yield host, (*path, place), message
        elif keyword.startswith("notify") and keyword in seen:
            yield host, (*path, place), f"{keyword} stands above already, and keepalived takes one"
        seen.add(keyword)


def _open_braces(host: Host, settings: KeepalivedSettings) -> Iterator[Wrong]:
    """Extra lines that would end the block they stand in, or leave one of their own open."""
    places: list[tuple[Path, tuple[str, ...]]] = [(("keepalived", "extra"), settings.extra)]
    for kind, blocks in (("instances", settings.instances), ("sync_groups", settings.sync_groups)):
        places += [(("keepalived", kind, name, "extra"), block.extra) for name, block in blocks.items()]
    for path, lines in places:
        depth = 0
        for place, line in enumerate(lines):
            text = re.split(r"[#!]", line, maxsplit=1)[0]
            for brace in re.findall(r"[{}]", text):
                depth += 1 if brace == "{" else -1
                if depth < 0:
                    break
            if depth < 0:
                yield host, (*path, place), "this '}' closes more than these lines opened"
                break
        if depth > 0:
            yield host, path, "these lines open a '{' that none of them closes"


def _groups(host: Host, settings: KeepalivedSettings) -> Iterator[Wrong]:
    """Sync groups of instances that are not there, or that stand in several groups."""
    taken: dict[str, str] = {}
    for name, group in settings.sync_groups.items():
        path: Path = ("keepalived", "sync_groups", name, "instances")
        yield from _unknown(host, path, group.instances, settings.instances, "instance")
        for place, instance in enumerate(group.instances):
            other = taken.setdefault(instance, name)
            if other != name or instance in group.instances[:place]:
                message = f"{instance} is in the sync group {other} already — it can be in one, once"
                yield host, (*path, place), message


def _taken_names(host: Host, settings: KeepalivedSettings) -> Iterator[Wrong]:
    """Files and scripts that are called as hakit's own are."""
    tracked = {component for instance in settings.instances.values() for component in instance.track}
    files = {MAINTENANCE_NAME, *(lives(component) for component in tracked)}
    scripts = {answers(component) for component in tracked}
    for kind, names, own in (("files", settings.files, files), ("scripts", settings.scripts, scripts)):
        for name in own.intersection(names):
            path: Path = ("keepalived", kind, name)
            yield host, path, f"the name is that of hakit's own {kind.removesuffix('s')}; choose another"


def _unknown(host: Host, path: Path, names: Iterable[str], known: Iterable[str], what: str) -> Iterator[Wrong]:
    choices = list(known)
    for place, name in enumerate(names):
        if name not in choices:
            allowed = f"known are {', '.join(choices)}" if choices else f"no {what} is defined on this host"
            yield host, (*path, place), f"no such {what}: {name} — {allowed}{did_you_mean(name, choices)}"


def _member(router: VirtualRouter, member: Member) -> Iterator[Wrong]:
    base: Path = ("keepalived", "instances", router.name)
    settings, host = member.settings, member.host
    names = [one.host.name for one in router.members]
    if settings.prefer is not None and settings.prefer not in names:
        hint = did_you_mean(settings.prefer, names)
        message = f"{settings.prefer} has no instance {router.name} — its members are {', '.join(names)}{hint}"
        yield host, (*base, "prefer"), message
    try:
        source = ipaddress.ip_address(member.source)
    except ValueError:
        message = (
            f"adverts need an IP address to come from, but {host.name} is known as {member.source!r} — "
            "write hakit.address for the host, or source for the instance"
        )
        yield host, base, message
        return
    if source.is_unspecified or source.is_multicast or source.is_loopback:
        yield host, base, f"adverts can't come from {source} — source: an address of {host.name}'s own"
    for place, address in enumerate(settings.addresses):
        ip = ipaddress.ip_interface(address).ip
        if ip.is_unspecified or ip.is_multicast or ip.is_loopback:
            yield host, (*base, "addresses", place), f"{ip} is no address that hosts can take over from each other"
    first = router.members[0]
    if settings.unicast and first.settings.unicast and (":" in first.source) != (":" in member.source):
        message = (
            f"{first.host.name} sends from {first.source}, {host.name} from {member.source}: IPv4 and IPv6 don't meet"
        )
        yield host, (*base, "source") if settings.source else base, message
    families = {ipaddress.ip_interface(address).version for address in settings.addresses}
    if settings.version == 2 and families != {4}:  # noqa: PLR2004 - VRRP version
        yield host, (*base, "version"), "VRRPv2 knows no IPv6 — write version: 3, or leave it out"
    if (settings.unicast or settings.source is not None) and source.version not in families:
        message = (
            f"adverts from {member.source} carry IPv{source.version} addresses, but the instance has none — "
            f"add one, or set source to an IPv{families.pop()} address of the host"
        )
        yield host, (*base, "addresses"), message
