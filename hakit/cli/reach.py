"""How the hosts of a site are reached: over the machine's own network, or through the lab that is up for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hakit.ssh import Options, Target

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connector


def connector(site: Site, *, no_lab: bool = False) -> Connector:
    """What opens the connections of a run. Says on stderr when they go into a lab.

    Raises LabError when the inventory declares a lab that is not up, so that no packet to a lab's addresses leaves over
    the machine's own network; ConnectError when a file of SSH's is broken.
    """
    from hakit.ssh import Connector

    return Connector(options(site, no_lab=no_lab), inventory=str(site.source))


def options(site: Site, *, no_lab: bool = False) -> Options:
    """The files, keys and dialer for a site; the user's own where no lab stands in the way. Raises LabError."""
    if site.lab is None or no_lab:
        return Options.default(pinned(site))
    from hakit.lab import Lab, dialer

    dial = dialer(site)
    lab = Lab.of(site)
    click.echo(f"lab {lab.namespace} answers for {site.lab.network}", err=True)
    return Options(user="root", known_hosts=(lab.known_hosts,), identity_files=(lab.identity_file,), dial=dial)


def target(host: Host) -> Target:
    """A host of the inventory as SSH sees it."""
    login = host.login
    return Target(
        name=host.name,
        host=login.host,
        user=login.user,
        port=login.port,
        key_file=login.key_file,
        become=login.become,
    )


def announce(hosts: int) -> None:
    """Say on a terminal that hosts are being asked, which takes up to the connect timeout when one is dead."""
    if sys.stderr.isatty():
        from hakit.present.terminal import count

        click.echo(f"Asking {count(hosts, 'host')} …", err=True)


def pinned(site: Site) -> Path:
    """Where `hakit trust` keeps the host keys of a site."""
    from hakit.engine.records import STATE

    return site.root / STATE / "known_hosts"
