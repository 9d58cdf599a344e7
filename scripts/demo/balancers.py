"""A balancer loses its power while clients ask for pages."""

from __future__ import annotations

import time
from contextlib import ExitStack

import click

from hakit.drill.prober import Prober
from hakit.present.terminal import paint
from scripts.demo.stage import INVENTORY, FailedError, Stage, hakit, heading

SERVICES = ("web", "api")
"""What answers over HTTP."""
PROMISE = 1.0
"""Seconds: the demo fails when a virtual address pauses longer."""


def balancer_dies(stage: Stage) -> None:
    """Pull the power of a holder under load, and say what the client saw."""
    heading("Pull the power of the balancer that holds the first address")
    home = stage.homes()
    stage.wait_for(home)
    asked = [str(stage.site.services[name].address) for name in SERVICES]
    first = home[asked[0]]
    other = next(host.name for host in stage.site.members("balancers") if host.name != first)
    click.echo(f"{asked[0]} is on {first}. A client opens 50 connections a second to {' and '.join(asked)} each.")
    with ExitStack() as stack:
        probers = {one: stack.enter_context(Prober(stage.lab.enter(), one)) for one in asked}
        time.sleep(1.0)
        hakit("lab", "power", "-i", str(INVENTORY), "pull", first)
        stage.wait_for(dict.fromkeys(home, other))
        time.sleep(2.0)
        seen = {one: prober.stop() for one, prober in probers.items()}
    for one, result in seen.items():
        click.echo(
            f"http://{one}/  {len(result.successes)} requests answered, {len(result.failures)} failed, "
            + paint(f"longest pause {result.longest_gap:.2f} s", bold=True)
        )
    if not all(result.longest_gap <= PROMISE and result.ended_well for result in seen.values()):
        raise FailedError(f"an address paused for more than {PROMISE:.0f} s")
    hakit("lab", "power", "-i", str(INVENTORY), "on", first)
    stage.wait_for(home)
    click.echo(f"{first} is back and holds {asked[0]} again.")
