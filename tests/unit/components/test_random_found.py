"""What random inventories found that lint let through and a daemon refused: refused since, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.components.random_sites import SECRET, judged

if TYPE_CHECKING:
    from pathlib import Path

POOL: dict[str, Any] = {"servers": {"a": {"address": "10.9.0.1"}, "b": {"address": "10.9.0.2"}}, "port": 80}
LISTEN = {**POOL, "bind": ["10.1.0.1:80"]}
INSTANCE: dict[str, Any] = {"interface": "eth0", "virtual_router_id": 1, "addresses": ["10.1.0.100/24"]}


def haproxy(**settings: Any) -> dict[str, Any]:
    return {"haproxy": settings}


def pool(**settings: Any) -> dict[str, Any]:
    return haproxy(backends={"web": {**POOL, **settings}})


def instance(**settings: Any) -> dict[str, Any]:
    return {"keepalived": {"instances": {"front": {**INSTANCE, **settings}}}}


def script(command: str) -> dict[str, Any]:
    return {"keepalived": {"scripts": {"own": {"command": command}}}}


def member(**settings: Any) -> dict[str, Any]:
    base = {"cluster": "main", "primary": "lb1", "replication": {"password": {"secret": "planted"}}}
    return {"postgresql": {**base, **settings}}


FOUND = {
    "a time beyond 31 bits": (pool(timeouts={"server": "25d"}), "haproxy.backends.web.timeouts.server"),
    "a time below a millisecond": (pool(timeouts={"server": "0.4ms"}), "haproxy.backends.web.timeouts.server"),
    "a check without a pause": (pool(check={"fast": "0s"}), "haproxy.backends.web.check.fast"),
    "a log without a facility": (haproxy(log="/dev/log"), "haproxy.log"),
    "a log of words": (haproxy(log="nonsense local0"), "haproxy.log"),
    "no log": (haproxy(log=""), "haproxy.log"),
    "a name to bind": (haproxy(listens={"w": {**LISTEN, "bind": ["a.example.org:80"]}}), "haproxy.listens.w.bind[0]"),
    "a name server by name": (haproxy(nameservers=["dns.example.org:53"]), "haproxy.nameservers[0]"),
    "a name server for all": (haproxy(nameservers=["255.255.255.255:53"]), "haproxy.nameservers[0]"),
    "too many connections": (pool(maxconn=10**12), "haproxy.backends.web.maxconn"),
    "two tables": (pool(sticky="source", extra=["stick-table type ip size 1k"]), "haproxy.backends.web.extra[0]"),
    "a URI that TCP does not see": (pool(balance="uri", mode="tcp"), "haproxy.backends.web.balance"),
    "a cookie that TCP does not see": (
        haproxy(
            backends={"web": {**POOL, "mode": "tcp", "servers": {"a": {"address": "10.9.0.1", "options": "cookie x"}}}}
        ),
        "haproxy.backends.web.servers.a.options",
    ),
    "a section of its own": (pool(extra=["# fine", "  'backend' other"]), "haproxy.backends.web.extra[1]"),
    "a startup delay too short": ({"keepalived": {"startup_delay": "0.4ms"}}, "keepalived.startup_delay"),
    "a preempt delay too short": (instance(preempt_delay="0.000001s"), "keepalived.instances.front.preempt_delay"),
    "a garp delay too long": (instance(garp={"delay": "1d"}), "keepalived.instances.front.garp.delay"),
    "parts of hundredths": (instance(advert_interval="15ms"), "keepalived.instances.front.advert_interval"),
    "parts of parts": (instance(advert_interval="1.0001s"), "keepalived.instances.front.advert_interval"),
    "multicast from another family": (
        instance(unicast=False, source="10.1.0.1", addresses=["fd00::1/64"]),
        "keepalived.instances.front.addresses",
    ),
    "adverts from nowhere": (instance(unicast=False, source="0.0.0.0"), "keepalived.instances.front"),  # noqa: S104 - refused
    "an address of nobody": (instance(addresses=["224.0.0.18/24"]), "keepalived.instances.front.addresses[0]"),
    "peers of two families": (instance(addresses=["10.1.0.100/24", "fd00::1/64"]), "keepalived.instances.front"),
    "an open quote": (script("/bin/true 'x"), "keepalived.scripts.own.command"),
    "what keepalived replaces": (script("/bin/true $_PWD"), "keepalived.scripts.own.command"),
    "a brace too many": (instance(extra=["}", "vrrp_instance x {"]), "keepalived.instances.front.extra[0]"),
    "a brace too few": (instance(extra=["notify_x {"]), "keepalived.instances.front.extra"),
    "two scripts for one event": (
        instance(extra=["notify_fault /x", "# fine", "notify_fault /y"]),
        "keepalived.instances.front.extra[2]",
    ),
    "a delay that the server can't count": (
        member(delay="30d"),
        "postgresql.delay",
    ),
    "a row for no database": (
        member(access=[{"databases": [], "network": "10.9.0.0/24"}]),
        "postgresql.access[0].databases",
    ),
    "a name of hakit's": (
        {
            "keepalived": {
                "instances": {"front": {**INSTANCE, "track": ["haproxy"]}},
                "files": {"haproxy_lives": {"path": "/x"}},
            }
        },
        "keepalived.files.haproxy_lives",
    ),
    "two sync groups": (
        {
            "keepalived": {
                "instances": {"a": INSTANCE, "b": {**INSTANCE, "virtual_router_id": 2}},
                "sync_groups": {"g": {"instances": ["a", "b"]}, "h": {"instances": ["b", "b"]}},
            }
        },
        "keepalived.sync_groups.h.instances[0]",
    ),
}


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_PLANTED", SECRET)


@pytest.mark.parametrize("case", FOUND)
def test_it_is_refused_where_it_stands(case: str, tmp_path: Path) -> None:
    hakit, key = FOUND[case]
    second = "fd00::12" if case == "peers of two families" else "10.1.0.12"
    hosts = {"lb1": {"ansible_host": "10.1.0.11"}, "lb2": {"ansible_host": second}}
    verdict = judged({"all": {"hosts": hosts, "vars": {"hakit": hakit}}}, tmp_path)
    assert key in [problem.key.removeprefix("hakit.") for problem in verdict.errors]


@pytest.mark.parametrize(
    ("settings", "key"), [({"auth": {"secret": "planted"}}, "auth"), ({"advert_interval": "41s"}, "advert_interval")]
)
def test_a_waiver_does_not_send_the_daemon_what_it_refuses(
    settings: dict[str, Any], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAKIT_SECRET_PLANTED", "eight888")
    hosts = {"lb1": {"ansible_host": "10.1.0.11"}, "lb2": {"ansible_host": "10.1.0.12"}}
    hakit = {**instance(**settings), "lint": {"ignore": {"KA005": "random", "KA008": "random"}}}
    verdict = judged({"all": {"hosts": hosts, "vars": {"hakit": hakit}}}, tmp_path)
    assert [problem.key for problem in verdict.errors] == [f"keepalived.instances.front.{key}"]


def test_the_same_without_the_fault_is_taken(tmp_path: Path) -> None:
    hosts = {"lb1": {"ansible_host": "10.1.0.11"}, "lb2": {"ansible_host": "10.1.0.12"}}
    for hakit in (pool(), haproxy(listens={"w": LISTEN}), instance(), script("/bin/sh -c 'exit 0'")):
        assert judged({"all": {"hosts": hosts, "vars": {"hakit": hakit}}}, tmp_path).errors == ()
