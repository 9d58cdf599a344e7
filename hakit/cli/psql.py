"""`hakit postgres psql`: SQL on a member of a cluster, as its superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hakit.cli import options

if TYPE_CHECKING:
    from hakit.postgres.picture import Picture


@click.command(
    epilog="""\b
Examples:
  hakit postgres psql -i inventories/production main    # on the primary
  hakit postgres psql -i inventories/production main --replica -d orders
  hakit postgres psql -i inventories/production main -c "SELECT count(*) FROM orders"
"""
)
@click.argument("cluster")
@options.reaching
@click.option("-c", "--command", "sql", default="", metavar="SQL", help="Run this, print its rows, and end.")
@click.option("-d", "--database", default="postgres", show_default=True, help="The database.")
@click.option("--host", default="", metavar="HOST", help="On this member; left out: the primary.")
@click.option("--replica", is_flag=True, help="On a standby that streams.")
@click.pass_context
def psql(
    ctx: click.Context, *, asked: options.Asked, cluster: str, sql: str, database: str, host: str, replica: bool
) -> None:
    """Open psql on a member of CLUSTER, on the host itself, as the user postgres.

    With -c the rows are printed as `psql -At` does: values with tabs between, nothing for NULL. Otherwise the exit code
    is psql's.
    """
    import shlex

    from hakit.agent.postgres.place import SOCKETS, USER
    from hakit.cli.work import begin
    from hakit.errors import UsageError
    from hakit.postgres.conductor import Conductor
    from hakit.postgres.layout import layout
    from hakit.postgres.sessions import Sessions

    if host and replica:
        raise UsageError("--host and --replica contradict each other", hint="leave one of them out")
    scope = begin(asked)
    shape = layout(scope.site, cluster)
    with Sessions(scope, shape, lambda _: None, lock=False) as sessions:
        at = Conductor(shape, sessions)
        name = host or _chosen(at.look(), replica=replica)
        place = sessions.place(name) if name in shape.members else None
        if place is None:
            raise UsageError(f"{name} is no member of {cluster}", hint=f"it has {', '.join(shape.members)}")
        if sql:
            for row in at.do(name, "sql", 600.0, database=database, text=sql)["rows"]:
                click.echo("\t".join("" if value is None else str(value) for value in row))
            return
    from hakit.ssh.terminal import interact

    connection = scope.connect(scope.site.hosts[name])
    command = ["env", "-C", "/", "runuser", "-u", USER, "--"]
    command += ["psql", "-h", SOCKETS, "-p", str(place.port), "-d", database]
    click.echo(f"psql on {name}", err=True)
    try:
        ctx.exit(interact(connection, shlex.join(command if connection.root else ["sudo", *command])))
    finally:
        connection.close()


def _chosen(picture: Picture, *, replica: bool) -> str:
    """The primary, or a standby. Raises RefusedError when there is none."""
    from hakit.errors import RefusedError

    found = [host for host, state in picture.states.items() if state.streams] if replica else [picture.primary]
    if not any(found):
        what = "standby that streams" if replica else "primary"
        raise RefusedError(
            f"{picture.layout.name} has no {what}",
            hint=f"name a member with  --host, or see  hakit postgres status {picture.layout.name}",
        )
    return found[0]
