"""The rules that span components: promises, dependencies, addresses used twice, single points of failure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.lint.rule import Finding, Upheld, rule
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component, Serving, Tier
    from hakit.inventory.core import Service
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Severity

FAULT_ISOLATION = (
    "https://docs.aws.amazon.com/wellarchitected/latest/reliability-pillar/"
    "rel_fault_isolation_multiaz_region_system.html"
)


@rule(
    "XS001",
    "error",
    reason="A promise (survives, rto) that the design can't keep is found out during the outage.",
    source="RFC 5798, 6.1 (how long a takeover takes); " + FAULT_ISOLATION,
)
def broken_promise(site: Site, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Each service's promise against who serves its address, and who answers behind it."""
    servings = [serving for component in components.values() for serving in component.serves(site)]
    tiers = [tier for component in components.values() for tier in component.tiers(site)]
    speaker = next(iter(site.hosts.values()), None)
    if speaker is None:
        return
    for name, service in site.services.items():
        promise = _Promise(site, speaker, name, service)
        serving = next((one for one in servings if one.address == service.address), None)
        if serving is None:
            yield from promise.unserved()
            continue
        yield from promise.timing(serving)
        yield from promise.survival(serving.hosts, "hold the address")
        for tier in tiers:
            if tier.address in (service.address, "*"):
                yield from promise.survival(tier.hosts, "answer behind it")
                yield from promise.by_hand(tier)


@dataclass(frozen=True, slots=True)
class _Promise:
    """A service's promise, held against the design; `speaker` is a host whose settings hold it."""

    site: Site
    speaker: Host
    name: str
    service: Service

    def _finding(self, key: str, message: str, write: str, severity: Severity = "error") -> Finding:
        return Finding(self.speaker, ("services", self.name, key), message, write, severity)

    def unserved(self) -> Iterator[Finding]:
        """Nothing keeps the address alive."""
        if self.service.survives != "nothing":
            message = f"nothing keeps {self.service.address} alive: the service dies with the host that has it"
            yield self._finding("address", message, "a keepalived instance with this address, or  survives: nothing")

    def timing(self, serving: Serving) -> Iterator[Finding]:
        """The takeover takes longer, or needs a human."""
        service = self.service
        if service.rto is not None and serving.takeover > service.rto:
            yield self._finding(
                "rto",
                f"a takeover of {service.address} can take {serving.takeover:g}s, {service.rto:g}s are promised",
                f"rto: {serving.takeover:g}s  or shorter timers (advert_interval)",
            )
        if service.automatic and not serving.automatic:
            message = f"{service.address} moves only by hand, but an automatic takeover is promised"
            yield self._finding("automatic", message, "automatic: false")

    def by_hand(self, tier: Tier) -> Iterator[Finding]:
        """What answers behind the address is replaced only by a human."""
        service = self.service
        if service.automatic and service.survives != "nothing" and not tier.automatic:
            message = (
                f"behind {service.address} an operator chooses the next primary, but an automatic takeover is promised"
            )
            key = "automatic" if "automatic" in service.model_fields_set else "survives"
            yield self._finding(key, message, "automatic: false")

    def survival(self, hosts: tuple[str, ...], what: str) -> Iterator[Finding]:
        """The hosts that do one part of the work fall with one host or one zone."""
        if self.service.survives == "nothing" or not hosts:
            return
        what = f"{what} ({self.service.address})"
        if len(hosts) == 1:
            message = f"only {hosts[0]} can {what}: the service does not survive its loss"
            yield self._finding("survives", message, "a second host, or  survives: nothing")
        elif self.service.survives == "any-zone":
            yield from self._zones(hosts, what)

    def _zones(self, hosts: tuple[str, ...], what: str) -> Iterator[Finding]:
        unplaced = [name for name in hosts if self.site.hosts[name].zone is None]
        zones = {self.site.hosts[name].zone for name in hosts}
        if unplaced:
            message = (
                f"no zone is declared for {', '.join(unplaced)}, which can {what}: nobody can tell whether the service "
                "survives the loss of a zone"
            )
            yield self._finding("survives", message, "zone: NAME  for each of these hosts", "warning")
        elif len(zones) == 1:
            message = f"all hosts that can {what} stand in zone {zones.pop()}: the service does not survive its loss"
            yield self._finding("survives", message, "a host in another zone, or  survives: any-host")


@rule(
    "XS002",
    "error",
    reason="What a component builds upon must run on the same host.",
    source="keepalived.conf(5), track_script: a check that never succeeds keeps the instance in FAULT",
)
def missing_dependency(site: Site, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Components that a setting names, but that the host does not run or that can't tell their health."""
    for host in site.hosts.values():
        for component in components.values():
            if component.name not in host.settings:
                continue
            for needed, path in component.needs(site, host):
                if needed not in components:
                    yield Finding(host, path, f"there is no component {needed}{did_you_mean(needed, components)}")
                elif needed not in host.settings:
                    yield Finding(
                        host,
                        path,
                        f"{component.name} builds upon {needed}, which {host.name} does not run",
                        write=f"{needed}: {{…}}  for {host.name}, or take {needed} out here",
                    )
                elif components[needed].health(site, host) is None:
                    yield Finding(host, path, f"{needed} has no way to tell whether it serves, so it can't be tracked")
    yield from _unheld(site, components)
    for host in site.hosts.values():
        yield from _linkless(site, host, components)
        yield from _unmounted(site, host, components)


def _linkless(site: Site, host: Host, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Links that a setting names, and that a host whose links are declared does not have, or not for this."""
    running = [one for one in components.values() if one.name in host.settings]
    declared = next((found for one in running if (found := one.links(site, host)) is not None), None)
    if declared is None:
        return
    for component in running:
        for interface, path in component.interfaces(site, host):
            if interface not in declared:
                message = f"{host.name} has no link {interface} — declared are {', '.join(declared)}"
                yield Finding(host, path, message + did_you_mean(interface, declared), write="a link of the host")
            elif declared[interface]:
                message = f"{interface} is {declared[interface]}"
                yield Finding(host, path, message, write=f"the link that {interface} is a member of")


def _unmounted(site: Site, host: Host, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Mount points that a setting relies on, and that a host whose mounts are declared does not have."""
    running = [one for one in components.values() if one.name in host.settings]
    declared = [path for one in running for path in one.mounts(site, host)]
    for component in running if declared else ():
        for mount, path in component.mounted(site, host):
            if mount not in declared:
                message = f"nothing is mounted at {mount} on {host.name} — declared are {', '.join(declared)}"
                yield Finding(host, path, message + did_you_mean(mount, declared), write="a mount point of the host")


def _unheld(site: Site, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Addresses that are answered on, but that neither belong to the host nor are kept alive there."""
    held = {
        (serving.address, name)
        for component in components.values()
        for serving in component.serves(site)
        for name in serving.hosts
    }
    for component in components.values():
        for tier in component.tiers(site):
            address = _ip(tier.address)
            if address is None or address.is_unspecified or address.is_loopback:
                continue
            if tier.address not in _own(site, tier.host, components) and (tier.address, tier.host.name) not in held:
                message = f"this is reached at {tier.address}, an address that nothing brings to {tier.host.name}"
                write = f"a keepalived instance with {tier.address} on {tier.host.name}, or an address of its own"
                yield Finding(tier.host, tier.path, message, write, severity="warning")


def _own(site: Site, host: Host, components: Mapping[str, Component]) -> tuple[str, ...]:
    """The addresses that a host has by itself."""
    claimed = (
        address for one in components.values() if one.name in host.settings for address, _ in one.addresses(site, host)
    )
    return (host.address, *(str(ipaddress.ip_interface(cidr).ip) for cidr in host.nics.values() if cidr), *claimed)


@rule(
    "XS003",
    "error",
    reason="An address that two own answers from either, and the neighbours' ARP tables decide from which.",
    source="RFC 5227 (IPv4 address conflict detection)",
)
def address_twice(site: Site, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Addresses kept alive that are also a host's own or another group's; addresses outside their host's subnet."""
    owners: dict[str, str] = {}
    for host in site.hosts.values():
        owners.setdefault(host.address, f"{host.name}'s own address")
        for name, cidr in host.nics.items():
            if cidr is not None:
                owners.setdefault(str(ipaddress.ip_interface(cidr).ip), f"the address of {host.name}'s {name}")
        for address in _own(site, host, components):
            owners.setdefault(address, f"{host.name}'s own address")
    for component in components.values():
        for serving in component.serves(site):
            host = site.hosts[serving.hosts[0]]
            what = f"{component.name} {'.'.join(str(part) for part in serving.path[1:3])}"
            owner = owners.setdefault(serving.address, what)
            if owner != what:
                yield Finding(
                    host, serving.path, f"{serving.address} is already {owner}", write="an address nobody else has"
                )
            yield from _outside(site, serving, components)


def _outside(site: Site, serving: Serving, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Warn of an address whose subnet holds no address of a host that shall take it."""
    if not serving.network:
        return
    network = ipaddress.ip_network(serving.network)
    if network.num_addresses == 1:
        return
    for name in serving.hosts:
        host = site.hosts[name]
        known = [
            address
            for address in (_ip(one) for one in _own(site, host, components))
            if address and address.version == network.version
        ]
        if known and not any(address in network for address in known):
            yield Finding(
                host,
                serving.path,
                f"{serving.address} is in {network}, where {name} has no address: neighbours may not find it there",
                write="an address of the host's own subnet, or  nics: {NAME: ADDRESS/PREFIX}  where the host has one",
                severity="warning",
            )


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@rule(
    "XS005",
    "warning",
    reason="A tier with one host is down when that host is.",
    source=FAULT_ISOLATION,
)
def single_point(site: Site, components: Mapping[str, Component]) -> Iterator[Finding]:
    """Addresses that one host can hold, pools of one server."""
    for component in components.values():
        for serving in component.serves(site):
            if len(serving.hosts) == 1:
                host = site.hosts[serving.hosts[0]]
                yield Finding(host, serving.path, f"only {host.name} can hold {serving.address}", write="a second host")
        for tier in component.tiers(site):
            if len(tier.hosts) == 1:
                yield _lonely(tier)


def _lonely(tier: Tier) -> Finding:
    return Finding(tier.host, tier.path, f"only {tier.hosts[0]} answers here", write="a second server")


RULES = (broken_promise, missing_dependency, address_twice, single_point)
UPHELD = (
    Upheld(
        "XS004",
        reason="Two members of a redundancy group that are disrupted at once leave nobody to serve.",
        source="https://github.com/ansible/ansible/issues/12735",
        how="apply changes the members of a group one at a time and goes on only when the last one serves again",
    ),
)
