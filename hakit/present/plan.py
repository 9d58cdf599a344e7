"""How a plan looks: identical changes of several hosts once, diffs, one line of what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.engine.duty import describe
from hakit.engine.handover import Foreseen
from hakit.present.commands import pasteable
from hakit.present.order import handovers_json, handovers_text, order_json, order_text
from hakit.present.terminal import COLOURS, SIGNS, count, duration, fold, label, names, paint, printable, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hakit.engine.plan import Change, FileDiff, HostPlan, Rejection, SitePlan
    from hakit.engine.steps import Step
    from hakit.errors import HakitError
    from hakit.inventory.model import Site

NOTHING = Foreseen()


def plan_text(
    plan: SitePlan,
    site: Site,
    *,
    seconds: float,
    diffs: bool = True,
    steps: Iterable[Step] = (),
    foreseen: Foreseen = NOTHING,
) -> str:
    """The whole plan for a terminal; `steps` are what will be carried out, `foreseen` what is handed over before."""
    blocks: list[str] = []
    shown: dict[str, str] = {}
    for host in plan.changing:
        body = _body(host, diffs=diffs)
        same_as = shown.setdefault(body, host.host)
        blocks.append(f"{_head(host, site)}  as {same_as}" if same_as != host.host else f"{_head(host, site)}\n{body}")
    quiet = [host.host for host in plan.hosts.values() if not host.changes]
    if quiet:
        blocks.append(paint(f"{names(quiet)}  nothing to do", dim=True))
    blocks += [fold(f"{paint(host, bold=True)}  {failure(host, error)}", "    ") for host, error in plan.failed.items()]
    blocks += [fold(f"{paint(host, bold=True)}  {_mark(host, plan)}", "    ") for host in plan.marks]
    order = filter(None, (order_text(steps), handovers_text(foreseen)))
    return "\n".join([*blocks, "", *order, total(plan, seconds)])


def _mark(host: str, plan: SitePlan) -> str:
    text = printable(describe(plan.marks[host]))
    return paint(f"{text}; it is taken back" if host in plan.abandoned else text, "yellow")


def total(plan: SitePlan, seconds: float) -> str:
    """One line: `2 hosts change: 2 reloads, no service interrupted. 6 hosts are as declared.`."""
    changing = plan.changing
    parts = []
    if changing:
        parts.append(f"{count(len(changing), 'host')} change{'s' if len(changing) == 1 else ''}: {_effects(changing)}.")
    quiet = len(plan.hosts) - len(changing)
    if quiet:
        parts.append(f"{count(quiet, 'host')} {'is' if quiet == 1 else 'are'} as declared.")
    if plan.failed:
        parts.append(paint(f"{count(len(plan.failed), 'host')} could not be asked.", "red"))
    return fold(f"{' '.join(parts)}  {duration(seconds)}", "  ")


def failure(host: str, error: HakitError) -> str:
    """What went wrong with a host, for a line that begins with its name."""
    text = pasteable(printable(error.text().removeprefix(f"{host}: ")))
    return f"{paint('✗', 'red')} {text}".replace("\n", "\n    ")


def rejection_lines(rejection: Rejection) -> Iterator[str]:
    """Why something is refused: message, the line it points at, where that line comes from."""
    place = f"{rejection.path}:{rejection.line}: " if rejection.path and rejection.line else ""
    message = rejection.message.replace(f" {rejection.path}:", " this:") if place else rejection.message
    yield place + printable(message)
    source = rejection.source
    if source is not None:
        origin = [f"{source.template}:{source.line}"] if source.template else []
        yield f"from {', '.join([*origin, *(str(value) for value in source.origins)])}"
    if rejection.output and not place:
        yield from printable(rejection.output).splitlines()


def plan_json(plan: SitePlan, steps: Iterable[Step] = (), foreseen: Foreseen = NOTHING) -> dict[str, Any]:
    """The plan for programs; `steps` are what will be carried out, `foreseen` what is handed over before."""
    return {
        "hosts": {
            host.host: {
                "changes": [_change_json(change) for change in host.changes],
                "same": host.same,
                "impact": host.impact,
                "release": host.facts.release,
                "notes": list(host.notes),
            }
            for host in plan.hosts.values()
        },
        "failed": {host: error.text() for host, error in plan.failed.items()},
        "out": {host: {name: getattr(mark, name) for name in mark._fields} for host, mark in plan.marks.items()},
        "order": order_json(steps),
        "handovers": handovers_json(foreseen),
        "differs": bool(plan.changing),
    }


def _head(host: HostPlan, site: Site) -> str:
    known = site.hosts[host.host]
    zone = f"  zone {known.zone}" if known.zone else ""
    return f"{paint(host.host, bold=True)}  {' '.join(known.groups)}{zone}"


def _body(host: HostPlan, *, diffs: bool) -> str:
    lines: list[str] = []
    for change in host.refused or host.changes:
        lines.append(_line(change))
        if change.rejection is not None:
            lines += [f"      {text}" for text in rejection_lines(change.rejection)]
        if diffs:
            for diff in change.diffs:
                lines += _diff(diff, alone=len(change.diffs) == 1)
    left = len(host.changes) - len(host.refused)
    if host.refused and left:
        lines.append(paint(f"    {count(left, 'other change')} of this host left until that is mended", dim=True))
    return "\n".join(lines)


def _line(change: Change) -> str:
    sign = paint(SIGNS[change.kind], COLOURS[change.kind], bold=True)
    effect = sentence(change.summary)
    known = f"({change.after})" if change.after else ""
    right = " ".join(part for part in (effect, known) if part)
    shown = label(change.key)
    return fold(f"  {sign} {shown}" + (f"{' ' * max(2, 46 - len(shown))}{right}" if right else ""), " " * 6)


def _diff(diff: FileDiff, *, alone: bool) -> list[str]:
    lines = [] if alone else [f"      {diff.path}"]
    if diff.note:
        return [*lines, paint(f"      {diff.note}", dim=True)]
    if diff.new:
        return [*lines, paint(f"      new, {count(len(diff.lines) - 1, 'line')}", dim=True)] if not alone else []
    for text in diff.lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(text[:1])
        shown = text if text.startswith("@") else f"{text[:1]} {text[1:]}"
        lines.append(f"    {paint(printable(shown).rstrip(), colour)}")
    return lines


def _effects(changing: tuple[HostPlan, ...]) -> str:
    changes = [change for host in changing for change in host.changes if not host.refused or change.kind == "refused"]
    words = [
        count(number, noun)
        for noun, number in (
            ("new resource", sum(change.kind == "add" for change in changes)),
            ("change", sum(change.kind in ("change", "unknown") and not _is_network(change) for change in changes)),
            ("removal", sum(change.kind == "remove" for change in changes)),
            ("reload", sum(change.impact == "reload" for change in changes)),
            ("restart", sum(change.impact == "disruptive" and not _is_network(change) for change in changes)),
            ("network change", sum(_is_network(change) for change in changes)),
            ("joint change", sum(change.impact == "group-atomic" for change in changes)),
        )
        if number
    ]
    refused = sum(change.kind == "refused" for change in changes)
    if refused:
        words.append(paint(f"{refused} refused", "red"))
    elif not any(change.impact in ("disruptive", "group-atomic") for change in changes):
        words.append("no service interrupted")
    return ", ".join(words)


def _is_network(change: Change) -> bool:
    return change.key.startswith("network:") and change.kind in ("add", "change")


def _change_json(change: Change) -> dict[str, Any]:
    kind, name = change.key.split(":", 1)
    out: dict[str, Any] = {
        "type": kind,
        "name": name,
        "action": change.kind,
        "summary": list(change.summary),
        "impact": change.impact,
    }
    if change.after:
        out["after"] = change.after
    if change.diffs:
        out["files"] = [
            {"path": diff.path, "new": diff.new, "diff": list(diff.lines), "note": diff.note} for diff in change.diffs
        ]
    if change.rejection:
        out["refused"] = list(rejection_lines(change.rejection))
    return out
