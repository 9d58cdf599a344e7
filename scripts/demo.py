"""The main job on the embedded lab, with the commands that a user would type.

Brings the lab up, goes from lint to verify, applies again, pulls the power of the host that holds the first virtual
address while a client asks through both of them, and says how long they paused. Leaves the lab up.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hakit.cli.options import load
from hakit.drill.prober import Prober
from hakit.errors import LabError
from hakit.lab import Lab
from hakit.present.terminal import paint

if TYPE_CHECKING:
    from hakit.inventory.model import Site

INVENTORY = Path("inventories/lab")
REVIEW = Path("build/review")
PROMISE = 1.0
"""Seconds: the demo fails when a virtual address pauses longer."""


def heading(text: str) -> None:
    """Say what comes next."""
    click.echo("\n" + paint(f"── {text} ", bold=True) + paint("─" * max(0, 76 - len(text)), dim=True))


def hakit(*words: str, keep: bool = False) -> str:
    """Run a hakit command as a user would; with `keep` its output is returned, too. Exits when it fails."""
    click.echo(paint(f"$ hakit {' '.join(words)}", "cyan"))
    command = [sys.executable, "-m", "hakit", *words]
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if keep else None)
    if keep:
        click.echo(done.stdout, nl=False)
    if done.returncode:
        click.echo(f"hakit {' '.join(words)} ended with {done.returncode}; the lab is left as it is", err=True)
        sys.exit(1)
    return done.stdout or ""


def holder(lab: Lab, site: Site, address: str) -> str | None:
    """The balancer that has an address now."""
    for host in site.members("balancers"):
        try:
            shown = lab.exec(host.name, ["ip", "-o", "-4", "address", "show"], capture_output=True)
        except LabError:
            continue  # a host without power holds nothing
        if f" {address}/" in shown.stdout:
            return host.name
    return None


def homes(site: Site) -> dict[str, str]:
    """Every virtual address, and the balancer that holds it while all is well."""
    instances = site.members("balancers")[0].settings["keepalived"].instances.values()  # type: ignore[attr-defined]  # keepalived's settings
    return {str(address).split("/")[0]: str(one.prefer) for one in instances for address in one.addresses}


def wait_for(lab: Lab, site: Site, wanted: dict[str, str]) -> None:
    """Wait until each address is on the host that it belongs to."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if all(holder(lab, site, address) == host for address, host in wanted.items()):
            return
        time.sleep(0.2)
    click.echo(f"30 s passed and this is still not so: {wanted}", err=True)
    sys.exit(1)


def fail_over(lab: Lab, site: Site) -> None:
    """Pull the power of a holder under load, and say what the client saw."""
    home = homes(site)
    wait_for(lab, site, home)
    address, first = next(iter(home.items()))
    other = next(host.name for host in site.members("balancers") if host.name != first)
    click.echo(f"{address} is on {first}. A client opens 50 connections a second to {' and '.join(home)} each.")
    with ExitStack() as stack:
        probers = {one: stack.enter_context(Prober(lab.enter(), one)) for one in home}
        time.sleep(1.0)
        hakit("lab", "power", "-i", str(INVENTORY), "pull", first)
        wait_for(lab, site, dict.fromkeys(home, other))
        time.sleep(2.0)
        seen = {one: prober.stop() for one, prober in probers.items()}
    for one, result in seen.items():
        click.echo(
            f"http://{one}/  {len(result.successes)} requests answered, {len(result.failures)} failed, "
            + paint(f"longest pause {result.longest_gap:.2f} s", bold=True)
        )
    if not all(result.longest_gap <= PROMISE and result.ended_well for result in seen.values()):
        click.echo(f"an address paused for more than {PROMISE:.0f} s", err=True)
        sys.exit(1)
    hakit("lab", "power", "-i", str(INVENTORY), "on", first)
    wait_for(lab, site, home)
    click.echo(f"{first} is back and holds {address} again.")


def main() -> None:
    """Run the demo."""
    began = time.monotonic()
    where = ("-i", str(INVENTORY))
    click.echo("Takes about a minute, three where no lab was made before. Only the lab's hosts are changed.")
    heading("Five hosts to practise on, made from the inventory")
    hakit("lab", "up", *where)
    started = time.monotonic()
    heading("Is the design sound?")
    hakit("lint", *where)
    heading("What would land on the hosts?")
    hakit("render", *where, "-o", str(REVIEW))
    heading("What differs now?")
    hakit("plan", *where)
    heading("Make it so")
    hakit("apply", *where, "--yes", "--no-diff")
    heading("Does it work?")
    hakit("verify", *where)
    heading("Apply again: nothing is left to do")
    if " 0 hosts changed" not in hakit("apply", *where, "--yes", keep=True):
        click.echo("a second apply found something to change", err=True)
        sys.exit(1)
    site, _ = load(INVENTORY)
    heading("Pull the power of the host that holds the address")
    fail_over(Lab.of(site), site)
    ended = time.monotonic()
    heading("Done")
    click.echo(f"From lint to recovery: {ended - started:.0f} s; with the lab's start: {ended - began:.0f} s.")
    click.echo("The lab is still up. Try:")
    click.echo("  .venv/bin/hakit lab status -i inventories/lab")
    click.echo("  .venv/bin/hakit lab ssh -i inventories/lab lb1")
    click.echo("  edit inventories/lab/group_vars/balancers.yml, then  .venv/bin/hakit plan -i inventories/lab")
    click.echo("Remove it with  make lab-down")


if __name__ == "__main__":
    main()
