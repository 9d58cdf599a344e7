"""Random inventories of balancers, web hosts and database clusters, and what lint leaves of them.

A random inventory is nearly always wrong somewhere. So each is judged as it is, and once more without the settings
that were refused: what remains must be accepted by the daemons.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from hakit.components.registry import discover
from hakit.engine.render import broken
from hakit.errors import InventoryError
from hakit.inventory import load
from hakit.lint import findings
from hakit.lint.registry import rules
from tests.unit.components import random_clusters
from tests.unit.components.arbitrary import HOST_NAMES, NAMES, VOCABULARY, Arbitrary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from hakit.inventory.model import Site
    from hakit.inventory.origin import Problem

COMPONENTS = discover()
SECRET = "s3cret"  # noqa: S105 - planted for the tests
REPAIRS = 40
"""Rounds after which an inventory must have nothing left that can be refused."""

URLS = st.sampled_from(
    [
        "/",
        "/healthz",
        "/a/b?c=d&e=%20",
        "/~x",
        "/$(id)",
        "/`id`",
        "/%[src]",
        "/a,b;c",
        "/(x)[y]",
        "/$HOME",
        "/%",
        "/!|&<>",
        "/" + "x" * 2000,
        "/@*^:",
    ]
)
ENDPOINTS = VOCABULARY["address:port, *:port for all"]
COMMANDS = st.sampled_from(
    [
        "/bin/true",
        "/usr/bin/test a = a",
        "/bin/sh -c 'exit 0'",
        "/bin/true $(id) `id`",
        "/bin/true #x",
        "/bin/true !x",
        "/bin/true }",
        "/bin/true { x",
        "/bin/true $X ${Y} $",
        "/bin/true ~SEQ(a,1,2)",
        "/bin/true é€",
        "/bin/true  a ",
        "/bin/true 'open",
        "/bin/true @x",
        "/bin/true " + "x" * 900,
        "/bin/true include /etc/passwd",
    ]
)
SECTION = ["", "# a comment", "   ", "backlog 100"]
FIELDS: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("HaproxySettings", "log"): st.sampled_from(
        [
            "/dev/log local0",
            "10.77.0.5:514 local1 notice",
            "[fd00::5]:514 local0",
            "stdout format raw daemon",
            "127.0.0.1 len 1024 local7 info err",
            "nonsense",
            "/dev/log",
            "",
            "/dev/log local9",
            "a b c",
            "'x' local0",
        ]
    ),
    ("HaproxySettings", "extra"): st.lists(
        st.sampled_from(["", "# x", "nbthread 2", "tune.bufsize 32768", "ulimit-n 100000", "log 10.77.0.5:514 local1"]),
        max_size=2,
    ),
    ("Defaults", "extra"): st.lists(
        st.sampled_from(["# x", "option splice-auto", "option log-health-checks"]), max_size=2
    ),
    ("Frontend", "extra"): st.lists(st.sampled_from([*SECTION, "stats enable"]), max_size=2),
    ("Pool", "extra"): st.lists(
        st.sampled_from(["", "# x", "fullconn 100", "stick-table type ip size 1k"]), max_size=1
    ),
    ("Listen", "extra"): st.lists(st.sampled_from([*SECTION, "fullconn 100"]), max_size=1),
    ("Pool", "options"): st.sampled_from(["", "send-proxy", "slowstart 10s", "ssl verify none", "  ", "# x"]),
    ("Listen", "options"): st.sampled_from(["", "send-proxy", "slowstart 10s"]),
    ("Server", "options"): st.sampled_from(
        ["", "no-check", "disabled", "send-proxy-v2", "cookie other", " on-error mark-down "]
    ),
    ("Frontend", "bind"): st.lists(
        st.builds(str.__add__, ENDPOINTS, st.sampled_from(["", "", " accept-proxy", " transparent", " "])),
        min_size=1,
        max_size=3,
    ),
    ("Check", "http"): URLS,
    ("Route", "path"): URLS,
    ("Stats", "path"): URLS,
    ("KeepalivedSettings", "extra"): st.lists(
        st.sampled_from(["", "# x", "vrrp_garp_master_repeat 1", "vrrp_strict", "max_auto_priority 1"]), max_size=2
    ),
    ("Instance", "extra"): st.lists(
        st.sampled_from(
            ["", "# x", "debug 1", "strict_mode on", "state MASTER", "dont_track_primary", "notify_fault /x"]
        ),
        max_size=2,
    ),
    ("SyncGroup", "extra"): st.lists(st.sampled_from(["", "# x", "notify_fault /bin/true"]), max_size=1),
    ("Script", "command"): COMMANDS,
}
FIELDS["Listen", "bind"] = FIELDS["Frontend", "bind"]
ARBITRARY = Arbitrary({**FIELDS, **random_clusters.FIELDS})
HAPROXY = ARBITRARY.settings(COMPONENTS["haproxy"].Settings)
KEEPALIVED = ARBITRARY.settings(COMPONENTS["keepalived"].Settings)
POSTGRESQL = ARBITRARY.settings(COMPONENTS["postgresql"].Settings)
BALANCERS = ("lb1", "lb-2.example.org", "3")
GROUPS = {
    "web": ["web1", "web.2", "n:3"],
    "db": ["db1", "db2"],
    "databases": ["pg1", "pg-2", "pg.3", "pg_4", "5"],
    "empty": [],
}
HOSTS = (*BALANCERS, *GROUPS["web"], *GROUPS["db"], *GROUPS["databases"])


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, Any]:
    """Up to three balancers that share their settings, or have some of their own, and often clusters behind them."""
    balancers = BALANCERS[: draw(st.integers(1, 3))]
    hosts: dict[str, Any] = {name: {"ansible_host": draw(_address(place))} for place, name in enumerate(HOSTS, 11)}
    clusters = _clusters(draw, hosts)
    shared: dict[str, Any] = {"haproxy": _haproxy(draw, clusters)} if draw(st.integers(0, 5)) else {}
    if draw(st.integers(0, 3)) or not shared:
        shared["keepalived"] = _keepalived(draw, balancers)
    if draw(st.booleans()):
        shared["lint"] = {"ignore": dict.fromkeys(draw(st.lists(WAIVABLE, max_size=12, unique=True)), "random")}
    if not draw(st.integers(0, 3)):
        own = draw(st.sampled_from(sorted({"haproxy", "keepalived"} & set(shared))))
        hosts[draw(st.sampled_from(balancers))]["hakit"] = {own: draw(HAPROXY if own == "haproxy" else KEEPALIVED)}
    if not draw(st.integers(0, 4)):
        hosts[balancers[0]].setdefault("hakit", {})["zone"] = draw(NAMES)
    children: dict[str, Any] = {name: {"hosts": dict.fromkeys(members)} for name, members in GROUPS.items()}
    for name, settings in clusters.items():
        children[name]["vars"] = {"hakit": {"postgresql": settings, "release": draw(st.sampled_from([12, 12, 13]))}}
    children["balancers"] = {"hosts": dict.fromkeys(balancers), "vars": {"hakit": shared}}
    return {"all": {"hosts": hosts, "children": children}}


WAIVABLE = st.sampled_from(sorted(one.id for one in rules(COMPONENTS).values() if one.waivable))


def _address(place: int) -> st.SearchStrategy[str]:
    usual = st.just(f"10.77.0.{place}")
    return st.one_of(usual, usual, usual, st.just(f"fd00:77::{place}"), HOST_NAMES)


def _name(draw: st.DrawFn, known: Iterable[str]) -> str:
    """One of the names that exist, nearly always."""
    names = list(known)
    strange = not draw(st.integers(0, 24))
    return draw(NAMES if strange or not names else st.sampled_from(names))


def _clusters(draw: st.DrawFn, hosts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of clusters by the group that is one; each of its hosts may have some of its own."""
    groups = draw(st.sampled_from([(), (), ("databases",), ("databases",), ("databases", "db")]))
    found = {}
    for group in groups:
        members = GROUPS[group]
        settings = random_clusters.shared(draw, draw(POSTGRESQL), group, members)
        for name in members:
            own = random_clusters.own(draw, members, name, settings["primary"])
            if own:
                hosts[name]["hakit"] = {"postgresql": own}
            if not random_clusters.is_address(hosts[name]["ansible_host"]) and draw(st.integers(0, 9)):
                hosts[name]["ansible_host"] = f"10.77.2.{len(hosts) + members.index(name)}"
        found[group] = settings
    return found


def _leads_to_members(draw: st.DrawFn, pool: dict[str, Any], clusters: Collection[str]) -> None:
    """Have a pool's servers be the members of a cluster, by their role."""
    pool["postgresql"] = _name(draw, clusters)
    pool["role"] = draw(st.sampled_from(["primary", "replica", "any"]))
    for key in ("group", "servers", "check", "sticky", "max_lag"):
        if draw(st.integers(0, 3)):
            pool.pop(key, None)
    if draw(st.integers(0, 4)):
        pool["mode"] = "tcp"


def _haproxy(draw: st.DrawFn, clusters: Collection[str]) -> dict[str, Any]:
    settings: dict[str, Any] = draw(HAPROXY)
    mode = draw(st.sampled_from(["http", "tcp", None]))
    backends = settings.setdefault("backends", {})
    backends.setdefault("web", {})
    for frontend in settings.get("frontends", {}).values():
        frontend["backend"] = _name(draw, backends)
        for route in frontend.get("routes", []):
            route["backend"] = _name(draw, backends)
        if mode:
            frontend["mode"] = mode
    for pool in (*backends.values(), *settings.get("listens", {}).values()):
        if mode:
            pool.pop("mode", None)
        if draw(st.integers(0, 9)):
            pool["group"] = _name(draw, [*GROUPS, "web1"])
        by_role = draw(st.booleans())
        if clusters and by_role:
            _leads_to_members(draw, pool, clusters)
        else:
            pool.setdefault("port", 8080)
    return settings


def _keepalived(draw: st.DrawFn, balancers: tuple[str, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = draw(KEEPALIVED)
    instances = settings.get("instances", {})
    for place, instance in enumerate(instances.values()):
        if draw(st.integers(0, 4)):
            instance["virtual_router_id"] = 50 + place
        own = f"10.77.0.{100 + place}/24"
        instance["addresses"].insert(draw(st.integers(0, len(instance["addresses"]))), own)
        if "prefer" in instance:
            instance["prefer"] = _name(draw, balancers)
        if "track" in instance:
            instance["track"] = [_name(draw, ["haproxy"])]
        for key, known in (("track_scripts", "scripts"), ("track_files", "files")):
            if key in instance:
                instance[key] = [_name(draw, settings.get(known, {})) for _ in instance[key]]
        if draw(st.booleans()):
            instance.pop("priority", None)
    for group in settings.get("sync_groups", {}).values():
        group["instances"] = [_name(draw, instances) for _ in group["instances"]]
    return settings


@dataclass(frozen=True)
class Verdict:
    """What hakit makes of an inventory: the site that may be rendered, or none, and the problems it tells."""

    site: Site | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those that refuse it."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def judged(inventory: dict[str, Any], folder: Path) -> Verdict:
    """As `hakit lint` judges; every problem has its place and prints safely."""
    path = folder / "hosts.json"
    path.write_text(json.dumps(inventory, ensure_ascii=False), encoding="utf-8")
    site = None
    try:
        site = load(path, {name: one.Settings for name, one in COMPONENTS.items()})
        told = findings(site, COMPONENTS)
        if not any(problem.severity == "error" for problem in told):
            told = (*told, *broken(site, COMPONENTS))
    except InventoryError as error:
        told = tuple(error.problems)
    for problem in told:
        assert problem.mark is not None, problem
        assert problem.text().isprintable(), problem
    verdict = Verdict(site, told)
    return Verdict(None, told) if verdict.errors else verdict


def sound(inventory: dict[str, Any], folder: Path) -> tuple[dict[str, Any], Site]:
    """What is left of an inventory when everything that hakit refuses is taken out of it, and its site."""
    left = copy.deepcopy(inventory)
    for _ in range(REPAIRS):
        verdict = judged(left, folder)
        if verdict.site is not None:
            return left, verdict.site
        # From the last to the first, so that places in lists stay what they were.
        keys = sorted({problem.key.removeprefix("hakit.") for problem in verdict.errors}, reverse=True)
        if not _taken_out(left, keys):
            assert _taken_out(left, [_around(key) for key in keys]), verdict.errors
    raise AssertionError(f"still refused: {[problem.text() for problem in judged(left, folder).errors]}")


def _around(key: str) -> str:
    return key[: max(key.rfind("."), key.rfind("["))]


def _taken_out(inventory: dict[str, Any], keys: list[str]) -> bool:
    taken = [_take_out(inventory, key) for key in keys]
    return any(taken)


def _take_out(inventory: dict[str, Any], key: str) -> bool:
    """Remove a setting wherever it is said, or the address of hosts that can't have theirs."""
    hosts, children = inventory["all"]["hosts"], inventory["all"]["children"]
    if key == "ansible_host":
        for name, host in hosts.items():
            host["ansible_host"] = f"10.77.1.{list(hosts).index(name)}"
        return True
    spoken = [child.get("vars", {}).get("hakit") for child in children.values()]
    spoken += [host.get("hakit") for host in hosts.values()]
    taken = [_removed(hakit, key) for hakit in spoken if hakit is not None]
    return any(taken)


def _removed(data: Any, key: str) -> bool:
    """Take the value at a dotted key out of nested data; names may hold dots."""
    if isinstance(data, list):
        written, _, rest = key.removeprefix("[").partition("]")
        known: list[Any] = [int(written)] if written.isdecimal() and int(written) < len(data) else []
        names = dict.fromkeys(known, rest)
    else:
        known = sorted(data, key=len, reverse=True) if isinstance(data, dict) else []
        names = {name: key.removeprefix(name) for name in known if key.startswith(name)}
    for name, rest in names.items():
        if not rest:
            del data[name]
            return True
        if rest[0] in ".[" and _removed(data[name], rest.removeprefix(".")):
            return True
    return False
