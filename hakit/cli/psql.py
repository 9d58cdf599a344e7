"""`hakit postgres psql`: SQL on a member of a cluster, as its superuser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import complete, options

if TYPE_CHECKING:
    from hakit.agent.postgres.place import Place
    from hakit.postgres.picture import Picture
    from hakit.ssh import Connection


@click.command(
    short_help="Open psql on the primary, or on another member.",
    epilog="""\b
Examples:
  hakit postgres psql -i inventories/production main    # on the primary
  hakit postgres psql -i inventories/production main --replica -d orders
  hakit postgres psql -i inventories/production main -c "SELECT count(*) FROM orders"
  hakit postgres psql -i inventories/production main -- -At < report.sql
""",
)
@click.argument("cluster", shell_complete=complete.clusters)
@click.argument("words", nargs=-1, metavar="[-- WORDS]", type=click.UNPROCESSED)
@options.reaching
@click.option("-c", "--command", "sql", default="", metavar="SQL", help="Run this instead of what is typed or piped.")
@click.option("-d", "--database", default="postgres", show_default=True, help="The database.")
@click.option(
    "--host",
    default="",
    metavar="HOST",
    shell_complete=complete.members,
    help="On this member; left out: the primary.",
)
@click.option("--replica", is_flag=True, help="On a standby that streams.")
@click.pass_context
def psql(
    ctx: click.Context,
    *,
    asked: options.Asked,
    cluster: str,
    words: tuple[str, ...],
    sql: str,
    database: str,
    host: str,
    replica: bool,
) -> None:
    """Open psql on a member of CLUSTER, on the host itself, as the user postgres.

    On a terminal you type, in a pipe it reads. WORDS after  --  are psql's own. With -c or in a pipe it stops at the
    first error. The exit code is psql's: 3 for an error in what it was given; hakit's own are 1 no such member answers,
    2 the inventory or the command line is wrong.
    """
    from dataclasses import replace

    from hakit.cli.work import begin
    from hakit.errors import UsageError
    from hakit.postgres.conductor import Conductor
    from hakit.postgres.layout import layout, must_be_members
    from hakit.postgres.sessions import Sessions
    from hakit.present.postgres import Moving
    from hakit.ssh.terminal import interact, relay

    if host and replica:
        raise UsageError("--host and --replica contradict each other", hint="leave one of them out")
    piped = bool(sql) or not (sys.stdin.isatty() and sys.stdout.isatty())
    scope = begin(asked, check=lambda site: must_be_members(layout(site, cluster), filter(None, [host])))
    shape = layout(scope.site, cluster)
    shape = replace(shape, members=(host,)) if host else shape
    with (
        Moving(shape.members, asking=True) as asking,
        Sessions(scope, shape, asking.sink, lock=False) as sessions,
    ):
        name = host or _chosen(Conductor(shape, sessions).look(), replica=replica)
        place = sessions.place(name)
    connection = scope.connect(scope.site.hosts[name])
    command = _command(connection, place, database, words, piped=piped)
    try:
        if piped:
            ctx.exit(relay(connection, command, sql.encode() if sql else sys.stdin.buffer))
        click.echo(f"psql on {name}", err=True)
        ctx.exit(interact(connection, command))
    finally:
        connection.close()


def _command(connection: Connection, place: Place, database: str, words: tuple[str, ...], *, piped: bool) -> str:
    """The command line on the host. What it is to run comes by its stdin: arguments are in a process list."""
    import shlex

    from hakit.agent.postgres.place import SOCKETS, USER

    argv = ["env", "-C", "/", "runuser", "-u", USER, "--", "psql", "-h", SOCKETS, "-p", str(place.port), "-d", database]
    argv += ["-X", "-v", "ON_ERROR_STOP=1", "-f", "-"] if piped else []
    return shlex.join([*([] if connection.root else ["sudo", "-n"] if piped else ["sudo"]), *argv, *words])


def _chosen(picture: Picture, *, replica: bool) -> str:
    """The primary, or a standby. Raises RefusedError when there is none, or more than one primary."""
    from hakit.errors import RefusedError
    from hakit.postgres.conductor import refuse_torn

    if not picture.primary:
        refuse_torn(picture)
    found = [host for host, state in picture.states.items() if state.streams] if replica else [picture.primary]
    if not any(found):
        what = "standby that streams" if replica else "primary"
        raise RefusedError(
            f"{picture.layout.name} has no {what}",
            hint=f"name a member with  --host, or see  hakit postgres status {picture.layout.name}",
        )
    return found[0]
