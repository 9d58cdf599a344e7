"""Sites from settings written in a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hakit.components.registry import discover
from hakit.inventory import load
from hakit.lint import findings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakit.inventory.model import Site

COMPONENTS = discover()


def site(folder: Path, hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, list[str]] | None = None) -> Site:
    """A site of hosts with their `hakit` mappings; each host's address is 10.1.0.N by its place, from 1."""
    inventory = folder / "inventory.json"
    children = {name: {"hosts": dict.fromkeys(members)} for name, members in (groups or {}).items()}
    listed = {
        name: {"ansible_host": f"10.1.0.{place}", "hakit": dict(settings)}
        for place, (name, settings) in enumerate(hosts.items(), 1)
    }
    inventory.write_text(json.dumps({"all": {"hosts": listed, "children": children}}))
    return load(inventory, {name: one.Settings for name, one in COMPONENTS.items()})


def found(site: Site) -> dict[str, str]:
    """What lint finds: key → rule id and message."""
    return {problem.key: f"{problem.rule or ''} {problem.message}".strip() for problem in findings(site, COMPONENTS)}
