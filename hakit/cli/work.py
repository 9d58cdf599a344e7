"""What plan and apply share: from command-line options to the scope of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.cli import options

if TYPE_CHECKING:
    from hakit.cli.options import Asked
    from hakit.engine.run import Scope
    from hakit.inventory.model import Host
    from hakit.ssh import Connection


def begin(asked: Asked) -> Scope:
    """Load, check and select; nothing is sent yet. Raises InventoryError, UsageError, LabError."""
    from hakit.cli.reach import connector, target
    from hakit.engine.run import Scope
    from hakit.engine.select import select, select_components

    site, components = options.load(asked.inventory)
    options.checked(site, components)
    hosts = select(site, asked.limit)
    only = select_components(components, asked.component)
    reach = connector(site, no_lab=asked.no_lab)

    def connect(host: Host) -> Connection:
        return reach.connect(target(host))

    return Scope(site, components, hosts, only, connect, "", asked.forks)
