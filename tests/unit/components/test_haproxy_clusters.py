"""Pools before a PostgreSQL cluster: what is derived, refused, found by lint, told to the gate and by status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.base import Answer
from hakit.components.haproxy import Haproxy
from tests.unit.components.clustered import POOLS, READS, WRITES, balanced, found, rendered
from tests.unit.components.daemons import haproxy_says

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.components.base import RedundancyGroup, Report

HAPROXY = Haproxy()
CONFIG, SEED = "/etc/haproxy/haproxy.cfg", "/usr/local/lib/hakit/haproxy-seed"


def pools(**own: Any) -> dict[str, Any]:
    """The two pools, `orders` with settings of its own."""
    return {**POOLS, "orders": {**POOLS["orders"], **own}}


def reads(**own: Any) -> dict[str, Any]:
    return {"orders": {"bind": ["10.1.0.100:5433"], **READS, **own}}


def section(text: str, name: str) -> list[str]:
    """The lines of a section of a configuration."""
    return [
        line.strip() for line in re.split(rf"(?m)^(?:listen|backend) {name}$", text)[1].split("\n\n")[0].split("\n")
    ]


@pytest.mark.parametrize(
    ("listens", "options"),
    [
        (None, {}),
        (pools(check={"interval": "1s", "fast": "100ms", "timeout": "3s", "fall": 2, "rise": 3}), {}),
        (pools(maxconn=20, servers={"db2": {"maxconn": 10, "options": "send-proxy-v2"}}), {}),
        (reads(role="any", sticky="source", balance="first", servers={"db1": {"backup": True}}), {}),
        (
            {},
            {
                "frontends": {"orders": {"mode": "tcp", "bind": ["*:5432"], "backend": "orders.x-1"}},
                "backends": {"orders.x-1": WRITES},
            },
        ),
        (reads(role="any", max_lag=None), {"members": {"db1": {}, "db2": {"delay": "1h"}}}),
        (None, {"members": {"db1": {"port": 5433}, "db2": {"endpoint": {"port": 9008}}}}),
    ],
    ids=["plain", "own timing", "limits", "any", "frontend", "delayed", "own ports"],
)
def test_the_real_haproxy_accepts_it_and_lint_finds_nothing(
    tmp_path: Path, listens: dict[str, Any] | None, options: dict[str, Any]
) -> None:
    site = balanced(tmp_path, listens, **options)
    assert found(site) == {}
    assert haproxy_says(rendered(site)[CONFIG], tmp_path) == ""


def test_servers_ports_and_checks_come_from_the_cluster(tmp_path: Path) -> None:
    members: dict[str, Any] = {"db1": {}, "db2": {"port": 5440, "endpoint": {"port": 9008}}, "db3": {"delay": "1h"}}
    files = rendered(balanced(tmp_path, members=members))
    writes, reports = section(files[CONFIG], "orders"), section(files[CONFIG], "reports")
    assert [line for line in writes if line.startswith("server")] == [
        "server db1 10.1.0.31:5432 check port 8008",
        "server db2 10.1.0.32:5440 check port 9008",
        # Whoever claims to be the primary is seen, but who stays behind on purpose serves no reads.
        "server db3 10.1.0.33:5432 check port 8008",
    ]
    assert [line.split()[1] for line in reports if line.startswith("server")] == ["db1", "db2"]
    assert "mode tcp" in writes
    assert "default-server on-marked-down shutdown-sessions" in writes
    assert "default-server inter 500ms fastinter 250ms downinter 250ms fall 1 rise 1" in writes
    assert "timeout server 1h" in writes
    assert "http-check send meth GET uri /replica?lag=16MB ver HTTP/1.1 hdr Host reports" in reports
    assert {tuple(line.split()[1:6:2]) for line in files[SEED].splitlines()[2:] if line} == {
        (pool, name, "0")
        for pool, names in {"orders": ("db1", "db2", "db3"), "reports": ("db1", "db2")}.items()
        for name in names
    }


def test_what_a_pool_says_of_its_timing_holds(tmp_path: Path) -> None:
    lines = section(rendered(balanced(tmp_path, pools(check={"interval": "1s", "fall": 3})))[CONFIG], "orders")
    assert "default-server inter 1s fastinter 250ms downinter 250ms fall 3 rise 1" in lines


@pytest.mark.parametrize(
    ("listens", "key", "said"),
    [
        (
            pools(postgresql="mian"),
            "postgresql",
            "no host of the inventory is a member of a cluster mian (did you mean",
        ),
        (pools(role=None), "postgresql", "say who gets the sessions: role: primary (writes)"),
        (pools(max_lag="1MB"), "max_lag", "the primary is never behind"),
        (pools(mode="http"), "mode", "PostgreSQL does not speak HTTP"),
        (pools(group="databases"), "group", "the cluster says which servers there are: leave group out"),
        (pools(port=5432), "port", "the cluster says which port they have: leave port out"),
        (pools(check={"http": "/x"}), "check.http", "the role says how its servers are asked: leave http out"),
        (pools(check={"enabled": False}), "check.enabled", "the role says how its servers are asked"),
        (pools(check={"port": 8009}), "check.port", "the role says how its servers are asked"),
        (pools(sticky="source"), "sticky", "only the primary has work here, clients can't stick"),
        (pools(keep=1), "keep", "only the primary has work here, there is nobody to keep"),
        (pools(shutdown_sessions=False), "shutdown_sessions", "sessions have to end when their server"),
        (pools(options="no-check"), "options", "no-check would set aside the check that proves the role"),
        (pools(servers={"db1": {"options": "track web/a"}}), "servers.db1.options", "track would set aside"),
        (pools(servers={"db1": {"address": "10.9.0.9"}}), "servers.db1.address", "the cluster says where db1 is"),
        (pools(servers={"db1": {"port": 6432}}), "servers.db1.port", "the cluster says where db1 is"),
        (
            pools(servers={"db2": {"weight": 0}}),
            "servers.db2.weight",
            "only the primary has work here, whoever that is",
        ),
        (pools(servers={"db2": {"backup": True}}), "servers.db2.backup", "only the primary has work here"),
        (pools(servers={"bd1": {}}), "servers.bd1", "bd1 is no member of main (did you mean db1?)"),
        (pools(extra=["option pgsql-check user x"]), "extra[0]", "the role says how its servers are asked"),
        (pools(extra=["# x", "http-check expect status 500"]), "extra[1]", "the role says how its servers are asked"),
        (
            {"orders": {"bind": ["*:80"], "servers": {}, "role": "any"}},
            "role",
            "role is that of a PostgreSQL cluster's",
        ),
        ({"orders": {"bind": ["*:80"], "servers": {}, "max_lag": "1MB"}}, "max_lag", "postgresql: CLUSTER is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_contradicts_itself_is_refused_with_its_place(
    tmp_path: Path, listens: dict[str, Any], key: str, said: str
) -> None:
    told = found(balanced(tmp_path, listens))
    assert said in told.get(f"haproxy.listens.orders.{key}", f"nothing: {told}")


def test_a_name_of_hakits_own_sections_is_refused(tmp_path: Path) -> None:
    web = {"bind": ["*:80"], "servers": {"a": {"address": "10.9.0.1", "port": 80}}}
    told = found(balanced(tmp_path, {**POOLS, "hakit-claims-orders": web}))
    assert "one of hakit's own sections" in told["haproxy.listens.hakit-claims-orders"]


def test_an_http_frontend_does_not_lead_to_a_cluster(tmp_path: Path) -> None:
    site = balanced(
        tmp_path, {}, frontends={"orders": {"bind": ["*:5432"], "backend": "orders"}}, backends={"orders": WRITES}
    )
    assert "they need the same mode" in found(site)["haproxy.frontends.orders.backend"]


@pytest.mark.parametrize(
    ("listens", "cluster", "key", "said"),
    [
        (reads(shutdown_sessions=False), {}, "", ""),
        (reads(keep=1), {}, "", ""),
        (reads(keep=2), {}, "keep", "HP017 orders has 2 standbys that hakit changes and is to keep 2 of them"),
        (reads(role="any", keep=2), {}, "", ""),
        (pools(maxconn=97), {}, "", ""),
        (
            pools(maxconn=98),
            {},
            "maxconn",
            "HP007 orders can send 98 connections to db1, db2, db3, where clients have 97",
        ),
        (pools(maxconn=150), {"parameters": {"max_connections": 200}}, "", ""),
        (
            pools(maxconn=150),
            {"parameters": {"max_connections": 160, "superuser_reserved_connections": 11}},
            "maxconn",
            "where clients have 149",
        ),
        (
            {**reads(maxconn=60), "again": {"bind": ["*:5434"], **READS, "role": "any", "maxconn": 60}},
            {},
            "maxconn",
            "orders and again can send 120 connections to db1, db2, db3",
        ),
        # The primary and its standbys are never the same server at once.
        (
            {**POOLS, "orders": {**POOLS["orders"], "maxconn": 60}, "reports": {**POOLS["reports"], "maxconn": 60}},
            {},
            "",
            "",
        ),
    ],
    ids=[
        "uncut reads",
        "keep",
        "keep all",
        "keep of any",
        "fits",
        "one too many",
        "raised",
        "reserved",
        "sum",
        "roles",
    ],
)
def test_lint(tmp_path: Path, listens: dict[str, Any], cluster: dict[str, Any], key: str, said: str) -> None:
    told = found(balanced(tmp_path, listens, cluster=cluster))
    assert set(told) == ({f"haproxy.listens.orders.{key}"} if key else set())
    assert said in "".join(told.values())


def test_timeouts_that_cut_pools_and_old_workers_that_live_for_ever_are_found(tmp_path: Path) -> None:
    told = found(balanced(tmp_path, pools(timeouts={"client": "5m", "server": "1h"}), hard_stop_after="never"))
    assert {key: text[:5] for key, text in told.items()} == {
        "haproxy.listens.orders.timeouts.client": "HP015",
        "haproxy.hard_stop_after": "HP004",
    }


def group(site_groups: list[RedundancyGroup], name: str) -> RedundancyGroup | None:
    return next((one for one in site_groups if one.name == name), None)


def test_members_of_a_pool_for_writes_do_not_stand_in_for_each_other_and_are_not_drained(tmp_path: Path) -> None:
    site = balanced(tmp_path)
    assert group(list(HAPROXY.groups(site)), "haproxy pool orders") is None
    assert [one.what for one in HAPROXY.withdraw(site, site.hosts["db1"])] == ["haproxy pool reports"]


def test_the_primary_serves_where_standbys_are_kept_but_is_not_one_of_them(tmp_path: Path) -> None:
    pool = group(list(HAPROXY.groups(balanced(tmp_path))), "haproxy pool reports")
    assert pool is not None
    assert pool.hosts == ("db1", "db2", "db3")
    assert pool.keep == 2
    asked = [(probe.kind, probe.target, probe.seen_from) for probe in pool.probes["db2"]]
    assert asked == [("http", "http://10.1.0.32:8008/read?lag=16MB", name) for name in ("lb1", "lb2")]


HEAD = "# pxname,svname," + ",".join(f"f{place}" for place in range(3, 18)) + ",status,\n"


def statistics(**rows: tuple[str, ...]) -> str:
    """What HAProxy answers, with the status of db1, db2 … in each pool."""
    pools = {"claims": "hakit-claims-orders"}
    return HEAD + "".join(
        f"{pools.get(pool, pool)},db{place},{',' * 14},{status},\n"
        for pool, states in rows.items()
        for place, status in enumerate(states, 1)
    )


@pytest.mark.parametrize(
    ("orders", "reports", "serving"),
    [
        (("UP", "DOWN", "DOWN"), ("DOWN", "UP", "UP"), {"db1", "db2", "db3"}),
        (("UP", "DOWN", "DOWN"), ("DOWN", "UP", "DOWN"), {"db1", "db2"}),
        (("DOWN", "DOWN", "DOWN"), ("DOWN", "UP", "DOWN"), {"db2"}),
        (("DOWN", "UP", "DOWN"), ("UP", "DOWN", "UP 1/2"), {"db1", "db2"}),
        ((), (), {"db1", "db2", "db3"}),
    ],
    ids=["well", "a standby down", "no primary", "on its way", "not known yet"],
)
def test_who_gets_its_share_of_sessions(
    tmp_path: Path, orders: tuple[str, ...], reports: tuple[str, ...], serving: set[str]
) -> None:
    pool = group(list(HAPROXY.groups(balanced(tmp_path))), "haproxy pool reports")
    assert pool is not None
    text = statistics(orders=orders, reports=reports)
    matching = {
        host for host, probes in pool.reached.items() if all(re.search(one.match, text, re.MULTILINE) for one in probes)
    }
    assert matching == serving


def test_without_a_pool_for_writes_nobody_can_tell_who_gets_its_share(tmp_path: Path) -> None:
    pool = group(list(HAPROXY.groups(balanced(tmp_path, reads()))), "haproxy pool orders")
    assert pool is not None
    assert set(pool.reached.values()) == {()}
    anyone = group(list(HAPROXY.groups(balanced(tmp_path, reads(role="any")))), "haproxy pool orders")
    assert anyone is not None
    assert (anyone.keep, {len(probes) for probes in anyone.reached.values()}) == (1, {2})


def reported(folder: Path, listens: dict[str, Any] | None, **rows: tuple[str, ...]) -> dict[str, Report]:
    site = balanced(folder, listens)
    head = "# pxname,svname,status,lastchg,check_status,x,\n"
    names = {"claims": "hakit-claims-orders"}
    text = head + "".join(
        f"{names.get(pool, pool)},db{place},{state},9,{check},,\n"
        for pool, states in rows.items()
        for place, (state, _, check) in enumerate((one.partition(" ") for one in states), 1)
    )
    reports = HAPROXY.report(site, site.hosts["lb1"], {"servers": Answer(ok=True, detail=text)})
    return {one.subject.removeprefix("pool "): one for one in reports}


UP, NO, GONE, NEW = "UP L7OK", "DOWN L7STS", "DOWN L4CON", "UP INI"
BOTH = "both claim to be the primary: neither gets writes"


@pytest.mark.parametrize(
    ("orders", "claims", "told"),
    [
        ((UP, NO, NO), (UP, NO, NO), ("1 of 3 up", "good", "db1 gets the writes")),
        ((NO, UP, GONE), (NO, UP, GONE), ("1 of 3 up", "good", "db2 gets the writes")),
        ((UP, NO, NO), (UP, NEW, NEW), ("1 of 3 up", "good", "db1 gets the writes")),
        ((UP, UP, NO), (UP, UP, NO), ("2 of 3 up", "bad", f"db1 and db2 {BOTH}")),
        ((NO, NO, NO), (UP, NO, UP), ("0 of 3 up", "bad", f"db1 and db3 {BOTH}")),
        (
            (NO, NO, GONE),
            (NO, NO, GONE),
            ("0 of 3 up", "bad", "db1 down 9s: L7STS; db2 down 9s: L7STS; db3 down 9s: L4CON"),
        ),
        ((), (), ("0 of 0 up", "bad", "HAProxy does not know this pool")),
    ],
    ids=["well", "another", "not asked yet", "two up", "two claim", "none", "unknown"],
)
def test_the_state_of_a_pool_for_writes(
    tmp_path: Path, orders: tuple[str, ...], claims: tuple[str, ...], told: tuple[str, str, str]
) -> None:
    one = reported(tmp_path, None, orders=orders, claims=claims)["orders"]
    assert (one.state, one.level, one.detail) == told


@pytest.mark.parametrize(
    ("orders", "reports", "told"),
    [
        ((UP, NO, NO), (NO, UP, UP), ("2 of 3 up", "good", "")),
        ((UP, NO, NO), (NO, UP, NO), ("1 of 3 up", "risk", "db3 down 9s: L7STS")),
        ((UP, NO, NO), (NO, NO, GONE), ("0 of 3 up", "bad", "db2 down 9s: L7STS; db3 down 9s: L4CON")),
        ((NO, NO, NO), (GONE, UP, UP), ("2 of 3 up", "risk", "db1 down 9s: L4CON")),
    ],
    ids=["well", "one behind", "none", "no primary"],
)
def test_the_state_of_a_pool_of_standbys(
    tmp_path: Path, orders: tuple[str, ...], reports: tuple[str, ...], told: tuple[str, str, str]
) -> None:
    one = reported(tmp_path, None, orders=orders, reports=reports)["reports"]
    assert (one.state, one.level, one.detail) == told


def test_a_balancer_without_a_pool_for_writes_takes_one_that_refuses_for_the_primary(tmp_path: Path) -> None:
    assert reported(tmp_path, reads(), orders=(NO, UP, UP))["orders"].level == "good"
    assert reported(tmp_path, reads(), orders=(NO, UP, NO))["orders"].level == "risk"
    assert reported(tmp_path, reads(), orders=(UP, UP, GONE))["orders"].level == "risk"
