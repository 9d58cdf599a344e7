"""`hakit lint`: what is wrong, or risky, with an inventory, before anything is rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hakit.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hakit.inventory.origin import Problem
    from hakit.lint.examine import Waived

FOUND = 2
"""Exit code of an inventory that is wrong."""


@click.command(
    epilog="""\b
Examples:
  hakit lint -i inventories/lab
  hakit lint -i inventories/lab --strict --json
  hakit lint --explain KA002
  hakit lint --rules

Exit: 0 nothing but warnings, 2 errors (with --strict: warnings too).
A rule is waived, with a reason, by  hakit: {lint: {ignore: {KA008: "why"}}}  for a site, a group or a host.""",
)
@options.inventory
@options.as_json
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--explain", metavar="RULE", help="What a rule is for, its source, how to waive it.")
@click.option("--rules", "list_rules", is_flag=True, help="List all rules.")
@click.option("--markdown", is_flag=True, help="With --rules: as a page of documentation.")
def lint(inventory: Path, explain: str | None, *, as_json: bool, strict: bool, list_rules: bool, markdown: bool) -> int:
    """Hold an inventory to the rules of high availability.

    Everything that is wrong is told at once, with its file and line, why it hurts and what to write instead. Errors
    refuse the inventory: no other command goes on with it.
    """
    if explain is not None:
        return _explain(explain)
    if list_rules:
        return _list_rules(as_json=as_json, markdown=markdown)
    from hakit.engine.facts import recorded
    from hakit.engine.render import broken
    from hakit.errors import InventoryError
    from hakit.lint import examine

    try:
        site, components = options.load(inventory)
    except InventoryError as error:
        _show(inventory, error.problems, (), None, as_json=as_json)
        if not error.problems:
            raise
        return FOUND
    report = examine(site, components, recorded(site))
    unrendered = () if report.errors else broken(site, components)
    _show(inventory, (*report.problems, *unrendered), report.waived, len(site.hosts), as_json=as_json)
    return FOUND if report.errors or unrendered or (strict and report.warnings) else 0


def _show(
    inventory: Path, found: Sequence[Problem], waived: Sequence[Waived], hosts: int | None, *, as_json: bool
) -> None:
    from hakit.present import findings
    from hakit.present.terminal import count

    if as_json:
        _json({"hosts": hosts, **findings.as_json(found, waived)})
        return
    click.echo(findings.problems(found), nl=False)
    where = f" in {count(hosts, 'host')}" if hosts is not None else ""
    click.echo(f"{findings.totals(found, waived)}{where}.")
    if not any(one.severity == "error" for one in found) and hosts is not None:
        click.echo(f"See the files it makes:  hakit render -i {inventory} -o review")


def _explain(id_: str) -> int:
    from difflib import get_close_matches

    from hakit.errors import UsageError
    from hakit.lint.registry import rules, upheld
    from hakit.present import findings

    found = options.components()
    known, given = rules(found), upheld(found)
    if id_.upper() in known:
        click.echo(findings.rule(known[id_.upper()]))
    elif id_.upper() in given:
        click.echo(findings.upheld(given[id_.upper()]))
    else:
        near = get_close_matches(id_.upper(), [*known, *given], n=1)
        hint = f"did you mean {near[0]}?" if near else "list them with  hakit lint --rules"
        raise UsageError(f"no such rule: {id_}", hint=hint)
    return 0


def _list_rules(*, as_json: bool, markdown: bool) -> int:
    from hakit.lint.registry import rules, upheld
    from hakit.present import findings

    found = options.components()
    known, given = rules(found), upheld(found)
    if as_json:
        _json(findings.catalogue_json(known, given))
    elif markdown:
        click.echo(findings.catalogue_markdown(known, given), nl=False)
    else:
        click.echo(findings.catalogue(known, given))
    return 0


def _json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
