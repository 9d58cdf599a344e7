"""Facts of hosts: stated in the inventory, read from the host, or remembered from the last run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from hakit.components.base import Facts, SeenNetwork, SeenNic
from hakit.components.storage import storage
from hakit.engine.records import STATE, private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site


def wanted(host: Host, components: Mapping[str, Component]) -> tuple[str, ...]:
    """The packages whose versions the components of a host ask for."""
    names = (package for name, one in components.items() if name in host.settings for package in one.packages)
    return tuple(dict.fromkeys(names))


def wants_network(host: Host, components: Mapping[str, Component]) -> bool:
    """Whether a component of a host asks for its network."""
    return any(one.network for name, one in components.items() if name in host.settings)


def wants_storage(host: Host, components: Mapping[str, Component]) -> bool:
    """Whether a component of a host asks for its disks."""
    return any(one.storage for name, one in components.items() if name in host.settings)


def offline(site: Site, host: Host) -> Facts:
    """What is known without asking the host: the last run's record, but a release that the inventory states wins."""
    known = _recorded(site, host) or Facts()
    return replace(known, release=host.release or known.release)


def recorded(site: Site) -> dict[str, Facts]:
    """What the last runs recorded of hosts, by name; hosts that no run has met are missing."""
    found = {name: _recorded(site, host) for name, host in site.hosts.items()}
    return {name: known for name, known in found.items() if known is not None}


def remember(site: Site, facts: Iterable[tuple[str, Facts]]) -> None:
    """Keep live facts beside the inventory; a folder that can't be written is no failure of the run."""
    try:
        folder = private_folder(site.root / STATE / "facts")
        for host, known in facts:
            text = json.dumps(
                {
                    "release": known.release,
                    "packages": dict(known.packages),
                    "memory": known.memory,
                    "network": asdict(known.network) if known.network else None,
                    "storage": asdict(known.storage) if known.storage else None,
                }
            )
            target = folder / f"{host}.json"
            if not target.exists() or target.read_text() != text:
                write_private(target.with_suffix(".tmp"), text)
                target.with_suffix(".tmp").replace(target)
    except OSError:
        return


def _recorded(site: Site, host: Host) -> Facts | None:
    try:
        known = json.loads((site.root / STATE / "facts" / f"{host.name}.json").read_text())
        seen = network(known.get("network"))
        disks = storage(known.get("storage"))
        return Facts(int(known["release"]), dict(known["packages"]), known["memory"], network=seen, storage=disks)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def network(seen: Any) -> SeenNetwork | None:
    """What a host, or the record of one, tells of its network. Raises ValueError, KeyError, TypeError."""
    if seen is None:
        return None
    return SeenNetwork(
        tuple(str(one) for one in seen["managers"]),
        str(seen["resolver"]),
        tuple(
            SeenNic(
                name=str(nic["name"]),
                mac=str(nic["mac"]),
                path=str(nic["path"]),
                device=str(nic["device"]),
                driver=str(nic["driver"]),
                speed=None if nic["speed"] is None else int(nic["speed"]),
                mtu=int(nic["mtu"]),
            )
            for nic in seen["nics"]
        ),
    )
