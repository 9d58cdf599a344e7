"""Options and helpers that commands share: they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.components.base import Component
    from hakit.inventory.model import Site

    Command = Callable[..., Any]

inventory = click.option(
    "-i",
    "--inventory",
    "inventory",
    type=click.Path(path_type=Path),
    default=Path("hosts.yml"),
    show_default=True,
    envvar="HAKIT_INVENTORY",
    show_envvar=True,
    help="Inventory: a YAML file, or a folder with hosts.yml beside group_vars/ and host_vars/.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")
assume_yes = click.option("-y", "--yes", "assume_yes", is_flag=True, help="Do not ask before changing hosts.")
limit = click.option(
    "--limit",
    multiple=True,
    metavar="PATTERN",
    help="Only these hosts or groups: names, globs (web*), '!' excludes. Repeatable, or separated by commas.",
)
component = click.option(
    "--component", "component", multiple=True, metavar="NAME", help="Only what this component declares. Repeatable."
)
no_lab = click.option(
    "--no-lab", is_flag=True, help="Reach the hosts over this machine's network although the inventory declares a lab."
)
forks = click.option(
    "--forks", type=click.IntRange(1, 512), default=10, show_default=True, help="Hosts in motion at the same time."
)
verbose = click.option("-v", "--verbose", count=True, help="Explain decisions; twice: show commands and frames.")


def components() -> dict[str, Component]:
    """All installed components by name."""
    from hakit.components.registry import discover

    return discover()


def load(path: Path) -> tuple[Site, dict[str, Component]]:
    """The site of an inventory, validated against the installed components. Raises InventoryError."""
    from hakit.inventory import load as load_site

    found = components()
    return load_site(path, {name: one.Settings for name, one in found.items()}), found
