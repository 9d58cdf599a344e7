"""`hakit maintenance`: take a host out of service, and back."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import INTERRUPTED, careful, interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.engine.handover import Handover
    from hakit.engine.maintenance import Maintenance
    from hakit.engine.rolling import Limits


@click.command(
    epilog="""\b
Examples:
  hakit maintenance on lb2 -i inventories/lab --why "new power supply"
  hakit maintenance on web1 -i inventories/lab --drain 300   # sessions get five minutes
  hakit maintenance off lb2 -i inventories/lab
""",
)
@click.argument("state", type=click.Choice(["on", "off"]))
@click.argument("host")
@options.asked
@careful
@click.option("--why", default="", metavar="TEXT", help="The reason, for whoever looks at the status.")
@options.as_json
@options.verbose
def maintenance(
    *, asked: options.Asked, limits: Limits, state: str, host: str, why: str, as_json: bool, verbose: int
) -> None:
    """Take a HOST out of service, or back into it.

    on: the balancers send it no more requests, its virtual addresses move to its peers and what it leads is switched
    over, once these are seen to serve; then its sessions get time to end. It stays so, over reboots too, until `off`,
    which sees it serve first. While it is out, apply, reboot and upgrade change it without asking anybody. Exit codes:
    0 done, 1 refused or failed, 2 the inventory or the command line is wrong, 130 interrupted.
    """
    import json
    from dataclasses import replace

    from hakit.cli.work import one_host
    from hakit.engine.duty import MAINTENANCE, RETIRED, describe
    from hakit.engine.handover import Foreseen
    from hakit.engine.maintenance import Maintenance
    from hakit.engine.records import Record
    from hakit.engine.run import Run
    from hakit.errors import RefusedError
    from hakit.present.order import handovers_json
    from hakit.present.progress import Asking
    from hakit.present.terminal import printable

    scope = one_host(asked, host)
    (name,) = scope.hosts
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    asking = Asking(len(scope.hosts), quiet=as_json, verbose=verbose)
    with (
        interruptible(),
        asking,
        Run(replace(scope, run_id=record.id), record.recording(asking.sink), lock=True) as run,
    ):
        failed = run.open()
        if name in failed:
            raise failed[name]
        mark = run.marks().get(name)
        if mark is not None and mark.kind == RETIRED:
            raise RefusedError(f"{name} is {describe(mark)}", hint=f"take it back with  hakit retire --undo {name}")
        working = Maintenance(run, name)
        out = mark is not None and mark.kind == MAINTENANCE
        handed: tuple[Handover, ...] = ()
        if state == "on":
            with _told_of_a_cut(working, name):
                handed = working.begin(why.strip() or (mark.why if mark else ""), limits)
        elif mark is not None:
            working.end(limits)
        elif unknown := ", ".join(working.unknown):
            raise RefusedError(
                f"nobody who answers says that {name} is in maintenance, and {unknown} can't be asked",
                hint=f"repeat it once they answer:  hakit maintenance off {name}",
            )
    duties = ", ".join(working.duties)
    if as_json:
        result = {"host": name, "maintenance": state == "on", "changed": out != (state == "on"), "duties": duties}
        result["handovers"] = handovers_json(Foreseen(handed))
        click.echo(json.dumps(result, indent=2))
    elif state == "on":
        for one in handed:
            click.echo(f"{one.host} {one.what} no more: {one.to} does.")
        click.echo(f"{name} is in maintenance{', out of ' + printable(duties) if duties else ''}.")
        click.echo(f"Take it back with  hakit maintenance off {name} -i {asked.inventory}")
    else:
        click.echo(f"{name} is back in service." if mark else f"{name} was not in maintenance.")


@contextmanager
def _told_of_a_cut(working: Maintenance, name: str) -> Iterator[None]:
    """Say what an interrupt leaves that comes while the host leaves its duties."""
    from hakit.present.commands import pasteable

    try:
        yield
    except KeyboardInterrupt:
        if not working.leaving:
            raise
        text = (
            f"Interrupted: {name} is out of its duties, or on its way; its sessions may not have ended.\n"
            f"  go on with  hakit maintenance on {name}\n  or take it back with  hakit maintenance off {name}"
        )
        click.echo(pasteable(text), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
