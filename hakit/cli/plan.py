"""`hakit plan`: what differs between the inventory and the hosts."""

from __future__ import annotations

import click

from hakit.cli import options

DIFFERENT = 3


@click.command(
    epilog="""\b
Examples:
  hakit plan -i inventories/lab
  hakit plan -i inventories/lab --limit balancers --component haproxy
  hakit plan -i inventories/lab --exit-code     # 3 when something differs, for a nightly job
""",
)
@options.asked
@options.wipe
@options.as_json
@click.option("--exit-code", is_flag=True, help="Exit 3 when something differs (0: nothing does).")
@options.no_diff
@options.verbose
@click.pass_context
def plan(
    ctx: click.Context,
    *,
    asked: options.Asked,
    wipe: tuple[str, ...],
    verbose: int,
    as_json: bool,
    exit_code: bool,
    no_diff: bool,
) -> None:
    """Compare the inventory with the hosts and show what apply would change.

    Every host computes its part with the code that apply uses. Nothing is changed. Exit codes: 0 done, 1 a host
    could not be asked or refuses, 2 the inventory or the command line is wrong, 3 (with --exit-code) something differs.
    """
    import json
    import shlex
    import time

    from hakit.cli.work import begin, none_retired
    from hakit.engine.apply import Apply
    from hakit.engine.run import Run
    from hakit.present.commands import pasteable
    from hakit.present.plan import plan_json, plan_text
    from hakit.present.progress import Asking

    started = time.monotonic()
    scope = begin(asked, wipe=wipe)
    with Asking(len(scope.hosts), quiet=as_json, verbose=verbose) as asking, Run(scope, asking.sink, lock=False) as run:
        found = run.plan()
        work = Apply(run, found)
        steps, foreseen = work.steps, work.foreseen
    if as_json:
        click.echo(json.dumps(plan_json(found, steps, foreseen), indent=2))
    else:
        seconds = time.monotonic() - started
        shown = plan_text(found, scope.site, seconds=seconds, diffs=not no_diff, steps=steps, foreseen=foreseen)
        click.echo(shown)
        none_retired(scope, found)
        if any(not host.refused for host in found.changing):
            confirmed = "".join(f" --wipe {shlex.quote(serial)}" for serial in wipe)
            click.echo(f"Apply with  hakit apply -i {asked.inventory}{confirmed}")
        elif found.failed:
            click.echo(pasteable("See what else stands in the way with  hakit doctor"))
    if found.failed or any(host.refused for host in found.hosts.values()):
        ctx.exit(1)
    ctx.exit(DIFFERENT if exit_code and found.changing else 0)
