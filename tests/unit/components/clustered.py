"""Sites with a PostgreSQL cluster behind balancers, as HAProxy sees them: the settings of the members alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hakit.components.haproxy import Haproxy
from hakit.components.postgresql.settings import PostgresqlSettings
from hakit.components.system import System
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from hakit.inventory import load
from hakit.lint import findings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakit.inventory.model import Site

COMPONENTS = {"system": System(), "haproxy": Haproxy()}
MEMBERS = ("db1", "db2", "db3")
WRITES = {"postgresql": "main", "role": "primary"}
READS = {"postgresql": "main", "role": "replica", "max_lag": "16MB"}
POOLS: dict[str, Any] = {
    "orders": {"bind": ["10.1.0.100:5432"], **WRITES},
    "reports": {"bind": ["10.1.0.100:5433"], **READS},
}


def balanced(
    folder: Path,
    listens: Mapping[str, Any] | None = None,
    *,
    members: Mapping[str, Mapping[str, Any]] | None = None,
    cluster: Mapping[str, Any] | None = None,
    **haproxy: Any,
) -> Site:
    """Two balancers with these pools; `members` are the settings of each member beside those of the `cluster`."""
    shared: dict[str, Any] = {
        "cluster": "main",
        "primary": "db1",
        "replication": {"password": {"secret": "pg"}},
        **(cluster or {}),
    }
    databases = {
        name: {"ansible_host": f"10.1.0.{place}", "hakit": {"postgresql": {**shared, **own}}}
        for place, (name, own) in enumerate((members or {key: {} for key in MEMBERS}).items(), 31)
    }
    balancer = {"haproxy": {"listens": POOLS if listens is None else dict(listens), **haproxy}}
    balancers = {
        name: {"ansible_host": f"10.1.0.1{place}", "hakit": balancer} for place, name in enumerate(("lb1", "lb2"), 1)
    }
    children = {"databases": {"hosts": dict.fromkeys(databases)}}
    inventory = {"all": {"hosts": {**balancers, **databases, "app1": {}}, "children": children}}
    path = folder / "inventory.json"
    path.write_text(json.dumps(inventory))
    settings = {name: one.Settings for name, one in COMPONENTS.items()} | {"postgresql": PostgresqlSettings}
    return load(path, settings, need_secrets=False)


def found(site: Site) -> dict[str, str]:
    """What lint finds of HAProxy: key → rule id and message."""
    told = {problem.key: f"{problem.rule or ''} {problem.message}".strip() for problem in findings(site, COMPONENTS)}
    return {key: text for key, text in told.items() if not text.startswith("XS")}


def rendered(site: Site, name: str = "lb1") -> dict[str, str]:
    """The files of a balancer, by path."""
    host = site.hosts[name]
    declared = declare(site, COMPONENTS, host, offline(site, host), Templates(site))
    return {path: content.reveal() for path, content in declared.contents().items()}
