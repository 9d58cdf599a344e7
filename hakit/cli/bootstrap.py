"""`hakit bootstrap`: make bare hosts manageable."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.careful import INTERRUPTED, interruptible
from hakit.cli.prompts import ask_become_pass, ask_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakit.engine.manageable import Key
    from hakit.engine.prepare import Preparation
    from hakit.inventory.model import Host
    from hakit.present.prepare import Prepared
    from hakit.ssh import Connector, Target

PUBLIC = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
"""Public keys of ~/.ssh that are looked for where neither the inventory nor ssh_config names one."""


@click.command(
    epilog="""\b
Examples:
  hakit bootstrap -i inventories/site --limit db1            # root's key is there already
  hakit bootstrap -i inventories/site --limit db1 -k         # root has a password and no key yet
  hakit bootstrap -i inventories/site --user debian --key ~/.ssh/team.pub
  hakit bootstrap -i inventories/site --yes --json

\b
First trust the hosts' keys:  hakit trust -i inventories/site
""",
)
@options.inventory
@click.option("--limit", multiple=True, metavar="PATTERN", help="Only these hosts or groups: names, globs (web*).")
@click.option("--user", default="root", show_default=True, metavar="NAME", help="Who logs in on a bare host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where sshd of a bare host listens, if not as later.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The public key to give to the managing user.  [default: of the inventory's private key, else yours]",
)
@options.assume_yes
@options.as_json
@options.no_lab
@ask_pass
@ask_become_pass
@click.option("--forks", type=click.IntRange(1, 512), default=10, show_default=True, help="Hosts in motion at once.")
@click.pass_context
def bootstrap(
    ctx: click.Context,
    *,
    inventory: Path,
    limit: tuple[str, ...],
    user: str,
    port: int | None,
    key: Path | None,
    assume_yes: bool,
    as_json: bool,
    no_lab: bool,
    forks: int,
) -> None:
    """Make bare hosts manageable: Python, the user that the inventory names, its key, sudo.

    Each host is asked what it lacks; that is shown, asked for and brought. Then a login as the inventory says proves
    that hakit can work there. A host that lacks nothing is left alone, one that fails does not stop the others. Ctrl-C
    finishes the hosts that were begun and says what is left, a second one leaves them alone. Exit codes: 0 all hosts
    are manageable, 1 one is not, 2 the inventory or the command line is wrong, 130 interrupted.
    """
    import json

    from hakit.cli.reach import connector
    from hakit.engine.manageable import read_key
    from hakit.engine.select import select
    from hakit.present.prepare import as_data, ending, failures, plan_text

    started = time.monotonic()
    site, _ = options.load(inventory, need_secrets=False)
    given = read_key(key) if key else None
    names = select(site, limit)
    with interruptible(), connector(site, no_lab=no_lab) as guests, _owners(guests, inventory) as owners:
        reach = Reach(guests, owners)
        work = {
            name: _preparation(site.hosts[name], reach, inventory, user=user, port=port, given=given) for name in names
        }
        run = Bootstrap(work, forks, quiet=as_json)
        found = run.look()
        if not as_json:
            click.echo(plan_text(found))
        if run.lacking and not assume_yes and not _agreed(len(run.lacking), as_json=as_json):
            click.echo("Nothing was changed.")
            ctx.exit(1)
        done = {**found, **run.carry_out()}
    if as_json:
        click.echo(json.dumps(as_data(done), indent=2))
    else:
        for text in failures({name: done[name] for name in run.lacking}):
            click.echo(text)
        click.echo(ending(done, time.monotonic() - started, inventory, stopped=run.stopped))
    ctx.exit(INTERRUPTED if run.stopped else 0 if as_data(done)["ok"] else 1)


class Bootstrap:
    """Several hosts on their way to being manageable, `forks` at once."""

    def __init__(self, work: Mapping[str, Preparation], forks: int, *, quiet: bool) -> None:
        self.work = work
        self.lacking: tuple[str, ...] = ()
        self.stopped = False
        self._forks = forks
        self._quiet = quiet
        self._found: dict[str, Prepared] = {}

    def look(self) -> dict[str, Prepared]:
        """What each host lacks; those that the inventory's login proves manageable are done."""
        from hakit.cli.reach import announce

        announce(len(self.work))
        self._found = self._each(tuple(self.work), self._look)
        self.lacking = tuple(name for name, one in self._found.items() if one.ending == "lacking")
        return dict(self._found)

    def carry_out(self) -> dict[str, Prepared]:
        """Bring what is lacking, and prove it; how each of these hosts ended.

        An interrupt begins no more (`stopped`) and waits for what runs; a second one leaves that alone.
        """
        from hakit.engine.interrupts import heard

        with heard(self._stop), suppress(KeyboardInterrupt):
            self._each(self.lacking, self._turn)
        return {name: self._found[name] for name in self.lacking}

    def _each(self, names: tuple[str, ...], act: Callable[[str], Prepared]) -> dict[str, Prepared]:
        from hakit.engine.threads import each

        return dict(zip(names, each(act, names, self._forks), strict=True))

    def _stop(self) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
        text = "interrupted: finishing the hosts that were begun; Ctrl-C again leaves them alone"
        with suppress(OSError):
            click.echo(text, err=True)

    def _turn(self, name: str) -> Prepared:
        """A host's turn, unless it comes too late."""
        from hakit.errors import HakitError
        from hakit.present.prepare import Prepared

        if not self.stopped:
            one, again = self.work[name], "run this again when it has ended there"
            left = HakitError(f"{name}: left in the middle", hint=again)
            self._found[name] = Prepared("failed", one.user, one.login, one.steps, left)
            self._found[name] = self._carry_out(name)
        return self._found[name]

    def _look(self, name: str) -> Prepared:
        from hakit.errors import HakitError
        from hakit.present.prepare import Prepared

        one = self.work[name]
        try:
            one.look()
            if not one.steps:
                one.prove()
                return Prepared("manageable", one.user, one.login)
        except HakitError as error:
            return Prepared("failed", one.user, one.login, error=error)
        return Prepared("lacking", one.user, one.login, one.steps)

    def _carry_out(self, name: str) -> Prepared:
        from hakit.errors import HakitError
        from hakit.present.prepare import Prepared

        one = self.work[name]
        try:
            one.carry_out(lambda kind, text: self._say(name, kind, text))
            one.prove()
        except HakitError as error:
            return Prepared("failed", one.user, one.login, one.steps, error)
        self._say(name, "done", f"manageable as {one.user}")
        return Prepared("prepared", one.user, one.login, one.steps)

    def _say(self, name: str, kind: str, text: str) -> None:
        from hakit.present.prepare import line

        if kind == "begin":
            text = f"{next((step.what for step in self.work[name].steps if step.name == text), text)} …"
        if not self._quiet:
            with suppress(OSError):  # a terminal that is gone must not end the work in the middle
                click.echo(line(name, kind, text))


@dataclass(frozen=True, slots=True)
class Reach:
    """The ways to the hosts: `guests` know the password that was asked for, `owners` have to do without it."""

    guests: Connector
    owners: Connector


def _owners(guests: Connector, inventory: Path) -> Connector:
    """A password for bare hosts is nobody else's, and would prove nothing about the key that was put there."""
    from hakit.ssh import Connector

    if guests.options.password is None:
        return guests
    return Connector(replace(guests.options, password=None), inventory=str(inventory))


def _preparation(
    host: Host, reach: Reach, inventory: Path, *, user: str, port: int | None, given: Key | None
) -> Preparation:
    """What is to be done with a host, before anything is sent."""
    from hakit.cli.reach import target
    from hakit.engine.prepare import Preparation

    own = target(host)
    managing = reach.guests.route(own).user
    own = replace(own, user=managing)
    guest = replace(own, user=user, port=port or own.port)
    return Preparation(
        name=host.name,
        inventory=str(inventory),
        user=managing,
        own=lambda: reach.owners.connect(own),
        guest=None if guest == own and reach.owners is reach.guests else lambda: reach.guests.connect(guest),
        find_key=lambda: given or _public_key(own, reach.guests),
        always_key=given is not None,
    )


def _public_key(own: Target, reach: Connector) -> Key:
    """The public half of the first private key that a login would be tried with. Raises RefusedError, UsageError."""
    from hakit.engine.manageable import read_key
    from hakit.errors import RefusedError

    named = [Path(own.key_file)] if own.key_file else []
    named += [*reach.options.identity_files, *reach.route(own).lookup.identity_files]
    public = [path.expanduser().with_name(f"{path.name}.pub") for path in named]
    public = public or [Path.home() / ".ssh" / name for name in PUBLIC]
    for path in public:
        if path.exists():
            return read_key(path)
    raise RefusedError(
        f"{own.name}: there is no public key to give to {own.user}",
        why=f"Looked for {', '.join(map(str, public))}.",
        hint="Name it with  --key FILE",
    )


def _agreed(hosts: int, *, as_json: bool) -> bool:
    """Ask before changing hosts. Raises UsageError without a terminal to ask on."""
    from hakit.errors import UsageError
    from hakit.present.terminal import count

    if as_json or not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on; nothing was changed", hint="review what is lacking, then add  --yes"
        )
    return click.confirm(f"Prepare {count(hosts, 'host')}?")
