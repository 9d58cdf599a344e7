"""How it looks what hosts wait for: reboots and packages, equal hosts once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.present.plan import failure
from hakit.present.terminal import count, names, paint, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hakit.agent.answers import Upgrade
    from hakit.engine.upkeep import Needs

SHOWN = 12
"""Packages of a host that are listed; of more, only the count is shown."""


def reboots_text(found: Needs, chosen: Collection[str]) -> str:
    """Which hosts are to be booted again, and why."""
    lines = {name: tuple(printable(reason) for reason in one.reboot) for name, one in found.hosts.items()}
    asked = {name: own or (("asked for",) if name in chosen else ()) for name, own in lines.items()}
    return _blocks(asked, found, "no reboot needed")


def upgrades_text(found: Needs, chosen: Mapping[str, Sequence[Upgrade]], *, verbose: bool) -> str:
    """Which packages would be brought to which versions."""

    def lines(name: str) -> tuple[str, ...]:
        every = [_upgrade(one) for one in chosen.get(name, ())]
        if name in chosen and found.hosts[name].restart:
            every.append(f"restart of {printable(', '.join(found.hosts[name].restart))}, which run replaced code")
        if verbose or len(every) <= SHOWN:
            return tuple(every)
        return (*every[:SHOWN], paint(f"and {count(len(every) - SHOWN, 'more package')} (-v shows them)", dim=True))

    return _blocks({name: lines(name) for name in found.hosts}, found, "up to date")


def needs_json(found: Needs) -> dict[str, Any]:
    """What the hosts wait for, for programs."""
    return {
        "hosts": {
            name: {
                "reboot": list(one.reboot),
                "restart": list(one.restart),
                "upgrades": [
                    {"package": up.package, "old": up.old, "new": up.new, "security": up.security}
                    for up in one.upgrades
                ],
            }
            for name, one in found.hosts.items()
        },
        "failed": {name: error.text() for name, error in found.failed.items()},
    }


def _upgrade(one: Upgrade) -> str:
    security = f"  {paint('security', 'red')}" if one.security else ""
    return f"{printable(one.package)}  {printable(one.old or '-')} → {printable(one.new)}{security}"


def _blocks(lines: Mapping[str, tuple[str, ...]], found: Needs, nothing: str) -> str:
    """Equal hosts together, then those with nothing, then those that could not be asked."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, own in lines.items():
        alike.setdefault(own, []).append(name)
    blocks = [
        "\n".join([paint(names(hosts), bold=True), *(f"  {line}" for line in own)])
        for own, hosts in alike.items()
        if own
    ]
    if () in alike:
        blocks.append(paint(f"{names(alike[()])}  {nothing}", dim=True))
    blocks += [f"{paint(name, bold=True)}  {failure(name, error)}" for name, error in found.failed.items()]
    return "\n".join(blocks)
