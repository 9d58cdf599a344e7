"""Where hosts were reached last: one whose network is declared anew is still at its old address until that is applied.

The address is kept beside the inventory, for hosts alone whose component declares all of their links.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hakit.engine.errands import literal
from hakit.engine.records import STATE, private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site


def former(site: Site, components: Mapping[str, Component], host: Host) -> str:
    """Where a host was reached last, if that is another address than the inventory's, which it is declared to get.

    Empty where it is not so: a host whose SSH address is not among those that it is declared to have may be another
    machine by now.
    """
    if not _declares(site, components, host):
        return ""
    try:
        address = str(json.loads(_file(site, host).read_text())["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return address if address != host.login.host and literal(address) else ""


def remember(site: Site, components: Mapping[str, Component], host: Host) -> None:
    """Keep that a host was reached where the inventory says; a folder that can't be written is no failure."""
    if not _declares(site, components, host):
        return
    text = json.dumps({"host": host.login.host})
    try:
        file = _file(site, host)
        if not file.exists() or file.read_text() != text:
            private_folder(file.parent)
            write_private(file.with_suffix(".tmp"), text)
            file.with_suffix(".tmp").replace(file)
    except OSError:
        return


def at(host: Host, address: str) -> Host:
    """A host as it is reached at another address of its own, without any notion of a move."""
    return replace(host, login=replace(host.login, host=address, known_as=None))


def moving(host: Host, before: str) -> Host:
    """A host as it is reached where the inventory says, by the key that it had at its address before."""
    return replace(host, login=replace(host.login, known_as=before))


def _declares(site: Site, components: Mapping[str, Component], host: Host) -> bool:
    """Whether a component declares all of a host's links, and on them the address that SSH goes to."""
    wanted = literal(host.login.host)
    return bool(wanted) and any(
        one.links(site, host) is not None and wanted in {address for address, _ in one.addresses(site, host)}
        for name, one in components.items()
        if name in host.settings
    )


def _file(site: Site, host: Host) -> Path:
    return site.root / STATE / "places" / f"{host.name}.json"
