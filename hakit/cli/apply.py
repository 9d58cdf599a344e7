"""`hakit apply`: plan, ask, carry out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import options

if TYPE_CHECKING:
    from hakit.engine.plan import SitePlan


@click.command(
    epilog="""\b
Examples:
  hakit apply -i inventories/lab
  hakit apply -i inventories/lab --limit lb2 --yes
  hakit apply -i inventories/lab --component haproxy --yes --json
""",
)
@options.asked
@options.assume_yes
@options.as_json
@options.no_diff
@options.verbose
@click.pass_context
def apply(
    ctx: click.Context,
    *,
    asked: options.Asked,
    verbose: int,
    assume_yes: bool,
    as_json: bool,
    no_diff: bool,
) -> None:
    """Make the hosts as the inventory says: show the plan, ask, carry it out.

    One connection per host serves plan and apply. Hosts that stand in for each other are changed one at a time where
    the service would notice. A configuration that its daemon rejects never replaces the running one. Exit codes: 0 all
    hosts are as declared, 1 something failed or was left, 2 the inventory or the command line is wrong.
    """
    import json
    import time
    from dataclasses import replace

    from hakit.cli.work import begin
    from hakit.engine.apply import Apply
    from hakit.engine.records import Record
    from hakit.engine.run import Run
    from hakit.present.plan import plan_json, plan_text
    from hakit.present.progress import Asking, Working
    from hakit.present.result import result_json, result_text

    started = time.monotonic()
    scope = begin(asked)
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    asking = Asking(len(scope.hosts), quiet=as_json, verbose=verbose)
    with Run(replace(scope, run_id=record.id), record.recording(asking.sink), lock=True) as run:
        with asking:
            found = run.plan()
        record.write("plan.json", plan_json(found))
        if not as_json and (found.changing or found.failed):
            click.echo(plan_text(found, scope.site, seconds=time.monotonic() - started, diffs=not no_diff))
        if found.changing and not assume_yes and not _agreed(found, as_json=as_json):
            click.echo("Nothing was changed.")
            ctx.exit(1)
        with Working(found, quiet=as_json, verbose=verbose) as working:
            run.sink = record.recording(working.sink)
            outcome = Apply(run, found).execute()
    seconds = time.monotonic() - started
    record.write("result.json", result_json(outcome, record.id))
    if as_json:
        click.echo(json.dumps({"plan": plan_json(found), **result_json(outcome, record.id)}, indent=2))
    else:
        click.echo(result_text(outcome, record, asked.inventory, seconds))
    ctx.exit(0 if outcome.good else 1)


def _agreed(found: SitePlan, *, as_json: bool) -> bool:
    """Ask before changing hosts. Raises UsageError without a terminal to ask on."""
    from hakit.errors import UsageError
    from hakit.present.terminal import count

    if as_json or not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on; nothing was changed", hint="review the plan, then add  --yes")
    return click.confirm(f"Change {count(len(found.changing), 'host')}?")
