"""testinfra tests of PostgreSQL, run by `hakit verify`."""

from __future__ import annotations

import json
import shlex
import time
import uuid
from typing import TYPE_CHECKING, Any

from hakit.components.postgresql.members import cluster_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testinfra.host import Host as Remote

    from hakit.components.postgresql.members import Cluster
    from hakit.components.postgresql.settings import PostgresqlSettings
    from hakit.inventory.model import Host, Site

PATIENCE = 20.0
"""Seconds in which a row has to arrive: a standby that was away may have to catch up first."""
REJECTED = "28000"
"""The server's code for a login that no row of pg_hba.conf lets in (PostgreSQL documentation, appendix A)."""

ASK = """
import json, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
found = {}
for target in sys.argv[1:]:
    try:
        with opener.open(target, timeout=5) as answer:
            found[target] = [answer.status, answer.read(65536).decode()]
    except urllib.error.HTTPError as error:
        found[target] = [error.code, error.read(65536).decode()]
    except OSError as error:
        found[target] = [0, str(getattr(error, "reason", error))]
print(json.dumps(found))
"""
"""Asks each URL once and prints URL → status and body; only Python is there on every host."""

KNOCK = """
import socket, struct, sys
host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
words = b"".join(word.encode() + bytes(1) for word in ("user", user, "replication", "true", ""))
with socket.create_connection((host, port), 5) as connection:
    connection.sendall(struct.pack("!II", len(words) + 8, 196608) + words)
    answer = connection.recv(4096)
fields = answer[5:].split(bytes(1)) if answer[:1] == b"E" else []
codes = [one[1:].decode() for one in fields if one[:1] == b"C"]
print(codes[0] if codes else "let in as far as " + answer[:1].decode())
"""
"""Begins a replication connection (protocol 3.0) and prints the code of the refusal."""


def _python(host: Remote, script: str, *arguments: str) -> str:
    words = ["/usr/bin/python3", "-I", "-c", script, *arguments]
    return str(host.check_output(" ".join(shlex.quote(word) for word in words))).strip()


def _ask(host: Remote, *targets: str) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = json.loads(_python(host, ASK, *targets))
    return answers


def _sql(host: Remote, settings: PostgresqlSettings, query: str) -> str:
    """What the server answers to its administrator."""
    words = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-p", str(settings.port)]
    return str(
        host.check_output(" ".join(shlex.quote(word) for word in [*words, "-d", "postgres", "-c", query]))
    ).strip()


def _url(host: Host, path: str) -> str:
    address = f"[{host.address}]" if ":" in host.address else host.address
    return f"http://{address}:{settings_of(host).endpoint.port}/{path}"


def _members(cluster: Cluster, hosts: Mapping[str, Remote]) -> dict[str, Remote]:
    return {name: hosts[name] for name in cluster.names if name in hosts}


def _primaries(cluster: Cluster, hosts: Mapping[str, Remote]) -> list[str]:
    """The members that run as a primary, as the servers say themselves."""
    return [
        name
        for name, host in _members(cluster, hosts).items()
        if _sql(host, cluster.first, "select pg_is_in_recovery()") == "f"
    ]


def test_it_runs_and_is_enabled(host: Remote, settings: PostgresqlSettings) -> None:
    """The server and its role endpoint run, and start with the host."""
    units = str(
        host.check_output(f"systemctl list-units --all --plain --no-legend '*postgresql@*-{settings.cluster}.*'")
    )
    names = [line.split()[0] for line in units.splitlines()]
    wanted = ("postgresql@", "hakit-postgresql@")
    missing = [one for one in wanted if not any(name.startswith(one) for name in names)]
    assert not missing, f"no unit {', '.join(missing)}… of {settings.cluster}"
    wrong = [name for name in names if host.run(f"systemctl is-active --quiet {shlex.quote(name)}").rc != 0]
    assert not wrong, f"{', '.join(wrong)} does not run"
    off = [name for name in names if host.run(f"systemctl is-enabled --quiet {shlex.quote(name)}").rc != 0]
    assert not off, f"{', '.join(off)} does not start with the host"


def test_configuration_is_loaded(host: Remote, settings: PostgresqlSettings) -> None:
    """The server has taken all of its files, and nothing waits for a restart."""
    errors = _sql(host, settings, "select name, error from pg_file_settings where error is not null")
    assert not errors, f"the server does not take {errors}"
    doors = _sql(host, settings, "select line_number, error from pg_hba_file_rules where error is not null")
    assert not doors, f"the server does not take pg_hba.conf: {doors}"
    waiting = _sql(host, settings, "select string_agg(name, ', ') from pg_settings where pending_restart")
    assert not waiting, f"waits for a restart: {waiting}"


def test_data_are_protected(host: Remote, settings: PostgresqlSettings) -> None:
    """Checksums are on, as declared, and slots can't fill the disk."""
    if settings.data.checksums:
        assert _sql(host, settings, "show data_checksums") == "on", "the cluster has no data checksums"
    bound = _sql(host, settings, "select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size'")
    assert int(bound) >= 0, "replication slots keep WAL without a bound"


def test_the_role_endpoint_tells_the_truth(
    host: Remote, hakit_host: Host, settings: PostgresqlSettings, site_hosts: Mapping[str, Remote], hakit_site: Site
) -> None:
    """What the endpoint says to a peer is what the server says itself."""
    leads = _sql(host, settings, "select pg_is_in_recovery()") == "f"
    cluster = cluster_of(hakit_site, hakit_host)
    asker = next((one for name, one in _members(cluster, site_hosts).items() if name != hakit_host.name), host)
    primary, replica = _url(hakit_host, "primary"), _url(hakit_host, "replica")
    answers = _ask(asker, primary, replica)
    assert answers[primary][0] == (200 if leads else 503), f"/primary: {answers[primary]}"
    assert answers[replica][0] == (503 if leads else 200), f"/replica: {answers[replica]}"


def test_there_is_one_primary(hakit_host: Host, hakit_site: Site, site_hosts: Mapping[str, Remote]) -> None:
    """Exactly one member of the cluster takes writes."""
    cluster = cluster_of(hakit_site, hakit_host)
    found = _primaries(cluster, site_hosts)
    assert len(found) == 1, f"{cluster.name} has {len(found)} primaries: {', '.join(found) or 'none'}"


def test_a_row_arrives(
    host: Remote, hakit_host: Host, hakit_site: Site, settings: PostgresqlSettings, site_hosts: Mapping[str, Remote]
) -> None:
    """A row written on the primary arrives on this standby; a large object, so that no table of anybody's is needed."""
    cluster = cluster_of(hakit_site, hakit_host)
    leading = _primaries(cluster, site_hosts)
    assert leading, f"no member of {cluster.name} that answers is primary"
    if hakit_host.name in leading or settings.delay:
        return
    primary, text = site_hosts[leading[0]], uuid.uuid4().hex
    number = _sql(primary, settings, f"select lo_from_bytea(0, '{text}')")
    try:
        query = f"select convert_from(data, 'UTF8') from pg_largeobject where loid = {number}"  # noqa: S608 - our own
        deadline = time.monotonic() + PATIENCE
        while (found := _sql(host, settings, query)) != text and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        _sql(primary, settings, f"select lo_unlink({number})")
    assert found == text, f"what {leading[0]} wrote is not on {hakit_host.name} after {PATIENCE:g} s"


def test_strangers_do_not_replicate(
    host: Remote, hakit_host: Host, hakit_site: Site, settings: PostgresqlSettings, site_hosts: Mapping[str, Remote]
) -> None:
    """A replication connection from where no member is, is refused before a password is asked for."""
    user, port = str(settings.replication.user), str(settings.port)
    told = {"127.0.0.1": _python(host, KNOCK, "127.0.0.1", port, user)}
    members = cluster_of(hakit_site, hakit_host).names
    stranger = next((name for name in site_hosts if name not in members), None)
    if stranger is not None:
        told[stranger] = _python(site_hosts[stranger], KNOCK, hakit_host.address, port, user)
    bad = [f"{name} got {code}" for name, code in told.items() if code != REJECTED]
    assert not bad, f"replication is not refused ({REJECTED}): {'; '.join(bad)}"
