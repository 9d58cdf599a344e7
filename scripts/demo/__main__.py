"""All of it on the embedded lab, with the commands that a user would type.

Brings the lab up, goes from lint to verify, applies again, pulls the power of a balancer while clients ask for pages,
moves the primary of a database and pulls its power while clients write, and says what each of them noticed. Leaves the
lab up. Exit code 1 when something is not as it was promised.
"""

from __future__ import annotations

import sys
import time

import click

from hakit.cli.options import load
from hakit.errors import HakitError
from hakit.lab import Lab
from hakit.present.terminal import paint
from scripts.demo.balancers import balancer_dies
from scripts.demo.database import primary_moves_and_dies
from scripts.demo.stage import INVENTORY, FailedError, Stage, hakit, heading

REVIEW = "build/review"


def from_lint_to_verify() -> None:
    """The main job."""
    where = ("-i", str(INVENTORY))
    heading("Is the design sound?")
    hakit("lint", *where)
    heading("What would land on the hosts?")
    hakit("render", *where, "-o", REVIEW)
    heading("What differs now?")
    hakit("plan", *where)
    heading("Make it so")
    hakit("apply", *where, "--yes", "--no-diff")
    heading("Does it work?")
    hakit("verify", *where)
    heading("Apply again: nothing is left to do")
    if " 0 hosts changed" not in hakit("apply", *where, "--yes", keep=True):
        raise FailedError("a second apply found something to change")


def run() -> None:
    """Run the demo. Raises HakitError."""
    began = time.monotonic()
    click.echo("Takes about four minutes, two more where no lab was made before. Only the lab's hosts are changed.")
    heading("Eight hosts to practise on, made from the inventory")
    hakit("lab", "up", "-i", str(INVENTORY))
    started = time.monotonic()
    from_lint_to_verify()
    site, _ = load(INVENTORY)
    stage = Stage(Lab.of(site), site)
    applied = time.monotonic()
    balancer_dies(stage)
    survived = time.monotonic()
    primary_moves_and_dies(stage)
    ended = time.monotonic()
    heading("Done")
    parts = {
        "the lab's start": started - began,
        "from lint to verify": applied - started,
        "the balancer": survived - applied,
        "the database": ended - survived,
    }
    each = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items())
    click.echo(f"{paint(f'{ended - began:.0f} s', bold=True)} in all: {each}.")
    click.echo("The lab is still up. Try:")
    click.echo("  .venv/bin/hakit status -i inventories/lab")
    click.echo("  .venv/bin/hakit lab ssh -i inventories/lab lb1")
    click.echo("  edit inventories/lab/group_vars/balancers.yml, then  .venv/bin/hakit plan -i inventories/lab")
    click.echo("Remove it with  make lab-down")


def main() -> None:
    """Run the demo, and say in a line or two why it ended early where it did."""
    left = "The lab is left as it is; remove it with  make lab-down"
    try:
        run()
    except HakitError as error:
        click.echo(f"{error.text()}\n{left}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. {left}", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
