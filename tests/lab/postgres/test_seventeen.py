"""PostgreSQL 17 on Debian 13: the whole way from empty hosts to a member that is copied anew, in one cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres.conftest import HOSTS, Cluster

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory

SITE = """
all:
  vars:
    hakit:
      lab: {driver: nspawn, network: 10.78.0.0/24}
      release: 13
      secrets: {command: [echo, "{name} of a lab"]}
  children:
    databases:
      hosts:
        db1: {ansible_host: 10.78.0.21}
        db2: {ansible_host: 10.78.0.22}
        db3: {ansible_host: 10.78.0.23}
      vars:
        hakit:
          postgresql:
            cluster: main
            primary: db1
            synchronous: {any: 1}
            replication: {password: {secret: replication}}
            parameters: {max_connections: 100, shared_buffers: 128MB}
            roles:
              orders: {password: {secret: orders}}
            databases:
              orders: {owner: orders}
"""


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory) -> Cluster:
    """A new cluster, made by one apply."""
    made = Cluster(lab_factory(SITE))
    made.run("apply", "--yes", "--no-diff", timeout=600)
    return made


def in_place(cluster: Cluster) -> None:
    cluster.lab.eventually(cluster.streaming, "one primary and two standbys that stream", 60)
    found = json.loads(cluster.hakit("postgres", "status", "main", "--json").stdout)
    assert [one["state"] for one in found] == ["healthy"], found


def write(cluster: Cluster, word: str) -> None:
    """A row that was acknowledged."""
    primary = cluster.primary()
    cluster.sql(primary, "CREATE TABLE IF NOT EXISTS words (word text)")
    assert cluster.sql(primary, f"INSERT INTO words VALUES ('{word}') RETURNING word") == word  # noqa: S608 - our own


def test_the_cluster_is_as_declared(cluster: Cluster) -> None:
    in_place(cluster)
    assert cluster.primary() == "db1"
    assert {cluster.sql(host, "SHOW server_version_num")[:2] for host in HOSTS} == {"17"}
    assert {cluster.sh(host, "pg_lsclusters -h | wc -l").strip() for host in HOSTS} == {"1"}
    assert " 0 hosts changed, 3 unchanged" in cluster.run("apply", "--yes", "--no-diff")


def test_verify_is_content(cluster: Cluster) -> None:
    cluster.run("verify", timeout=600)


def test_a_switchover(cluster: Cluster) -> None:
    write(cluster, "before")
    said = cluster.run("postgres", "switchover", "main", "--to", "db2", "--yes")
    assert cluster.primary() == "db2", said
    in_place(cluster)
    write(cluster, "switched")
    assert " 0 hosts changed, 3 unchanged" in cluster.run("apply", "--yes", "--no-diff")


def test_a_failover_and_the_way_back(cluster: Cluster) -> None:
    before = cluster.primary()
    write(cluster, "last")
    cluster.lab.lab.power(before, "pull")
    said = cluster.run("postgres", "failover", "main", "--fenced", before, "--yes")
    after = cluster.primary()
    assert after != before, said
    write(cluster, "over")
    cluster.lab.lab.power(before, "on")
    guard = "cat /run/hakit-postgresql/*.guard"
    cluster.lab.eventually(lambda: "made the primary" in cluster.sh(before, guard), "the guard speaks", 60)
    assert cluster.roles()[before] == ""
    cluster.run("postgres", "rejoin", "main", before)
    in_place(cluster)
    for host in HOSTS:
        words = set(cluster.sql(host, "SELECT word FROM words").split())
        assert {"last", "over"} <= words


def test_a_member_is_copied_anew(cluster: Cluster) -> None:
    host = next(one for one, role in cluster.roles().items() if role == "standby")
    said = cluster.run("postgres", "reinit", "main", host, "--confirm", host)
    in_place(cluster)
    aside = cluster.sh(host, "ls -d /var/lib/postgresql/17/main.hakit-*/PG_VERSION").split()
    assert len(aside) == 1
    assert aside[0].removesuffix("/PG_VERSION") in said
