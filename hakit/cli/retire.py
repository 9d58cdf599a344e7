"""`hakit retire`: a host leaves for good."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import INTERRUPTED, careful, interruptible

if TYPE_CHECKING:
    from hakit.engine.rolling import Limits
    from hakit.engine.run import Scope
    from hakit.inventory.model import Site


@click.command(
    epilog="""\b
Examples:
  hakit retire web3 -i inventories/lab
  hakit retire web3 -i inventories/lab --dead    # it is gone: only its peers are changed
  hakit retire web3 -i inventories/lab --undo
""",
)
@click.argument("host")
@options.asked
@careful
@click.option("--dead", is_flag=True, help="The host is gone: have its peers forget it, without speaking to it.")
@click.option("--undo", is_flag=True, help="Take back that a host is retired; the next apply sets it up again.")
@options.assume_yes
@options.as_json
@options.no_diff
@options.verbose
@click.pass_context
def retire(
    ctx: click.Context,
    *,
    asked: options.Asked,
    limits: Limits,
    host: str,
    dead: bool,
    undo: bool,
    assume_yes: bool,
    as_json: bool,
    no_diff: bool,
    verbose: int,
) -> None:
    """Take a HOST out of all its groups, for good.

    Its duties go to its peers, then its peers forget it, then what hakit made on it goes: daemons, addresses, files.
    Data stays. Afterwards take it out of the inventory; until then apply refuses. With --dead the host is not spoken
    to, and its peers remember that it is retired. To replace a dead host by a new one of
    the same name nothing needs to be retired: hakit trust --replace, hakit bootstrap, hakit apply. Exit codes: 0
    done, 1 refused or failed, 2 the inventory or the command line is wrong, 130 interrupted.
    """
    import json
    import time
    from contextlib import suppress
    from dataclasses import replace

    from hakit.cli.work import conclude, one_host
    from hakit.engine.records import Record
    from hakit.engine.retire import Retirement
    from hakit.engine.run import Run
    from hakit.errors import UsageError
    from hakit.present.plan import plan_json, plan_text
    from hakit.present.progress import Asking, Working
    from hakit.present.result import result_json, result_text

    if dead and undo:
        raise UsageError("--dead and --undo contradict each other", hint="retire the host, or take that back")
    began = time.monotonic()
    scope = one_host(asked, host)
    (name,) = scope.hosts
    if undo:
        back = _take_back(scope, name, as_json=as_json)
        again = f"{name} is not retired any more. Set it up with  hakit apply -i {asked.inventory}"
        click.echo(again if back else f"{name} was not retired.")
        return
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    scope = replace(scope, run_id=record.id)
    peers = replace(scope, site=_reduced(scope, name), hosts=scope.watched, watched=())
    asking = Asking(len(peers.hosts) + 1, quiet=as_json, verbose=verbose)
    with interruptible(), Run(peers, record.recording(asking.sink), lock=True) as run:
        work = Retirement(run, scope, name, dead=dead)
        with asking:
            found = work.plan()
        foreseen = work.foreseen
        shown = plan_json(found, foreseen=foreseen)
        record.write("retire.json", shown)
        if not as_json:
            click.echo(
                plan_text(found, scope.site, seconds=time.monotonic() - began, diffs=not no_diff, foreseen=foreseen)
            )
        if not assume_yes and not _agreed(name, as_json=as_json):
            click.echo("Nothing was changed.")
            ctx.exit(1)
        changes = sum(len(one.changes) for one in found.changing)
        with Working(len(found.changing), changes, quiet=as_json, verbose=verbose) as working:
            run.sink = record.recording(working.sink)
            with suppress(KeyboardInterrupt):  # the outcome says so
                work.execute(found, limits)
    outcome = work.outcome
    result = result_json(outcome, record.id)
    text = result_text(outcome, record, asked.inventory, time.monotonic() - began, f"retire {name}")
    if outcome.good:
        text += f"\n{name} is retired. Now take it out of the inventory: {scope.site.hosts[name].mark()}"
    conclude(record, result, json.dumps({"plan": shown, **result}, indent=2) if as_json else text)
    ctx.exit(INTERRUPTED if outcome.stopped else 0 if outcome.good else 1)


def _reduced(scope: Scope, name: str) -> Site:
    """The site without the host, if it can do without. Raises RefusedError."""
    from hakit.errors import InventoryError, RefusedError

    reduced = scope.site.without(name)
    try:
        options.checked(reduced, dict(scope.components))
    except InventoryError as error:
        raise RefusedError(
            f"the site can't do without {name} as it is declared:",
            why="\n  ".join(problem.text() for problem in error.problems),
            hint="change the inventory first, then retire the host",
        ) from error
    return reduced


def _agreed(name: str, *, as_json: bool) -> bool:
    from hakit.errors import UsageError

    if as_json or not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on; nothing was changed", hint="review the plan, then add  --yes")
    answer: str = click.prompt(f"{name} leaves for good. Type its name to go on", default="", show_default=False)
    if answer.strip() and answer.strip() != name:
        click.echo(f"{answer.strip()} is not {name}.")
    return answer.strip() == name


def _take_back(scope: Scope, name: str, *, as_json: bool) -> bool:
    """Take back that a host is retired; False where nobody says so. Raises what reaching the host raises."""
    from hakit.engine.retire import take_back
    from hakit.engine.run import Run
    from hakit.present.progress import Asking

    asking = Asking(len(scope.hosts), quiet=as_json)
    with asking, Run(scope, asking.sink, lock=True) as run:
        return take_back(run, name)
