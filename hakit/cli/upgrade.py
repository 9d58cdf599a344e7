"""`hakit upgrade`: bring packages up to date, one host at a time where they stand in for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import careful

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hakit.agent.answers import Upgrade
    from hakit.agent.answers import Upkeep as HostUpkeep
    from hakit.engine.rolling import Limits
    from hakit.engine.upkeep import Needs


@click.command(
    epilog="""\b
Examples:
  hakit upgrade -i inventories/lab                     # security updates
  hakit upgrade -i inventories/lab --all --reboot      # everything, and reboots where needed
  hakit upgrade -i inventories/lab --package haproxy   # this package, where there is a newer one
  hakit upgrade -i inventories/lab --package haproxy=2.6.12-1+deb12u3   # up or down to this one
""",
)
@options.asked
@careful
@click.option("--all", "every", is_flag=True, help="All packages, not only security updates.")
@click.option(
    "--package",
    "packages",
    multiple=True,
    metavar="NAME[=VERSION]",
    help="Only this package, where it is installed: the newest, or this very version, up or down. Repeatable.",
)
@click.option("--reboot", is_flag=True, help="Boot a host that needs it afterwards, before the next one's turn.")
@click.option("--no-refresh", is_flag=True, help="Do not ask the package sources for what is new.")
@options.assume_yes
@options.as_json
@options.verbose
@click.pass_context
def upgrade(
    ctx: click.Context,
    *,
    asked: options.Asked,
    limits: Limits,
    every: bool,
    packages: tuple[str, ...],
    reboot: bool,
    no_refresh: bool,
    assume_yes: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Bring packages up to date: security updates by default, one host at a time where they stand in for each other.

    Shows what would come and asks. A host is taken out of its duties first, and what it leads is switched over; the
    daemons that ran replaced code are started anew; the next host is touched only when this one serves again. Exit
    codes: 0 done, 1 something failed or was left, 2 the inventory or the command line is wrong, 130 interrupted.
    """
    from hakit.cli.upkeep import Upkeep
    from hakit.errors import UsageError
    from hakit.present.terminal import count
    from hakit.present.upkeep import upgrades_text

    if every and packages:
        raise UsageError("--all and --package contradict each other", hint="leave one of them out")
    chosen: dict[str, list[Upgrade]] = {}
    named = dict(_named(one) for one in packages)

    def choose(found: Needs) -> Collection[str]:
        for name, one in found.hosts.items():
            wanted = _wanted(one, named, every=every)
            # Where the package is, an upgrade may have been cut before its restarts.
            if wanted or (one.restart and (one.installed or not named)):
                chosen[name] = wanted
        return chosen

    work = Upkeep(asked, limits, "upgrade", as_json=as_json, verbose=verbose)
    code = work.run(
        choose,
        lambda found: upgrades_text(found, chosen, verbose=verbose > 0),
        lambda hosts: f"Upgrade {count(len(hosts), 'host')}?",
        lambda turn, known: turn.upgrade(chosen, known, reboot=reboot),
        packages=tuple(named),
        refresh=not no_refresh,
        assume_yes=assume_yes,
    )
    ctx.exit(code)


def _named(text: str) -> tuple[str, str]:
    """A package and the version asked for, empty for the newest. Raises BadParameter."""
    import re

    name, equals, version = text.partition("=")
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) or (equals and not re.fullmatch(r"[A-Za-z0-9.+:~-]+", version)):
        raise click.BadParameter(f"{text!r} is no package, nor package=version", param_hint="--package")
    return name, version


def _wanted(found: HostUpkeep, named: Mapping[str, str], *, every: bool) -> list[Upgrade]:
    """What was asked for by name, or by what it is."""
    from hakit.agent.answers import Upgrade

    if not named:
        return [one for one in found.upgrades if every or one.security]
    newest = [one for one in found.upgrades if named.get(one.package) == ""]
    exact = [
        Upgrade(name, found.installed[name], version)
        for name, version in named.items()
        if version and found.installed.get(name, version) != version
    ]
    return [*newest, *exact]
