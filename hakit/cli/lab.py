"""`hakit lab`: hosts to practise on, made from the inventory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hakit.cli import complete, options

if TYPE_CHECKING:
    from hakit.lab import Lab
    from hakit.lab.plan import HostPlan, HostStatus, LabPlan


DRIVER = f"{__name__}.driver"
"""Where the group's option is kept for its commands (click's `Context.meta`)."""


@click.group(
    epilog="""
    \b
    Examples:
      hakit lab up -i inventories/lab
      hakit lab ssh -i inventories/lab lb1
      hakit lab power -i inventories/lab pull lb1
      hakit lab link -i inventories/lab down lb2 eth0
      hakit lab unplug -i inventories/lab-vm db1 data1
      hakit lab --driver vagrant up -i inventories/lab
    """,
)
@click.option(
    "--driver",
    type=click.Choice(["nspawn", "qemu", "vagrant"]),
    help="What hosts are, whatever the inventory says; a lab that is up keeps to it by itself.",
)
@click.pass_context
def lab(ctx: click.Context, *, driver: str | None) -> None:
    """Hosts to practise on, made from the inventory itself.

    An inventory that says  hakit: {lab: {driver: nspawn, network: 10.77.0.0/24}}  gets a full Debian with systemd and
    sshd for each of its hosts, on a network of their own. With  driver: qemu  each is a virtual machine, which has a
    kernel of its own; with  driver: vagrant  Vagrant makes these. All other commands reach them by themselves. Needs
    root or sudo.
    """
    ctx.meta[DRIVER] = driver


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
      hakit lab plan -i inventories/lab
      hakit lab plan -i inventories/lab --json | jq '.hosts[].memory'
    """,
)
@options.inventory
@options.as_json
def plan(inventory: Path, *, as_json: bool) -> None:
    """Show what machines the lab has, without making any.

    The JSON is for the Vagrantfile: the machines, and the script that makes each a host of the inventory. It lets in
    whoever has a key of ~/.ssh.
    """
    from hakit.lab.vagrant import described

    made = _lab(inventory).plan
    if as_json:
        click.echo(json.dumps(described(made, _progress), indent=2))
        return
    width = max(len(host.name) for host in made.hosts)
    for host in made.hosts:
        nics = ", ".join(nic.name for nic in host.nics)
        click.echo(f"{host.name:{width}}  {host.address:15}  Debian {host.release}, {nics}{_hardware(host, made)}")
    click.echo(f"Make them with  hakit lab up -i {inventory}")


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab box -i inventories/lab
      hakit lab box -i inventories/lab --output .
    """,
)
@options.inventory
@click.option(
    "--output",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="FOLDER",
    help="Write FOLDER/debian-12.box, and leave it to you to add it.",
)
def box(inventory: Path, output: Path | None) -> None:
    """Make the box that Vagrant makes machines of, for libvirt.

    One of each release of Debian that the hosts have, from the mirrors of this machine's apt: for where none can be
    downloaded. It is added to your own boxes as hakit/debian-12, and the Vagrantfile prefers it.
    """
    import tempfile

    from hakit.lab import requirements

    made = _lab(inventory)
    if output is None:
        requirements.check("vagrant")
    for release in made.plan.releases:
        if output is not None:
            target = output / f"debian-{release}.box"
            made.box(release, target, _progress)
            click.echo(f"Made {target}. Add it with  vagrant box add --name hakit/debian-{release} {target}")
            continue
        # /tmp may be kept in memory, and a box is as large as a disk.
        with tempfile.TemporaryDirectory(prefix="hakit-box-", dir="/var/tmp") as folder:
            target = Path(folder, f"debian-{release}.box")
            made.box(release, target, _progress)
            _add(target, release)
        click.echo(f"Vagrant has the box hakit/debian-{release}. Use it with  HAKIT_INVENTORY={inventory} vagrant up")


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
    """Show each host: power, whether sshd answers, its cables and disks."""
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


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab unplug -i inventories/lab-vm db1 data1
    """,
)
@options.inventory
@click.argument("host", shell_complete=complete.hosts)
@click.argument("disk")
def unplug(inventory: Path, host: str, disk: str) -> None:
    """Pull a disk out of a host, as a hand does it: while it runs, whatever it is doing.

    It keeps its content, and stays out while the host is off. Virtual machines have disks of their own.
    """
    _lab(inventory).unplug(host, disk)
    click.echo(f"{host}: {disk} is out")
    click.echo(f"Put it back with  hakit lab plug -i {inventory} {host} {disk}")


@lab.command(
    epilog="""
    \b
    Examples:
      hakit lab plug -i inventories/lab-vm db1 data1
      hakit lab plug -i inventories/lab-vm db1 data3 --size 2GiB
      hakit lab plug -i inventories/lab-vm db1 old --image found-in-a-drawer.img --serial WD-0007
    """,
)
@options.inventory
@click.argument("host", shell_complete=complete.hosts)
@click.argument("disk")
@click.option("--size", default="", metavar="SIZE", help="Plug in a new, blank disk of this size, such as 512MiB.")
@click.option(
    "--image",
    type=click.Path(resolve_path=True, path_type=Path),
    help="Plug in a new disk with the bytes of this file.",
)
@click.option("--serial", default="", metavar="SERIAL", help="The new disk's serial number; left out: its name.")
@click.option("--wwn", default="", metavar="0x5…", help="The new disk's WWN; left out: it has none.")
@click.option("--place", type=int, metavar="N", help="Where it comes; left out: where it was, or the first free place.")
def plug(
    inventory: Path, host: str, disk: str, *, size: str, image: Path | None, serial: str, wwn: str, place: int | None
) -> None:
    """Plug a disk into a host, also while it runs.

    One that was pulled out, or with --size or --image a new one.
    """
    from hakit.lab.plan import NewDisk

    if size and image:
        raise click.UsageError("a new disk has either a --size or an --image")
    if (serial or wwn) and not (size or image):
        raise click.UsageError("only a new disk is given a --serial or a --wwn; it needs a --size or an --image")
    if image and not image.is_file():
        raise click.BadParameter(f"{image} is no file", param_hint="--image")
    new = NewDisk(_bytes(size) if size else 0, str(image or ""), serial, wwn) if size or image else None
    taken = _lab(inventory).plug(host, disk, place=place, new=new)
    click.echo(f"{host}: {disk} is in, at place {taken}")
    click.echo(f"Pull it out with  hakit lab unplug -i {inventory} {host} {disk}")


def _bytes(size: str) -> int:
    from hakit.inventory.types import mebibytes

    try:
        count = mebibytes(size) << 20
    except ValueError:
        count = 0
    if not count:
        raise click.BadParameter(f"{size!r} is no size such as 512MiB, 20GiB", param_hint="--size")
    return count


def _lab(inventory: Path) -> Lab:
    from hakit.lab import Lab

    context = click.get_current_context(silent=True)
    return Lab.of(options.load(inventory, need_secrets=False)[0], context.meta.get(DRIVER) if context else None)


def _add(file: Path, release: int) -> None:
    import os
    import subprocess

    from hakit.errors import LabError

    command = ["vagrant", "box", "add", "--force", "--name", f"hakit/debian-{release}", str(file)]
    environment = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1"}
    environment.pop("VAGRANT_CWD", None)
    # Away from any Vagrantfile, which Vagrant would read although this is none of its business.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=file.parent)
    if done.returncode:
        raise LabError("vagrant box add failed", why=(done.stderr or done.stdout).strip()[-2000:])


def _hardware(host: HostPlan, plan: LabPlan) -> str:
    if not plan.virtual:
        return ""
    disks = "".join(f", disk {disk.name} of {disk.size} MiB" for disk in host.disks)
    return f", {host.memory} MiB of memory{disks}"


def _progress(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _words(host: HostStatus) -> str:
    out = [disk.name for disk in host.disks if not disk.plugged]
    drawer = f", unplugged: {', '.join(out)}" if out else ""
    if host.power != "on":
        return {"off": "off", "absent": "not made yet"}[host.power] + drawer
    pulled = [name for name, plugged in host.nics if not plugged]
    words = "on, ssh answers" if host.ssh else "on, ssh does not answer"
    return words + (f", cable of {', '.join(pulled)} pulled" if pulled else "") + drawer
