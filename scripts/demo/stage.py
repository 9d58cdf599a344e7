"""The lab that the demo plays on, and the commands that a user would type."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hakit.errors import HakitError, LabError
from hakit.present.terminal import paint

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.inventory.model import Site
    from hakit.lab import Lab

INVENTORY = Path("inventories/lab")
PATIENCE = 60.0
"""Seconds until something that has to come about is given up."""


class FailedError(HakitError):
    """The demo did not show what it is there to show."""


def heading(text: str) -> None:
    """Say what comes next."""
    click.echo("\n" + paint(f"── {text} ", bold=True) + paint("─" * max(0, 76 - len(text)), dim=True))


def hakit(*words: str, keep: bool = False, codes: tuple[int, ...] = (0,)) -> str:
    """Run a hakit command as a user would; with `keep` its output is returned, too.

    Raises FailedError where it ends with another exit code than `codes`.
    """
    shown = " ".join(["hakit", *words])
    click.echo(paint(f"$ {shown}", "cyan"))
    command = [sys.executable, "-m", "hakit", *words]
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if keep else None)
    if keep:
        click.echo(done.stdout, nl=False)
    if done.returncode not in codes:
        raise FailedError(f"{shown} ended with {done.returncode}")
    return done.stdout or ""


def wait_until(state: Callable[[], bool], what: str) -> None:
    """Wait for a state. Raises FailedError when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not state():
        if time.monotonic() > deadline:
            raise FailedError(f"{PATIENCE:.0f} s passed and this is still not so: {what}")
        time.sleep(0.1)


@dataclass(frozen=True)
class Stage:
    """The lab, and what its inventory says."""

    lab: Lab
    site: Site

    def holder(self, address: str) -> str | None:
        """The balancer that has an address now."""
        for host in self.site.members("balancers"):
            try:
                shown = self.lab.exec(host.name, ["ip", "-o", "-4", "address", "show"], capture_output=True)
            except LabError:
                continue  # a host without power holds nothing
            if f" {address}/" in shown.stdout:
                return host.name
        return None

    def homes(self) -> dict[str, str]:
        """Every virtual address, and the balancer that holds it while all is well."""
        instances = self.site.members("balancers")[0].settings["keepalived"].instances.values()  # type: ignore[attr-defined]  # keepalived's settings
        return {str(address).split("/")[0]: str(one.prefer) for one in instances for address in one.addresses}

    def wait_for(self, wanted: dict[str, str]) -> None:
        """Wait until each address is on the host that it belongs to."""
        wait_until(
            lambda: all(self.holder(address) == host for address, host in wanted.items()),
            ", ".join(f"{address} on {host}" for address, host in wanted.items()),
        )
