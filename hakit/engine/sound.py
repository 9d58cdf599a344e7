"""Hosts that serve and would not survive the next failure: what their components ask, joined to the groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.agent.probes import Probe
    from hakit.components.base import Component, RedundancyGroup
    from hakit.engine.session import HostSession
    from hakit.inventory.model import Site


def sound(site: Site, components: Mapping[str, Component], host: str) -> tuple[Probe, ...]:
    """What the components of a host ask it for."""
    known = site.hosts.get(host)
    if known is None:
        return ()
    return tuple(
        probe for name, one in components.items() if name in known.settings for probe in one.sound(site, known)
    )


def with_sound(group: RedundancyGroup, site: Site, components: Mapping[str, Component]) -> RedundancyGroup:
    """A group that also knows what its members stand on."""
    found = {host: probes for host in group.hosts if (probes := sound(site, components, host))}
    return replace(group, sound=found) if found else group


def unsound(session: HostSession) -> str:
    """Why a host would not survive the next failure, as it says itself; empty where nothing says so.

    Raises AgentError, ConnectError.
    """
    probes = sound(session.scope.site, session.scope.components, session.host.name)
    for probe, result in zip(probes, session.probe(probes), strict=True):
        if not result.ok:
            return f"{probe.kind} {probe.target} {result.detail}"
    return ""
