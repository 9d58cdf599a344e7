"""Somebody promotes a second primary by hand: neither of the two gets writes, and hakit changes nothing."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres import doors
from tests.lab.postgres.conftest import HOSTS
from tests.lab.postgres.doors import Doors
from tests.lab.postgres.incident import Incident, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.lab.conftest import LabFactory
    from tests.lab.postgres.conftest import Cluster

pytestmark = [pytest.mark.timed, pytest.mark.timeout(600)]

CLOSED = 3.0
"""Seconds after which neither gets writes: balancers look every second, and cut sessions at the next look."""
WATCHED = 3.0
"""Seconds for which nobody may get writes, on top of what the commands take that are refused."""
PROMOTE = "cd /; runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl promote -w -D /var/lib/postgresql/15/main"
COMMANDS = (
    ("switchover", "main", "--yes"),
    ("failover", "main", "--yes"),
    ("rejoin", "main", "db3"),
    ("reinit", "main", "db3", "--confirm", "db3"),
    ("psql", "main", "-c", "SELECT 1"),
)


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster whose balancers can each be asked by itself."""
    return doors.make(lab_factory, tmp_path_factory.mktemp("doors"))


def address(cluster: Cluster, host: str) -> str:
    """Where the others find a member."""
    return cluster.lab.site.hosts[host].address


@contextmanager
def cut(cluster: Cluster, one: str, other: str) -> Iterator[None]:
    """Two members can't reach each other, and everybody else reaches both."""
    ways = [(one, address(cluster, other)), (other, address(cluster, one))]
    for host, there in ways:
        cluster.sh(host, f"ip route add unreachable {there}/32 && ip route flush cache")
    try:
        yield
    finally:
        for host, there in ways:
            cluster.sh(host, f"ip route del unreachable {there}/32")


@contextmanager
def together(_cluster: Cluster, _one: str, _other: str) -> Iterator[None]:
    """Nothing is cut."""
    yield


def refused(cluster: Cluster, lead: str, rival: str) -> None:
    """Status shows both histories, and no command does anything."""
    shown = cluster.hakit("postgres", "status", "main")
    assert shown.returncode == 1
    assert "split brain" in shown.stdout
    for host in (lead, rival):
        history = rf"{host}: primary, timeline \d+,\s+[0-9A-F]+/[0-9A-F]+,\s+last\s+commit\s+\d{{4}}-"
        assert re.search(history, shown.stdout), shown.stdout
    before = [cluster.sh(host, "cat /var/lib/hakit-postgresql/*/* | sha256sum") for host in HOSTS]
    for words in COMMANDS:
        done = cluster.hakit("postgres", *words)
        assert done.returncode == 1, f"{words}: {done.stdout}{done.stderr}"
        assert "split brain" in done.stderr, f"{words}: {done.stderr}"
        for host in (lead, rival):
            assert f"{host}: primary, timeline" in done.stderr, f"{words}: {done.stderr}"
    done = cluster.hakit("apply", "--yes")
    assert done.returncode == 1, done.stdout
    assert "2 primaries" in done.stdout + done.stderr, done.stdout + done.stderr
    assert before == [cluster.sh(host, "cat /var/lib/hakit-postgresql/*/* | sha256sum") for host in HOSTS]


@pytest.mark.parametrize("apart", [together, cut])
def test_neither_of_two_primaries_gets_writes(
    cluster: Cluster,
    apart: Callable[[Cluster, str, str], AbstractContextManager[None]],
    request: pytest.FixtureRequest,
) -> None:
    lead = cluster.primary()
    rival = next(host for host in HOSTS if host != lead)
    with cluster.writer() as writer, Doors(cluster, f"knocks_{cluster.tables[-1]}") as knocking:
        with apart(cluster, lead, rival):
            time.sleep(1.0)  # writes go on before
            said = cluster.sh(rival, PROMOTE)
            began = time.monotonic()
            assert "server promoted" in said, said
            cluster.lab.eventually(lambda: not cluster.writable(), "writers are refused", 5)
            refused(cluster, lead, rival)
            left = WATCHED - (time.monotonic() - began)
            time.sleep(max(0.0, left))
            ended = time.monotonic()
            cluster.sh(rival, "systemctl stop postgresql@15-main")
            cluster.lab.eventually(cluster.writable, "writes go on", 15)
            resumed = time.monotonic() - ended
        incident = Incident(cluster)
        count = incident.settle()
        written, seen = writer.stop(), knocking.stop()
    assert seen.between(began + CLOSED, ended) == [], str(incident)
    assert [row for row in written.acknowledged if began + CLOSED <= row.begun and row.ended <= ended] == []
    verdict = cluster.judge(written)
    assert verdict.lost == ()
    assert verdict.unexpected == ()
    knocking.check(seen)
    assert {one.server for one in seen.acknowledged} == {lead}
    assert cluster.primary() == lead
    late = max((one.ended for one in seen.acknowledged if one.ended < ended), default=began) - began
    tell(request, f"closed after {late:.2f} s, open {resumed:.1f} s after one was stopped, then {count} commands")
