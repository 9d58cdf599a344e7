"""How arrays are watched from afar: what is asked of a host, and what the answers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from hakit.agent.probes import Probe
from hakit.components.base import Report
from hakit.components.raid.model import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Answer
    from hakit.components.raid.settings import RaidSettings
    from hakit.inventory.model import Host, Site

PATIENCE = 5.0
"""Seconds for an answer that is read from sysfs: a bus that resets a dying disk may hold it up."""
DEAD = ("failed", "absent")
"""First words of an answer about an array that does not serve at all."""


def probes(site: Site, host: Host) -> dict[str, Probe]:
    """One question for each array of a host: whether it has all its members."""
    del site
    settings = cast("RaidSettings", host.settings[NAME])
    return {str(name): Probe(kind="array", target=str(name), timeout=PATIENCE) for name in settings.arrays}


def reports(site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterator[Report]:
    """The state of each array that was asked for."""
    for name in probes(site, host):
        if name in answers:
            answer = answers[name]
            word, _, rest = answer.detail.partition(" ")
            state = word.rstrip(",:;") or "unknown"
            level: Literal["good", "risk", "bad"] = "good" if answer.ok else "bad" if state in DEAD else "risk"
            yield Report(f"array {name}", state, level, rest.strip(), (NAME, "arrays", name))
