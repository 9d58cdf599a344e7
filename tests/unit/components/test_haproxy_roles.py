"""What HAProxy tells the rest of hakit: who stands in for whom, who answers behind an address, how it proves health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.haproxy import Haproxy
from hakit.components.haproxy.redundancy import Health, health
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


def test_balancers_of_one_address_are_a_redundancy_group_whose_members_look_at_each_other(tmp_path: Path) -> None:
    groups = {group.name: group for group in HAPROXY.groups(pair(tmp_path))}
    group = groups["haproxy 10.1.0.100:80"]
    assert group.hosts == ("lb2", "lb1")
    asked = {host: [(probe.target, probe.seen_from) for probe in probes] for host, probes in group.probes.items()}
    assert asked == {
        "lb1": [("http://10.1.0.1:9404/hakit-alive", "lb2")],
        "lb2": [("http://10.1.0.2:9404/hakit-alive", "lb1")],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"frontends": {"web": {"bind": ["10.1.0.100:80", "*:9404"], "backend": "web"}}},
        {"frontends": {"web": {"bind": ["10.1.0.100:80", "10.1.0.1:9404"], "backend": "web"}}},
        {"stats": {"bind": "0.0.0.0:9404"}},
        {"peers_port": 9404},
    ],
    ids=str,
)
def test_a_health_port_that_is_taken_is_left_to_whoever_has_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    taken = {"haproxy": BALANCER["haproxy"] | changes}
    made = site(tmp_path, {"lb1": taken, "lb2": BALANCER, "web1": {}, "web2": {}}, {"web": ["web1", "web2"]})
    group = {group.name: group for group in HAPROXY.groups(made)}["haproxy 10.1.0.100:80"]
    assert [(probe.target, probe.seen_from) for probe in group.probes["lb1"]] == [
        ("http://127.0.0.1:9404/hakit-alive", "")
    ]
    assert [probe.seen_from for probe in group.probes["lb2"]] == ["lb1"]
    assert health(made, made.hosts["lb1"]).address == ""


def test_only_who_stands_beside_a_balancer_may_ask_for_its_health(tmp_path: Path) -> None:
    made = site(
        tmp_path,
        {"lb1": BALANCER, "lb2": BALANCER, "lb3": {"haproxy": {}}, "web1": {}, "web2": {}},
        {"web": ["lb2", "web1", "web2"]},
    )
    assert health(made, made.hosts["lb1"]) == Health("10.1.0.1", ("10.1.0.1", "10.1.0.2"))
    # A server among servers: when its balancer peer is lost, hakit asks those.
    assert health(made, made.hosts["lb2"]).peers == ("10.1.0.1", "10.1.0.2", "10.1.0.4", "10.1.0.5")
    assert health(made, made.hosts["lb3"]) == Health()


def service(folder: Path, group: str, **listen: Any) -> list[tuple[str, str, str]]:
    settings = {"bind": ["10.1.0.100:80"], "group": "web", "port": 8080, "check": {"http": "/up"}, **listen}
    balancer = {"haproxy": {"listens": {"web": settings}}}
    hosts: dict[str, Any] = {"lb1": balancer, "lb2": balancer, "web1": {}, "web2": {}, "other": {}}
    groups = {one.name: one for one in HAPROXY.groups(site(folder, hosts, {"web": ["web1", "web2"]}))}
    return [(probe.kind, probe.target, probe.seen_from) for probe in groups[group].service]


@pytest.mark.parametrize(
    ("listen", "kind", "target"),
    [
        ({}, "http", "http://10.1.0.100:80/up"),
        ({"bind": ["[fd00::100]:80"]}, "http", "http://[fd00::100]:80/up"),
        ({"check": {}}, "tcp", "10.1.0.100:80"),
        ({"mode": "tcp"}, "tcp", "10.1.0.100:80"),
        # What only the check gets right, a client would not.
        ({"check": {"http": "/up", "port": 9000}}, "tcp", "10.1.0.100:80"),
        ({"check": {"http": "/up", "host": "www.example.org"}}, "tcp", "10.1.0.100:80"),
        ({"check": {"http": "/up", "method": "OPTIONS"}}, "tcp", "10.1.0.100:80"),
        ({"check": {"http": "/up", "expect": 401}}, "tcp", "10.1.0.100:80"),
        ({"bind": ["10.1.0.100:443 ssl crt /etc/x.pem"]}, "tcp", "10.1.0.100:443"),
        ({"extra": ["http-request deny"]}, "tcp", "10.1.0.100:80"),
    ],
    ids=str,
)
def test_the_service_is_what_a_client_asks_for(tmp_path: Path, listen: dict[str, Any], kind: str, target: str) -> None:
    assert service(tmp_path, "haproxy pool web", **listen) == [(kind, target, "other")]


def test_a_client_is_somebody_who_is_not_concerned(tmp_path: Path) -> None:
    assert service(tmp_path, "haproxy 10.1.0.100:80") == [("http", "http://10.1.0.100:80/up", "web1")]


def test_a_pool_at_every_address_is_asked_for_at_each_balancer(tmp_path: Path) -> None:
    assert service(tmp_path, "haproxy pool web", bind=["*:80", "127.0.0.1:81"]) == [
        ("http", "http://10.1.0.1:80/up", "other"),
        ("http", "http://10.1.0.2:80/up", "other"),
    ]


def test_a_request_that_a_route_takes_says_nothing_of_the_pool(tmp_path: Path) -> None:
    route = {"path": "/up", "backend": "api"}
    pools = {"web": {"group": "web", "port": 80, "check": {"http": "/up"}}, "api": {"group": "web", "port": 81}}
    frontends = {"web": {"bind": ["10.1.0.100:80"], "backend": "web", "routes": [route]}}
    haproxy = {"haproxy": {"frontends": frontends, "backends": pools}}
    made = site(tmp_path, {"lb1": haproxy, "web1": {}, "web2": {}}, {"web": ["web1", "web2"]})
    groups = {group.name: group.service for group in HAPROXY.groups(made)}
    assert [probe.kind for probe in groups["haproxy pool web"]] == ["tcp"]
    assert groups["haproxy pool api"] == ()


def test_a_pool_keeps_what_it_says(tmp_path: Path) -> None:
    pool = {"bind": ["10.1.0.9:80"], "group": "web", "port": 80, "keep": 2}
    made = site(
        tmp_path,
        {"lb1": {"haproxy": {"listens": {"web": pool}}}, "web1": {}, "web2": {}, "web3": {}},
        {"web": ["web1", "web2", "web3"]},
    )
    assert [group.keep for group in HAPROXY.groups(made)] == [2]


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
