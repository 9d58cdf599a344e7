"""`hakit apply`: plan, ask, carry out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import INTERRUPTED, careful, interruptible
from hakit.cli.work import agreed, conclude, whole

if TYPE_CHECKING:
    from hakit.engine.plan import SitePlan
    from hakit.engine.rolling import Limits


@click.command(
    epilog="""\b
Examples:
  hakit apply -i inventories/lab
  hakit apply -i inventories/lab --limit lb2 --yes
  hakit apply -i inventories/lab --component haproxy --yes --json
  hakit apply -i inventories/lab --failed        # the hosts that did not end well last time
""",
)
@options.asked
@careful
@click.option(
    "--confirm-timeout",
    type=click.IntRange(5, 3600),
    metavar="SECONDS",
    help="How long a new network gets to work before the host puts the old one back; left out: as the inventory says "
    "(bonding.confirm.timeout), 60.",
)
@options.wipe
@click.option("--failed", is_flag=True, help="Only the hosts that did not end well in the last apply.")
@options.assume_yes
@options.as_json
@options.no_diff
@options.verbose
@click.pass_context
def apply(
    ctx: click.Context,
    *,
    asked: options.Asked,
    limits: Limits,
    confirm_timeout: int | None,
    wipe: tuple[str, ...],
    failed: bool,
    verbose: int,
    assume_yes: bool,
    as_json: bool,
    no_diff: bool,
) -> None:
    """Make the hosts as the inventory says: show the plan, ask, carry it out.

    One connection per host serves plan and apply. Hosts that stand in for each other are changed one at a time where
    the service would notice, and only while the others serve. A configuration that its daemon rejects never replaces
    the running one. A changed network is confirmed over a new connection, or the host puts the old one back by itself.
    Ctrl-C ends the batches that run and says what is left, a second one stops at once. Exit codes: 0 all hosts are as
    declared, 1 something failed or was left, 2 the inventory or the command line is wrong, 130 interrupted.
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
    scope = begin(asked, failed=failed, wipe=wipe)
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    scope = replace(scope, run_id=record.id)
    limits = replace(limits, confirm=None if confirm_timeout is None else float(confirm_timeout))
    asking = Asking(len(scope.hosts), quiet=as_json, verbose=verbose)
    interrupted = False
    with interruptible(), Run(scope, record.recording(asking.sink), lock=True) as run:
        with asking:
            found = run.plan()
            work = Apply(run, found, limits)
            steps, foreseen = work.steps, work.foreseen
            shown = plan_json(found, steps, foreseen)
        if not as_json and (found.due or found.failed):
            took = time.monotonic() - started
            text = plan_text(found, scope.site, seconds=took, diffs=not no_diff, steps=steps, foreseen=foreseen)
            click.echo(text)
        whole(scope, found, limits)
        if found.due and not assume_yes and not agreed(_question(found), as_json=as_json):
            click.echo("Nothing was changed.")
            ctx.exit(1)
        record.write("plan.json", shown)  # from here on this is the last apply, for --failed
        changes = sum(len(host.changes) for host in found.changing)
        with Working(len(found.changing), changes, quiet=as_json, verbose=verbose) as working:
            run.sink = record.recording(working.sink)
            try:
                work.execute()
            except KeyboardInterrupt:
                interrupted = True
    outcome = work.outcome
    seconds = time.monotonic() - started
    result = result_json(outcome, record.id)
    if as_json:
        text = json.dumps({"plan": shown, **result}, indent=2)
    else:
        text = result_text(outcome, record, asked.inventory, seconds)
    conclude(record, result, text)
    ctx.exit(INTERRUPTED if interrupted or outcome.stopped else 0 if outcome.good else 1)


def _question(found: SitePlan) -> str:
    from hakit.present.terminal import count

    if not found.changing:
        return f"Take {', '.join(found.abandoned)} back into service?"
    return f"Change {count(len(found.changing), 'host')}?"
