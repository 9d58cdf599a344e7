"""`hakit verify`: see that the hosts do what the inventory says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hakit.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection
    from hakit.verify.plugin import Job
    from hakit.verify.report import Outcome, Report


@click.command(
    epilog="""\b
Examples:
  hakit verify -i inventories/lab
  hakit verify -i inventories/lab --limit balancers --component haproxy -v
  hakit verify -i inventories/lab --junit report.xml    # for a CI server

\b
Your own tests: files tests/test_*.py beside the inventory, as pytest-testinfra knows them.
""",
)
@options.asked
@options.as_json
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML as well."
)
@options.verbose
@click.pass_context
def verify(ctx: click.Context, *, asked: options.Asked, as_json: bool, junit: Path | None, verbose: int) -> None:
    """Test the hosts: the components' own tests and yours from tests/ beside the inventory.

    Every test runs on the hosts of the inventory and nowhere else; one that runs a command on another machine fails.
    Nothing is changed. Exit codes: 0 all passed, 1 something failed or a host could not be reached, 2 the inventory or
    the command line is wrong.
    """
    import json
    import time

    from hakit.verify.present import Lines, as_data, ending

    started = time.monotonic()
    site, components = options.load(asked.inventory)
    work = job(site, components, asked)
    junit = _writable(junit) if junit else None
    lines = Lines(click.echo, max(map(len, work.chosen)), verbose)
    report = carry_out(work, asked, lines.hear if not as_json else _silent, junit)
    if as_json:
        click.echo(json.dumps(as_data(report), indent=2))
    else:
        lines.end()
        click.echo(ending(report, time.monotonic() - started))
        if not report.ok and report.count("failed") and not verbose:
            click.echo("See every check with  -v, tracebacks with  -vv")
    ctx.exit(0 if report.ok else 1)


def job(site: Site, components: dict[str, Component], asked: options.Asked) -> Job:
    """What is to be verified. Raises UsageError for patterns that match nothing, or when there is no test to run."""
    from hakit.engine.select import select, select_components
    from hakit.errors import UsageError
    from hakit.verify.plugin import Job
    from hakit.verify.runner import modules_of, user_tests

    chosen = select(site, asked.limit)
    wanted = select_components(components, asked.component)
    modules = modules_of(components, wanted)
    own = user_tests(site) if wanted is None else None
    used = {name for name in modules.values() if any(host.name in chosen for host in site.running(name))}
    if not used and own is None:
        raise UsageError(
            "there is nothing to verify",
            why="None of these hosts runs a component with tests, and no tests/test_*.py lie beside the inventory.",
        )
    return Job(site, {path: name for path, name in modules.items() if name in used}, own, chosen, select)


def carry_out(work: Job, asked: options.Asked, sink: Callable[[Outcome], None], junit: Path | None) -> Report:
    """Connect to the site's hosts, run the tests, hang up. Raises LabError, HakitError."""
    from hakit.cli.reach import announce, connector, target
    from hakit.verify.hosts import Reach
    from hakit.verify.runner import run

    with connector(work.site, no_lab=asked.no_lab) as ssh:

        def connect(host: Host) -> Connection:
            return ssh.connect(target(host))

        announce(len(work.chosen))
        return run(work, Reach(work.site.hosts, connect, asked.forks), sink, junit)


def _writable(file: Path) -> Path:
    """The file, absolute. Raises UsageError when its folder does not exist."""
    from hakit.errors import UsageError

    if not file.absolute().parent.is_dir():
        raise UsageError(f"--junit {file}: there is no folder {file.parent}")
    return file.absolute()


def _silent(outcome: Outcome) -> None:
    """Hear nothing: with --json everything comes at the end."""
