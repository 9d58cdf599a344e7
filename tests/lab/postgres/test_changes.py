"""A cluster that runs is changed while a client writes: each change rolls by its rules, and no row is lost."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres.conftest import HOSTS, INVENTORY, Cluster

if TYPE_CHECKING:
    from hakit.drill.writer import Writing
    from tests.lab.conftest import LabFactory

VARS = "group_vars/databases.yml"
SITE = "hosts.yml"
STREAMING = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'"
SPARE = "db4: {ansible_host: 10.78.0.24, hakit: {zone: b}}"
PAUSE = 10.0
"""Seconds that writers may wait, on a machine that does other things too; test_maintenance has the real limit."""


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster of three, and a fourth host that is no member yet."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(INVENTORY, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".hakit"))
    with (source / SITE).open("a", encoding="utf-8") as file:
        file.write(f"    spare:\n      hosts:\n        {SPARE}\n")
    made = Cluster(lab_factory(source))
    made.run("apply", "--yes", "--no-diff", timeout=600)
    made.settled()
    return made


def declare(cluster: Cluster, before: str, after: str, file: str = VARS) -> None:
    """Change the inventory: a text that is there becomes another one."""
    path = cluster.lab.inventory / file
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def apply(cluster: Cluster) -> tuple[str, Writing]:
    """Apply while a client writes; what hakit said, and what the client saw. Afterwards nothing is left to do."""
    with cluster.writer() as writer:
        said = cluster.run("apply", "--yes", "--no-diff", timeout=600)
        cluster.settled()
        written = writer.stop()
    verdict = cluster.judge(written)
    assert verdict.lost == (), said
    assert verdict.unexpected == (), said
    assert written.longest_pause < PAUSE, said
    unchanged(cluster)
    return said, written


def unchanged(cluster: Cluster) -> None:
    """Another apply finds everything as declared, in one login and one exec per host."""
    hosts = tuple(cluster.lab.site.hosts)
    before = {host: heard(cluster, host) for host in hosts}
    found = json.loads(cluster.hakit("apply", "--yes", "--json").stdout)
    assert {one["state"] for one in found["hosts"].values()} == {"same"}
    for host in hosts:
        logins, execs = (now - then for now, then in zip(heard(cluster, host), before[host], strict=True))
        assert (logins, execs) == (1, 1), host


def heard(cluster: Cluster, host: str) -> tuple[int, int]:
    """Logins and execs that a host's sshd has logged."""
    log = cluster.sh(host, "journalctl -q --no-pager -t sshd -t sshd-session -o cat")
    kinds = (r"^Accepted publickey", r"^Starting session: command")
    logins, execs = (len(re.findall(kind, log, re.MULTILINE)) for kind in kinds)
    return logins, execs


def restarted(said: str) -> list[str]:
    """The hosts whose server came to its new configuration, in that order; `→` where the primary's role moved."""
    ways = r"✓ unit:postgresql@15-main.service  restart|postgresql@15-main.service was restarted"
    found = re.findall(rf"^(db\d)  (?:{ways})|(leads cluster main now)", said, re.MULTILINE)
    return [host or "→" for host, _ in found]


def last(said: str, before: str) -> None:
    """See that the standbys were restarted first, then another one led, then the primary."""
    order = restarted(said)
    assert order[-2:] == ["→", before], said
    assert sorted(order[:-2]) == sorted({*HOSTS} - {before}), said


def shown(cluster: Cluster, name: str) -> set[str]:
    """The values of a parameter on all members."""
    return {cluster.sql(host, f"SHOW {name}") for host in HOSTS}


def test_more_connections_reach_the_standbys_first(cluster: Cluster) -> None:
    before = cluster.primary()
    declare(cluster, "max_connections: 100", "max_connections: 150")
    said, written = apply(cluster)
    last(said, before)
    assert shown(cluster, "max_connections") == {"150"}
    assert written.turns == (before, cluster.primary())


def test_fewer_connections_reach_the_primary_first_and_in_place(cluster: Cluster) -> None:
    before = cluster.primary()
    declare(cluster, "max_connections: 150", "max_connections: 100")
    said, written = apply(cluster)
    order = restarted(said)
    assert order[0] == before
    assert sorted(order) == sorted(HOSTS), said
    assert shown(cluster, "max_connections") == {"100"}
    assert written.turns == (before,)


def test_more_memory_and_a_new_database_come_in_one_run(cluster: Cluster) -> None:
    """The database is made while the host still leads; the restart comes after another one does."""
    before = cluster.primary()
    declare(cluster, "shared_buffers: 128MB", "shared_buffers: 96MB")
    declare(cluster, "      orders: {password: {secret: orders}}\n", ROLES)
    declare(cluster, "      orders: {owner: orders}\n", DATABASES)
    said, _ = apply(cluster)
    last(said, before)
    assert shown(cluster, "shared_buffers") == {"96MB"}
    after = cluster.primary()
    assert cluster.sql(after, "SELECT rolname FROM pg_roles WHERE rolname = 'clerks'") == "clerks"
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'bills'"
    cluster.lab.eventually(lambda: {cluster.sql(host, owner) for host in HOSTS} == {"clerks"}, "bills is everywhere")


ROLES = """\
      orders: {password: {secret: orders}}
      clerks: {login: false}
"""
DATABASES = """\
      orders: {owner: orders}
      bills: {owner: clerks}
"""


@pytest.mark.parametrize(
    ("before", "after", "names", "states"),
    [
        ("{any: 1}", "{first: 1}", 'FIRST 1 ("db1", "db2", "db3")', ["potential", "sync"]),
        ("synchronous: {first: 1}", "# asynchronous", "", ["async", "async"]),
        ("# asynchronous", "synchronous: {any: 1}", 'ANY 1 ("db1", "db2", "db3")', ["quorum", "quorum"]),
    ],
    ids=["any to first", "off", "on"],
)
def test_for_whom_commits_wait_is_a_reload(
    cluster: Cluster, before: str, after: str, names: str, states: list[str]
) -> None:
    lead = cluster.primary()
    if not names:  # without it the site does not keep what it promises
        declare(cluster, ", rpo: 0s}", "}", SITE)
    elif before.startswith("#"):
        declare(cluster, "automatic: false}", "automatic: false, rpo: 0s}", SITE)
    declare(cluster, before, after)
    said, written = apply(cluster)
    assert re.findall(r"^(db\d)  ✓ unit:postgresql@15-main.service  reload", said, re.MULTILINE)[-1] == lead, said
    assert shown(cluster, "synchronous_standby_names") == {names}
    found = cluster.sql(lead, "SELECT sync_state FROM pg_stat_replication ORDER BY 1").split()
    assert found == states
    assert set(written.counts) == {"acknowledged"}, said


def test_a_standby_that_restarts_holds_no_commit_up(cluster: Cluster) -> None:
    """Commits wait for one of two standbys: while either restarts, the other one acknowledges."""
    lead = cluster.primary()
    standbys = [host for host in HOSTS if host != lead]
    with cluster.writer() as writer:
        for host in standbys:
            cluster.sh(host, "systemctl restart postgresql@15-main.service")
            cluster.lab.eventually(cluster.streaming, f"{host} streams again", 60)
        written = writer.stop()
    assert set(written.counts) == {"acknowledged"}
    assert written.turns == (lead,)
    assert [one for one in pairwise(written.acknowledged) if one[1].ended - one[0].ended > 1.0] == []


def test_a_new_standby_is_copied_from_whoever_leads(cluster: Cluster) -> None:
    lead = cluster.primary()
    declare(cluster, f"    spare:\n      hosts:\n        {SPARE}\n", "", SITE)
    db3 = "        db3: {ansible_host: 10.78.0.23, hakit: {zone: c}}\n"
    declare(cluster, db3, f"{db3}        {SPARE}\n", SITE)
    with cluster.writer() as writer:
        said = cluster.run("apply", "--yes", "--no-diff", timeout=600)
        cluster.lab.eventually(lambda: "db4" in cluster.sql(lead, STREAMING).split(), "db4 streams", 60)
        written = writer.stop()
    assert cluster.primary() == lead, said
    verdict = cluster.judge(written)
    assert (verdict.lost, verdict.unexpected) == ((), ())
    assert written.turns == (lead,)
    assert written.longest_pause < PAUSE
    assert cluster.sql(lead, "SHOW synchronous_standby_names") == 'ANY 1 ("db1", "db2", "db3", "db4")'
    unchanged(cluster)
