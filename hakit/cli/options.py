"""Options and helpers that commands share: they mean the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hakit.cli.prompts import ask_become_pass, ask_pass
from hakit.present.commands import pasteable, remember

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.components.base import Component
    from hakit.inventory.model import Site

    Command = Callable[..., Any]


def _remembered(ctx: click.Context, option: click.Parameter, given: Path) -> Path:
    """Have messages name the inventory in the commands that they propose."""
    del ctx, option
    remember(str(given))
    return given


inventory = click.option(
    "-i",
    "--inventory",
    "inventory",
    type=click.Path(path_type=Path),
    default=Path("hosts.yml"),
    show_default=True,
    envvar="HAKIT_INVENTORY",
    show_envvar=True,
    callback=_remembered,
    help="Inventory: a YAML file, or a folder with hosts.yml beside group_vars/ and host_vars/.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")
assume_yes = click.option("-y", "--yes", "assume_yes", is_flag=True, help="Do not ask before changing hosts.")
no_diff = click.option("--no-diff", is_flag=True, help="Name what changes without showing diffs.")
no_lab = click.option(
    "--no-lab", is_flag=True, help="Reach the hosts over this machine's network although the inventory declares a lab."
)
wipe = click.option(
    "--wipe",
    multiple=True,
    metavar="SERIAL",
    help="This disk may be wiped of what is on it; the inventory has to say so too (raid.wipe). Repeatable.",
)
verbose = click.option("-v", "--verbose", count=True, help="Explain decisions; twice: show commands and frames.")


FORKS = 50
"""Hosts in motion at once, for commands that are about a few."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which hosts and components of which inventory a command is to work on, and how."""

    inventory: Path
    limit: tuple[str, ...]
    component: tuple[str, ...]
    forks: int
    no_lab: bool


def asked(command: Command) -> Command:
    """The options of commands that work on hosts, handed over as one `asked: Asked`."""

    @wraps(command)
    def wrapper(**values: Any) -> Any:
        names = Asked.__slots__
        return command(asked=Asked(**{name: values.pop(name) for name in names}), **values)

    for option in reversed(
        (
            inventory,
            click.option(
                "--limit",
                multiple=True,
                metavar="PATTERN",
                help="Only these hosts or groups: names, globs (web*), '!' excludes. Repeatable, or with commas.",
            ),
            click.option(
                "--component", multiple=True, metavar="NAME", help="Only what this component declares. Repeatable."
            ),
            click.option(
                "--forks", type=click.IntRange(1, 512), default=10, show_default=True, help="Hosts in motion at once."
            ),
            no_lab,
            ask_pass,
            ask_become_pass,
        )
    ):
        wrapper = option(wrapper)
    return wrapper


def reaching(command: Command) -> Command:
    """The options of commands that say themselves which hosts they are about, handed over as one `asked: Asked`."""

    @wraps(command)
    def wrapper(*, inventory: Path, no_lab: bool, **values: Any) -> Any:
        return command(asked=Asked(inventory, (), (), FORKS, no_lab), **values)

    for option in (ask_become_pass, ask_pass, no_lab, inventory):
        wrapper = option(wrapper)
    return wrapper


def components() -> dict[str, Component]:
    """All installed components by name."""
    from hakit.components.registry import discover

    return discover()


def load(path: Path, *, need_secrets: bool = True, whole: bool = True) -> tuple[Site, dict[str, Component]]:
    """The site of an inventory, validated against the installed components. Raises InventoryError.

    Without `need_secrets`, secrets that are named but not set are no problem; without `whole`, nor is what Ansible
    takes of hosts that hakit does not manage.
    """
    from hakit.inventory import load as load_site

    found = components()
    schemas = {name: one.Settings for name, one in found.items()}
    return load_site(path, schemas, need_secrets=need_secrets, whole=whole), found


def checked(site: Site, components: dict[str, Component]) -> None:
    """Refuse to go on with an inventory that lint finds errors in; warnings are counted on stderr."""
    from hakit.engine.facts import recorded
    from hakit.errors import InventoryError
    from hakit.lint import findings
    from hakit.present.terminal import count

    found = findings(site, components, recorded(site))
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise InventoryError(errors, hint="see all findings with  hakit lint")
    if found:
        click.echo(pasteable(f"{count(len(found), 'warning')} of lint; see them with  hakit lint"), err=True)
