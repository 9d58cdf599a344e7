"""testinfra tests of keepalived, run by `hakit verify`."""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING

from hakit.components.keepalived.paths import CONFIG, SCRIPT_USER, STATE_FOLDER, UNIT
from hakit.components.keepalived.routers import virtual_routers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testinfra.host import Host as Remote

    from hakit.components.keepalived.routers import VirtualRouter
    from hakit.components.keepalived.settings import KeepalivedSettings
    from hakit.inventory.model import Site

SETTLED = 10.0
"""Seconds in which the members of an instance must have agreed: the default preempt_delay, twice."""


def test_it_runs_and_is_enabled(host: Remote) -> None:
    """The daemon runs, and starts with the host."""
    service = host.service(UNIT)
    assert service.is_running, f"{UNIT} does not run"
    assert service.is_enabled, f"{UNIT} does not start with the host"


def test_configuration_is_accepted(host: Remote) -> None:
    """The configuration on disk is accepted by the daemon."""
    # Judged with checks run by root, since 2.2.7 ends by SIGTERM, good or bad, where they run as another user.
    script = (
        f"copy=$(mktemp) && sed 's/script_user {SCRIPT_USER}$/script_user root/; s/^ *user .*/    user root/' {CONFIG} "
        '>"$copy" && keepalived -t -f "$copy"; status=$?; rm -f "$copy"; exit $status'
    )
    result = host.run(script)
    assert result.rc == 0, f"keepalived -t exits with {result.rc}: {result.stderr.strip()}"


def test_what_it_tracks_serves(host: Remote, settings: KeepalivedSettings) -> None:
    """The services that an instance tracks are known to live."""
    tracked = {component for instance in settings.instances.values() for component in instance.track}
    if not tracked:
        return
    result = host.run(f"cd {STATE_FOLDER} && grep -L -x 0 *")
    assert result.rc != 2, f"no files in {STATE_FOLDER}: {result.stderr.strip()}"  # noqa: PLR2004 - grep's error
    assert not result.stdout.split(), f"not alive: {', '.join(result.stdout.split())}"


def test_each_address_has_one_holder(site_hosts: Mapping[str, Remote], hakit_site: Site) -> None:
    """Each address is held by exactly one member."""
    routers = [router for router in virtual_routers(hakit_site).values() if _reachable(router, site_hosts)]
    deadline = time.monotonic() + SETTLED
    wrong = _wrong(routers, site_hosts)
    while wrong and time.monotonic() < deadline:
        time.sleep(0.5)
        wrong = _wrong(routers, site_hosts)
    assert not wrong, "; ".join(wrong)


def _reachable(router: VirtualRouter, hosts: Mapping[str, Remote]) -> bool:
    return any(member.host.name in hosts for member in router.members)


def _wrong(routers: list[VirtualRouter], hosts: Mapping[str, Remote]) -> list[str]:
    """What is wrong with the holders of all addresses; one command for each host."""
    names = {member.host.name for router in routers for member in router.members if member.host.name in hosts}
    held = {name: _addresses(hosts[name]) for name in names}
    wrong = []
    for router in routers:
        for cidr in router.members[0].settings.addresses:
            address = ipaddress.ip_interface(cidr).ip
            holders = [member.host.name for member in router.members if address in held.get(member.host.name, ())]
            if len(holders) != 1:
                wrong.append(f"{address} ({router.name}) is on {' and '.join(holders) or 'no member'}")
    return wrong


def _addresses(host: Remote) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    lines = host.check_output("ip -o address show").splitlines()
    fields = [line.split() for line in lines]
    return {
        ipaddress.ip_interface(words[words.index(kind) + 1]).ip
        for words in fields
        for kind in ("inet", "inet6")
        if kind in words
    }
