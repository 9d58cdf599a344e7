"""How the order of a run reads: who is changed after whom, and what is changed together."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hakit.engine.order import Together, Turns, Waits, order
from hakit.present.terminal import fold, label, paint, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakit.engine.handover import Foreseen
    from hakit.engine.order import Part
    from hakit.engine.steps import Step

KINDS: dict[type[Part], str] = {Turns: "one at a time", Waits: "waits", Together: "together"}


def order_text(steps: Iterable[Step]) -> str:
    """A line per row of hosts: `one at a time: web2, web3, then web1`; empty where nobody waits for anybody."""
    return "\n".join(paint(fold(_words(part), "  "), bold=True) for part in order(steps))


def order_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """The order for programs: `how`, then the hosts."""
    return [{"how": KINDS[type(part)], **asdict(part)} for part in order(steps)]


def handovers_text(foreseen: Foreseen) -> str:
    """A line per role that is handed over: `db1 leads cluster main: switched over to db2 first`; or why it can't be."""
    lines = [paint(fold(printable(str(one)), "  "), bold=True) for one in foreseen.handovers]
    lines += [
        paint(fold(printable(f"{error.message}{f': {error.why}' if error.why else ''}"), "  "), "red")
        for error in foreseen.refused.values()
    ]
    return "\n".join(lines)


def handovers_json(foreseen: Foreseen) -> list[dict[str, str]]:
    """The same for programs; `to` is empty where nobody can take over, and `why` says why."""
    found = [{"host": one.host, "what": one.what, "to": one.to, "why": ""} for one in foreseen.handovers]
    refused = ({"host": host, "what": "", "to": "", "why": error.text()} for host, error in foreseen.refused.items())
    return [*found, *refused]


def _words(part: Part) -> str:
    match part:
        case Turns(hosts=hosts):
            return f"one at a time: {', '.join(hosts[:-1])}{',' if len(hosts) > 2 else ''} then {hosts[-1]}"  # noqa: PLR2004  a comma before `then` parts three
        case Waits(hosts=hosts, on=others, since=since):
            return f"after {_and(others)}: {_and(hosts)}{f', from {label(since)} on' if since else ''}"
        case Together():
            return f"together: {', '.join(_acts(part))}"


def _acts(part: Together) -> list[str]:
    unit = part.unit.removesuffix(".service")
    told = [f"{_verb(part.stopped, 'stop')} {unit}"] if part.stopped else []
    told.append(_verb(part.first, "change"))
    if part.after:
        starts = f" and start{'' if len(part.after) > 1 else 's'} it" if part.stopped else ""
        told.append(f"then {_verb(part.after, 'change')}{starts}")
    return told


def _verb(hosts: Sequence[str], verb: str) -> str:
    return f"{_and(hosts)} {verb}{'' if len(hosts) > 1 else 's'}"


def _and(hosts: Sequence[str]) -> str:
    return " and ".join([", ".join(hosts[:-1]), hosts[-1]] if len(hosts) > 1 else hosts)
