"""`hakit status`: whether the services serve, and what would happen if something failed now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.prompts import ask_become_pass, ask_pass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakit.engine.assess import SiteState

PAUSE = 2.0
"""Seconds between two looks of --watch."""


@click.command(
    epilog="""\b
Examples:
  hakit status -i inventories/production
  hakit status -i inventories/production --watch
  hakit status -i inventories/production --json     # for a monitor
""",
)
@options.inventory
@click.option("--forks", type=click.IntRange(1, 512), default=50, show_default=True, help="Hosts asked at once.")
@options.no_lab
@ask_pass
@ask_become_pass
@click.option("--watch", is_flag=True, help="Look again every 2 s, until Ctrl-C.")
@options.as_json
@options.verbose
@click.pass_context
def status(
    ctx: click.Context, *, inventory: Path, forks: int, no_lab: bool, watch: bool, as_json: bool, verbose: int
) -> None:
    """Say who holds each address and whether each service is healthy, at risk or down.

    Healthy: it serves, and all that could take over can. At risk: it serves, and something more may not fail. Down: it
    does not serve. Alarm: two hosts hold its address. Unknown: those who could tell don't answer. Nothing is changed,
    and a run on the hosts is not disturbed.

    Exit codes: 0 all is healthy and every host answers, 1 something is not, 2 the inventory or the command line is
    wrong. With --watch the last look counts.
    """
    from hakit.cli.options import Asked
    from hakit.cli.work import begin
    from hakit.engine.status import Watch
    from hakit.present.progress import Asking

    scope = begin(Asked(inventory, (), (), forks, no_lab))
    with Watch(scope) as looking:
        with Asking(len(scope.hosts), quiet=as_json):
            found = looking.look()
        if watch:
            found = _again(looking.look, found, lambda state: _show(state, as_json=as_json, verbose=verbose, live=True))
        else:
            _show(found, as_json=as_json, verbose=verbose)
    ctx.exit(0 if found.good else 1)


def _again(look: Callable[[], SiteState], found: SiteState, show: Callable[[SiteState], None]) -> SiteState:
    """Look until Ctrl-C; the last state."""
    import time

    try:
        while True:
            show(found)
            time.sleep(PAUSE)
            found = look()
    except KeyboardInterrupt:
        return found


def _show(found: SiteState, *, as_json: bool, verbose: int, live: bool = False) -> None:
    import json
    import time

    from hakit.present.status import status_json, status_text
    from hakit.present.terminal import clear

    if as_json:
        click.echo(json.dumps(status_json(found), indent=None if live else 2))
        return
    text = status_text(found, verbose=verbose)
    if live:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %z")
        text = f"{clear()}{stamp}\n{text}\n"
    click.echo(text)
