"""What commands that work on hosts share: the scope of a run, and the question before it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hakit.cli.options import Asked
    from hakit.engine.handover import Mover
    from hakit.engine.plan import SitePlan
    from hakit.engine.records import Record
    from hakit.engine.rolling import Limits
    from hakit.engine.run import Scope
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection


def begin(
    asked: Asked,
    *,
    failed: bool = False,
    option: str = "--limit ",
    check: Callable[[Site], object] | None = None,
    wipe: tuple[str, ...] = (),
) -> Scope:
    """Load, check and select; nothing is sent yet. `failed` narrows to the hosts that did not end well last time.

    `option` is how the user named the hosts, for messages; `check` raises what is wrong with other words of the command
    line, before anybody asks whether a lab is up. `wipe` are the serial numbers of disks that may be wiped. Raises
    InventoryError, UsageError, LabError.
    """
    from hakit.cli.reach import connector, target
    from hakit.engine.records import unfinished
    from hakit.engine.run import Scope
    from hakit.engine.select import select, select_components, watched

    site, components = options.load(asked.inventory)
    options.checked(site, components)
    if check is not None:
        check(site)
    confirmed = wiped(site, wipe)
    hosts = select(site, asked.limit, option)
    if failed:
        left = unfinished(site)
        hosts = tuple(host for host in hosts if host in left)
    only = select_components(components, asked.component)
    reach = connector(site, no_lab=asked.no_lab)

    def connect(host: Host) -> Connection:
        return reach.connect(target(host))

    return Scope(
        site,
        components,
        hosts,
        only,
        connect,
        "",
        asked.forks,
        watched(site, components, hosts),
        movers(site),
        confirmed,
    )


def wiped(site: Site, serials: tuple[str, ...]) -> frozenset[str]:
    """The disks that the command line lets be wiped. Raises UsageError for one that the inventory does not name."""
    if not serials:
        return frozenset()
    from hakit.components.raid.model import NAME
    from hakit.components.raid.settings import RaidSettings
    from hakit.errors import UsageError
    from hakit.lint.rule import configured
    from hakit.suggest import did_you_mean

    named = {str(serial) for _, settings in configured(site, NAME, RaidSettings) for serial in settings.wipe}
    for serial in serials:
        if serial not in named:
            raise UsageError(
                f"--wipe {serial}: the inventory names no such disk{did_you_mean(serial, named)}; nothing was done",
                why="A disk is wiped only where the inventory and the command line both say so.",
                hint=f"name it for its host first:  raid: {{wipe: [{serial}]}}",
            )
    return frozenset(serials)


def movers(site: Site) -> tuple[Mover, ...]:
    """What hands roles over before their holder is out of service: the primaries of database clusters."""
    if not any("postgresql" in host.settings for host in site.hosts.values()):
        return ()
    from hakit.postgres import moving

    return moving.movers(site)


def one_host(asked: Asked, host: str) -> Scope:
    """The scope of a command that is about one host. Raises UsageError for a name that means several."""
    from dataclasses import replace

    from hakit.errors import UsageError

    if asked.limit or asked.component:
        raise UsageError(
            f"--limit and --component have no place here: the command is about {host} alone", hint="leave them out"
        )
    scope = begin(replace(asked, limit=(host,)), option="")
    if len(scope.hosts) != 1:
        raise UsageError(f"one host at a time: {host} means {len(scope.hosts)}", hint="run it once for each of them")
    return scope


def whole(scope: Scope, found: SitePlan, limits: Limits) -> None:
    """Refuse hosts that must agree with others, without these; and a site with a retired host. Raises RefusedError."""
    from hakit.engine.together import torn
    from hakit.errors import RefusedError

    none_retired(scope, found)
    apart = torn(found, scope.groups())
    if scope.watched and apart and not limits.override:
        host, why = next(iter(apart.items()))
        raise RefusedError(
            f"{host} {why}; nothing was changed",
            why="members that disagree ignore each other, and each takes the role",
            hint="widen --limit to all of them",
        )


def none_retired(scope: Scope, found: SitePlan) -> None:
    """Refuse a site that still names a retired host. Raises RefusedError."""
    from hakit.engine.duty import RETIRED
    from hakit.errors import RefusedError

    retired = [host for host, mark in found.marks.items() if mark.kind == RETIRED]
    if retired:
        place = scope.site.hosts[retired[0]].mark()
        raise RefusedError(
            f"{retired[0]} is retired, and the inventory still names it{f' ({place})' if place else ''}",
            why="an apply would have its peers take it in again; nothing was changed",
            hint=f"take it out of the inventory, or back with  hakit retire --undo {retired[0]}",
        )


def conclude(record: Record, result: Mapping[str, Any], text: str) -> None:
    """Keep how a run ended, and tell it: neither a full disk nor a lost terminal keeps the other from being done.

    Raises HakitError, OSError.
    """
    try:
        record.write("result.json", result)
    finally:
        click.echo(text)


def agreed(question: str, *, as_json: bool) -> bool:
    """Ask before hosts are changed. Raises UsageError without a terminal to ask on."""
    from hakit.errors import UsageError

    if as_json or not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on; nothing was changed", hint="review the plan, then add  --yes")
    return click.confirm(question)
