"""What HAProxy tells the rest of hakit: who stands in for whom, who answers behind an address, how it proves health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.components.haproxy import Haproxy
from hakit.components.haproxy.view import partners
from tests.unit.components.sites import COMPONENTS, site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

HAPROXY = Haproxy()
BALANCER: dict[str, Any] = {
    "haproxy": {
        "health_port": 9404,
        "frontends": {"web": {"bind": ["10.1.0.100:80", "*:81"], "backend": "web"}},
        "backends": {"web": {"group": "web", "port": 8080, "check": {"http": "/healthz", "port": 8081}}},
        "listens": {"mail": {"mode": "tcp", "bind": ["10.1.0.100:25"], "group": "web", "port": 25}},
    }
}


def pair(folder: Path) -> Site:
    hosts = {"lb1": BALANCER, "lb2": BALANCER, "web1": {}, "web2": {}}
    return site(folder, hosts, {"web": ["web1", "web2"]})


def test_a_pool_is_a_redundancy_group_that_every_balancer_looks_at(tmp_path: Path) -> None:
    groups = {group.name: group for group in HAPROXY.groups(pair(tmp_path))}
    pool = groups["haproxy pool web"]
    assert pool.hosts == ("web1", "web2")
    asked = [(probe.kind, probe.target, probe.seen_from) for probe in pool.probes["web2"]]
    assert asked == [
        ("http", "http://10.1.0.4:8081/healthz", "lb1"),
        ("http", "http://10.1.0.4:8081/healthz", "lb2"),
    ]
    assert [probe.target for probe in groups["haproxy pool mail"].probes["web1"]] == ["10.1.0.3:25"] * 2


def test_balancers_of_one_address_are_a_redundancy_group(tmp_path: Path) -> None:
    groups = {group.name: group for group in HAPROXY.groups(pair(tmp_path))}
    assert groups["haproxy 10.1.0.100:80"].hosts == ("lb2", "lb1")
    assert [probe.target for probe in groups["haproxy 10.1.0.100:80"].probes["lb1"]] == [
        "http://127.0.0.1:9404/hakit-alive"
    ]


def test_a_pool_of_one_is_no_redundancy_group(tmp_path: Path) -> None:
    lone = site(tmp_path, {"lb1": BALANCER, "web1": {}}, {"web": ["web1"]})
    assert list(HAPROXY.groups(lone)) == []


def test_tiers_are_the_servers_behind_each_address(tmp_path: Path) -> None:
    tiers = [(tier.address, tier.hosts, tier.path) for tier in HAPROXY.tiers(pair(tmp_path))]
    assert tiers == [
        ("10.1.0.100", ("web1", "web2"), ("haproxy", "backends", "web")),
        ("*", ("web1", "web2"), ("haproxy", "backends", "web")),
    ]


def test_health_is_a_url_of_the_host_itself(tmp_path: Path) -> None:
    found = pair(tmp_path)
    health = HAPROXY.health(found, found.hosts["lb1"])
    assert health is not None
    assert (health.unit, health.url) == ("haproxy.service", "http://127.0.0.1:9404/hakit-alive")


def test_balancers_share_clients_where_keepalived_moves_an_address_between_them(tmp_path: Path) -> None:
    vip = {"interface": "eth0", "virtual_router_id": 1, "addresses": ["10.1.0.9/24"]}
    keepalived = {"instances": {"front": vip}}
    listen = {"haproxy": {"listens": {"web": {"bind": ["*:80"], "servers": {"a": {"address": "10.9.0.1", "port": 1}}}}}}
    member = {**listen, "keepalived": keepalived}
    found = site(tmp_path, {"lb1": member, "lb2": member, "lb3": listen})
    assert [host.name for host in partners(found, found.hosts["lb1"], COMPONENTS)] == ["lb1", "lb2"]
    assert [host.name for host in partners(found, found.hosts["lb3"], COMPONENTS)] == ["lb3"]
