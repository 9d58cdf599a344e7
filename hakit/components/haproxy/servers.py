"""What HAProxy says of its servers, and what it means for `hakit status`."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.probes import Probe
from hakit.components.base import Report
from hakit.components.haproxy import clusters, view
from hakit.components.haproxy.paths import ADMIN_SOCKET, ALL_SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from hakit.components.base import Answer
    from hakit.components.haproxy.settings import HaproxySettings, Pool
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
    def refuses(self) -> bool:
        """Whether it answers its check, and says no."""
        return not self.up and self.check == "L7STS"

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
    settings = view.settings_of(host)
    for kind, name, pool in view.pools(settings):
        path: Path = ("haproxy", kind, name)
        if not answer.ok:
            yield Report(f"pool {name}", "unknown", "bad", f"HAProxy does not answer: {answer.detail}", path)
        elif pool.role == "primary":
            yield _writes(name, pools.get(name, []), pools.get(f"{clusters.CLAIMS}{name}", []), path)
        else:
            servers = pools.get(name, [])
            yield _pool(name, servers, _primaries(settings, pool, servers, pools), path)


def _pool(name: str, servers: list[Server], primaries: set[str], path: Path) -> Report:
    """A pool whose servers all take clients, but for `primaries`, which are down in it by design."""
    up = sum(server.up for server in servers)
    missing = [server for server in servers if not server.up and server.name not in primaries]
    level: Level = "bad" if not up else "risk" if missing else "good"
    faults = "; ".join(server.fault for server in missing)
    if not servers:
        faults = "HAProxy does not know this pool"
    return Report(f"pool {name}", f"{up} of {len(servers)} up", level, faults, path)


def _primaries(
    settings: HaproxySettings, pool: Pool, servers: list[Server], pools: Mapping[str, list[Server]]
) -> set[str]:
    """The server that a pool of standbys does without: whoever gets the writes.

    A balancer that has no pool for writes does not know; to it the first one that refuses reads may be the primary.
    """
    if pool.role != "replica":
        return set()
    others = [(name, one) for _, name, one in view.pools(settings) if one.postgresql == pool.postgresql]
    writes = [name for name, one in others if one.role == "primary"]
    if writes:
        return {server.name for name in writes for server in pools.get(name, []) if server.up}
    return set([server.name for server in servers if server.refuses][:1])


def _writes(name: str, servers: list[Server], claims: list[Server], path: Path) -> Report:
    """A pool that only the primary serves in: one is right, and none while two claim to be it."""
    up = [server for server in servers if server.up]
    claiming = [server.name for server in claims if server.up and server.check == "L7OK"]
    state = f"{len(up)} of {len(servers)} up"
    if len(claiming) > 1 or len(up) > 1:
        names = " and ".join(claiming if len(claiming) > 1 else [server.name for server in up])
        return Report(f"pool {name}", state, "bad", f"{names} both claim to be the primary: neither gets writes", path)
    if up:
        return Report(f"pool {name}", state, "good", f"{up[0].name} gets the writes", path)
    faults = "; ".join(server.fault for server in servers) or "HAProxy does not know this pool"
    return Report(f"pool {name}", state, "bad", faults, path)


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
