"""The power goes before or in a copy, at either end: nothing half is taken for a standby, no data are deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import ROOT
from tests.lab.postgres.conftest import HOSTS, INVENTORY, SECRETS, Cluster
from tests.lab.postgres.incident import Incident, guarded, mend, tell

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.drill.writer import Writer
    from tests.lab.conftest import LabFactory

pytestmark = pytest.mark.timeout(900)

DATA = "/var/lib/postgresql/15/main"
MAKING = f"{DATA}.hakit-new"
EMPTY, FULL = ("2MB", 5 << 20), ("16MB", 60 << 20)
"""How much is copied per second, and at how many bytes the power goes: of a new cluster (40 MB), and of a full one."""
BALLAST = "CREATE TABLE ballast AS SELECT g, repeat(md5(g::text), 30) AS text FROM generate_series(1, 220000) g"
"""More than 200 MB."""
DONE = 300.0
"""Seconds for a copy to end, well or not."""


class Copying:
    """A command of hakit's that copies the data to a host."""

    def __init__(self, cluster: Cluster, host: str, *words: str) -> None:
        environment = {**os.environ, **SECRETS, "HAKIT_INVENTORY": str(cluster.lab.inventory), "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self._cluster = cluster
        self._host = host
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hakit", *words],
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    def reach(self, size: int) -> None:
        """Wait until so many bytes are copied."""
        self._cluster.lab.eventually(lambda: self._size() > size or self._over(), "the copy is on its way", DONE)
        assert not self._over(), self._process.communicate()[0]

    def begin(self, key: str) -> None:
        """Wait until the host is at a resource, as the run's record says."""
        self._cluster.lab.eventually(lambda: self._begun(key) or self._over(), f"{self._host} is at {key}", DONE)
        assert not self._over(), self._process.communicate()[0]

    def _begun(self, key: str) -> bool:
        log = newest_run(self._cluster) / f"{self._host}.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else ()
        return any(found["event"] == "Begun" and found["key"] == key for found in map(json.loads, lines))

    def _size(self) -> int:
        return int(self._cluster.sh(self._host, f"du -sb {MAKING}/data 2>/dev/null").split("\t")[0] or 0)

    def _over(self) -> bool:
        return self._process.poll() is not None

    def fails(self) -> str:
        """Wait for its end, which has to be an error that hakit expects; what it said."""
        said = self._process.communicate(timeout=DONE)[0]
        assert self._process.returncode == 1, said
        assert "hakit itself failed" not in said, said
        return said


def newest_run(cluster: Cluster) -> Path:
    """The folder with the record of the last run."""
    runs = (cluster.lab.inventory / ".hakit" / "runs").glob("*")
    return max(runs, key=lambda path: path.stat().st_mtime_ns, default=cluster.lab.inventory)


def declare(cluster: Cluster, rate: str) -> None:
    """Limit the speed of copies."""
    file = "group_vars/databases.yml"
    text = (INVENTORY / file).read_text(encoding="utf-8")
    before, after = "{password: {secret: replication}}", f"{{password: {{secret: replication}}, rate: {rate}}}"
    assert before in text
    (cluster.lab.inventory / file).write_text(text.replace(before, after), encoding="utf-8")


def mark(cluster: Cluster, host: str) -> str:
    """Leave a file in a standby's data directory, which no copy of another one has; its name."""
    name = f"mark-{uuid.uuid4()}"
    cluster.sh(host, f"runuser -u postgres -- touch {DATA}/{name}")
    return name


def is_there(cluster: Cluster, host: str, name: str) -> bool:
    """Whether that data directory is still there, in its place or aside."""
    return len(cluster.sh(host, f"ls -d {DATA}*/{name}").split()) == 1


def no_half_standby(cluster: Cluster, host: str) -> None:
    """What was copied in part is nowhere where a server could start with it."""
    assert "/" not in cluster.sh(host, f"ls -d {DATA}/PG_VERSION 2>/dev/null")
    assert cluster.sql(host, "SELECT 1") != "1"
    assert cluster.sh(host, "systemctl is-active postgresql@15-main").strip() != "active"


@pytest.fixture(scope="module")
def bare(lab_factory: LabFactory) -> Cluster:
    """Five hosts with nothing on them."""
    return Cluster(lab_factory(INVENTORY))


def test_standbys_are_prepared_though_their_primary_fails(bare: Cluster) -> None:
    apply = Copying(bare, "db1", "apply", "--yes", "--no-diff")
    apply.begin("cluster:15-main")
    bare.lab.lab.power("db1", "pull")
    said = apply.fails()
    bare.lab.lab.power("db1", "on")
    assert "after db1: db2 and db3, from cluster 15-main on" in said
    hosts = json.loads((newest_run(bare) / "result.json").read_text(encoding="utf-8"))["hosts"]
    assert hosts["db1"]["state"] == "failed"
    for name in ("db2", "db3"):
        assert (hosts[name]["state"], hosts[name]["changed"] > 0) == ("not started", True), said
        why = "cluster:15-main and what stands on it: db1 failed, and they stand in for each other"
        assert hosts[name]["why"] == why
        assert f"{name}  - not started: {why}" in said
        assert bare.sh(name, "dpkg-query -W -f '${Status}' postgresql-15") == "install ok installed"
        no_half_standby(bare, name)
    left = bare.hakit("apply", "--failed", "--no-diff").stdout
    assert "lb1" not in left
    assert "after db1: db2 and db3\n" in left


def test_the_first_copy_loses_its_standby_then_its_primary(bare: Cluster, request: pytest.FixtureRequest) -> None:
    rate, enough = EMPTY
    declare(bare, rate)
    began = time.monotonic()
    apply = Copying(bare, "db2", "apply", "--yes", "--no-diff")
    apply.reach(enough)
    bare.lab.lab.power("db2", "pull")
    said = apply.fails()
    assert "db2" in said
    bare.lab.lab.power("db2", "on")
    no_half_standby(bare, "db2")
    incident = Incident(bare, story=[said])
    command = incident.next()
    assert command[0] == "apply", str(incident)

    again = Copying(bare, "db2", *command, "--yes", "--no-diff")
    again.reach(enough)
    bare.lab.lab.power("db1", "pull")
    said = again.fails()
    incident.story.append(said)
    no_half_standby(bare, "db2")
    bare.lab.lab.power("db1", "on")
    bare.lab.eventually(lambda: bare.roles()["db1"] == "primary", f"db1 opens again\n{incident}", 60)
    incident.settle()
    assert bare.primary() == "db1"
    for host in HOSTS:
        assert MAKING not in bare.sh(host, f"ls -d {DATA}*"), host
    tell(request, f"{time.monotonic() - began:.0f} s in all")


@pytest.fixture
def full(bare: Cluster) -> Cluster:
    """The same cluster with something to copy."""
    mend(bare)
    lead = bare.primary()
    if bare.sql(lead, "SELECT to_regclass('ballast') IS NULL") == "t":
        bare.sql(lead, BALLAST)
    declare(bare, FULL[0])
    return bare


def judge(cluster: Cluster, incident: Incident, writer: Writer) -> None:
    """End the client; nothing that was acknowledged is lost."""
    written = writer.stop()
    verdict = cluster.judge(written)
    assert verdict.lost == (), str(incident)
    assert verdict.unexpected == (), str(incident)


def test_a_copy_made_anew_loses_its_standby(full: Cluster, request: pytest.FixtureRequest) -> None:
    name = mark(full, "db3")
    with full.writer() as writer:
        copy = Copying(full, "db3", "postgres", "reinit", "main", "db3", "--confirm", "db3")
        copy.reach(FULL[1])
        full.lab.lab.power("db3", "pull")
        incident = Incident(full, story=[copy.fails()])
        full.lab.lab.power("db3", "on")
        assert is_there(full, "db3", name), str(incident)
        count = incident.settle()
        judge(full, incident, writer)
    assert is_there(full, "db3", name), str(incident)
    tell(request, f"{count} commands")


@pytest.mark.long
def test_a_copy_made_anew_loses_its_primary(full: Cluster, request: pytest.FixtureRequest) -> None:
    name = mark(full, "db3")
    with full.writer() as writer:
        copy = Copying(full, "db3", "postgres", "reinit", "main", "db3", "--confirm", "db3")
        copy.reach(FULL[1])
        full.lab.lab.power("db1", "pull")
        incident = Incident(full, story=[copy.fails()])
        assert is_there(full, "db3", name)
        full.lab.lab.power("db1", "on")
        full.lab.eventually(lambda: full.roles()["db1"] == "primary", f"db1 opens again\n{incident}", 60)
        count = incident.settle()
        judge(full, incident, writer)
    assert is_there(full, "db3", name), str(incident)
    tell(request, f"{count} commands")


@pytest.mark.long
def test_a_copy_made_anew_loses_its_primary_for_good(full: Cluster, request: pytest.FixtureRequest) -> None:
    name = mark(full, "db3")
    with full.writer() as writer:
        copy = Copying(full, "db3", "postgres", "reinit", "main", "db3", "--confirm", "db3")
        copy.reach(FULL[1])
        full.lab.lab.power("db1", "pull")
        incident = Incident(full, away="db1", story=[copy.fails()])
        count = incident.finish()
        full.lab.eventually(full.writable, f"writers get through\n{incident}", 30)
        assert full.primary() == "db2", str(incident)
        full.lab.lab.power("db1", "on")
        full.lab.eventually(lambda: guarded(full, "db1"), "the guard speaks", 60)
        incident.away = ""
        count += incident.settle()
        judge(full, incident, writer)
    assert is_there(full, "db3", name), str(incident)
    tell(request, f"{count} commands")
