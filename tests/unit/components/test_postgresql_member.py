"""A member's part beyond its configuration: who it is to others, what its memory gives, how it is put aside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.components.base import Answer, Facts
from hakit.components.postgresql import Postgresql, hba, redundancy, tuning
from hakit.components.postgresql.members import clusters, place
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

NAMES = ("db1", "db2", "db3")
GIB = 1024**3


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_P", "p")


def cluster(
    folder: Path, *, proxy: dict[str, Any] | None = None, of: dict[str, dict[str, Any]] | None = None, **more: Any
) -> Site:
    base: dict[str, Any] = {"cluster": "main", "primary": "db2", "replication": {"password": {"secret": "P"}}, **more}
    hosts: dict[str, dict[str, Any]] = {name: {"postgresql": {**base, **(of or {}).get(name, {})}} for name in NAMES}
    if proxy is not None:
        hosts["lb1"] = {"nics": {"eth1": "10.2.0.4/24", "eth2": None}, "haproxy": {"backends": {"db": proxy}}}
    return site(folder, hosts, {"dbs": list(NAMES), "apps": ["lb1"]} if proxy else {"dbs": list(NAMES)})


@pytest.mark.parametrize(
    ("proxy", "allowed"),
    [
        ({"postgresql": "main", "role": "primary"}, ("10.1.0.4", "10.2.0.4")),
        ({"group": "dbs", "port": 5432, "mode": "tcp", "check": {"http": "/primary"}}, ("10.1.0.4", "10.2.0.4")),
        ({"servers": {"db3": {"port": 5432}}, "mode": "tcp"}, ("10.1.0.4", "10.2.0.4")),
        ({"servers": {"x": {"address": "10.9.0.1", "port": 80}}}, ()),
    ],
)
def test_whoever_balances_may_ask_and_let_clients_in(
    tmp_path: Path, proxy: dict[str, Any], allowed: tuple[str, ...]
) -> None:
    here = cluster(tmp_path, proxy=proxy, roles={"app": {}, "boss": {"superuser": True}, "group": {"login": False}})
    assert place(here, here.hosts["db1"], 12).allow == allowed
    rows = [row for row in hba.derived(here, here.hosts["db1"]) if row.users == ("app",)]
    assert [row.address for row in rows] == [f"{address}/32" for address in allowed]


@pytest.mark.parametrize(("release", "version"), [(12, 15), (13, 17)])
def test_the_release_brings_its_server(tmp_path: Path, release: int, version: int) -> None:
    here = cluster(tmp_path)
    task = Postgresql().observe(here, here.hosts["db1"], Facts(release))
    assert task.do == "look"
    assert place(here, here.hosts["db1"], release).version == version
    assert place(here, here.hosts["db1"], release).data == f"/var/lib/postgresql/{version}/main"


def test_who_counts(tmp_path: Path) -> None:
    of = {"db1": {"delay": "1h"}, "db3": {"site": "far"}}
    main = clusters(cluster(tmp_path, of=of, synchronous={"first": 1}))["main"]
    assert main.synchronous_standbys == 'FIRST 1 ("db2")'
    assert main.voters == NAMES
    assert main.promotable == ("db2", "db3")


def test_one_afar_that_never_leads_has_no_vote(tmp_path: Path) -> None:
    main = clusters(cluster(tmp_path, of={"db3": {"site": "far", "promotable": False}}))["main"]
    assert main.voters == ("db1", "db2")


@pytest.mark.parametrize(
    ("size", "shared", "cache", "upkeep"),
    [
        (GIB // 8, "32MB", "96MB", "64MB"),
        (8 * GIB, "2048MB", "6144MB", "512MB"),
        (8 * GIB - 70_000_000, "2016MB", "6080MB", "496MB"),
        (512 * GIB, "32768MB", "393216MB", "1024MB"),
    ],
)
def test_memory(size: int, shared: str, cache: str, upkeep: str) -> None:
    assert tuning.memory(size) == {
        "shared_buffers": shared,
        "effective_cache_size": cache,
        "maintenance_work_mem": upkeep,
    }


@given(st.integers(64 * 1024**2, 4096 * GIB), st.integers(0, 4 * 1024**2))
def test_a_little_less_memory_hardly_changes_anything(size: int, less: int) -> None:
    one, other = (int(tuning.memory(value)["shared_buffers"][:-2]) for value in (size, size - less))
    assert one - other in (0, 16)
    assert one * 1024**2 <= max(size // 4, 32 * 1024**2)


def test_each_member_is_seen_by_the_next_and_the_maker_goes_last(tmp_path: Path) -> None:
    (group,) = redundancy.groups(cluster(tmp_path))
    assert group.hosts == ("db1", "db3", "db2")
    seen = {host: (probe.target, probe.seen_from) for host, (probe,) in group.probes.items()}
    assert seen["db3"] == ("http://10.1.0.3:8008/ready", "db1")
    assert group.patience == 300
    assert group.holder is not None
    assert group.holder.target == "http://127.0.0.1:8008/primary"


@pytest.mark.parametrize(("synchronous", "keep"), [(None, 1), ({"any": 1}, 2), ({"any": 2}, 2)])
def test_commits_go_on_while_one_is_changed(tmp_path: Path, synchronous: dict[str, int] | None, keep: int) -> None:
    more: dict[str, Any] = {"synchronous": synchronous} if synchronous else {}
    assert next(iter(redundancy.groups(cluster(tmp_path, **more)))).keep == keep


def test_only_foreign_balancers_are_told_by_the_endpoint(tmp_path: Path) -> None:
    alone = cluster(tmp_path, endpoint={"allow": ["10.5.0.0/24"]})
    (found,) = redundancy.withdrawals(alone, alone.hosts["db1"])
    assert [(order.host, order.action.kind, order.action.target) for order in (*found.out, *found.back)] == [
        ("db1", "write", "/run/hakit-postgresql/main.aside"),
        ("db1", "remove", "/run/hakit-postgresql/main.aside"),
    ]
    balanced = cluster(tmp_path, proxy={"postgresql": "main", "role": "any"}, endpoint={"allow": ["10.5.0.0/24"]})
    assert not list(redundancy.withdrawals(balanced, balanced.hosts["db1"]))
    closed = cluster(tmp_path)
    assert not list(redundancy.withdrawals(closed, closed.hosts["db1"]))


STATE = {"role": "standby", "timeline": 3, "lsn": "0/5000060"}


@pytest.mark.parametrize(
    ("state", "ready", "told"),
    [
        (STATE, (True, "it streams"), ("standby", "good", "timeline 3 at 0/5000060")),
        (STATE, (False, "it does not stream\n"), ("standby", "risk", "it does not stream; timeline 3 at 0/5000060")),
        (STATE, None, ("standby", "risk", "it could not be asked; timeline 3 at 0/5000060")),
        (
            {**STATE, "role": "primary", "held": "switchover"},
            (True, ""),
            ("primary", "risk", "held back: switchover; timeline 3 at 0/5000060"),
        ),
        ({**STATE, "role": "stopped"}, (False, "x"), ("stopped", "bad", "timeline 3 at 0/5000060")),
        ({}, (False, "x"), ("unknown", "bad", "timeline ? at ?")),
    ],
)
def test_what_status_says(
    tmp_path: Path, state: dict[str, Any], ready: tuple[bool, str] | None, told: tuple[str, str, str]
) -> None:
    here = cluster(tmp_path)
    answers = {"state": Answer(ok=True, detail=json.dumps(state))}
    if ready is not None:
        answers["ready"] = Answer(*ready)
    (found,) = redundancy.report(here, here.hosts["db1"], answers)
    assert (found.subject, found.state, found.level, found.detail) == ("PostgreSQL main", *told)


@pytest.mark.parametrize("answer", [Answer(ok=False, detail="refused"), Answer(ok=True, detail="<html>")])
def test_an_endpoint_that_says_nothing_is_bad(tmp_path: Path, answer: Answer) -> None:
    here = cluster(tmp_path)
    (found,) = redundancy.report(here, here.hosts["db1"], {"state": answer})
    assert (found.state, found.level) == ("unknown", "bad")
    assert not list(redundancy.report(here, here.hosts["db1"], {}))
