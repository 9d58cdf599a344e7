"""The primary moves, or is lost, while a client writes; afterwards every acknowledged row is there."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres.conftest import HOSTS

if TYPE_CHECKING:
    from hakit.drill.writer import Writing
    from tests.lab.postgres.conftest import Cluster

pytestmark = pytest.mark.timed

SEED = int(os.environ.get("HAKIT_DRILL_SEED") or random.SystemRandom().randrange(10**6))
MOMENTS = random.Random(SEED)  # noqa: S311 - when to strike is no secret
PAUSE = 2.0
"""Seconds that writers may wait at a switchover."""


def nothing_is_lost(cluster: Cluster, written: Writing) -> None:
    """Judge a writer's rows."""
    verdict = cluster.judge(written)
    assert verdict.lost == ()
    assert verdict.unexpected == ()
    assert verdict.ok == written.counts["acknowledged"]


def switch_over(cluster: Cluster) -> None:
    before = cluster.primary()
    with cluster.writer() as writer:
        time.sleep(1.0)  # a second of undisturbed writes on either side shows that the pause is one
        said = cluster.run("postgres", "switchover", "main", "--yes")
        cluster.settled()
        time.sleep(1.0)
        written = writer.stop()
    after = cluster.primary()
    assert after != before, said
    assert written.turns == (before, after), said
    assert written.longest_pause <= PAUSE, f"{written.longest_pause:.2f} s\n{said}"
    nothing_is_lost(cluster, written)


def lose_the_primary(cluster: Cluster, moment: float) -> None:
    where = f"seed {SEED}: power pulled after {moment:.2f} s"
    before = cluster.primary()
    with cluster.writer() as writer:
        time.sleep(moment)
        cluster.lab.lab.power(before, "pull")
        said = cluster.run("postgres", "failover", "main", "--fenced", before, "--yes")
        cluster.lab.eventually(cluster.writable, "writers get through", 30)
        time.sleep(1.0)
        written = writer.stop()
    after = cluster.primary()
    assert after != before, f"{where}\n{said}"
    assert written.turns == (before, after), f"{where}\n{said}"
    nothing_is_lost(cluster, written)
    cluster.lab.lab.power(before, "on")
    cluster.lab.eventually(
        lambda: "made the primary" in cluster.sh(before, "cat /run/hakit-postgresql/*.guard"), "the guard speaks", 60
    )
    assert cluster.roles()[before] == ""
    cluster.run("postgres", "rejoin", "main", before)
    cluster.settled()


@pytest.mark.parametrize("number", range(2))
def test_a_switchover_loses_nothing(cluster: Cluster, number: int) -> None:
    del number
    switch_over(cluster)


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
def test_many_switchovers_lose_nothing(cluster: Cluster, number: int) -> None:
    del number
    switch_over(cluster)


def test_a_failover_loses_nothing(cluster: Cluster) -> None:
    lose_the_primary(cluster, MOMENTS.uniform(0.2, 2.0))


@pytest.mark.long
@pytest.mark.parametrize("number", range(5))
def test_many_failovers_lose_nothing(cluster: Cluster, number: int) -> None:
    del number
    lose_the_primary(cluster, MOMENTS.uniform(0.2, 5.0))


def test_a_primary_that_comes_back_serves_again(cluster: Cluster) -> None:
    before = cluster.primary()
    with cluster.writer() as writer:
        cluster.lab.lab.power(before, "pull")
        cluster.lab.lab.power(before, "on")
        cluster.settled(120)
        written = writer.stop()
    assert cluster.primary() == before
    assert written.turns == (before,)
    nothing_is_lost(cluster, written)


def test_the_whole_site_comes_back_by_itself(cluster: Cluster) -> None:
    before = cluster.primary()
    with cluster.writer() as writer:
        for host in HOSTS:
            cluster.lab.lab.power(host, "pull")
        for host in HOSTS:
            cluster.lab.lab.power(host, "on")
        cluster.settled(120)
        written = writer.stop()
    assert cluster.primary() == before
    nothing_is_lost(cluster, written)
