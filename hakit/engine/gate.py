"""After a member of a redundancy group was changed it must serve again before the next one is touched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hakit.errors import AgentError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.agent.probes import Probe
    from hakit.components.base import RedundancyGroup
    from hakit.engine.session import HostSession

PATIENCE = 20.0
"""Seconds that a member has to serve again: a daemon's start, its peers' checks, and some reserve."""
PAUSE = 0.2


def await_serving(host: str, groups: Iterable[RedundancyGroup], sessions: Mapping[str, HostSession]) -> str:
    """Wait until all probes of a host, asked from where they look, say yes. Returns "" or what does not serve."""
    probes = [probe for group in groups for probe in group.probes.get(host, ())]
    deadline = time.monotonic() + PATIENCE
    while True:
        pending, detail = _failing(host, probes, sessions)
        if not pending:
            return ""
        if time.monotonic() > deadline:
            return f"does not serve after {PATIENCE:.0f} s: {detail}"
        time.sleep(PAUSE)
        probes = pending


def _failing(host: str, probes: Iterable[Probe], sessions: Mapping[str, HostSession]) -> tuple[list[Probe], str]:
    failing: list[Probe] = []
    detail = ""
    for probe in probes:
        asker = sessions.get(probe.seen_from)
        if asker is None or not asker.usable:
            asker = sessions[host]
        reason = _ask(asker, probe)
        if reason:
            failing.append(probe)
            detail = f"{probe.kind} {probe.target} from {asker.host.name}: {reason}"
    return failing, detail


def _ask(asker: HostSession, probe: Probe) -> str:
    """Why a probe fails, or ""; an asker that is lost says nothing about the member it was to ask."""
    try:
        (result,) = asker.probe([probe])
    except (AgentError, ConnectError) as error:
        return error.message
    return "" if result.ok else result.detail or "no"
