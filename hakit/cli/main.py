"""The `hakit` command: finds the sub-command, shows errors as one message, owns the exit code."""

from __future__ import annotations

import errno
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from hakit import __version__
from hakit.errors import HakitError, InventoryError
from hakit.present.commands import pasteable, remember
from hakit.present.terminal import count, fold, paint
from hakit.suggest import did_you_mean

COMMANDS = {
    "init": "hakit.cli.init:init",
    "lint": "hakit.cli.lint:lint",
    "schema": "hakit.cli.schema:schema",
    "inventory": "hakit.cli.inventory:inventory",
    "render": "hakit.cli.render:render",
    "doctor": "hakit.cli.doctor:doctor",
    "plan": "hakit.cli.plan:plan",
    "apply": "hakit.cli.apply:apply",
    "verify": "hakit.cli.verify:verify",
    "status": "hakit.cli.status:status",
    "postgres": "hakit.cli.postgres:postgres",
    "raid": "hakit.cli.raid:raid",
    "maintenance": "hakit.cli.maintenance:maintenance",
    "reboot": "hakit.cli.reboot:reboot",
    "upgrade": "hakit.cli.upgrade:upgrade",
    "retire": "hakit.cli.retire:retire",
    "trust": "hakit.cli.trust:trust",
    "bootstrap": "hakit.cli.bootstrap:bootstrap",
    "secret": "hakit.cli.secret:secret",
    "lab": "hakit.cli.lab:lab",
}


class Lazy(click.Group):
    """A group that imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names in the order of the work, not of the alphabet."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is no such command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click does, with a suggestion for a mistyped command."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command: {args[0]}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    \b
    Examples:
      hakit init inventories/production         # a commented inventory to start from
      hakit lint -i inventories/production
      hakit plan -i inventories/production
      hakit apply -i inventories/production

    In a checkout  make demo  shows all of it on practice hosts.
    """,
)
@click.version_option(__version__, prog_name="hakit")
def cli() -> None:
    """High availability on on-prem Linux hosts, from one inventory.

    An inventory is checked (lint), rendered for review (render), compared with the hosts (plan), carried out (apply)
    and proven (verify).
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line; the only place that turns errors into text and an exit code."""
    try:
        remember("")
        result: Any = cli.main(args, prog_name="hakit", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        with suppress(OSError):  # the terminal may be what went
            click.echo("Interrupted.", err=True)
        _leave(130)
    except HakitError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if not _unread(error):
            sys.exit(_bug(error))
        with suppress(OSError):
            sys.stderr.close()  # whoever read our output has gone, and does not want our complaint either
        sys.exit(141)
    except Exception as error:  # noqa: BLE001  the last resort: a user gets a message, we get the traceback
        sys.exit(_bug(error))
    sys.exit(result if isinstance(result, int) else 0)


def _unread(error: OSError) -> bool:
    """Whether nobody reads our output any more: a pipe's reader has gone, or the terminal, which answers EIO."""
    return isinstance(error, BrokenPipeError) or (error.errno == errno.EIO and error.filename is None)


def _leave(code: int) -> NoReturn:
    """End now: a pool's threads would keep the program until each host that they wait for is given up."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if any(not one.daemon for one in threading.enumerate() if one is not threading.main_thread()):
        os._exit(code)
    sys.exit(code)


def _tell(error: HakitError) -> None:
    """Show an error; every problem of an inventory on a line that begins with its place, as editors like it."""
    mark = paint("error: ", "red", bold=True)
    if not (isinstance(error, InventoryError) and error.problems):
        click.echo(fold(mark + pasteable(error.text()), "  ", sys.stderr), err=True)
        return
    for problem in error.problems:
        rule = f"{problem.rule} " if problem.rule else ""
        write = f" — write {problem.write}" if problem.write else ""
        text = pasteable(f"{problem.text()}{write}")
        click.echo(text if problem.mark else f"{mark}{rule}{text}", err=True)
    click.echo(f"{mark}{count(len(error.problems), 'problem')} in the inventory; nothing was done.", err=True)
    if error.hint:
        click.echo(pasteable(f"  {error.hint}"), err=True)


def _bug(error: Exception) -> int:
    """Say that hakit itself failed, and keep the traceback in a file that only its owner can read."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="hakit-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write("".join(traceback.format_exception(error)))
    click.echo(
        paint("error: ", "red", bold=True)
        + f"hakit itself failed: {type(error).__name__}: {error}\n"
        + f"  This is a bug, not your mistake. The details are in {log.name}; please report them.",
        err=True,
    )
    return 1
