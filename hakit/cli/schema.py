"""`hakit schema`: the JSON Schema of inventories, so that an editor completes and checks."""

from __future__ import annotations

import json

import click

from hakit.cli import options

EPILOG = """
\b
Examples:
  hakit schema > hosts.schema.json
  hakit schema --variables > variables.schema.json

For editors with the YAML language server, the first line of hosts.yml is then
  # yaml-language-server: $schema=hosts.schema.json
"""


@click.command(epilog=EPILOG)
@click.option("--variables", is_flag=True, help="The schema of files in group_vars and host_vars instead.")
@click.option("--markdown", is_flag=True, help="The reference of all settings, as Markdown instead.")
def schema(variables: bool, markdown: bool) -> None:
    """Print the JSON Schema (2020-12) of an inventory file."""
    schemas = {name: component.Settings for name, component in options.components().items()}
    if markdown:
        from hakit.inventory.reference import markdown as reference

        click.echo(reference(schemas), nl=False)
        return
    from hakit.inventory.schema import inventory_schema

    click.echo(json.dumps(inventory_schema(schemas, only_variables=variables), indent=2, ensure_ascii=False))
