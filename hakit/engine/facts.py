"""Facts of hosts: stated in the inventory, read from the host, or remembered from the last run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hakit.components.base import Facts
from hakit.engine.records import STATE, private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site


def wanted(host: Host, components: Mapping[str, Component]) -> tuple[str, ...]:
    """The packages whose versions the components of a host ask for."""
    names = (package for name, one in components.items() if name in host.settings for package in one.packages)
    return tuple(dict.fromkeys(names))


def offline(site: Site, host: Host) -> Facts:
    """What is known without asking the host: the last run's record, but a release that the inventory states wins."""
    known = _recorded(site, host) or Facts()
    return Facts(host.release or known.release, known.packages, known.memory)


def remember(site: Site, facts: Iterable[tuple[str, Facts]]) -> None:
    """Keep live facts beside the inventory; a folder that can't be written is no failure of the run."""
    try:
        folder = private_folder(site.root / STATE / "facts")
        for host, known in facts:
            text = json.dumps({"release": known.release, "packages": dict(known.packages), "memory": known.memory})
            target = folder / f"{host}.json"
            if not target.exists() or target.read_text() != text:
                write_private(target.with_suffix(".tmp"), text)
                target.with_suffix(".tmp").replace(target)
    except OSError:
        return


def _recorded(site: Site, host: Host) -> Facts | None:
    try:
        known = json.loads((site.root / STATE / "facts" / f"{host.name}.json").read_text())
        return Facts(int(known["release"]), dict(known["packages"]), known["memory"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
