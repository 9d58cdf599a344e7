"""Names that a shell completes from the inventory of the command line: hosts, clusters, a cluster's members."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hakit.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from hakit.inventory.model import Site


def hosts(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The inventory's hosts."""
    site = _site(context)
    return _beginning(incomplete, site.hosts if site else ())


def clusters(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The inventory's PostgreSQL clusters."""
    from hakit.components.postgresql import members

    site = _site(context)
    return _beginning(incomplete, members.clusters(site) if site else ())


def members(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The members of the cluster that was named, of every one where none was."""
    from hakit.components.postgresql.members import clusters

    site = _site(context)
    found = clusters(site) if site else {}
    named = context.params.get("cluster")
    return _beginning(
        incomplete, [host for name, cluster in found.items() if named in (None, name) for host in cluster.names]
    )


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [str(name) for name in names if name.startswith(incomplete)]


def _site(context: click.Context) -> Site | None:
    """The site; None when its inventory can't be read."""
    from hakit.errors import HakitError

    try:
        return options.load(context.params.get("inventory") or Path("hosts.yml"), need_secrets=False)[0]
    except HakitError:
        return None
