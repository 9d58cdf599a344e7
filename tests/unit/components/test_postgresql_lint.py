"""What lint says of a cluster's settings, beyond the one inventory per rule in tests/unit/lint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.base import Facts
from hakit.components.postgresql.check import refuse_unknown
from hakit.errors import RefusedError
from hakit.inventory.core import Service
from tests.unit.components.sites import found, site

if TYPE_CHECKING:
    from pathlib import Path

THREE = ("db1", "db2", "db3")
PASSWORD = {"password": {"secret": "REPLICATION"}}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_REPLICATION", "of:standbys\\")


def cluster(folder: Path, *, of: dict[str, dict[str, Any]] | None = None, **settings: Any) -> dict[str, str]:
    """What lint finds in a cluster of three, with settings of all and of single members."""
    base = {"cluster": "main", "primary": "db1", "replication": PASSWORD, **settings}
    hosts = {name: {"postgresql": {**base, **(of or {}).get(name, {})}} for name in THREE}
    return found(site(folder, hosts, {"apps": ["db3"]}))


def test_a_plain_cluster_breaks_nothing(tmp_path: Path) -> None:
    assert cluster(tmp_path) == {}


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        ({"primary": "db4"}, "primary", "db4 is no member of main (db1, db2, db3) (did you mean db"),
        ({"parameters": {"shared_bufers": "1GB"}}, "parameters.shared_bufers", "(did you mean shared_buffers?)"),
        ({"parameters": {"shared_buffers": "1 gigabyte"}}, "parameters.shared_buffers", "from 128kB to 8TB"),
        ({"parameters": {"shared_buffers": "1kB"}}, "parameters.shared_buffers", "got 1kB"),
        ({"parameters": {"max_connections": 0}}, "parameters.max_connections", "a whole number from 1 to 262143"),
        ({"parameters": {"max_connections": True}}, "parameters.max_connections", "got on"),
        ({"parameters": {"log_statement": "dll"}}, "parameters.log_statement", "(did you mean ddl?)"),
        ({"parameters": {"fsync": "perhaps"}}, "parameters.fsync", "expects on or off, got perhaps"),
        ({"parameters": {"checkpoint_timeout": "5hours"}}, "parameters.checkpoint_timeout", "a time with its unit"),
        (
            {"parameters": {"autovacuum_max_workers": 262143}},
            "parameters.autovacuum_max_workers",
            "max_connections 100 + autovacuum_max_workers 262143 + max_worker_processes 8 + max_wal_senders 10 + 1",
        ),
        (
            {"parameters": {"max_connections": 200000}, "extra": ["max_worker_processes = 100000"]},
            "parameters.max_connections",
            "makes 300014 processes, and a server starts with 262143 at most",
        ),
        ({"extra": ["max_connections = 262122"]}, "extra[0]", "makes 262144 processes"),
        ({"parameters": {"max_connections": 3}}, "parameters.max_connections", "leaves nothing of max_connections 3"),
        (
            {"parameters": {"max_connections": 20, "superuser_reserved_connections": 20}},
            "parameters.superuser_reserved_connections",
            "superuser_reserved_connections 20 leaves nothing of max_connections 20",
        ),
        (
            {"parameters": {"max_wal_size": "64MB"}, "data": {"wal_segment": "64MB"}},
            "parameters.max_wal_size",
            "two WAL segments at least, 128MB",
        ),
        ({"parameters": {"block_size": 8192}}, "parameters.block_size", "can't be set"),
        ({"parameters": {"Port": 5433}}, "parameters.Port", "hakit derives port: write  port"),
        ({"extra": ["primary_conninfo = 'host=db9'"]}, "extra[0]", "hakit derives primary_conninfo"),
        ({"extra": ["work_mem = 'open"]}, "extra[0]", "name = value"),
        ({"synchronous": {"standbys": ["db2"]}}, "synchronous", "write any: N or first: N"),
        ({"synchronous": {"any": 1, "first": 1}}, "synchronous", "it has both"),
        ({"access": [{}]}, "access[0]", "write group or network"),
        ({"access": [{"group": "aps"}]}, "access[0].group", "no such group or host: aps (did you mean apps?)"),
        ({"access": [{"group": "apps", "roles": ["ap"]}]}, "access[0].roles[0]", "no such role: ap"),
        ({"access": [{"network": "10.9.0.0/24", "method": "cert"}]}, "access[0].method", "write tls: true"),
        ({"hba_extra": ["host all 10.0.0.0/8 scram-sha-256"]}, "hba_extra[0]", "database, user, address and method"),
        ({"hba_extra": ["include /etc/x"]}, "hba_extra[0]", "PostgreSQL 15 reads no include here"),
        ({"hba_extra": ["hots all all all reject"]}, "hba_extra[0]", "a row begins with"),
        ({"hba_extra": ["host all all all scram"]}, "hba_extra[0]", "no such method: scram"),
        ({"hba_extra": ["host all all 10.0.0.0/8 peer"]}, "hba_extra[0]", "peer is for rows of local, not of host"),
        ({"hba_extra": ["host all all 10.0.0.0 md5"]}, "hba_extra[0]", "needs its prefix length"),
        ({"data": {"wal_segment": "24MB"}}, "data.wal_segment", "no power of two"),
        ({"replication": {**PASSWORD, "slot_limit": "9999TB"}}, "replication.slot_limit", "a size with its unit"),
        ({"replication": {**PASSWORD, "rate": "2GB"}}, "replication.rate", "expects 32kB to 1GB"),
        ({"roles": {"replicator": {}}}, "roles.replicator", "choose another name"),
        ({"roles": {"app": {"member_of": ["owner"]}}}, "roles.app.member_of[0]", "no such role: owner"),
        ({"roles": {"app": {"settings": {"wal_level": "logical"}}}}, "roles.app.settings.wal_level", "not a session's"),
        ({"roles": {"app": {"settings": {"work_men": "1MB"}}}}, "roles.app.settings.work_men", "mean work_mem?"),
        ({"databases": {"orders": {"owner": "ap"}}}, "databases.orders.owner", "no such role: ap"),
        (
            {"databases": {"orders": {"grants": [{"role": "postgres", "privileges": ["CONNECT", "TEMPRARY"]}]}}},
            "databases.orders.grants[0].privileges[1]",
            "nobody can be granted TEMPRARY on database (did you mean TEMPORARY?)",
        ),
        (
            {"databases": {"orders": {"grants": [{"role": "PUBLIC", "privileges": ["USAGE"], "objects": "tables"}]}}},
            "databases.orders.grants[0].privileges[0]",
            "there are SELECT, INSERT,",
        ),
        ({"fence": {"command": ["/bin/off"]}}, "fence.command", "the same command would fence db1 and db"),
        ({"data": {"mount": "/srv/pg", "directory": "/srv/pg"}}, "data.directory", "is the mount point itself"),
        ({"data": {"mount": "/srv/pg"}}, "data.mount", "is not below /srv/pg"),
        ({"data": {"directory": "/pg"}}, "data.directory", "at the top of the file system"),
    ],
)
def test_what_cannot_be_rendered(tmp_path: Path, settings: dict[str, Any], key: str, said: str) -> None:
    problems = cluster(tmp_path, **settings)
    assert list(problems) == [f"postgresql.{key}"]
    assert said in problems[f"postgresql.{key}"]


@pytest.mark.parametrize(
    "settings",
    [
        {"parameters": {"max_connections": 262121}},
        {"parameters": {"max_connections": 4}},
        {"parameters": {"max_wal_size": "128MB", "min_wal_size": "128MB"}, "data": {"wal_segment": "64MB"}},
    ],
)
def test_what_fits_by_a_hair(tmp_path: Path, settings: dict[str, Any]) -> None:
    found = cluster(tmp_path, **settings)
    assert not [said for said in found.values() if "start" in said]


@pytest.mark.parametrize(
    ("of", "key", "said"),
    [
        ({"db2": {"port": 5433}}, "port", "db2 and db1 are members of main and must say the same"),
        ({"db3": {"primary": "db2"}}, "primary", "db3 and db1"),
        ({"db1": {"promotable": False}}, "promotable", "first made on db1"),
        ({"db1": {"delay": "1h"}}, "delay", "first made on db1"),
        ({"db2": {"upstream": "db9"}}, "upstream", "db9 is no member of main"),
        ({"db2": {"upstream": "db3"}, "db3": {"upstream": "db2"}}, "upstream", "in a circle (db3 → db2 → db3)"),
        ({"db2": {"upstream": "db2"}}, "upstream", "in a circle (db2 → db2)"),
    ],
)
def test_members_that_do_not_fit(tmp_path: Path, of: dict[str, dict[str, Any]], key: str, said: str) -> None:
    problems = cluster(tmp_path, of=of)
    assert list(problems) == [f"postgresql.{key}"]
    assert said in problems[f"postgresql.{key}"]


def test_a_name_of_a_newer_release_is_taken_where_the_release_is_not_known(tmp_path: Path) -> None:
    assert cluster(tmp_path, parameters={"io_combine_limit": "128kB"}) == {}


def test_a_run_that_knows_the_release_refuses_what_its_server_does_not_take(tmp_path: Path) -> None:
    base = {"cluster": "main", "primary": "db1", "replication": PASSWORD}
    newer = {"parameters": {"io_combine_limit": "128kB"}, "extra": ["event_triggers = off"]}
    known = site(tmp_path, {name: {"postgresql": {**base, **newer}} for name in THREE})
    refuse_unknown(known, {"db1": Facts(release=13)})
    with pytest.raises(RefusedError) as caught:
        refuse_unknown(known, {"db1": Facts(release=13), "db2": Facts(release=12)})
    assert caught.value.why is not None
    told = [line.strip() for line in caught.value.why.splitlines()]
    assert [line.partition(" (did")[0] for line in told] == [
        f"db2 (Debian 12): PostgreSQL 15 knows no parameter {name}" for name in ("io_combine_limit", "event_triggers")
    ]


def test_a_fence_command_may_name_its_host(tmp_path: Path) -> None:
    assert cluster(tmp_path, fence={"command": ["/bin/off", "{host}"]}) == {}
    assert cluster(tmp_path, of={name: {"fence": {"command": ["/bin/off", name]}} for name in THREE}) == {}


@pytest.mark.parametrize("privilege", ["connect", "ALL", "all privileges", "TEMP"])
def test_privileges_as_sql_writes_them(tmp_path: Path, privilege: str) -> None:
    grant = {"role": "postgres", "privileges": [privilege]}
    assert cluster(tmp_path, databases={"orders": {"grants": [grant]}}) == {}


def test_members_need_addresses(tmp_path: Path) -> None:
    base: dict[str, Any] = {"cluster": "main", "primary": "db1", "replication": PASSWORD}
    problems = found(site(tmp_path, {"db1": {"address": "db1.example.org", "postgresql": base}}))
    assert "write hakit.address" in problems["postgresql.cluster"]


def test_two_names_with_one_slot_are_refused(tmp_path: Path) -> None:
    base: dict[str, Any] = {"cluster": "main", "primary": "db-1", "replication": PASSWORD}
    problems = found(site(tmp_path, {"db-1": {"postgresql": base}, "db.1": {"postgresql": base}}))
    assert "the same replication slot, db_1" in problems["postgresql.cluster"]


@pytest.mark.parametrize(
    ("settings", "key", "rule", "said"),
    [
        ({"synchronous": {"any": 3}}, "synchronous.any", "PG005", "only 2 can be left: they would never end"),
        ({"synchronous": {"first": 2}}, "synchronous.first", "PG005", "all 2 candidates beside the primary"),
        ({"synchronous": {"any": 1, "standbys": ["db1"]}}, "synchronous.any", "PG005", "only 0 can be left"),
        ({"synchronous": {"any": 1, "commit": "remote_write"}}, "synchronous.commit", "PG007", "only wrote a commit"),
        (
            {"synchronous": {"any": 1}, "extra": ["synchronous_commit = local"]},
            "extra[0]",
            "PG007",
            "before a standby has them",
        ),
        (
            {"synchronous": {"any": 1}, "roles": {"app": {"settings": {"synchronous_commit": False}}}},
            "roles.app.settings.synchronous_commit",
            "PG007",
            "what app commits may be lost",
        ),
        ({"access": [{"databases": ["replication"], "network": "0.0.0.0/0"}]}, "access[0]", "PG009", "open to"),
        (
            {"access": [{"databases": ["replication"], "network": "10.9.0.0/24", "method": "trust"}]},
            "access[0]",
            "PG009",
            "could copy the whole cluster, unasked",
        ),
        ({"access": [{"network": "10.9.0.0/24", "method": "md5"}]}, "access[0]", "PG009", "md5 gives passwords away"),
        ({"hba_extra": ["host all all 10.9.0.1 255.255.255.0 trust"]}, "hba_extra[0]", "PG009", "is let in"),
        ({"access": [{"network": "127.0.0.0/30"}, {"network": "127.0.0.1/32"}]}, "access[1]", "PG009", "does nothing"),
        ({"parameters": {"max_wal_senders": 3}}, "parameters.max_wal_senders", "PG010", "2 other members need"),
        (
            {"parameters": {"max_replication_slots": 1}},
            "parameters.max_replication_slots",
            "PG010",
            "a slot for each: 2",
        ),
    ],
)
def test_what_a_rule_also_finds(tmp_path: Path, settings: dict[str, Any], key: str, rule: str, said: str) -> None:
    problems = cluster(tmp_path, **settings)
    assert list(problems) == [f"postgresql.{key}"]
    assert problems[f"postgresql.{key}"].startswith(rule)
    assert said in problems[f"postgresql.{key}"]


def test_a_single_candidate_can_be_asked_for(tmp_path: Path) -> None:
    assert cluster(tmp_path, synchronous={"any": 1, "standbys": ["db1", "db2"], "single": True}) == {}


def test_one_behind_another_standby_does_not_count(tmp_path: Path) -> None:
    """While db1 leads, its commits hear nothing of db3, which follows db2."""
    problems = cluster(tmp_path, of={"db3": {"upstream": "db2"}}, synchronous={"any": 1})
    assert problems["postgresql.synchronous.any"].startswith("PG005 there is one candidate beside the primary")
    (tmp_path / "again").mkdir()
    of: dict[str, dict[str, Any]] = {"db2": {"promotable": False}, "db3": {"promotable": False, "upstream": "db1"}}
    assert cluster(tmp_path / "again", of=of, synchronous={"any": 1}) == {}


def test_one_that_never_leads_does_not_count_among_those_that_do(tmp_path: Path) -> None:
    """Whoever leads, two candidates are left: db3 is one, and never the primary."""
    of = {"db3": {"promotable": False}, "db2": {"promotable": False}}
    assert cluster(tmp_path, of=of, synchronous={"any": 1, "standbys": ["db2", "db3"]}) == {}


def test_a_standby_afar_without_an_archive(tmp_path: Path) -> None:
    problems = cluster(tmp_path, of={"db3": {"site": "far"}})
    assert problems["postgresql.site"].startswith("PG013 once db3 is cut off for longer than its slot keeps WAL (1GB)")


def test_nothing_lost_is_promised_without_standbys_that_are_waited_for(tmp_path: Path) -> None:
    base: dict[str, Any] = {"cluster": "main", "primary": "db1", "replication": PASSWORD}
    pool: dict[str, Any] = {"group": "dbs", "port": 5432, "mode": "tcp", "check": {"http": "/primary", "port": 8008}}
    proxy: dict[str, Any] = {
        "frontends": {"db": {"mode": "tcp", "bind": ["10.1.0.1:5432"], "backend": "db"}},
        "backends": {"db": pool},
    }
    some: dict[str, Any] = {"synchronous": {"any": 1}}
    ways: tuple[tuple[dict[str, Any], bool], ...] = (
        ({}, True),
        (some, False),
        ({**some, "parameters": {"synchronous_commit": False}}, True),
        ({**some, "parameters": {"synchronous_commit": "remote_apply"}}, False),
    )
    for number, (more, expected) in enumerate(ways):
        here = tmp_path / str(number)
        here.mkdir()
        settings = {**base, **more}
        hosts = {"lb1": {"haproxy": proxy}, **{name: {"postgresql": settings} for name in THREE}}
        loaded = site(here, hosts, {"dbs": list(THREE)})
        loaded = replace(loaded, services={"db": Service(address="10.1.0.1", rpo=0.0)})
        assert any(text.startswith("PG007 nothing may be lost") for text in found(loaded).values()) == expected
