"""`hakit lab`: hosts to practise on, made from the inventory."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from hakit.cli import complete, options

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.lab import Lab
    from hakit.lab.plan import HostStatus


@click.group(
    epilog="""
    \b
    Examples:
      hakit lab up -i inventories/lab
      hakit lab ssh -i inventories/lab lb1
      hakit lab power -i inventories/lab pull lb1
      hakit lab link -i inventories/lab down lb2 eth0
    """,
)
def lab() -> None:
    """Hosts to practise on, made from the inventory itself.

    An inventory that says  hakit: {lab: {driver: nspawn, network: 10.77.0.0/24}}  gets a full Debian with systemd and
    sshd for each of its hosts, on a network of their own. With  driver: qemu  each is a virtual machine, which has a
    kernel of its own. All other commands reach them by themselves. Needs root or sudo.
    """


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab up -i inventories/lab
    """,
)
@options.inventory
def up(inventory: Path) -> None:
    """Make the lab's hosts and power them on.

    What is there already stays; it can be run at any time, also after a restart of the machine.
    """
    made = _lab(inventory)
    start = time.monotonic()
    made.up(_progress)
    count = len(made.plan.hosts)
    click.echo(f"Lab {made.namespace}: {count} hosts answer.  {time.monotonic() - start:.1f} s")
    click.echo(f"See what would be done with  hakit plan -i {inventory}")


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab down -i inventories/lab
    """,
)
@options.inventory
def down(inventory: Path) -> None:
    """Remove the lab: its hosts, their disks, its network."""
    made = _lab(inventory)
    made.down(_progress)
    click.echo(f"Lab {made.namespace} is down. Make it anew with  hakit lab up -i {inventory}")


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab status -i inventories/lab
      hakit lab status -i inventories/lab --json | jq '.hosts[].power'
    """,
)
@options.inventory
@options.as_json
def status(inventory: Path, *, as_json: bool) -> None:
    """Show each host: power, whether sshd answers, its cables."""
    made = _lab(inventory)
    is_up, hosts = made.is_up(), made.status()
    if as_json:
        value = {
            "up": is_up,
            "namespace": made.namespace,
            "inventory": made.plan.inventory,
            "identity_file": str(made.identity_file),
            "known_hosts": str(made.known_hosts),
            "hosts": [host.as_json() for host in hosts],
        }
        click.echo(json.dumps(value, indent=2))
        return
    width = max(len(host.name) for host in hosts)
    for host in hosts:
        click.echo(f"{host.name:{width}}  {host.address:15}  {_words(host)}")
    if is_up:
        click.echo(f"Lab {made.namespace} is up. Log in with  hakit lab ssh -i {inventory} {hosts[0].name}")
    else:
        click.echo(f"Lab {made.namespace} is down. Bring it up with  hakit lab up -i {inventory}")


@lab.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""
    \b
    Examples:
      hakit lab ssh -i inventories/lab lb1
      hakit lab ssh -i inventories/lab lb1 -- journalctl -u ssh -n 20
    """,
)
@options.inventory
@click.argument("host", shell_complete=complete.hosts)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(inventory: Path, host: str, command: tuple[str, ...]) -> int:
    """Log in on a host, or run a COMMAND there.

    The exit code is the command's. Write  --  before a COMMAND that has options of its own.
    """
    import subprocess

    from hakit.lab import requirements

    made = _lab(inventory)
    requirements.check(made.plan.driver)
    return subprocess.run(made.ssh(host, command), check=False).returncode


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab power -i inventories/lab pull lb1
      hakit lab power -i inventories/lab on lb1
    """,
)
@options.inventory
@click.argument("action", type=click.Choice(["on", "off", "pull"]))
@click.argument("host", shell_complete=complete.hosts)
def power(inventory: Path, action: str, host: str) -> None:
    """Switch a host on or off, or pull its power.

    off shuts down in order; after pull no process gets to say goodbye. The disk stays.
    """
    made = _lab(inventory)
    start = time.monotonic()
    made.power(host, action, _progress)  # type: ignore[arg-type]  # click.Choice lets only these words through
    said = {"on": "is on and answers", "off": "has shut down", "pull": "has lost its power"}[action]
    click.echo(f"{host} {said}.  {time.monotonic() - start:.1f} s")
    if action != "on":
        click.echo(f"Bring it back with  hakit lab power -i {inventory} on {host}")


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab link -i inventories/lab down lb2
      hakit lab link -i inventories/lab up lb2 eth0
    """,
)
@options.inventory
@click.argument("action", type=click.Choice(["up", "down"]))
@click.argument("host", shell_complete=complete.hosts)
@click.argument("nic", required=False)
def link(inventory: Path, action: str, host: str, nic: str | None) -> None:
    """Pull a host's network cable, or plug it in.

    All its cables when no NIC is named. A pulled cable stays pulled while the host is off.
    """
    nics = _lab(inventory).link(host, nic, up=action == "up")
    click.echo(f"{host}: {', '.join(nics)} {'plugged in' if action == 'up' else 'pulled out'}")
    if action == "down":
        click.echo(f"Plug it in with  hakit lab link -i {inventory} up {host}{f' {nic}' if nic else ''}")


def _lab(inventory: Path) -> Lab:
    from hakit.lab import Lab

    return Lab.of(options.load(inventory, need_secrets=False)[0])


def _progress(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _words(host: HostStatus) -> str:
    if host.power != "on":
        return {"off": "off", "absent": "not made yet"}[host.power]
    pulled = [name for name, plugged in host.nics if not plugged]
    words = "on, ssh answers" if host.ssh else "on, ssh does not answer"
    return words + (f", cable of {', '.join(pulled)} pulled" if pulled else "")
