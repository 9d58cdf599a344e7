"""Who stands in for whom in a cluster, how a member is put aside, and what `hakit status` asks and says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hakit.agent.actions import Action
from hakit.agent.postgres.place import aside
from hakit.agent.probes import Probe
from hakit.components.base import Order, RedundancyGroup, Report, Withdrawal
from hakit.components.postgresql.members import COMPONENT, balancers, cluster_of, clusters, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from hakit.components.base import Answer
    from hakit.components.postgresql.members import Cluster
    from hakit.inventory.model import Host, Site

    Level = Literal["good", "risk", "bad"]

STATE, READY = "state", "ready"
ANSWERS = 2.0
"""Seconds for the role endpoint, which answers in milliseconds while its host is well."""
PUT_ASIDE = "it is being changed\n"


def url(host: Host, path: str, *, loopback: bool = False) -> str:
    """Where a member's role endpoint answers, for its peers or for itself."""
    address = "127.0.0.1" if loopback else f"[{host.address}]" if ":" in host.address else host.address
    return f"http://{address}:{settings_of(host).endpoint.port}/{path}"


def groups(site: Site) -> Iterator[RedundancyGroup]:
    """The members of each cluster, each seen by the next one; the one it was made on last."""
    for cluster in clusters(site).values():
        hosts = cluster.hosts
        if len(hosts) < 2:  # noqa: PLR2004 - nobody stands in for a single one
            continue
        askers = dict(zip(cluster.names, (*cluster.names[1:], cluster.names[0]), strict=True))
        yield RedundancyGroup(
            name=group_name(cluster),
            component=COMPONENT,
            hosts=tuple(sorted(cluster.names, key=lambda name: name == cluster.maker)),
            probes={host.name: (_ready(host, askers[host.name]),) for host in hosts},
            # All members answer at the same port, so one question fits each of them.
            holder=Probe(kind="http", target=url(hosts[0], "primary", loopback=True), timeout=ANSWERS),
            keep=keep(cluster),
            patience=cluster.first.replication.catch_up,
        )


def group_name(cluster: Cluster) -> str:
    """What the members are called together."""
    return f"postgresql {cluster.name}"


def keep(cluster: Cluster) -> int:
    """How many members must serve while another is changed: so many that commits go on, but one can be spared."""
    synchronous = cluster.first.synchronous
    waited = (synchronous.any or synchronous.first or 0) if synchronous else 0
    return max(1, min(waited + 1, len(cluster.hosts) - 1))


def _ready(host: Host, asker: str) -> Probe:
    return Probe(kind="http", target=url(host, "ready"), seen_from=asker, timeout=ANSWERS)


def withdrawals(site: Site, host: Host) -> Iterator[Withdrawal]:
    """A standby is called no replica, so that balancers elsewhere send readers to another one; a primary stays one.

    Balancers of the inventory are told by their own component, which also waits until they have no session on it.
    """
    if COMPONENT not in host.settings:
        return
    cluster = cluster_of(site, host)
    if len(cluster.hosts) > 1 and settings_of(host).endpoint.allow and not balancers(site, cluster):
        target = aside(cluster.name)
        yield Withdrawal(
            what=f"postgresql {cluster.name}",
            out=(Order(host.name, Action(kind="write", target=target, text=PUT_ASIDE)),),
            back=(Order(host.name, Action(kind="remove", target=target)),),
        )


def inspect(host: Host) -> dict[str, Probe]:
    """What `report` needs to know."""
    return {
        STATE: Probe(kind="http", target=url(host, "state", loopback=True), match=r"\{", timeout=ANSWERS),
        READY: Probe(kind="http", target=url(host, "ready", loopback=True), match=r"\A", timeout=ANSWERS),
    }


def report(site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterator[Report]:
    """The role of the member, and whether it is one that another could rely on."""
    if STATE not in answers:
        return
    cluster = cluster_of(site, host)
    subject, path = f"PostgreSQL {cluster.name}", (COMPONENT, "cluster")
    state = _parsed(answers[STATE])
    if state is None:
        yield Report(subject, "unknown", "bad", f"its role endpoint does not answer: {answers[STATE].detail}", path)
        return
    role = str(state.get("role") or "unknown")
    level, detail = _meaning(role, state, answers.get(READY))
    yield Report(subject, role, level, detail, path, group_name(cluster))


def _parsed(answer: Answer) -> dict[str, Any] | None:
    try:
        state = json.loads(answer.detail) if answer.ok else None
    except ValueError:
        return None
    return state if isinstance(state, dict) else None


def _meaning(role: str, state: Mapping[str, Any], ready: Answer | None) -> tuple[Level, str]:
    where = f"timeline {state.get('timeline') or '?'} at {state.get('lsn') or '?'}"
    if role not in ("primary", "standby"):
        return "bad", where
    if state.get("held"):
        return "risk", f"held back: {state['held']}; {where}"
    if ready is None or not ready.ok:
        why = ready.detail.strip() if ready else "it could not be asked"
        return "risk", f"{why}; {where}"
    return "good", where
