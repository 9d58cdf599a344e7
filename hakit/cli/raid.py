"""`hakit raid`: what an operator does with arrays after they were made."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace as changed
from typing import TYPE_CHECKING, Any

import click

from hakit.cli import complete, options
from hakit.cli.careful import INTERRUPTED, interruptible
from hakit.cli.groups import InOrder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.storage import SeenDisk
    from hakit.engine.records import Record
    from hakit.engine.run import Run, Scope
    from hakit.errors import HakitError
    from hakit.inventory.model import Site
    from hakit.present.raid import Watching
    from hakit.raid.hands import Hands
    from hakit.raid.picture import Picture
    from hakit.raid.replacing import Replaced

PAUSE = 2.0
"""Seconds between two looks."""


@click.group(
    cls=InOrder,
    epilog="""\b
Examples:
  hakit raid status -i inventories/production
  hakit raid replace -i inventories/production db1 data WS20A1
""",
)
def raid() -> None:
    """Look at arrays, replace a disk, read them through, grow them.

    An array is named as in the inventory: hakit: {raid: {arrays: {NAME: …}}}. Every command can be killed at any step
    and run again.
    """


@raid.command(
    short_help="Say how each array is, and what helps.",
    epilog="""\b
Examples:
  hakit raid status -i inventories/production
  hakit raid status -i inventories/production db1 --watch
  hakit raid status -i inventories/production --json
""",
)
@click.argument("host", required=False, shell_complete=complete.hosts)
@options.reaching
@click.option("--watch", is_flag=True, help="Look again every 2 s, until Ctrl-C.")
@options.as_json
@click.pass_context
def status(ctx: click.Context, *, asked: options.Asked, host: str | None, watch: bool, as_json: bool) -> None:
    """Say how each array is: members, rebuilds and how long they take, sectors that differ, the last scrub.

    Without HOST those of all hosts are shown. Nothing is changed. Exit codes: 0 all are whole, 1 not, 2 the inventory
    or the command line is wrong.
    """
    import time

    from hakit.engine.run import Run
    from hakit.present.progress import Asking

    scope = _scope(asked, host)
    with Run(scope, lambda _: None, lock=False) as run:
        with Asking(len(scope.hosts), quiet=as_json) as asking:
            run.sink = asking.sink
            looking = _Looking(run)
            pictures = looking.look()
        run.sink = lambda _: None
        good = _show(pictures, looking.errors, as_json=as_json, live=watch)
        try:
            while watch:
                time.sleep(PAUSE)
                good = _show(looking.look(), looking.errors, as_json=as_json, live=True)
        except KeyboardInterrupt:
            pass
    ctx.exit(0 if good else 1)


@raid.command(
    short_help="Replace a disk, guided.",
    epilog="""\b
Examples:
  hakit raid replace -i inventories/production db1 data WS20A1
  hakit raid replace -i inventories/production db1 data WS20A1 serial:WS20C3 --confirm WS20A1
""",
)
@click.argument("host", shell_complete=complete.hosts)
@click.argument("array")
@click.argument("old")
@click.argument("new", required=False)
@options.reaching
@click.option(
    "--confirm",
    default="",
    metavar="SERIAL",
    help="The serial number of a disk in sync once more, instead of typing it.",
)
@options.assume_yes
@options.as_json
def replace(
    *,
    asked: options.Asked,
    host: str,
    array: str,
    old: str,
    new: str | None,
    confirm: str,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Replace the disk OLD of an ARRAY on HOST: take it out, say which one to pull, wait for the new one, rebuild.

    OLD is a serial number, or what the inventory calls the disk; NEW the same. Left out, it is the one declared disk
    that is no member yet, or on a terminal the one that you plug in. The new disk is proven empty as for a new array.
    It ends once that is in sync; Ctrl-C leaves the rebuild alone. Exit codes: 0 done, 1 refused or failed, 2 the
    inventory or the command line is wrong, 130 interrupted.
    """
    import json
    import time

    from hakit.raid.replacing import Operator, Replacement

    ask = not as_json and sys.stdin.isatty()
    with _at_work(asked, host, array, quiet=as_json) as (hands, watching, record):
        operator = Operator(
            watching.say,
            lambda question, word: confirm == word or (ask and _typed(watching, question, word)),
            watching.show,
            (lambda disk: _picked(watching, disk, assume_yes=assume_yes)) if ask else None,
        )
        done = Replacement(hands, host, array, operator, time.sleep).run(old, _word(new))
        note = _to_write(hands, array, old, done) if done.new else ""
    result = {
        "host": host,
        "array": array,
        "old": done.old,
        "new": done.new,
        "state": done.picture.state,
        "write": note,
    }
    came = done.picture.member(done.new)
    how = "stands by" if came is not None and came.state == "spare" else "is in sync"
    text = f"Done: {done.new} {how}, {array} is {done.picture.state}."
    if not done.new:
        text = f"Nothing to do: {old} is no member of {array}, which lacks none and is {done.picture.state}."
    _conclude(record, result, json.dumps(result, indent=2) if as_json else "\n".join(filter(None, (text, note))))


@raid.command(
    short_help="Read arrays through now, and compare their copies.",
    epilog="""\b
Examples:
  hakit raid scrub -i inventories/production db1
  hakit raid scrub -i inventories/production db1 data --stop
""",
)
@click.argument("host", shell_complete=complete.hosts)
@click.argument("array", required=False)
@options.reaching
@click.option("--stop", is_flag=True, help="End one that runs.")
@click.option(
    "--repair", is_flag=True, help="Also make copies agree that differ: one of them wins, nobody knows which."
)
@options.as_json
def scrub(*, asked: options.Asked, host: str, array: str | None, stop: bool, repair: bool, as_json: bool) -> None:
    """Read the arrays of HOST through, or one ARRAY, so that bad sectors are found while good copies are there.

    It goes on by itself; `hakit raid status` shows how far it is and what it found. Exit codes: 0 begun, 1 refused or
    failed, 2 the inventory or the command line is wrong.
    """
    import json

    from hakit.errors import UsageError
    from hakit.present.commands import pasteable

    if stop and repair:
        raise UsageError("--stop and --repair exclude each other", hint="leave one of them out")
    action = "stop" if stop else "repair" if repair else "check"
    with _at_work(asked, host, array or "", quiet=as_json) as (hands, _, record):
        names = [array] if array else [name for name, known in hands.arrays.items() if known.level]
        for name in names:
            hands.do(name, "scrub", action=action)
    result = {"host": host, "arrays": names, "action": action}
    verb = {"stop": "stopped", "repair": "repairing", "check": "reading through"}[action]
    text = f"{host}: {verb} {', '.join(names)}; see  {pasteable(f'hakit raid status {host}')}"
    _conclude(record, result, json.dumps(result, indent=2) if as_json else text)


@raid.command(
    short_help="Bring an array to the size and shape declared.",
    epilog="""\b
Examples:
  hakit raid grow -i inventories/production db1 data
  hakit raid grow -i inventories/production db1 data --backup /root/data.grow --yes
""",
)
@click.argument("host", shell_complete=complete.hosts)
@click.argument("array")
@options.reaching
@click.option(
    "--backup",
    default="",
    metavar="PATH",
    help="Where on the host mdadm keeps what a crash in the middle needs, if the members have no room for it; not on "
    "the array itself. Left out: /var/lib/hakit/ARRAY.grow.",
)
@options.assume_yes
@options.as_json
def grow(*, asked: options.Asked, host: str, array: str, backup: str, assume_yes: bool, as_json: bool) -> None:
    """Bring an ARRAY of HOST to what the inventory says: more disks, larger ones, another level or chunk.

    It shows what it would do and asks. The array serves meanwhile, slowly; a crash in the middle is gone on with by the
    same command. Exit codes: 0 done or nothing to do, 1 refused or failed, 2 the inventory or the command line is
    wrong, 130 interrupted.
    """
    import json
    import time

    from hakit.cli.work import agreed
    from hakit.raid.growing import Growth

    with _at_work(asked, host, array, quiet=as_json) as (hands, watching, record):
        growth = Growth(hands, host, array, watching.show, time.sleep)
        steps = growth.steps()
        for step in steps:
            watching.say(f"{host}  {array}  {step}")
        if steps and not assume_yes:
            with watching.paused():
                if not agreed(f"Reshape {array} of {host}?", as_json=as_json):
                    click.echo("Nothing was changed.")
                    raise click.exceptions.Exit(1)
        picture = growth.run(backup or f"/var/lib/hakit/{array}.grow")
    result = {"host": host, "array": array, "steps": steps, "state": picture.state, "size": picture.size}
    text = f"Done: {array} of {host} is {picture.state}." if steps else f"{array} of {host} is as declared."
    _conclude(record, result, json.dumps(result, indent=2) if as_json else text)


def _scope(asked: options.Asked, host: str | None, array: str = "") -> Scope:
    """The hosts with arrays, or the one that is named. Raises UsageError where it, or the array, is not declared."""
    from hakit.cli.work import begin

    scope = begin(asked, check=lambda site: _declared(site, host, array))
    hosts = _declared(scope.site, host, array)
    return changed(scope, hosts=tuple(hosts), watched=(), only=None)


def _declared(site: Site, host: str | None, array: str) -> list[str]:
    from hakit.components.raid.model import NAME
    from hakit.components.raid.settings import RaidSettings
    from hakit.errors import UsageError
    from hakit.lint.rule import configured
    from hakit.suggest import did_you_mean

    found = {known.name: settings.arrays for known, settings in configured(site, NAME, RaidSettings) if settings.arrays}
    if not found:
        raise UsageError("no host of the inventory declares an array", hint="see docs/components/raid.md")
    if host is None:
        return list(found)
    if host not in found:
        raise UsageError(
            f"{host} declares no array{did_you_mean(host, found)}", hint=f"those that do: {', '.join(found)}"
        )
    if array and array not in found[host]:
        near = did_you_mean(array, found[host])
        raise UsageError(f"{host} has no array {array}{near}", hint=f"it has {', '.join(found[host])}")
    return [host]


@contextmanager
def _at_work(asked: options.Asked, host: str, array: str, *, quiet: bool) -> Iterator[tuple[Hands, Watching, Record]]:
    """A session with one host under its lock, a terminal that shows what is waited for, a record of the run."""
    from hakit.engine.events import Noted
    from hakit.engine.records import Record
    from hakit.engine.session import HostSession
    from hakit.present.commands import pasteable
    from hakit.present.raid import Watching
    from hakit.raid.hands import Hands

    scope = _scope(asked, host, array)
    record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
    scope = changed(scope, run_id=record.id)
    session = HostSession(scope, scope.site.hosts[host])
    try:
        with interruptible(), Watching(quiet=quiet) as watching:
            sink = record.recording(
                lambda event: watching.say(f"{host}  {event.text}") if isinstance(event, Noted) else None
            )
            session.open(lock=True)
            yield Hands(session, lambda text: sink(Noted(host, text))), watching, record
    except KeyboardInterrupt:
        click.echo(pasteable(f"Interrupted. Where things stand says  hakit raid status {host}"), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        session.close()


class _Looking:
    """Looks at the arrays of a run's hosts, as often as asked; a host that is lost stays among `errors`."""

    def __init__(self, run: Run) -> None:
        from hakit.raid.hands import Hands

        self._run = run
        self.errors = run.open()
        self._hands, refused = run.each(Hands)
        self.errors |= refused

    def look(self) -> list[Picture]:
        """How the arrays are now."""
        looks, lost = self._run.each(lambda session: self._seen(session.host.name))
        self.errors |= lost
        return [picture for name in self._run.scope.hosts for picture in looks.get(name, ())]

    def _seen(self, host: str) -> list[Picture]:
        hands = self._hands.get(host)
        return [hands.look(name) for name in hands.arrays] if hands is not None else []


def _show(pictures: list[Picture], errors: dict[str, HakitError], *, as_json: bool, live: bool) -> bool:
    """Print what was seen; whether all is whole."""
    import json
    from datetime import UTC, datetime

    from hakit.present.raid import status_json, status_text
    from hakit.present.terminal import clear

    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps(status_json(pictures, errors), indent=None if live else 2))
    else:
        text = status_text(pictures, errors, now)
        stamp = now.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        click.echo(f"{clear()}{stamp}\n{text}\n" if live else text)
    return not errors and all(picture.good for picture in pictures)


def _word(new: str | None) -> str:
    """What the operator names as the inventory would: a bare serial number gets its prefix."""
    if not new:
        return ""
    return new if new.startswith(("/dev/", "serial:", "wwn:")) else f"serial:{new}"


def _typed(watching: Watching, question: str, word: str) -> bool:
    with watching.paused():
        answer: str = click.prompt(f"{question}. Type {word} to go on", default="", show_default=False, err=True)
    return answer.strip() == word


def _picked(watching: Watching, disk: SeenDisk, *, assume_yes: bool) -> bool:
    from hakit.present.raid import size
    from hakit.present.terminal import printable

    if assume_yes:
        return True
    with watching.paused():
        return click.confirm(f"A disk appeared: serial {printable(disk.serial)}, {size(disk.size)}. Take it?", err=True)


def _to_write(hands: Hands, array: str, old: str, done: Replaced) -> str:
    """What the inventory has yet to say, where it still names the old disk."""
    from hakit.components.raid.model import NAME
    from hakit.components.raid.settings import RaidSettings
    from hakit.raid.picture import is_called

    settings: Any = hands.host.settings[NAME]
    assert isinstance(settings, RaidSettings)  # noqa: S101 - for the type checker
    declared = settings.arrays[array]
    for key, devices in (("devices", declared.devices), ("spares", declared.spares)):
        for place, word in enumerate(devices):
            if word != done.new and (is_called(word, old) or is_called(word, done.old)):
                mark = hands.host.mark(NAME, "arrays", array, key, place)
                return f"Write  {done.new}  in place of  {word}{f' ({mark})' if mark else ''}"
    return ""


def _conclude(record: Record, result: dict[str, Any], text: str) -> None:
    from hakit.cli.work import conclude

    conclude(record, result, text)
