"""The hosts of a cluster are booted, upgraded and taken out while a client writes: the primary's role goes before."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres.conftest import HOSTS

if TYPE_CHECKING:
    from hakit.drill.writer import Writing
    from tests.lab.postgres.conftest import Cluster

pytestmark = pytest.mark.timed

PAUSE = 2.0
"""Seconds that writers may wait: for a switchover, or until a balancer's peer has the address."""
BALANCERS = ("lb1", "lb2")
NEWER = """
set -e
rm -rf /srv/repo && mkdir -p /srv/repo && cd /srv/repo
apt-get -qq download postgresql-15
dpkg-deb -R postgresql-15_*.deb tree && rm postgresql-15_*.deb
sed -i 's/^Version: .*/&+hakit1/' tree/DEBIAN/control
dpkg-deb -Zgzip -z1 -b tree newer.deb > /dev/null && rm -r tree
{ dpkg-deb -f newer.deb; echo Filename: ./newer.deb; echo Size: $(stat -c %s newer.deb)
  echo SHA256: $(sha256sum newer.deb | cut -d' ' -f1); } > Packages
echo 'deb [trusted=yes] file:/srv/repo ./' > /etc/apt/sources.list.d/test.list
dpkg-deb -f newer.deb Version
"""
"""The distribution's own package with another number: its scripts stop the server."""


def run(cluster: Cluster, *words: str) -> tuple[str, Writing]:
    """Run hakit while a client writes; what it said, and what the client saw."""
    with cluster.writer() as writer:
        said = cluster.run(*words, timeout=900)
        cluster.settled()
        written = writer.stop()
    verdict = cluster.judge(written)
    assert (verdict.lost, verdict.unexpected) == ((), ()), said
    assert written.longest_pause <= PAUSE, f"{pauses(written)}\n{said}"
    return said, written


def pauses(written: Writing) -> list[str]:
    """The longest times without an acknowledged row, each with when it began."""
    rows = written.acknowledged
    found = sorted(((two.ended - one.ended, one.ended - rows[0].ended) for one, two in pairwise(rows)), reverse=True)
    return [f"{length:.2f} s after {began:.1f} s" for length, began in found[:5]]


def booted(cluster: Cluster) -> dict[str, str]:
    """The running boot of each host."""
    return {
        host: cluster.sh(host, "cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestamp")
        for host in cluster.lab.site.hosts
    }


def in_order(said: str, what: str) -> list[str]:
    """The hosts of which something is told, in that order; `→` where the primary's role moved."""
    found = re.findall(rf"^(\w+)  (?:{what})|(leads cluster main now)", said, re.MULTILINE)
    return [host or "→" for host, _ in found]


def test_every_host_is_booted_and_the_primary_last(cluster: Cluster) -> None:
    lead = cluster.primary()
    standbys = {*HOSTS} - {lead}
    before = booted(cluster)
    said, written = run(cluster, "reboot", "--all", "--yes")
    assert f"{lead}  leads cluster main: switched over to " in said
    order = [name for name in in_order(said, "is back ") if name not in BALANCERS]
    assert set(order[:2]) == standbys, said
    assert order[2:] == ["→", lead], said
    assert written.turns == (lead, cluster.primary()), said
    after = booted(cluster)
    assert all(before[host] != after[host] for host in before), "every host was booted"


def test_what_will_be_handed_over_is_told_to_programs(cluster: Cluster) -> None:
    lead = cluster.primary()
    done = cluster.hakit("reboot", "--limit", lead, "--all", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["good"]
    (one,) = found["handovers"]
    assert (one["host"], one["what"], one["to"]) == (lead, "leads cluster main", cluster.primary())
    cluster.settled()


def test_a_primary_in_maintenance_leads_no_more(cluster: Cluster) -> None:
    lead = cluster.primary()
    said, written = run(cluster, "maintenance", "on", lead, "--why", "a new disk")
    assert f"{lead} leads cluster main no more" in said
    after = cluster.primary()
    assert written.turns == (lead, after)
    refused = cluster.hakit("maintenance", "on", after)
    assert refused.returncode == 1
    assert f"{after} is needed: " in refused.stderr
    assert "would be left with 1 of 3" in refused.stderr
    assert cluster.primary() == after
    run(cluster, "maintenance", "off", lead)


def test_a_primary_whose_role_nobody_can_take_is_not_booted(cluster: Cluster) -> None:
    """Both standbys serve, but neither may lead."""
    lead = cluster.primary()
    others = [host for host in HOSTS if host != lead]
    path = cluster.lab.inventory / "hosts.yml"
    text = path.read_text(encoding="utf-8")
    changed = text
    for host in others:
        changed = re.sub(rf"({host}: .*hakit: {{)", r"\1postgresql: {promotable: false}, ", changed)
    path.write_text(changed.replace("primary: db1", f"primary: {lead}"), encoding="utf-8")
    variables = cluster.lab.inventory / "group_vars" / "databases.yml"
    declared = variables.read_text(encoding="utf-8")
    variables.write_text(declared.replace("primary: db1", f"primary: {lead}"), encoding="utf-8")
    before = booted(cluster)
    try:
        done = cluster.hakit("reboot", "--all", "--yes", "--limit", lead)
        assert done.returncode == 1
        assert f"nobody can take over from {lead}" in done.stdout
        assert booted(cluster) == before
        assert cluster.primary() == lead
    finally:
        path.write_text(text, encoding="utf-8")
        variables.write_text(declared, encoding="utf-8")


@pytest.mark.long
def test_the_server_is_upgraded_on_standbys_first(cluster: Cluster) -> None:
    lead = cluster.primary()
    version = cluster.sh(lead, "dpkg-query -W -f '${Version}' postgresql-15")
    for host in HOSTS:
        assert cluster.sh(host, NEWER).strip().endswith(f"{version}+hakit1")
    said, written = run(cluster, "upgrade", "--package", "postgresql-15", "--yes")
    order = in_order(said, "back in service")
    assert order[-2:] == ["→", lead], said
    assert set(order[:-2]) == {*HOSTS} - {lead}, said
    assert written.turns == (lead, cluster.primary())
    installed = {cluster.sh(host, "dpkg-query -W -f '${Version}' postgresql-15") for host in HOSTS}
    assert installed == {f"{version}+hakit1"}
    assert " 0 hosts changed" in cluster.run("apply", "--yes", "--no-diff")
