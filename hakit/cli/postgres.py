"""`hakit postgres`: what an operator does with a cluster after it was made."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from hakit.cli import complete, options
from hakit.cli.careful import INTERRUPTED, interruptible
from hakit.cli.groups import InOrder
from hakit.cli.psql import psql

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.engine.run import Scope
    from hakit.inventory.model import Site
    from hakit.postgres.conductor import Conductor, Outcome
    from hakit.postgres.layout import Layout
    from hakit.postgres.picture import Picture
    from hakit.present.postgres import Moving

PAUSE = 2.0
"""Seconds between two looks of --watch."""
REOPEN = 1.0
"""Seconds that a look of --watch waits for a member that did not answer before."""


@click.group(
    cls=InOrder,
    epilog="""\b
Examples:
  hakit postgres status -i inventories/database
  hakit postgres switchover -i inventories/database main --to db2
""",
)
def postgres() -> None:
    """Look at a PostgreSQL cluster, move its primary, take a member back.

    A cluster is named as in the inventory: hakit: {postgresql: {cluster: NAME}}. Every command can be killed at any
    step and run again; `status` says where things stand and which command goes on.
    """


@postgres.command(
    short_help="Say how each member is, and what stands in the way.",
    epilog="""\b
Examples:
  hakit postgres status -i inventories/production
  hakit postgres status -i inventories/production main --watch
  hakit postgres status -i inventories/production main --json
""",
)
@click.argument("cluster", required=False, shell_complete=complete.clusters)
@options.reaching
@click.option("--watch", is_flag=True, help="Look again every 2 s, until Ctrl-C.")
@options.as_json
@click.pass_context
def status(ctx: click.Context, *, asked: options.Asked, cluster: str | None, watch: bool, as_json: bool) -> None:
    """Say how each member of a CLUSTER is: role, timeline, how far behind, slots, and what stands in the way.

    Without CLUSTER all of the inventory's are shown. Nothing is changed. Exit codes: 0 healthy, 1 not, 2 the inventory
    or the command line is wrong.
    """
    import time
    from contextlib import ExitStack

    from hakit.cli.work import begin
    from hakit.components.postgresql.members import clusters
    from hakit.errors import UsageError
    from hakit.postgres.conductor import Conductor
    from hakit.postgres.layout import layout
    from hakit.postgres.sessions import Sessions
    from hakit.present.postgres import Moving

    def named(site: Site) -> list[Layout]:
        found = [layout(site, name) for name in ([cluster] if cluster else clusters(site))]
        if not found:
            raise UsageError("no host of the inventory runs postgresql")
        return found

    scope = begin(asked, check=named)
    layouts = named(scope.site)
    with ExitStack() as stack:
        with Moving([host for one in layouts for host in one.members], quiet=as_json, asking=True) as asking:
            open_ = [stack.enter_context(Sessions(scope, one, asking.sink, lock=False)) for one in layouts]
            conductors = [Conductor(one, sessions) for one, sessions in zip(layouts, open_, strict=True)]
            pictures = [one.look() for one in conductors]
        _show(pictures, as_json=as_json, live=watch)
        try:
            while watch:
                time.sleep(PAUSE)
                for sessions in open_:
                    sessions.open(REOPEN)
                pictures = [one.look() for one in conductors]
                _show(pictures, as_json=as_json, live=True)
        except KeyboardInterrupt:
            pass
    ctx.exit(1 if any(picture.findings() for picture in pictures) else 0)


def _show(pictures: list[Picture], *, as_json: bool, live: bool) -> None:
    import json
    from datetime import UTC, datetime

    from hakit.present.postgres import status_json, status_text
    from hakit.present.terminal import clear

    now = datetime.now(UTC)
    if as_json:
        found = [status_json(picture, now) for picture in pictures]
        click.echo(json.dumps(found, indent=None if live else 2))
        return
    text = "\n\n".join(status_text(picture, now) for picture in pictures)
    if live:
        stamp = now.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        text = f"{clear()}{stamp}\n{text}\n"
    click.echo(text)


@postgres.command(
    short_help="Move the primary while all is well.",
    epilog="""\b
Examples:
  hakit postgres switchover -i inventories/production main
  hakit postgres switchover -i inventories/production main --to db2 --yes
""",
)
@click.argument("cluster", shell_complete=complete.clusters)
@options.reaching
@click.option(
    "--to",
    default="",
    metavar="HOST",
    shell_complete=complete.members,
    help="Who becomes the primary; left out: the best standby.",
)
@options.assume_yes
@options.as_json
@click.pass_context
def switchover(
    ctx: click.Context, *, asked: options.Asked, cluster: str, to: str, assume_yes: bool, as_json: bool
) -> None:
    """Make a standby of CLUSTER the primary, without losing anything.

    Writes stop, the standby gets the last of them and is promoted, the old primary follows it. Whatever fails before
    the promotion puts things back as they were. On a terminal it asks first. Exit codes: 0 done, 1 refused or failed,
    or a member is not in its place, 2 the inventory or the command line is wrong.
    """
    from hakit.postgres.switchover import Switchover

    def work(desk: Desk) -> Outcome:
        return Switchover(desk.conductor).run(to)

    outcome = _conduct(asked, cluster, work, hosts=(to,), assume_yes=assume_yes, as_json=as_json)
    ctx.exit(1 if outcome.left else 0)


@postgres.command(
    short_help="Make a standby the primary when the primary is gone.",
    epilog="""\b
Examples:
  hakit postgres failover -i inventories/production main    # asks: is db1 without power?
  hakit postgres failover -i inventories/production main --fenced db1
  hakit postgres failover -i inventories/production main --to db1 --fenced db2 --accept-loss
""",
)
@click.argument("cluster", shell_complete=complete.clusters)
@options.reaching
@click.option(
    "--to",
    default="",
    metavar="HOST",
    shell_complete=complete.members,
    help="Who becomes the primary; also the old one, to open it again.",
)
@click.option(
    "--fenced",
    multiple=True,
    metavar="HOST",
    shell_complete=complete.members,
    help="This host is without power or cut off for good. Repeatable.",
)
@click.option("--accept-loss", is_flag=True, help="Go on although commits that were acknowledged may be lost.")
@options.assume_yes
@options.as_json
def failover(
    *,
    asked: options.Asked,
    cluster: str,
    to: str,
    fenced: tuple[str, ...],
    accept_loss: bool,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Make a standby of CLUSTER the primary when the primary is gone.

    The old primary is stopped over SSH where it answers; where it does not, the inventory's fence command must take its
    power, or you say that it has none: --fenced HOST. Refused where an acknowledged commit may be lost, unless
    --accept-loss. Exit codes: 0 done, 1 refused or failed, 2 the inventory or the command line is wrong.
    """
    from hakit.postgres.failover import Failover
    from hakit.postgres.sessions import fence

    def work(desk: Desk) -> Outcome:
        layout = desk.conductor.layout

        def power_off(host: str) -> bool:
            return fence(layout, host, desk.scope.site.hosts[host].address)

        def confirm(hosts: tuple[str, ...]) -> bool:
            return not as_json and sys.stdin.isatty() and all(map(desk.is_dead, hosts))

        return Failover(desk.conductor, power_off, confirm).run(to, fenced, accept_loss=accept_loss)

    hosts = (to, *fenced)
    _conduct(asked, cluster, work, hosts=hosts, assume_yes=assume_yes, as_json=as_json, doubted=fenced)


@postgres.command(
    short_help="Have a member follow the primary again.",
    epilog="""\b
Example:
  hakit postgres rejoin -i inventories/production main db1
""",
)
@click.argument("cluster", shell_complete=complete.clusters)
@click.argument("host", shell_complete=complete.members)
@options.reaching
@options.as_json
def rejoin(*, asked: options.Asked, cluster: str, host: str, as_json: bool) -> None:
    """Have a member (HOST) of CLUSTER follow the primary again, with the data that it has.

    A former primary is rewound to where it parted from the new one; what it wrote alone after that goes. Where that
    can't be, it says so and changes nothing: then `reinit` copies it anew.
    """
    from hakit.postgres.rejoin import Return

    _conduct(asked, cluster, lambda desk: Return(desk.conductor, host).rejoin(), hosts=(host,), as_json=as_json)


@postgres.command(
    short_help="Copy a member anew; its old data are moved aside.",
    epilog="""\b
Example:
  hakit postgres reinit -i inventories/production main db1 --confirm db1
""",
)
@click.argument("cluster", shell_complete=complete.clusters)
@click.argument("host", shell_complete=complete.members)
@options.reaching
@click.option(
    "--confirm",
    default="",
    metavar="HOST",
    shell_complete=complete.members,
    help="The host's name once more, instead of typing it.",
)
@options.as_json
def reinit(*, asked: options.Asked, cluster: str, host: str, confirm: str, as_json: bool) -> None:
    """Copy a member (HOST) of CLUSTER anew; its old data directory is moved aside, never deleted.

    It asks for the host's name, or takes it from --confirm.
    """
    from hakit.errors import UsageError
    from hakit.postgres.rejoin import Return

    def confirmed() -> None:
        typed = confirm
        if not typed and not as_json and sys.stdin.isatty():
            question = f"The data of {host} are moved aside and copied anew. Type its name to go on"
            typed = click.prompt(question, default="", show_default=False, err=True)
        if typed.strip() != host:
            text = f"copying {host} anew was not confirmed; nothing was changed"
            raise UsageError(text, hint=f"add  --confirm {host}")

    def work(desk: Desk) -> Outcome:
        return Return(desk.conductor, host).reinit()

    _conduct(asked, cluster, work, hosts=(host,), as_json=as_json, before=confirmed)


postgres.add_command(psql)


@dataclass(frozen=True)
class Desk:
    """What a command works with: the members, the site, and the terminal where something is to be asked."""

    conductor: Conductor
    scope: Scope
    moving: Moving

    def is_dead(self, host: str) -> bool:
        """Whether the operator says that a host is without power, by typing its name."""
        question = f"{host} does not answer. If it is without power for sure, type its name"
        with self.moving.paused():
            answer: str = click.prompt(question, default="", show_default=False, err=True)
        return answer.strip() == host


def _conduct(
    asked: options.Asked,
    cluster: str,
    work: Callable[[Desk], Outcome],
    *,
    hosts: tuple[str, ...],
    as_json: bool,
    assume_yes: bool = False,
    doubted: tuple[str, ...] = (),
    before: Callable[[], None] = lambda: None,
) -> Outcome:
    """Open the sessions under all locks, work, and say what it came to.

    `hosts` are those that the command line names; what `before` does comes when that is right.
    """
    import json

    from hakit.cli.work import begin, conclude
    from hakit.engine.events import Noted
    from hakit.engine.records import Record
    from hakit.postgres.conductor import Conductor
    from hakit.postgres.layout import layout, must_be_members
    from hakit.postgres.sessions import Sessions
    from hakit.present.commands import pasteable
    from hakit.present.postgres import Moving, outcome_json, outcome_text

    def check(site: Site) -> None:
        must_be_members(layout(site, cluster), filter(None, hosts))
        before()

    scope = begin(asked, check=check)
    shape = layout(scope.site, cluster)
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    scope = replace(scope, run_id=record.id)
    try:
        with interruptible(), Moving(shape.members, quiet=as_json) as moving:
            sink = record.recording(moving.sink)
            with Sessions(scope, shape, sink, lock=True, doubted=doubted) as sessions:
                conductor = Conductor(
                    shape,
                    sessions,
                    lambda name, text: sink(Noted(name, text)),
                    run=record.id,
                    who=scope.who,
                    agree=_asking(moving, ask=not assume_yes and not as_json and sys.stdin.isatty()),
                )
                outcome = work(Desk(conductor, scope, moving))
    except KeyboardInterrupt:
        click.echo(pasteable(f"Interrupted. Where things stand says  hakit postgres status {cluster}"), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    result = outcome_json(cluster, outcome)
    conclude(record, result, json.dumps(result, indent=2) if as_json else outcome_text(cluster, outcome))
    return outcome


def _asking(moving: Moving, *, ask: bool) -> Callable[[str], None]:
    """What asks on a terminal before anything is changed; a program that runs the command has asked already."""

    def agree(question: str) -> None:
        if not ask:
            return
        with moving.paused():
            agreed = click.confirm(question, err=True)
        if not agreed:
            click.echo("Nothing was changed.")
            raise click.exceptions.Exit(1)

    return agree
