"""`hakit postgres`: what an operator does with a cluster after it was made."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import interruptible
from hakit.cli.psql import psql

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.engine.run import Scope
    from hakit.postgres.conductor import Conductor, Outcome
    from hakit.postgres.picture import Picture

PAUSE = 2.0
"""Seconds between two looks of --watch."""
REOPEN = 1.0
"""Seconds that a look of --watch waits for a member that did not answer before."""


@click.group(
    epilog="""\b
Examples:
  hakit postgres status -i inventories/database
  hakit postgres switchover -i inventories/database main --to db2
"""
)
def postgres() -> None:
    """Look at a PostgreSQL cluster, move its primary, take a member back.

    A cluster is named as in the inventory: hakit: {postgresql: {cluster: NAME}}. Every command can be killed at any
    step and run again; `status` says where things stand and which command goes on.
    """


@postgres.command(
    epilog="""\b
Examples:
  hakit postgres status -i inventories/production
  hakit postgres status -i inventories/production main --watch
  hakit postgres status -i inventories/production main --json
"""
)
@click.argument("cluster", required=False)
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

    scope = begin(asked)
    names = [cluster] if cluster else list(clusters(scope.site))
    if not names:
        raise UsageError("no host of the inventory runs postgresql")
    with ExitStack() as stack:
        layouts = [layout(scope.site, name) for name in names]
        open_ = [stack.enter_context(Sessions(scope, one, lambda _: None, lock=False)) for one in layouts]
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

    now = datetime.now(UTC)
    if as_json:
        found = [status_json(picture, now) for picture in pictures]
        click.echo(json.dumps(found, indent=None if live else 2))
        return
    text = "\n\n".join(status_text(picture, now) for picture in pictures)
    if live:
        stamp = now.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
        text = f"{clear}{stamp}\n{text}\n"
    click.echo(text)


@postgres.command(
    epilog="""\b
Examples:
  hakit postgres switchover -i inventories/production main
  hakit postgres switchover -i inventories/production main --to db2 --yes
"""
)
@click.argument("cluster")
@options.reaching
@click.option("--to", default="", metavar="HOST", help="Who becomes the primary; left out: the best standby.")
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

    _ask_first(f"Switch {cluster} over to {to or 'its best standby'}?", assume_yes=assume_yes, as_json=as_json)
    outcome = _conduct(asked, cluster, lambda at, _: Switchover(at).run(to), as_json=as_json)
    ctx.exit(1 if outcome.left else 0)


@postgres.command(
    epilog="""\b
Examples:
  hakit postgres failover -i inventories/production main    # asks: is db1 without power?
  hakit postgres failover -i inventories/production main --fenced db1
  hakit postgres failover -i inventories/production main --to db1 --fenced db2 --accept-loss
"""
)
@click.argument("cluster")
@options.reaching
@click.option("--to", default="", metavar="HOST", help="Who becomes the primary; also the old one, to open it again.")
@click.option(
    "--fenced", multiple=True, metavar="HOST", help="This host is without power or cut off for good. Repeatable."
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

    def work(at: Conductor, scope: Scope) -> Outcome:
        def power_off(host: str) -> bool:
            return fence(at.layout, host, scope.site.hosts[host].address)

        def confirm(hosts: tuple[str, ...]) -> bool:
            return not as_json and sys.stdin.isatty() and all(map(_is_dead, hosts))

        return Failover(at, power_off, confirm).run(to, fenced, accept_loss=accept_loss)

    _ask_first(f"Make another member of {cluster} the primary?", assume_yes=assume_yes, as_json=as_json)
    _conduct(asked, cluster, work, as_json=as_json, doubted=fenced)


@postgres.command(
    epilog="""\b
Example:
  hakit postgres rejoin -i inventories/production main db1
"""
)
@click.argument("cluster")
@click.argument("host")
@options.reaching
@options.as_json
def rejoin(*, asked: options.Asked, cluster: str, host: str, as_json: bool) -> None:
    """Have a member (HOST) of CLUSTER follow the primary again, with the data that it has.

    A former primary is rewound to where it parted from the new one; what it wrote alone after that goes. Where that
    can't be, it says so and changes nothing: then `reinit` copies it anew.
    """
    from hakit.postgres.rejoin import Return

    _conduct(asked, cluster, lambda at, _: Return(at, host).rejoin(), as_json=as_json, host=host)


@postgres.command(
    epilog="""\b
Example:
  hakit postgres reinit -i inventories/production main db1 --confirm db1
"""
)
@click.argument("cluster")
@click.argument("host")
@options.reaching
@click.option("--confirm", default="", metavar="HOST", help="The host's name once more, instead of typing it.")
@options.as_json
def reinit(*, asked: options.Asked, cluster: str, host: str, confirm: str, as_json: bool) -> None:
    """Copy a member (HOST) of CLUSTER anew; its old data directory is moved aside, never deleted.

    It asks for the host's name, or takes it from --confirm.
    """
    from hakit.errors import UsageError
    from hakit.postgres.rejoin import Return

    if not confirm and not as_json and sys.stdin.isatty():
        question = f"The data of {host} are moved aside and copied anew. Type its name to go on"
        confirm = click.prompt(question, default="", show_default=False, err=True)
    if confirm.strip() != host:
        raise UsageError(f"copying {host} anew was not confirmed; nothing was changed", hint=f"add  --confirm {host}")
    _conduct(asked, cluster, lambda at, _: Return(at, host).reinit(), as_json=as_json, host=host)


postgres.add_command(psql)


def _conduct(
    asked: options.Asked,
    cluster: str,
    work: Callable[[Conductor, Scope], Outcome],
    *,
    as_json: bool,
    host: str = "",
    doubted: tuple[str, ...] = (),
) -> Outcome:
    """Open the sessions under all locks, work, and say what it came to."""
    import json

    from hakit.cli.work import begin
    from hakit.engine.events import Noted
    from hakit.engine.records import Record
    from hakit.errors import UsageError
    from hakit.postgres.conductor import Conductor
    from hakit.postgres.layout import layout
    from hakit.postgres.sessions import Sessions
    from hakit.present.postgres import Moving, outcome_json, outcome_text
    from hakit.suggest import did_you_mean

    scope = begin(asked)
    shape = layout(scope.site, cluster)
    if host and host not in shape.members:
        raise UsageError(
            f"{host} is no member of {cluster}{did_you_mean(host, shape.members)}",
            hint=f"its members are {', '.join(shape.members)}",
        )
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    scope = replace(scope, run_id=record.id)
    with interruptible(), Moving(quiet=as_json) as moving:
        sink = record.recording(moving.sink)
        with Sessions(scope, shape, sink, lock=True, doubted=doubted) as sessions:
            at = Conductor(shape, sessions, lambda name, text: sink(Noted(name, text)), run=record.id, who=scope.who)
            outcome = work(at, scope)
    record.write("result.json", outcome_json(cluster, outcome))
    click.echo(json.dumps(outcome_json(cluster, outcome), indent=2) if as_json else outcome_text(cluster, outcome))
    return outcome


def _ask_first(question: str, *, assume_yes: bool, as_json: bool) -> None:
    """Ask on a terminal; a program that runs the command has asked already."""
    if not assume_yes and not as_json and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def _is_dead(host: str) -> bool:
    """Whether the operator says that a host is without power, by typing its name."""
    question = f"{host} does not answer. If it is without power for sure, type its name"
    answer: str = click.prompt(question, default="", show_default=False, err=True)
    return answer.strip() == host
