"""Clusters of other shapes than three alike: a delayed member, one far away behind a standby, FIRST, no waiting."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres.conftest import INVENTORY, READERS, Cluster

if TYPE_CHECKING:
    from hakit.drill.writer import Writing
    from tests.lab.conftest import LabFactory

pytestmark = pytest.mark.timeout(600)

SITE, VARS = "hosts.yml", "group_vars/databases.yml"
MORE = """\
        db4: {ansible_host: 10.78.0.24, hakit: {zone: a, postgresql: {delay: 1h}}}
        db5: {ansible_host: 10.78.0.25, hakit: {zone: d, postgresql: {site: far, upstream: db3, promotable: false}}}
"""
"""db4 stays an hour behind; db5 stands elsewhere and follows db3, whoever leads."""


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Five members, of which three may lead."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(INVENTORY, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".hakit"))
    with (source / SITE).open("a", encoding="utf-8") as file:
        file.write(MORE)
    made = Cluster(lab_factory(source))
    declare(made, "synchronous: {any: 1}", "synchronous: {first: 1}")
    made.run("apply", "--yes", "--no-diff", timeout=600)
    return made


@pytest.fixture(autouse=True)
def _db1_leads(cluster: Cluster) -> None:
    """Each test begins with db1, whatever became of the one before."""
    if cluster.primary() != "db1":
        cluster.run("postgres", "switchover", "main", "--to", "db1", "--yes")


def declare(cluster: Cluster, before: str, after: str) -> None:
    """Change the settings of the databases: a text that is there becomes another one."""
    path = cluster.lab.inventory / VARS
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def links(cluster: Cluster, host: str) -> dict[str, str]:
    """Who streams from a member, and what their word counts for."""
    rows = cluster.sql(host, "SELECT application_name, sync_state FROM pg_stat_replication WHERE state = 'streaming'")
    return {name: kind for name, _, kind in (row.partition("|") for row in rows.split())}


def in_place(cluster: Cluster, lead: str, *, sync: str = "sync") -> None:
    """Wait until everybody follows whom they shall while `lead` leads, and no slot is left of an earlier role."""
    near = [host for host in ("db1", "db2", "db3") if host != lead]
    expected = {near[0]: sync, near[1]: "potential" if sync == "sync" else sync}
    below = {"db5": "async"}
    if lead == "db3":
        expected, below = {**expected, **below}, {}

    def follow() -> bool:
        # PostgreSQL starts no receiver while it holds a commit back: the delayed one streams until its upstream goes.
        found = links(cluster, lead)
        return {host: kind for host, kind in found.items() if host != "db4"} == expected

    cluster.lab.eventually(follow, f"{lead} has {expected}", 60)
    if below:
        cluster.lab.eventually(lambda: links(cluster, "db3") == below, "db5 follows db3", 60)
    for host in ("db1", "db2", "db3", "db4", "db5"):
        wanted = {**({**expected, "db4": ""} if host == lead else {}), **(below if host == "db3" else {})}
        slots = set(cluster.sql(host, "SELECT slot_name FROM pg_replication_slots").split())
        assert slots == set(wanted), f"slots of {host} while {lead} leads"
    said = cluster.run("postgres", "status", "main")
    assert said.startswith("main  healthy"), said
    assert f"host=10.78.0.2{lead[2:]} " in cluster.sql("db4", "SHOW primary_conninfo")


def back(cluster: Cluster, host: str) -> None:
    """Give a former primary its power back; its guard keeps it shut."""
    cluster.lab.lab.power(host, "on")
    guard = "cat /run/hakit-postgresql/*.guard"
    cluster.lab.eventually(lambda: "does not open" in cluster.sh(host, guard), "the guard speaks", 60)


def nothing_is_lost(cluster: Cluster, written: Writing) -> None:
    verdict = cluster.judge(written)
    assert verdict.lost == ()
    assert verdict.unexpected == ()


def test_everybody_is_in_their_place_and_a_second_apply_changes_nothing(cluster: Cluster) -> None:
    in_place(cluster, "db1")
    assert " 0 hosts changed, 7 unchanged" in cluster.run("apply", "--yes", "--no-diff")


def test_what_is_written_reaches_all_but_the_delayed_one_and_readers_never_get_that(cluster: Cluster) -> None:
    cluster.sql("db1", "CREATE TABLE news ()")
    cluster.lab.eventually(lambda: cluster.sql("db5", "SELECT to_regclass('news')") == "news", "db5 has it", 20)
    assert cluster.sql("db4", "SELECT to_regclass('news')") == ""
    found = {cluster.ask("SELECT current_setting('cluster_name')", READERS)[0][0] for _ in range(12)}
    assert len(found) > 1
    assert found <= {"db2", "db3", "db5"}


@pytest.mark.parametrize("host", ["db4", "db5"])
def test_who_is_never_promoted_is_said(cluster: Cluster, host: str) -> None:
    done = cluster.hakit("postgres", "switchover", "main", "--to", host, "--yes")
    assert done.returncode == 1
    assert "is never promoted: it is delayed, or promotable: false" in done.stderr
    assert cluster.primary() == "db1"


def test_a_switchover_takes_everybody_along_and_back(cluster: Cluster) -> None:
    with cluster.writer() as writer:
        cluster.run("postgres", "switchover", "main", "--to", "db3", "--yes")
        in_place(cluster, "db3")
        cluster.run("postgres", "switchover", "main", "--to", "db1", "--yes")
        in_place(cluster, "db1")
        written = writer.stop()
    assert written.turns == ("db1", "db3", "db1")
    nothing_is_lost(cluster, written)
    assert " 0 hosts changed, 7 unchanged" in cluster.run("apply", "--yes", "--no-diff")


@pytest.mark.long
def test_a_failover_takes_everybody_along(cluster: Cluster) -> None:
    with cluster.writer() as writer:
        cluster.lab.lab.power("db1", "pull")
        said = cluster.run("postgres", "failover", "main", "--fenced", "db1", "--yes")
        cluster.lab.eventually(cluster.writable, "writers get through", 30)
        lead = cluster.primary()
        back(cluster, "db1")
        cluster.run("postgres", "rejoin", "main", "db1")
        written = writer.stop()
    assert lead in ("db2", "db3"), said
    nothing_is_lost(cluster, written)
    in_place(cluster, lead)


@pytest.mark.long
def test_a_member_behind_a_standby_that_is_gone_follows_the_primary_meanwhile(cluster: Cluster) -> None:
    cluster.lab.lab.power("db3", "pull")

    def told() -> str:
        done = cluster.hakit("postgres", "status", "main")
        assert done.returncode == 1
        return done.stdout

    cluster.lab.eventually(lambda: "db5 receives nothing from db3" in told(), "status tells of db5", 60)
    cluster.run("postgres", "rejoin", "main", "db5")
    cluster.lab.eventually(lambda: links(cluster, "db1").get("db5") == "async", "db5 follows db1", 30)
    cluster.lab.lab.power("db3", "on")
    cluster.lab.eventually(lambda: "db3" in links(cluster, "db1"), "db3 is back", 60)
    cluster.run("postgres", "rejoin", "main", "db5")
    in_place(cluster, "db1")


@pytest.mark.long
def test_without_a_synchronous_standby_a_failover_says_what_it_may_lose(cluster: Cluster) -> None:
    declare(cluster, "    synchronous: {first: 1}\n", "")
    path = cluster.lab.inventory / SITE
    path.write_text(path.read_text(encoding="utf-8").replace(", rpo: 0s", ""), encoding="utf-8")
    cluster.run("apply", "--yes", "--no-diff", timeout=300)
    in_place(cluster, "db1", sync="async")
    cluster.lab.lab.power("db1", "pull")
    done = cluster.hakit("postgres", "failover", "main", "--fenced", "db1", "--yes")
    assert done.returncode == 1
    assert "may lose commits that were acknowledged" in done.stderr
    assert "they wait for no standby" in done.stderr
    assert "--accept-loss" in done.stderr
    assert "primary" not in {role for host, role in cluster.roles().items() if host != "db1"}
    said = cluster.run("postgres", "failover", "main", "--fenced", "db1", "--accept-loss", "--yes")
    assert "May be lost:" in said
    lead = cluster.primary()
    back(cluster, "db1")
    cluster.run("postgres", "rejoin", "main", "db1")
    in_place(cluster, lead, sync="async")
