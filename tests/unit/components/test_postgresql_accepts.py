"""The real PostgreSQL takes what is rendered, and agrees with us about parameters and rows of pg_hba.conf."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.postgres.place import USER
from hakit.components.postgresql import hba, parameters
from hakit.components.postgresql.resources import REFUSED
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from hakit.inventory import load
from tests.unit.components.daemons import judged, laid_out, without_tls
from tests.unit.components.programs import server_programs
from tests.unit.components.sites import COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

CASE = Path(__file__).parent / "cases" / "postgresql-cluster" / "inventory.yml"
LINE = re.compile(r"^(\S+) = (.*)$", re.MULTILINE)


@pytest.fixture(scope="session")
def programs() -> Path:
    return server_programs()


@pytest.fixture(scope="session")
def version(programs: Path) -> int:
    return int(programs.parts[-2])


def file(folder: Path, *lines: str) -> Path:
    """A configuration of these lines, and of those without which the server judges nothing."""
    config = folder / "postgresql.conf"
    needed = (f"{name} = '{folder}/{name}'" for name in ("data_directory", "hba_file", "ident_file"))
    config.write_text("".join(f"{line}\n" for line in (*needed, *lines)))
    return config


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The rendered files of the case by host and path, secrets revealed."""
    for name in ("PGREPL", "PGAPP"):
        monkeypatch.setenv(f"HAKIT_SECRET_{name}", "a:b\\c")
    del tmp_path
    site = load(CASE, {name: one.Settings for name, one in COMPONENTS.items()})
    templates = Templates(site)
    found = {}
    for host in site.running("postgresql"):
        contents = declare(site, COMPONENTS, host, offline(site, host), templates).contents()
        found[host.name] = {path: content.reveal() for path, content in contents.items()}
    return found


@pytest.mark.parametrize("host", ["db1", "db2", "db3", "db4"])
def test_the_server_takes_what_is_rendered(
    files: dict[str, dict[str, str]], host: str, tmp_path: Path, programs: Path
) -> None:
    config = laid_out(files[host], tmp_path)
    assert judged(programs, config)[0] == 0
    for path in (config, config.parent / "conf.d" / "10-restart.conf"):
        for name, text in LINE.findall(path.read_text()):
            if "." not in name:
                said = judged(programs, config, name)[1]
                assert said.replace(" ", "") == plain(text).replace(" ", ""), name


def plain(text: str) -> str:
    """A value as the server shows it; sizes and times are shown in another unit and are not compared."""
    value = text[1:-1].replace("''", "'") if text.startswith("'") else text
    units = {
        "4GB": "4096",
        "2GB": "2048",
        "1GB": "1024",
        "320MB": "320",
        "256MB": "32768",
        "16MB": "16384",
        "10s": "10000",
        "1s": "1",
        "30s": "30",
        "200ms": "200",
    }
    times = {"3600000ms": "3600000", "0ms": "0"}
    return {**units, **times}.get(value, value)


def test_a_password_file_protects_its_own_signs(files: dict[str, dict[str, str]]) -> None:
    lines = next(text for path, text in files["db3"].items() if path.endswith("hakit.pgpass")).splitlines()
    assert lines[1] == r"10.77.0.21:5433:*:replicator:a\:b\\c"
    assert lines[3] == r"fd00\:\:23:5433:*:replicator:a\:b\\c"


def test_a_refusal_has_its_place(tmp_path: Path, programs: Path) -> None:
    late = tmp_path / "late.conf"
    config = file(tmp_path, f"include '{late}'")
    late.write_text("work_mem = 4MB\nwork_men = 4MB\n")
    code, said = judged(programs, config)
    found = re.search(REFUSED, said, re.MULTILINE)
    assert code != 0
    assert found is not None
    assert found.groupdict() == {
        "message": 'unrecognized configuration parameter "work_men"',
        "path": str(late),
        "line": "2",
    }


VALUES: list[tuple[str, Any]] = [
    *(("shared_buffers", value) for value in ("128MB", "1GB", "16", 16384, "0.5GB", "15", "12 MB", "12mb", "9TB", "x")),
    *(("work_mem", value) for value in ("64kB", "63kB", "65536B", "1e3", "2TB", "-1")),
    *(("checkpoint_timeout", value) for value in ("30s", "29s", "1h", "1d", "2d", "5min", "300", "300000ms", "1y")),
    *(("max_connections", value) for value in (1, 0, 200000, 262144, "100", "1.5", "10 %")),
    *(("random_page_cost", value) for value in (4, 1.1, "1.1", "-1", "cheap")),
    *(("vacuum_cost_delay", value) for value in ("2ms", "0.5", "100ms", "101ms", "500us")),
    *(("wal_compression", value) for value in (True, False, "on", "pglz", "zip", "LZ4")),
    *(("synchronous_commit", value) for value in ("remote_apply", "local", False, "remote", "Remote_Write")),
    *(("fsync", value) for value in (True, "off", "yes", "NO", "t", "1", "2", "o")),
    *(("max_slot_wal_keep_size", value) for value in ("-1", "1GB", "1", "-2")),
    *(("log_min_messages", value) for value in ("warning", "debug5", "noise")),
    *(("search_path", value) for value in ('"$user", public', "it's", "a\\b")),
    *(("no_such_parameter", value) for value in ("1",)),
]


@pytest.mark.parametrize(("name", "value"), VALUES, ids=str)
def test_a_value_is_refused_exactly_where_the_server_refuses_it(
    name: str, value: Any, tmp_path: Path, programs: Path, version: int
) -> None:
    config = file(tmp_path, f"{name} = {parameters.written(value)}")
    assert (parameters.fault(version, name, value) is None) == (judged(programs, config)[0] == 0)


@pytest.mark.parametrize("text", ["it's", "a\\b", "''", "\\'", "plain", "a b", "", "ä€", "# none", "on", "-1", "1GB"])
def test_a_text_reaches_the_server_as_it_is(text: str, tmp_path: Path, programs: Path) -> None:
    line = f"log_line_prefix = {parameters.quoted(text)}"
    assert judged(programs, file(tmp_path, line), "log_line_prefix") == (0, text)
    assert parameters.parse(line) == ("log_line_prefix", text)


def test_what_is_shipped_is_what_the_server_knows(programs: Path, version: int) -> None:
    done = subprocess.run([programs / "postgres", "--describe-config"], capture_output=True, text=True, check=True)
    described = {line.split("\t")[0].lower(): line.split("\t")[1] for line in done.stdout.splitlines()}
    shipped = parameters.known(version)
    assert described.keys() - shipped.keys() == set()
    contexts = {
        name: described[name] for name, row in shipped.items() if name in described and row.context == "postmaster"
    }
    assert set(contexts.values()) <= {"postmaster"}


@pytest.fixture(scope="session")
def empty_cluster(programs: Path) -> Iterator[Path]:
    """A folder with a data directory; not in pytest's own, which the server's user may not enter."""
    with tempfile.TemporaryDirectory(prefix="hakit-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(USER).pw_uid, -1)
        as_server([programs / "initdb", "--no-sync", "-U", USER, "-D", folder / "data"])
        yield folder


def as_server(argv: list[Any], stdin: str = "") -> str:
    who = {"user": USER, "group": USER, "extra_groups": ()} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(one) for one in argv], input=stdin, capture_output=True, text=True, check=False, cwd="/", **who
    )  # type: ignore[call-overload]  # options that depend on who we are
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def rows_of(programs: Path, cluster: Path, text: str) -> list[list[str]]:
    """What the server makes of a pg_hba.conf: type, databases, users, address, mask, method, error of each row."""
    (cluster / "hba").write_text(text)
    (cluster / "hba").chmod(0o644)
    fields = (
        "type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask, auth_method, error"
    )
    query = f"COPY (SELECT {fields} FROM pg_hba_file_rules) TO '{cluster}/data/rows' (NULL '')\n"  # noqa: S608 - a test's own folder
    server = [programs / "postgres", "--single", "-D", cluster / "data", "-c", f"hba_file={cluster}/hba", "template1"]
    as_server(server, query)
    return [line.split("\t") for line in (cluster / "data" / "rows").read_text().splitlines()]


def test_every_row_is_understood_as_meant(
    files: dict[str, dict[str, str]], empty_cluster: Path, programs: Path
) -> None:
    text = next(text for path, text in files["db1"].items() if path.endswith("pg_hba.conf"))
    found = rows_of(programs, empty_cluster, without_tls(text))
    assert [row[-1] for row in found] == [""] * len(found)
    site = load(CASE, {name: one.Settings for name, one in COMPONENTS.items()})
    meant = hba.rows(site, site.hosts["db1"])
    assert [(row[0], row[1], row[2]) for row in found[: len(meant)]] == [
        (without_tls(row.type), ",".join(row.databases), ",".join(row.users)) for row in meant
    ]
    assert [row[:3] + row[5:6] for row in found[len(meant) :]] == [
        ["host", "all", "all", "reject"],
        ["host", "replication", "all", "reject"],
    ]
    assert list(hba.hidden(meant)) == []


@pytest.mark.parametrize(
    "line",
    [
        "local all all peer",
        'host "all" "some one",app 10.0.0.0/8 scram-sha-256',
        "host a,b c,d 10.0.0.1 255.255.255.255 md5",
        "host all all samehost trust",
        "hostnossl all +group .example.org reject",
        "host all all 10.0.0.0/8",
        "host all all",
        "local all all",
        "hosts all all all reject",
        "host all all all sesame",
        "# nothing",
        "host all all 10.0.0.0/8 peer",
        "host all all 10.0.0.0/8 cert",
        "local all all gss",
        "host all all 10.0.0.0/8 sspi",
        "host all all 10.0.0.0/8 ldap",
        "host all all 10.0.0.0/8 ldap ldapserver=10.0.0.1",
        "host all all 10.0.0.0/8 ldap ldapserver=10.0.0.1 ldapprefix=x",
        "host all all 10.0.0.0/8 radius radiusservers=10.0.0.1",
        "host all all 10.0.0.0/8 radius radiusservers=10.0.0.1 radiussecrets=x",
        "host all all 10.0.0.0/8 scram-sha-256 extra",
        "local all all peer map=x",
        "host all all 10.0.0.0/33 scram-sha-256",
        "host all all 10.0.0.0 scram-sha-256",
        "host all all 10.0.0.9/8 scram-sha-256",
        "host all all fd00::1 scram-sha-256",
        "host all all fd00::1/64 scram-sha-256",
        "include /dev/null",
    ],
)
def test_a_line_is_refused_exactly_where_the_server_refuses_it(line: str, empty_cluster: Path, programs: Path) -> None:
    found = rows_of(programs, empty_cluster, f"{line}\n")
    ours = hba.parse(line, int(programs.parent.name))
    assert isinstance(ours, str) == any(row[-1] for row in found)
    if isinstance(ours, hba.Row):
        assert [ours.type, ",".join(ours.databases), ",".join(ours.users), ours.method] == [*found[0][:3], found[0][5]]
