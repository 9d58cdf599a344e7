"""How the state of a site looks: a line per service, what stands in the way below it, then the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.engine.diagnosis import CLOCK_WARN, span
from hakit.engine.duty import describe
from hakit.present.commands import pasteable
from hakit.present.terminal import fold, names, paint, printable

if TYPE_CHECKING:
    from hakit.engine.assess import HostState, Row, SiteState

COLOURS = {"healthy": "green", "at risk": "yellow", "unknown": "yellow", "down": "red", "alarm": "red"}
LEVELS = {"good": "green", "risk": "yellow", "bad": "red"}
STATE_WIDTH = 8


def status_text(state: SiteState, *, verbose: int = 0) -> str:
    """All of it for a terminal."""
    wide = max((len(row.name) for row in state.rows), default=0)
    wide = max(wide, len("hosts"))
    lines = [line for row in state.rows for line in _row(row, wide)]
    lines += _hosts(state, wide)
    if verbose:
        for host in state.hosts.values():
            lines += _reports(host)
    return "\n".join(lines)


def status_json(state: SiteState) -> dict[str, Any]:
    """The state for programs."""
    return {
        "good": state.good,
        "services": [
            {
                "name": row.name,
                "kind": row.kind,
                "state": row.state,
                "address": row.address or None,
                "holders": list(row.holders),
                "why": list(row.why),
                "roles": dict(row.roles),
            }
            for row in state.rows
        ],
        "risks": dict(state.risks),
        "hosts": {name: _host_json(host) for name, host in state.hosts.items()},
        "withdrawn": [
            {
                "host": mark.host,
                "kind": mark.kind,
                "since": mark.since,
                "who": mark.who,
                "run": mark.run,
                "why": mark.why,
            }
            for mark in state.marks
        ],
    }


def _row(row: Row, wide: int) -> list[str]:
    name = paint(f"{printable(row.name):<{wide}}", bold=True)
    shown = paint(f"{row.state.upper() if row.state == 'alarm' else row.state:<{STATE_WIDTH}}", COLOURS[row.state])
    where = f"{row.address} on {' and '.join(row.holders)}" if row.holders and row.address else row.address
    where = where or " and ".join(row.holders) or _roles(row)
    why = [printable(text) for text in row.why]
    first = "; ".join(part for part in (where, *why[:1]) if part)
    margin = " " * (wide + STATE_WIDTH + 4)
    head, *more = f"{name}  {shown}  {first}".rstrip().split("\n")
    rest = [*more, *(line for text in why[1:] for line in text.split("\n"))]
    return [fold(head, f"{margin}  "), *(fold(f"{margin}{line}", "  ") for line in rest)]


def _roles(row: Row) -> str:
    """`db1 primary, db2 and db3 standby`."""
    hosts: dict[str, list[str]] = {}
    for host, role in row.roles.items():
        hosts.setdefault(role, []).append(host)
    return ", ".join(f"{' and '.join(members)} {printable(role)}" for role, members in hosts.items())


def _hosts(state: SiteState, wide: int) -> list[str]:
    hosts = list(state.hosts.values())
    answering = [host for host in hosts if host.hello is not None]
    parts = [f"{len(answering)} of {len(hosts)} answer"]
    parts += _clocks(answering)
    rebooting = [host.name for host in answering if host.reboot]
    if rebooting:
        parts.append(f"{names(rebooting)} {'wants' if len(rebooting) == 1 else 'want'} a reboot")
    lines = [f"{paint('hosts'.ljust(wide), bold=True)}  {' · '.join(parts)}"]
    margin = " " * (wide + 2)
    for host in hosts:
        if host.error is not None:
            text = pasteable(printable(host.error.text().removeprefix(f"{host.name}: ")))
            text = text.replace("\n", f"\n{margin}    ")
            lines.append(fold(f"{margin}{paint('✗', 'red')} {paint(host.name, bold=True)}  {text}", "  "))
        elif host.hello is not None and host.hello.lock is not None:
            lines.append(f"{margin}{host.name}  a run works on it: {printable(host.hello.lock.text())}")
    lines += [fold(f"{margin}{printable(mark.host)}  {printable(describe(mark))}", "  ") for mark in state.marks]
    told = {why for row in state.rows for why in row.why}
    for name, risk in state.risks.items():
        if not any(risk in why for why in told):
            lines.append(fold(f"{margin}{paint('!', 'yellow')} {paint(name, bold=True)}  {printable(risk)}", "  "))
    return lines


def _clocks(answering: list[HostState]) -> list[str]:
    clocks = [host.clock for host in answering if host.clock is not None]
    if len(clocks) < 2:  # noqa: PLR2004 - one clock has nothing to differ from
        return []
    apart = max(clock.ahead for clock in clocks) - min(clock.ahead for clock in clocks)
    doubt = max(clock.doubt for clock in clocks)
    within = max(0.0, apart - 2 * doubt)
    text = f"clocks within {max(apart, 0.001) * 1000:.0f} ms" if apart < CLOCK_WARN else f"clocks {span(apart)} apart"
    return [paint(text, "yellow") if within > CLOCK_WARN else text]


def _reports(host: HostState) -> list[str]:
    """What the daemons of a host say of themselves."""
    return [
        f"{host.name}  {printable(report.subject)}  {paint(printable(report.state), LEVELS[report.level])}"
        f"{f'  {printable(report.detail)}' if report.detail else ''}"
        for report in host.reports
    ]


def _host_json(host: HostState) -> dict[str, Any]:
    return {
        "answers": host.hello is not None,
        "error": host.error.text() if host.error else None,
        "boot": host.hello.boot if host.hello else None,
        "clock_ahead": round(host.clock.ahead, 4) if host.clock else None,
        "reboot": host.reboot,
        "run": host.hello.lock.text() if host.hello and host.hello.lock else None,
        "reports": [
            {"subject": one.subject, "state": one.state, "level": one.level, "detail": one.detail}
            for one in host.reports
        ],
    }
