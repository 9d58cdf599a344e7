"""How the end of an apply looks: a table per host where something went wrong or changed, one line, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.present.terminal import count, duration, fold, paint, printable

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.engine.outcome import HostResult, NetworkEnd, Outcome, State
    from hakit.engine.records import Record

COLOURS = {"changed": "green", "failed": "red", "unreachable": "red", "not started": "yellow"}


def result_text(outcome: Outcome, record: Record, inventory: Path, seconds: float, command: str = "apply") -> str:
    """Table, total and next command; `command` is what was run."""
    table = [(host, result) for host, result in sorted(outcome.hosts.items()) if result.state != "same"]
    lines = [_row(host, result) for host, result in table]
    lines += [
        f"Log: {record.log(host)}" for host, result in table if result.state == "failed" and record.log(host).exists()
    ]
    head = "Done" if outcome.good else "Stopped" if outcome.stopped else "Failed"
    parts = [
        f"{count(outcome.count('changed'), 'host')} changed",
        f"{outcome.count('same')} unchanged",
        f"{outcome.count('failed')} failed",
    ]
    rare: tuple[State, ...] = ("not started", "unreachable")
    parts += [f"{outcome.count(state)} {state}" for state in rare if outcome.count(state)]
    lines.append(fold(f"{head}: {', '.join(parts)}.  {duration(seconds)}   run {record.id}", "  "))
    mend = "Mend it, then run again" if outcome.count("failed", "unreachable") else "Go on with"
    again = "Check it with  hakit verify" if outcome.good else f"{mend}  hakit {command}"
    lines.append(f"{again} -i {inventory}")
    return "\n".join(lines)


def result_json(outcome: Outcome, run_id: str) -> dict[str, Any]:
    """The result for programs."""
    return {
        "run": run_id,
        "good": outcome.good,
        "stopped": outcome.stopped,
        "hosts": {
            host: {
                "state": one.state,
                "changed": one.changed,
                "seconds": round(one.seconds, 3),
                "why": one.why,
                **({} if one.network is None else {"network": _network_json(one.network)}),
            }
            for host, one in sorted(outcome.hosts.items())
        },
    }


def _network_json(end: NetworkEnd) -> dict[str, Any]:
    return {"how": end.how, "seconds": round(end.seconds, 3), "why": end.why, "log": list(end.log)}


def _row(host: str, result: HostResult) -> str:
    state = paint(f"{result.state:<12}", COLOURS.get(result.state))
    changed = count(result.changed, "change") if result.changed else ""
    took = duration(result.seconds) if result.seconds else ""
    why, _, _ = printable(result.why).partition("\n")
    row = f"{host:<12} {state} {changed:<12} {took:<8} {why}".rstrip()
    return fold(row, " " * 13)
