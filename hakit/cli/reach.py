"""How the hosts of a site are reached: over the machine's own network, or through the lab that is up for it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hakit.cli import prompts
from hakit.ssh import Options, Target

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Host, Login, Site
    from hakit.inventory.secrets import Secret, Secrets
    from hakit.ssh import Connector
    from hakit.ssh.password import Password

EMULATED = 60.0
"""Seconds for connection, key exchange and login where a lab's machines are emulated: 3 are usual there, and a computer
that is busy with several needs many."""
_PASSWORDS: dict[tuple[Secrets, str], Password] = {}
"""The passwords in use, by the secret they come from."""


def connector(site: Site, *, no_lab: bool = False, ready: bool = True) -> Connector:
    """What opens the connections of a run. Says on stderr when they go into a lab.

    Asks for what -k and -K stand for, and, where somebody is there and `ready`, for the passphrases of the keys that
    the site's hosts need: all questions come before the work. Raises UsageError when a password is to be asked for and
    there is no terminal; LabError when the inventory declares a lab that is not up, so that no packet to a lab's
    addresses leaves over the machine's own network; ConnectError when a file of SSH's is broken.
    """
    from hakit.ssh import Connector

    found = Connector(options(site, no_lab=no_lab), inventory=str(site.source))
    if ready and sys.stdin.isatty():
        found.prepare(target(host) for host in site.hosts.values() if host.settings)
    return found


def options(site: Site, *, no_lab: bool = False) -> Options:
    """The files, keys, passwords and dialer for a site; the user's own where no lab stands in the way.

    Raises LabError, UsageError.
    """
    if site.lab is None or no_lab:
        found = Options.default(pinned(site))
    else:
        from hakit.lab import Lab, dialer

        dial = dialer(site)
        lab = Lab.of(site)
        click.echo(f"lab {lab.namespace} answers for {site.lab.network}", err=True)
        found = Options(user="root", pinned=lab.known_hosts, identity_files=(lab.identity_file,), dial=dial)
        if lab.plan.virtual:
            found = replace(found, connect_timeout=EMULATED)
    return replace(
        found,
        password=prompts.login_password(),
        sudo_password=prompts.sudo_password(),
        passphrase=prompts.passphrase,
    )


def target(host: Host) -> Target:
    """A host of the inventory as SSH sees it."""
    return _target(host.name, host.login)


def _target(name: str, login: Login) -> Target:
    return Target(
        name=name,
        host=login.host,
        user=login.user,
        port=login.port,
        key_file=login.key_file,
        become=login.become,
        password=_password(login.password),
        sudo_password=_password(login.sudo_password),
        jump=None if login.jump is None else tuple(_target(hop.name, hop.login) for hop in login.jump),
        proxy_command=login.proxy_command,
        known_as=login.known_as,
    )


def _password(secret: Secret | None) -> Password | None:
    """A secret as a password: the same one for all hosts, so that one login proves it for them all."""
    if secret is None:
        return None
    key = (secret.store, secret.name)
    if key not in _PASSWORDS:
        from hakit.inventory.secrets import is_name
        from hakit.ssh.password import Password

        named = is_name(secret.name)
        hint = f"Set it anew with  hakit secret set {secret.name}" if named else f"Mend {secret.name}."
        _PASSWORDS.setdefault(key, Password(secret.reveal, hint))
    return _PASSWORDS[key]


def announce(hosts: int) -> None:
    """Say on a terminal that hosts are being asked, which takes up to the connect timeout when one is dead."""
    if sys.stderr.isatty():
        from hakit.present.terminal import count

        click.echo(f"Asking {count(hosts, 'host')} …", err=True)


def pinned(site: Site) -> Path:
    """Where `hakit trust` keeps the host keys of a site."""
    from hakit.engine.records import STATE

    return site.root / STATE / "known_hosts"
