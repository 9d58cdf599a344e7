"""`hakit doctor`: what could stand in the way of an apply, and what is wrong already."""

from __future__ import annotations

import click

from hakit.cli import options


@click.command(
    epilog="""\b
Examples:
  hakit doctor -i inventories/production
  hakit doctor -i inventories/production --limit balancers -v
  hakit doctor -i inventories/production --json     # for a monitor
""",
)
@options.asked
@options.as_json
@options.verbose
@click.pass_context
def doctor(ctx: click.Context, *, asked: options.Asked, as_json: bool, verbose: int) -> None:
    """Examine the hosts before the first apply, or at any time.

    Login, sudo, Python, release, clock, disks, packages and units of each host; addresses that answer elsewhere,
    strangers who speak VRRP under our numbers, cloned machines, peers that can't reach each other. Nothing is changed.
    Takes seconds: four of them only listen.

    Exit codes: 0 no error was found (warnings are allowed), 1 errors were found or a host can't be reached, 2 the
    inventory or the command line is wrong.
    """
    import json
    import time

    from hakit.cli.work import begin
    from hakit.engine.doctor import examine
    from hakit.present.doctor import Examining, doctor_json, doctor_text

    started = time.monotonic()
    scope = begin(asked)
    with Examining(quiet=as_json) as examining:
        found = examine(scope, examining.progress)
    if as_json:
        click.echo(json.dumps(doctor_json(found), indent=2))
    else:
        click.echo(doctor_text(found, time.monotonic() - started, verbose=verbose))
        click.echo(_next(asked, errors=found.count("error")))
    ctx.exit(1 if found.count("error") else 0)


def _next(asked: options.Asked, *, errors: int) -> str:
    words = " ".join(f"--limit {one}" for one in asked.limit)
    again = f"hakit doctor -i {asked.inventory} {words}".strip()
    return f"Mend that, then run  {again}" if errors else f"See what would change with  hakit plan -i {asked.inventory}"
