"""`hakit secret rotate`: a new value for a secret, rolled out as any change is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import options

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "rotate",
    epilog="""
    \b
    Examples:
      hakit secret rotate -i inventories/site stats_password
      pass show db/replication | hakit secret rotate -i inventories/site pg_replication --stdin --yes
    """,
)
@click.argument("name")
@options.inventory
@click.option("--stdin", "given", is_flag=True, help="Read the new value from standard input instead of making it up.")
@click.option(
    "--length", type=click.IntRange(6, 512), help="Length of the value that is made up; by default that of the old one."
)
@click.option("--no-apply", is_flag=True, help="Only store the new value.")
@options.assume_yes
@options.no_lab
@click.pass_context
def rotate(
    ctx: click.Context,
    *,
    name: str,
    inventory: Path,
    given: bool,
    length: int | None,
    no_apply: bool,
    assume_yes: bool,
    no_lab: bool,
) -> None:
    """Give a secret a new value and roll it out.

    The new value must pass lint, else the old one stays. It is rolled out by `hakit apply`, with its plan, its question
    and its gate: hosts that stand in for each other one at a time, members that must agree together. Where that is
    interrupted the next apply goes on. Exit codes: those of apply.
    """
    from hakit.cli.apply import apply
    from hakit.cli.stores import asked_value, checked_name, generated, opened
    from hakit.errors import UsageError
    from hakit.inventory.secrets import variable
    from hakit.suggest import did_you_mean

    if given and length:
        raise UsageError("--stdin and --length contradict each other", hint="the value that is read has its length")
    store = opened(inventory)
    checked_name(name)
    if variable(name) in os.environ:
        raise UsageError(f"{name} comes from the environment, which comes first", hint=f"unset {variable(name)}")
    if given and sys.stdin.isatty():
        raise UsageError("--stdin needs the value on standard input")
    with store.locked():
        before = store.load()
        if name not in before:
            raise UsageError(
                f"{store.path} holds no {name}{did_you_mean(name, before)}",
                hint=f"set it with  hakit secret set {name}",
            )
        value = asked_value(name) if given else generated(length or max(len(before[name]), 6))
        store.save(before | {name: value})
        try:
            site, components = options.load(inventory)
            options.checked(site, components)
        except BaseException:
            store.save(before)
            raise
    uses = [str(use.mark) for use in site.uses if use.name == name]
    click.echo(f"{name} has a new value, used at {', '.join(uses) or 'no place'}.")
    if no_apply or not uses:
        click.echo(f"Roll it out with  hakit apply -i {inventory}" if uses else "Nothing to roll out.")
        return
    arguments = ["-i", str(inventory), *(["--yes"] if assume_yes else []), *(["--no-lab"] if no_lab else [])]
    with apply.make_context("apply", arguments, parent=ctx) as inner:
        apply.invoke(inner)
