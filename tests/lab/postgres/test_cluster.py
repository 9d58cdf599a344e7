"""What one apply makes of three empty hosts, and how later ones change it while writes go on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.lab.postgres.conftest import HOSTS, INVENTORY, READERS

if TYPE_CHECKING:
    from tests.lab.postgres.conftest import Cluster

VARS = "group_vars/databases.yml"


def declare(cluster: Cluster, *pairs: tuple[str, str]) -> None:
    """Change the settings of the databases: each text that is there becomes another one."""
    text = (INVENTORY / VARS).read_text(encoding="utf-8")
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    (cluster.lab.inventory / VARS).write_text(text, encoding="utf-8")


def test_only_the_copies_waited_for_the_primary(cluster: Cluster) -> None:
    record = min((cluster.lab.inventory / ".hakit" / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    found = list(map(json.loads, (record / "events.jsonl").read_text(encoding="utf-8").splitlines()))
    told = [(one["host"], one["event"], one.get("key", "")) for one in found]
    done = told.index(("db1", "Finished", ""))
    for host in ("db2", "db3"):
        assert (
            told.index((host, "Begun", "package:postgresql-15")) < done < told.index((host, "Begun", "cluster:15-main"))
        )


def test_a_second_apply_changes_nothing(cluster: Cluster) -> None:
    assert " 0 hosts changed, 5 unchanged" in cluster.run("apply", "--yes")


def test_the_cluster_is_as_declared(cluster: Cluster) -> None:
    assert cluster.primary() == "db1"
    assert cluster.sql("db1", "SHOW data_checksums") == "on"
    states = cluster.sql("db1", "SELECT application_name, sync_state FROM pg_stat_replication ORDER BY 1")
    assert states.split() == ["db2|quorum", "db3|quorum"]
    assert [cluster.sh(host, "pg_lsclusters -h | wc -l").strip() for host in HOSTS] == ["1", "1", "1"]


def test_writers_get_the_primary_and_readers_a_standby(cluster: Cluster) -> None:
    assert cluster.ask("SELECT current_setting('cluster_name')") == [["db1"]]
    readers = {cluster.ask("SELECT current_setting('cluster_name')", READERS)[0][0] for _ in range(6)}
    assert readers <= {"db2", "db3"}


def test_verify_is_content(cluster: Cluster) -> None:
    said = cluster.run("verify", timeout=600)
    assert re.search(r"\bpassed\b|\ball\b", said), said


def test_no_password_is_left_anywhere(cluster: Cluster) -> None:
    for host in HOSTS:
        logs = cluster.sh(host, "grep -rlE 'replicates-1|applies-1' /var/log /etc /tmp /run 2>/dev/null; true")
        assert logs.split() == ["/etc/postgresql/15/main/hakit.pgpass"]
        journal = cluster.sh(host, "journalctl --no-pager | grep -cE 'replicates-1|applies-1'; true")
        assert journal.strip() == "0"


def test_a_database_and_a_parameter_that_needs_a_reload_disturb_nobody(cluster: Cluster) -> None:
    with cluster.writer() as writer:
        declare(cluster, ("    databases:\n", "    databases:\n      bills: {owner: orders}\n"))
        said = cluster.run("apply", "--yes", "--no-diff")
        written = writer.stop()
    assert "database:bills" in said
    assert cluster.sql("db1", "SELECT 1 FROM pg_database WHERE datname = 'bills'") == "1"
    assert written.counts.keys() == {"acknowledged"}
    declare(cluster)
    said = cluster.run("apply", "--yes", "--no-diff")
    assert "stays" in said
    assert cluster.sql("db1", "SELECT 1 FROM pg_database WHERE datname = 'bills'") == "1"
    assert " 0 hosts changed" in cluster.run("apply", "--yes", "--no-diff")
