"""`hakit inventory`: what hakit understood of the inventory, and who said so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hakit.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hakit.inventory.blame import Setting
    from hakit.inventory.core import Service
    from hakit.inventory.model import Host, Site

EPILOG = """
\b
Examples:
  hakit inventory -i inventories/lab
  hakit inventory -i inventories/lab --host lb1
  hakit inventory -i inventories/lab --blame lb1 keepalived.instances.web.prefer
  hakit inventory -i hosts.yml --json | jq '._meta.hostvars | keys'
"""


@click.command(epilog=EPILOG)
@options.inventory
@click.option("--host", metavar="HOST", help="Everything that holds for one host, with the place of each setting.")
@click.option("--graph", is_flag=True, help="The tree of groups and hosts.")
@click.option("--blame", nargs=2, metavar="HOST KEY", help="Which file and line set a value, and what it overrode.")
@options.as_json
def inventory(inventory: Path, host: str | None, graph: bool, blame: tuple[str, str] | None, as_json: bool) -> None:
    """Show the hosts, groups and settings of an inventory.

    Checks the whole inventory. With --json the shape is that of ansible-inventory --list, or --host.
    """
    from hakit.errors import UsageError

    if sum(map(bool, (host, graph, blame))) > 1:
        raise UsageError("--host, --graph and --blame exclude each other")
    site, _ = options.load(inventory, whole=False)
    for warning in site.warnings:
        click.echo(f"warning: {warning.text()}", err=True)
    if blame:
        lines = _blame(site, *blame, as_json=as_json)
    elif host:
        lines = _host(_named(site, host), as_json=as_json)
    elif graph:
        lines = _graph(site, as_json=as_json)
    else:
        lines = _summary(site, as_json=as_json)
    click.echo("\n".join(lines))


def _named(site: Site, name: str) -> Host:
    from difflib import get_close_matches

    from hakit.errors import UsageError

    if name in site.hosts:
        return site.hosts[name]
    near = get_close_matches(name, site.hosts, n=1)
    hint = f"did you mean {near[0]}?" if near else "hakit inventory  lists the hosts"
    raise UsageError(f"no such host in {site.source}: {name}", hint=hint)


def _json(value: Any) -> list[str]:
    return [json.dumps(value, indent=2, ensure_ascii=False, default=str)]


def _short(value: Any) -> str:
    from hakit.inventory.listing import as_json

    text = value if isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False, default=str)
    text = "".join(character if character.isprintable() else "·" for character in text)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - leaves room for the place


def _blame(site: Site, host: str, key: str, *, as_json: bool) -> list[str]:
    from hakit.inventory.blame import blame
    from hakit.inventory.listing import as_json as plain_json

    found = blame(_named(site, host), key)
    if as_json:
        return _json([_blame_json(one, plain_json(one.value)) for one in found])
    rows = [(str(one.mark), one.effect, f"by {one.who}", _short(one.value)) for one in found]
    return [f"{found[0].key} on {host}", *_table(rows, indent="  ")]


def _blame_json(one: Setting, value: Any) -> dict[str, Any]:
    mark = one.mark
    place = {"file": mark.file, "line": mark.line, "column": mark.column}
    return {"key": one.key, "effect": one.effect, "by": one.who, "value": value, **place}


def _host(host: Host, *, as_json: bool) -> list[str]:
    from hakit.inventory.blame import flat
    from hakit.inventory.listing import INTERNAL, variables

    if as_json:
        return _json(variables(host))
    login = f"{host.login.user or '(user of ssh)'}@{host.login.host}" + (
        f":{host.login.port}" if host.login.port else ""
    )
    facts = [("groups", ", ".join(host.groups) or "none"), ("login", login)]
    facts += [("address", host.address), ("zone", host.zone or "none")]
    lines = [host.name, *_table(facts, indent="  ")]
    settings = [(f"  {key}", _short(value), str(mark)) for key, (value, mark) in flat(host).items()]
    if settings:
        lines += ["", "settings", *_table(settings)]
    others = [(f"  {key}", _short(value)) for key, value in sorted(host.vars.items(), key=str) if key not in INTERNAL]
    if others:
        lines += ["", "other variables", *_table(others)]
    return lines


def _graph(site: Site, *, as_json: bool) -> list[str]:
    from hakit.inventory.listing import graph, inventory_list

    if as_json:
        found = inventory_list(site)
        del found["_meta"]
        return _json(found)
    return list(graph(site))


def _summary(site: Site, *, as_json: bool) -> list[str]:
    from hakit.inventory.listing import inventory_list

    if as_json:
        return _json(inventory_list(site))
    if not site.hosts:
        return [f"{site.source}: no hosts"]
    rows = [("HOST", "ADDRESS", "ZONE", "GROUPS", "COMPONENTS")]
    rows += [
        (host.name, host.address, host.zone or "-", ", ".join(host.groups), ", ".join(host.settings) or "-")
        for host in site.hosts.values()
    ]
    lines = _table(rows)
    if site.services:
        lines += ["", "services", *_table([_service(name, one) for name, one in site.services.items()])]
    zones = {host.zone for host in site.hosts.values() if host.zone}
    groups = [name for name in site.groups if name not in ("all", "ungrouped")]
    lab = f", a lab of {site.lab.driver} on {site.lab.network}" if site.lab else ""
    total = f"{len(site.hosts)} hosts in {len(groups)} groups" + (f" and {len(zones)} zones" if zones else "")
    return [*lines, "", f"{total}{lab}.", f"Check it with  hakit lint -i {site.source}"]


def _service(name: str, service: Service) -> tuple[str, ...]:
    promise = [f"survives {service.survives}"]
    promise += [f"rto {service.rto:g} s"] if service.rto is not None else []
    promise += [f"rpo {service.rpo:g} s"] if service.rpo is not None else []
    return f"  {name}", service.address, ", ".join(promise)


def _table(rows: Sequence[tuple[str, ...]], indent: str = "") -> list[str]:
    """Rows as aligned columns; the last column is not padded."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return [indent + "  ".join(cells).rstrip() for cells in padded]
