"""A cluster whose disks, passwords, data or members are broken: what is said, what goes on, and that no row is lost."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres import conftest
from tests.lab.postgres.conftest import INVENTORY, READERS, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.drill.writer import Writing
    from tests.lab.conftest import LabFactory

VARS = "group_vars/databases.yml"
UNIT = "postgresql@15-main.service"
DATA = "/var/lib/postgresql/15/main"
CONFIG = "/etc/postgresql/15/main"
WAL = f"{DATA}/pg_wal"
INITDB = "/usr/lib/postgresql/15/bin/initdb"
LIMIT = 16
"""MB of WAL that a slot keeps here, so that little has to be written to go beyond it."""
ENDPOINT = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster of three with small segments and slots, and little patience."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(INVENTORY, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".hakit"))
    path = source / VARS
    text = path.read_text(encoding="utf-8")
    for before, after in (
        ("secret: replication}", f"secret: replication}}, slot_limit: {LIMIT}MB, catch_up: 20s"),
        (
            "    parameters:\n",
            "    data: {wal_segment: 1MB}\n    parameters:\n      max_wal_size: 8MB\n      min_wal_size: 4MB\n",
        ),
    ):
        assert before in text
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    made = Cluster(lab_factory(source))
    made.run("apply", "--yes", "--no-diff", timeout=600)
    made.settled()
    return made


@pytest.fixture(autouse=True)
def _whole(cluster: Cluster) -> Iterator[None]:
    """Each test leaves the cluster as it found it: db1 leads, and two follow."""
    assert cluster.primary() == "db1"
    yield
    cluster.settled()


def said(cluster: Cluster, *words: str) -> str:
    """What a command says that is refused, or finds something."""
    done = cluster.hakit(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def told(cluster: Cluster, text: str, timeout: float = 30.0) -> None:
    """Wait until status tells it."""
    last = ""

    def tells() -> bool:
        nonlocal last
        last = cluster.hakit("postgres", "status", "main").stdout
        return text in " ".join(last.split())

    cluster.lab.eventually(tells, f"status says: {text}; it said {last}", timeout)


def fill(cluster: Cluster, megabytes: int) -> None:
    """Have the primary write WAL, and forget what nobody needs of it."""
    cluster.sql("db1", "CREATE TABLE IF NOT EXISTS filler (text text)")
    for _ in range(megabytes):
        cluster.sql("db1", "INSERT INTO filler SELECT repeat(md5(g::text), 32) FROM generate_series(1, 900) g")
    cluster.sql("db1", "TRUNCATE filler")
    cluster.sql("db1", "CHECKPOINT")


def nothing_is_lost(cluster: Cluster, written: Writing) -> None:
    verdict = cluster.judge(written)
    assert verdict.lost == ()
    assert verdict.unexpected == ()
    assert verdict.ok == written.counts["acknowledged"]


def aside(cluster: Cluster, host: str) -> set[str]:
    """Data directories that were moved aside."""
    return set(cluster.sh(host, f"ls -d {DATA}.hakit-2*").split())


def stop(cluster: Cluster, host: str, then: str = "true") -> None:
    cluster.sh(host, f"systemctl stop {UNIT}; {then}")


@contextmanager
def without_data(cluster: Cluster, host: str) -> Iterator[str]:
    """A stopped member whose data directory is elsewhere for a while; where that is."""
    kept = f"{DATA}.kept"
    stop(cluster, host, f"mv {DATA} {kept}")
    try:
        yield kept
    finally:
        put = f"umount -q {DATA}; rm -rf {DATA} {DATA}.hakit-*; mv {kept} {DATA}; systemctl start {UNIT}"
        stop(cluster, host, put)


@contextmanager
def small_wal_disk(cluster: Cluster, host: str) -> Iterator[None]:
    """A member whose WAL is on a file system of its own, of which nothing is left."""
    copy = "cp -a --remove-destination"
    own = "uid=$(id -u postgres),gid=$(id -g postgres)"
    mount = f"mount -t tmpfs -o size=40m,mode=700,{own} small {WAL}"
    stop(cluster, host, f"cp -a {WAL} /run/kept && {mount} && {copy} /run/kept/. {WAL} && systemctl start {UNIT}")
    cluster.settled()
    try:
        yield
    finally:
        back = f"rm -rf /run/kept; cp -a {WAL} /run/kept && umount {WAL} && {copy} /run/kept/. {WAL}; rm -rf /run/kept"
        stop(cluster, host, f"rm -f {WAL}/filler; {back}; systemctl start {UNIT}")


def fill_up(cluster: Cluster, host: str) -> None:
    cluster.sh(host, f"cat /dev/zero > {WAL}/filler 2>/dev/null")


def test_a_standby_that_was_away_for_too_long_is_copied_anew(cluster: Cluster) -> None:
    before = aside(cluster, "db3")
    stop(cluster, "db3")
    fill(cluster, LIMIT + 12)
    told(cluster, "db3 was away for too long: the WAL that it needs is gone hakit postgres reinit")
    assert "db3 unused, keeps 0 B (lost)" in said(cluster, "postgres", "status", "main")
    applied = cluster.run("apply", "--yes", "--no-diff")
    assert "db3 was away for too long: the WAL that it needs is gone. Copy it anew: hakit postgres reinit main db3" in (
        " ".join(applied.split())
    )
    refused = said(cluster, "postgres", "rejoin", "main", "db3")
    assert "db3 was away for too long: db1 no longer has the WAL that it needs" in refused
    assert "has already been removed" in refused
    assert "hakit postgres reinit" in refused
    assert cluster.roles()["db3"] == "standby"
    done = cluster.run("postgres", "reinit", "main", "db3", "--confirm", "db3")
    (kept,) = aside(cluster, "db3") - before
    assert kept in done
    assert cluster.sh("db3", f"cat {kept}/PG_VERSION").strip() == "15"
    cluster.sh("db3", f"rm -r {kept}")


def test_a_full_wal_disk_of_the_primary_loses_nothing_and_goes_on_when_there_is_room(cluster: Cluster) -> None:
    with small_wal_disk(cluster, "db1"), cluster.writer() as writer:
        fill_up(cluster, "db1")
        told(cluster, "db1 has 0 MiB left for WAL, and its server stops when that is full: make room")
        fill(cluster, 10)
        told(cluster, "nobody is the primary; db1 should be, and does not run")
        told(cluster, "No space left on device hakit postgres failover")
        applied = said(cluster, "apply", "--yes", "--no-diff")
        assert "No space left on device" in applied
        cluster.sh("db1", f"rm {WAL}/filler")
        cluster.settled()
        written = writer.stop()
    nothing_is_lost(cluster, written)
    assert written.turns == ("db1",)


@pytest.mark.long
def test_a_full_wal_disk_of_the_primary_is_no_obstacle_for_a_failover(cluster: Cluster) -> None:
    with small_wal_disk(cluster, "db1"), cluster.writer() as writer:
        fill_up(cluster, "db1")
        fill(cluster, 10)
        told(cluster, "nobody is the primary; db1 should be, and does not run")
        cluster.run("postgres", "failover", "main", "--yes")
        cluster.lab.eventually(cluster.writable, "writers get through", 30)
        written = writer.stop()
    nothing_is_lost(cluster, written)
    cluster.run("postgres", "rejoin", "main", "db1")
    cluster.settled()
    cluster.run("postgres", "switchover", "main", "--to", "db1", "--yes")


@pytest.mark.long
def test_a_full_wal_disk_of_a_standby_stops_nobody_else(cluster: Cluster) -> None:
    with small_wal_disk(cluster, "db2"), cluster.writer() as writer:
        fill_up(cluster, "db2")
        fill(cluster, 8)
        told(cluster, "db2 has 0 MiB left for WAL, and its server stops when that is full: make room")
        told(cluster, "db1 leads, 1 standby streams")
        cluster.sh("db2", f"rm {WAL}/filler")
        cluster.settled()
        written = writer.stop()
    nothing_is_lost(cluster, written)
    assert written.longest_pause < 5


def test_a_password_that_was_changed_by_hand_is_said_and_put_right(cluster: Cluster) -> None:
    cluster.sql("db1", "ALTER ROLE replicator PASSWORD 'by-hand'")
    cluster.sh("db3", f"systemctl restart {UNIT}")
    told(cluster, "db3 receives nothing from db1: could not connect to the primary server")
    assert "password authentication failed" in " ".join(said(cluster, "postgres", "status", "main").split())
    refused = said(cluster, "postgres", "rejoin", "main", "db3")
    assert "db1 does not let db3 in" in refused
    assert "hakit apply" in refused
    assert cluster.roles()["db3"] == "standby"
    assert "role:replicator" in cluster.run("apply", "--yes", "--no-diff")


def test_a_password_file_that_was_changed_by_hand_is_put_right(cluster: Cluster) -> None:
    cluster.sh("db3", f"sed -i 's/replicates-1/by-hand/' {CONFIG}/hakit.pgpass; systemctl restart {UNIT}")
    told(cluster, "password authentication failed")
    assert "by-hand" not in cluster.run("apply", "--yes")


def test_a_new_replication_password_reaches_the_role_and_all_members(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = conftest.SECRETS["HAKIT_SECRET_REPLICATION"]
    with cluster.writer() as writer:
        for password in ("another-2", old):
            monkeypatch.setitem(conftest.SECRETS, "HAKIT_SECRET_REPLICATION", password)
            cluster.run("apply", "--yes", "--no-diff")
            for host in ("db2", "db3"):
                cluster.sh(host, f"systemctl restart {UNIT}")
                cluster.settled()
        written = writer.stop()
    nothing_is_lost(cluster, written)


def asked(cluster: Cluster, path: str, host: str = "10.78.0.23") -> str:
    """What db1 gets from a member's role endpoint."""
    return cluster.sh("db1", f"python3 -c '{ENDPOINT}' 'http://{host}:8008/{path}'").strip()


def test_data_of_another_cluster_serve_nobody_and_are_moved_aside(cluster: Cluster) -> None:
    make = f"install -d -o postgres -m 700 {DATA}; cd /; runuser -u postgres -- {INITDB} --wal-segsize=1 -D {DATA}"
    with without_data(cluster, "db3"):
        stop(cluster, "db3", f"{make} >/dev/null; systemctl start {UNIT}")
        assert cluster.roles()["db3"] == ""
        assert "0 of 3" not in cluster.sh("db3", "cat /run/hakit-postgresql/*.guard")
        theirs = cluster.sh("db3", f"runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_controldata {DATA} | head -3")
        for command in (("postgres", "status", "main"), ("apply", "--yes"), ("postgres", "rejoin", "main", "db3")):
            words = " ".join(said(cluster, *command).split())
            assert "data of different clusters" in words, words
            assert "hakit postgres reinit" in words, words
        assert "different clusters" in said(cluster, "postgres", "switchover", "main", "--yes")
        stop(cluster, "db3", f"runuser -u postgres -- touch {DATA}/standby.signal; systemctl start {UNIT}")
        cluster.lab.eventually(lambda: cluster.roles()["db3"] == "standby", "it runs as a standby of nobody", 20)
        assert [asked(cluster, path) for path in ("primary", "replica", "replica?lag=16MB", "ready")] == ["503"] * 4
        readers = {cluster.ask("SELECT current_setting('cluster_name')", READERS)[0][0] for _ in range(6)}
        assert readers == {"db2"}
        cluster.run("postgres", "reinit", "main", "db3", "--confirm", "db3")
        cluster.settled()
        (kept,) = aside(cluster, "db3")
        assert (
            cluster.sh("db3", f"runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_controldata {kept} | head -3")
            .split("identifier:")[1]
            .split()[0]
            == theirs.split("identifier:")[1].split()[0]
        )


IN_THE_WAY = {
    "files": (f"mkdir {DATA}; echo precious > {DATA}/thesis.txt", "is in the way: no cluster, it holds thesis.txt"),
    "version": (f"cp -a {DATA}.kept {DATA}; echo 14 > {DATA}/PG_VERSION", "a cluster of PostgreSQL 14, and 15 is"),
    "link": (f"install -d -o postgres /srv/other; ln -s /srv/other {DATA}", "is a symbolic link"),
    "owner": (f"cp -a {DATA}.kept {DATA}; chown -R daemon: {DATA}", "it belongs to daemon"),
    "mount": (f"mkdir {DATA}; mount -t tmpfs small {DATA}; mkdir {DATA}/lost+found", "is itself a mount point"),
    "damaged": (f"cp -a {DATA}.kept {DATA}; truncate -s 100 {DATA}/global/pg_control", "pg_controldata can't tell"),
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_is_in_the_way_of_a_copy_is_left_alone(cluster: Cluster, name: str) -> None:
    make, why = IN_THE_WAY[name]
    look = f"ls -lanR {DATA} 2>&1; md5sum {DATA}/* 2>&1; ls -ld {DATA}"
    with without_data(cluster, "db3"):
        cluster.sh("db3", make)
        before = cluster.sh("db3", look)
        words = " ".join(said(cluster, "apply", "--yes", "--no-diff").split())
        assert why in words, words
        assert "0 hosts changed" in words
        assert cluster.sh("db3", look) == before
        assert cluster.roles()["db3"] == ""
        assert cluster.hakit("postgres", "status", "main").returncode == 1


@pytest.mark.parametrize(
    "name", ["files", pytest.param("owner", marks=pytest.mark.long), pytest.param("damaged", marks=pytest.mark.long)]
)
def test_what_is_in_the_way_is_moved_aside_when_that_is_asked_for(cluster: Cluster, name: str) -> None:
    with without_data(cluster, "db3"):
        cluster.sh("db3", IN_THE_WAY[name][0])
        before = cluster.sh("db3", f"cd {DATA} && ls -lAnR")
        told(cluster, "hakit postgres reinit")
        cluster.run("postgres", "reinit", "main", "db3", "--confirm", "db3")
        cluster.settled()
        (kept,) = aside(cluster, "db3")
        assert cluster.sh("db3", f"cd {kept} && ls -lAnR") == before


def test_writes_go_on_when_one_standby_loses_its_power(cluster: Cluster) -> None:
    with cluster.writer() as writer:
        cluster.lab.lab.power("db2", "pull")
        told(cluster, "db2 does not answer")
        cluster.lab.lab.power("db2", "on")
        cluster.settled()
        written = writer.stop()
    nothing_is_lost(cluster, written)
    assert written.turns == ("db1",)
    assert written.longest_pause < 5


def test_without_standbys_writes_wait_and_go_on_when_one_is_back(cluster: Cluster) -> None:
    with cluster.writer() as writer:
        for host in ("db2", "db3"):
            cluster.lab.lab.power(host, "pull")
        told(cluster, "writes hang: commits wait for 1 standby, and none is attached to db1", 60)
        cluster.lab.lab.power("db2", "on")
        cluster.lab.eventually(cluster.writable, "writes go on with one standby", 30)
        rows = f"SELECT count(*) FROM {cluster.tables[-1]}"  # noqa: S608 - our own name
        before = int(cluster.ask(rows)[0][0])
        cluster.lab.eventually(lambda: int(cluster.ask(rows)[0][0]) > before + 20, "rows arrive again", 30)
        cluster.lab.lab.power("db3", "on")
        cluster.settled()
        written = writer.stop()
    nothing_is_lost(cluster, written)
    assert written.turns == ("db1",)


def test_an_open_door_for_strangers_is_found_and_shut(cluster: Cluster) -> None:
    row = "host replication all all scram-sha-256"
    cluster.sh("db1", f"sed -i '1i {row}' {CONFIG}/pg_hba.conf; systemctl reload {UNIT}")
    found = said(cluster, "verify", "--component", "postgresql")
    assert "replication is not refused" in found
    assert "pg_hba.conf" in cluster.run("apply", "--yes", "--no-diff")
    cluster.run("verify", "--component", "postgresql")


def test_in_the_end_all_is_as_declared(cluster: Cluster) -> None:
    """The last one: whatever was done to them, the members serve, and an apply finds nothing to do."""
    found = cluster.run("postgres", "status", "main")
    assert found.startswith("main  healthy"), found
    assert " 0 hosts changed, 5 unchanged" in cluster.run("apply", "--yes", "--no-diff")
