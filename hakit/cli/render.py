"""`hakit render`: every file as it will land, without a host."""

from __future__ import annotations

from pathlib import Path

import click

from hakit.cli import options


@click.command(
    epilog="""\b
Examples:
  hakit render -i inventories/lab -o review
  hakit render -i inventories/lab -o review --host lb1 && git diff review
""",
)
@options.inventory
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where to write.")
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only this host (or group, or glob). Repeatable.")
@options.as_json
def render(inventory: Path, output: Path, hosts: tuple[str, ...], *, as_json: bool) -> None:
    """Write every file as it will land on its host to OUTPUT/HOST/PATH.

    No host is asked. The output is the same to the byte each time and holds <secret:NAME> in place of secrets, so
    that it can be committed and reviewed. Files of an earlier rendering that are not declared any more are removed.
    """
    from hakit.engine.render import render_site
    from hakit.engine.select import select
    from hakit.present.terminal import count

    site, components = options.load(inventory, need_secrets=False)
    options.checked(site, components)
    result = render_site(site, components, select(site, hosts), output)
    if as_json:
        import json

        click.echo(json.dumps({"output": str(output), "written": result.written, "removed": result.removed}, indent=2))
        return
    for path in result.removed:
        click.echo(f"− {path}")
    click.echo(f"{count(len(result.written), 'file')} of {count(result.hosts, 'host')} in {output}/")
    click.echo(f"Compare with the hosts:  hakit plan -i {inventory}")
