"""`hakit reboot`: boot hosts again, one at a time where they stand in for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import careful

if TYPE_CHECKING:
    from collections.abc import Collection

    from hakit.engine.rolling import Limits
    from hakit.engine.upkeep import Needs


@click.command(
    epilog="""\b
Examples:
  hakit reboot -i inventories/lab                    # those that need it
  hakit reboot -i inventories/lab --limit web --all  # each of them, whether it needs it or not
""",
)
@options.asked
@careful
@click.option("--all", "every", is_flag=True, help="Boot all chosen hosts, not only those that need it.")
@options.assume_yes
@options.as_json
@options.verbose
@click.pass_context
def reboot(
    ctx: click.Context,
    *,
    asked: options.Asked,
    limits: Limits,
    every: bool,
    assume_yes: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Boot hosts again: those that need it, one at a time where they stand in for each other.

    Shows which hosts need it and why, and asks. A host is taken out of its duties first, another member takes over what
    it leads, and the next one is touched only when it serves again. Exit codes: 0 done, 1 something failed or was left,
    2 the inventory or the command line is wrong, 130 interrupted.
    """
    from hakit.cli.upkeep import Upkeep
    from hakit.present.terminal import count
    from hakit.present.upkeep import reboots_text

    chosen: list[str] = []

    def choose(found: Needs) -> Collection[str]:
        chosen.extend(name for name, one in found.hosts.items() if every or one.reboot)
        return chosen

    work = Upkeep(asked, limits, "reboot", as_json=as_json, verbose=verbose)
    code = work.run(
        choose,
        lambda found: reboots_text(found, chosen),
        lambda hosts: f"Boot {count(len(hosts), 'host')} again?",
        lambda turn, known: turn.reboot(chosen, known),
        refresh=False,
        assume_yes=assume_yes,
    )
    ctx.exit(code)
