"""What HAProxy says of its servers, and what it means for `hakit status`."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.probes import Probe
from hakit.components.base import Report
from hakit.components.haproxy import view
from hakit.components.haproxy.paths import ADMIN_SOCKET, ALL_SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from hakit.components.base import Answer
    from hakit.inventory.model import Host
    from hakit.inventory.origin import Path

    Level = Literal["good", "risk", "bad"]

ASKED = "servers"
_STEPS = ((86400, "d"), (3600, "h"), (60, "m"))
_OUT = {"MAINT": "in maintenance", "DRAIN": "drained", "NOLB": "takes no new clients"}
"""The words of `status` for servers that someone took out (HAProxy's management guide, 9.1)."""


@dataclass(frozen=True, slots=True)
class Server:
    """A row of `show stat`: `since` are the seconds since its state changed, `check` the last check's result."""

    name: str
    status: str
    since: int
    check: str

    @property
    def up(self) -> bool:
        """Whether it takes clients: UP, also on the way down; and without a check, when HAProxy believes in it."""
        return self.status.startswith(("UP", "no check"))

    @property
    def fault(self) -> str:
        """Why it takes no clients: `web3 down 4m: L4CON`."""
        word = self.status.split()[0] if self.status else "?"
        if word in _OUT:
            return f"{self.name} {_OUT[word]} {ago(self.since)}"
        return f"{self.name} {word.lower()} {ago(self.since)}" + (f": {self.check}" if self.check else "")


def inspect(host: Host) -> dict[str, Probe]:
    """One question for all servers of a balancer."""
    if not any(view.pools(view.settings_of(host))):
        return {}
    probe = Probe(kind="socket", target=ADMIN_SOCKET, text=ALL_SERVERS, match=r"\A# pxname,svname,", timeout=3)
    return {ASKED: probe}


def report(host: Host, answers: Mapping[str, Answer]) -> Iterator[Report]:
    """How many servers of each pool are up, and what is the matter with the others."""
    answer = answers.get(ASKED)
    if answer is None:
        return
    pools = parse(answer.detail) if answer.ok else {}
    for kind, name, _ in view.pools(view.settings_of(host)):
        path: Path = ("haproxy", kind, name)
        if answer.ok:
            yield _pool(name, pools.get(name, []), path)
        else:
            yield Report(f"pool {name}", "unknown", "bad", f"HAProxy does not answer: {answer.detail}", path)


def _pool(name: str, servers: list[Server], path: Path) -> Report:
    up = sum(server.up for server in servers)
    level: Level = "bad" if not up else "good" if up == len(servers) else "risk"
    faults = "; ".join(server.fault for server in servers if not server.up)
    if not servers:
        faults = "HAProxy does not know this pool"
    return Report(f"pool {name}", f"{up} of {len(servers)} up", level, faults, path)


def parse(text: str) -> dict[str, list[Server]]:
    """The servers of each pool in the CSV of `show stat`; a row that was cut short is left out."""
    found: dict[str, list[Server]] = defaultdict(list)
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        since = row.get("lastchg") or ""
        if row.get("check_status") is not None and row["svname"] not in ("FRONTEND", "BACKEND"):
            check = str(row["check_status"]).removeprefix("* ")
            found[row["pxname"]].append(
                Server(row["svname"], row["status"], int(since) if since.isdigit() else 0, check)
            )
    return found


def ago(seconds: int) -> str:
    """A duration, rounded to its largest unit: `4m`."""
    return next((f"{seconds // size}{unit}" for size, unit in _STEPS if seconds >= size), f"{seconds}s")
