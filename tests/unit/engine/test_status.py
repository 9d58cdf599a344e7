"""What status makes of the hosts' answers: a site with a component of its own, and every host's answers by hand."""

# ruff: noqa: ARG002 - a component's methods have the arguments of its interface
from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from hakit.agent.actions import Mark
from hakit.agent.answers import Hello, Holder, ProbeResult
from hakit.agent.probes import Probe
from hakit.components.base import Component, RedundancyGroup, Report, Serving, Tier
from hakit.engine import status
from hakit.engine.assess import HostState, assess, holds, questions
from hakit.engine.examination import Clock
from hakit.engine.run import Scope
from hakit.engine.status import Watch
from hakit.errors import ConnectError
from hakit.inventory.core import Service
from hakit.inventory.types import Settings
from hakit.present.status import status_json, status_text
from tests.unit.engine import sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from hakit.components.base import Answer
    from hakit.engine.assess import Row, SiteState
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection

VIP, OTHER = "10.0.0.100", "10.0.0.101"
UNIT = Probe(kind="unit", target="vrrp.service")
HELLO = Hello(12, "debian", "bookworm", "", "Debian 12", {}, None, "x", "6.1", "3.11.2", systemd=True, boot="b")
SEEN = Probe(kind="http", target=f"http://{VIP}:80/", seen_from="db")


def serves(host: str, seen_from: str) -> Probe:
    return Probe(kind="http", target=f"http://{host}:80/", seen_from=seen_from)


class Floating(Component):
    """Two addresses on lb1 and lb2, and web1 and web2 behind the first."""

    name = "floating"
    Settings: ClassVar[type[BaseModel]] = Settings
    service: tuple[Probe, ...] = ()

    def resources(self, ctx: Any) -> Iterable[Any]:
        del ctx
        return ()

    def serves(self, site: Site) -> Iterable[Serving]:
        for name, address in (("front", VIP), ("back", OTHER)):
            yield Serving(address, ("lb1", "lb2"), 1.0, ("floating", "instances", name, "addresses", 0))

    def tiers(self, site: Site) -> Iterable[Tier]:
        yield Tier(VIP, ("web1", "web2"), site.hosts["lb1"], ("floating", "pools", "web"))

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        for name, address in (("front", VIP), ("back", OTHER)):
            service = self.service if address == VIP else ()
            alive = {"lb1": (UNIT,), "lb2": (UNIT,)}
            yield RedundancyGroup(
                f"floating {name}", "floating", ("lb2", "lb1"), alive, holds(address), service=service
            )
        webs = {host: (serves(host, "lb1"), serves(host, "lb2")) for host in ("web1", "web2")}
        yield RedundancyGroup("pool web", "floating", ("web1", "web2"), webs)

    def inspect(self, site: Site, host: Host) -> Mapping[str, Probe]:
        return {"unit": UNIT}

    def report(self, site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterable[Report]:
        if "unit" in answers and not answers["unit"].ok:
            yield Report("VRRP front", "stopped", "bad", answers["unit"].detail, ("floating", "instances", "front"))


NAMES = ("lb1", "lb2", "web1", "web2", "db")


def make_site(**services: str) -> Site:
    hosts = [sites.host(name, **({"floating": Settings()} if name.startswith("lb") else {})) for name in NAMES]
    promised = {name: Service.model_validate({"address": address}) for name, address in services.items()}
    return replace(sites.site(*hosts), services=promised)


class Moment:
    """The answers of all hosts, well at first: lb1 holds both addresses."""

    def __init__(self, component: Floating | None = None, **services: str) -> None:
        self.components: dict[str, Component] = {"floating": component or Floating()}
        self.site = make_site(**(services or {"shop": VIP}))
        self.asked = questions(self.site, self.components)
        self.no: dict[tuple[str, Probe], str] = {(n, holds(a)): "no" for n in NAMES for a in (VIP, OTHER) if n != "lb1"}
        self.dead: dict[str, ConnectError] = {}
        self.marks: tuple[Mark, ...] = ()
        self.reports: dict[str, tuple[Report, ...]] = {}
        self.clocks: dict[str, float] = {}

    def move(self, address: str, *holders: str) -> None:
        for name in NAMES:
            self.no.pop((name, holds(address)), None)
            if name not in holders:
                self.no[name, holds(address)] = "no"

    def fail(self, host: str, probe: Probe, detail: str = "refused") -> None:
        self.no[host, probe] = detail

    def host(self, name: str) -> HostState:
        if name in self.dead:
            return HostState(name, self.dead[name])
        answers = {
            probe: ProbeResult((name, probe) not in self.no, self.no.get((name, probe), ""), 0.0)
            for probe in self.asked[name]
        }
        clock = Clock(self.clocks.get(name, 0.0), 0.001, None)
        hello = replace(HELLO, marks=self.marks)
        return HostState(name, None, hello, clock, reboot=False, answers=answers, reports=self.reports.get(name, ()))

    @property
    def state(self) -> SiteState:
        return assess(self.site, self.components, {name: self.host(name) for name in NAMES})

    def row(self) -> Row:
        return self.state.rows[0]


def test_all_well() -> None:
    state = Moment(shop=VIP, api=OTHER).state
    assert [(row.name, row.state, row.holders, row.why) for row in state.rows] == [
        ("shop", "healthy", ("lb1",), ()),
        ("api", "healthy", ("lb1",), ()),
    ]
    assert state.good


def test_without_services_the_addresses_are_shown_by_their_groups_names() -> None:
    moment = Moment()
    moment.site = make_site()
    rows = moment.state.rows
    assert [(row.name, row.kind, row.state) for row in rows] == [
        ("floating front", "address", "healthy"),
        ("floating back", "address", "healthy"),
    ]


def test_a_group_behind_no_address_has_a_row_of_its_own() -> None:
    class Alone(Floating):
        def serves(self, site: Site) -> Iterable[Serving]:
            return ()

        def tiers(self, site: Site) -> Iterable[Tier]:
            return ()

    moment = Moment(Alone())
    moment.site = make_site()
    moment.fail("lb1", serves("web1", "lb1"))
    assert [(row.name, row.state) for row in moment.state.rows] == [
        ("floating front", "healthy"),
        ("floating back", "healthy"),
        ("pool web", "at risk"),
    ]


def test_a_groups_row_says_what_its_members_are_in_it() -> None:
    class Loose(Floating):
        def tiers(self, site: Site) -> Iterable[Tier]:
            return ()

    moment = Moment(Loose())
    roles = {"web1": "primary", "web2": "standby"}
    moment.reports = {host: (Report("pool", role, "good", group="pool web"),) for host, role in roles.items()}
    (row,) = (row for row in moment.state.rows if row.name == "pool web")
    assert row.roles == roles
    assert "web1 primary, web2 standby" in status_text(moment.state)


def test_a_member_that_can_not_take_over_is_a_risk() -> None:
    moment = Moment()
    moment.fail("lb2", UNIT, "vrrp.service is inactive")
    assert moment.row().state == "at risk"
    assert moment.row().why == ("lb2 can't take over: vrrp.service is inactive",)
    assert not moment.state.good


def test_a_holder_that_is_not_well_is_told_as_such() -> None:
    moment = Moment()
    moment.fail("lb1", UNIT, "vrrp.service is failed")
    assert moment.row().why == ("lb1 is not well: vrrp.service is failed",)


def test_a_report_about_the_instance_counts_and_one_about_another_does_not() -> None:
    moment = Moment(shop=VIP, api=OTHER)
    fault = Report("VRRP front", "FAULT", "bad", "eth0 is down", ("floating", "instances", "front"))
    moment.reports["lb2"] = (fault,)
    shop, api = moment.state.rows
    assert (shop.state, api.state) == ("at risk", "healthy")
    assert shop.why == ("lb2 can't take over: VRRP front FAULT (eth0 is down)",)


def test_nobody_holds_the_address() -> None:
    moment = Moment()
    moment.move(VIP)
    assert (moment.row().state, moment.row().why[0]) == ("down", "no host holds it")


@pytest.mark.parametrize("holders", [("lb1", "lb2"), ("lb1", "web1")])
def test_two_holders_are_an_alarm_whoever_they_are(holders: tuple[str, ...]) -> None:
    moment = Moment()
    moment.move(VIP, *holders)
    assert (moment.row().state, moment.row().holders) == ("alarm", holders)
    assert "both hold it" in moment.row().why[0]
    assert "ALARM" in status_text(moment.state)


def test_a_holder_that_does_not_answer_is_not_taken_for_none() -> None:
    moment = Moment()
    moment.dead["lb1"] = ConnectError("lb1: no route to it")
    row = moment.row()
    assert row.state == "unknown"
    assert row.why == ("nobody who answers holds it", "lb1 can't take over: does not answer: no route to it")


def test_when_clients_see_it_serve_a_silent_holder_is_a_risk() -> None:
    component = Floating()
    component.service = (SEEN,)
    moment = Moment(component)
    moment.dead["lb1"] = ConnectError("lb1: no route to it")
    assert moment.row().state == "at risk"
    moment.fail("db", SEEN, "timed out")
    assert moment.row().state == "down"
    assert "seen from db: timed out" in moment.row().why


def test_a_client_that_gets_no_answer_means_down_although_all_daemons_run() -> None:
    component = Floating()
    component.service = (SEEN, replace_host(SEEN, "web1"))
    moment = Moment(component)
    moment.fail("db", SEEN, "refused")
    assert moment.row().state == "at risk"
    moment.fail("web1", replace_host(SEEN, "web1"), "refused")
    assert moment.row().state == "down"


def replace_host(probe: Probe, seen_from: str) -> Probe:
    return probe.replace(seen_from=seen_from)


def test_an_address_that_ends_alike_is_another_one() -> None:
    component = Floating()
    component.service = (SEEN.replace(target=f"http://1{VIP}:80/"),)
    moment = Moment(component)
    moment.fail("db", component.service[0], "refused")
    assert moment.row().state == "healthy"


@pytest.mark.parametrize(("lost", "state"), [(("web1",), "at risk"), (("web1", "web2"), "down")])
def test_servers_behind_the_address(lost: tuple[str, ...], state: str) -> None:
    moment = Moment(shop=VIP, api=OTHER)
    for host in lost:
        moment.fail("lb2", serves(host, "lb2"), f"{host} refused")
    shop, api = moment.state.rows
    assert (shop.state, api.state) == (state, "healthy")
    assert "web1 refused" in shop.why[0]


def test_a_server_is_judged_by_its_clients_not_by_its_own_silence() -> None:
    moment = Moment()
    moment.dead["web1"] = ConnectError("web1: no route to it")
    assert moment.row().state == "healthy"
    assert not moment.state.good


def test_a_pools_report_counts_on_the_holder() -> None:
    moment = Moment()
    empty = Report("pool web", "0 of 2 up", "bad", "", ("floating", "pools", "web"))
    moment.reports["lb2"] = (empty,)
    assert (moment.row().state, moment.row().why) == ("at risk", ("lb2: pool web 0 of 2 up",))
    moment.reports = {"lb1": (empty,)}
    assert moment.row().state == "down"


def test_an_empty_pool_is_no_mere_risk_because_one_of_its_servers_is_silent() -> None:
    moment = Moment(shop=VIP)
    moment.fail("lb1", serves("web1", "lb1"))
    moment.fail("lb2", serves("web1", "lb2"))
    empty = Report("pool web", "0 of 2 up", "bad", "nobody gets the writes", ("floating", "pools", "web"))
    moment.reports = {"lb2": (empty,)}
    assert moment.row().state == "at risk"
    moment.reports = {"lb1": (empty,)}
    assert moment.row().state == "down"
    assert "lb1: pool web 0 of 2 up (nobody gets the writes)" in moment.row().why


LEADS = Probe(kind="http", target="http://127.0.0.1:8008/primary")


@pytest.mark.parametrize(
    ("leading", "silent", "state"),
    [("web1", "", "healthy"), ("", "", "down"), ("", "web1", "unknown"), ("web2", "web1", "at risk")],
)
def test_a_group_that_nobody_leads_is_not_well(leading: str, silent: str, state: str) -> None:
    class Led(Floating):
        def groups(self, site: Site) -> Iterable[RedundancyGroup]:
            yield RedundancyGroup("led", "floating", ("web1", "web2"), holder=LEADS)

        def serves(self, site: Site) -> Iterable[Serving]:
            return ()

        def tiers(self, site: Site) -> Iterable[Tier]:
            return ()

    moment = Moment(Led())
    for host in {"web1", "web2"} - {leading}:
        moment.fail(host, LEADS)
    if silent:
        moment.dead[silent] = ConnectError(f"{silent}: no route")
    (row,) = (row for row in moment.state.rows if row.name == "led")
    assert row.state == state
    assert ("nobody who answers leads" in row.why) == (not leading)


@pytest.mark.parametrize(
    ("out", "words"), [("lb2", "lb2 can't take over: in maintenance"), ("web1", "web1 of web is in maintenance")]
)
def test_a_host_out_of_service_is_a_risk_and_is_named_once(out: str, words: str) -> None:
    moment = Moment()
    moment.marks = (Mark(host=out, kind="maintenance", who="ann", since="2026-11-22T16:03:11Z", why="a new disk"),)
    state = moment.state
    assert state.rows[0].state == "at risk"
    assert state.rows[0].why[0].startswith(words)
    assert len(state.marks) == 1
    assert "a new disk" in status_text(state)


def test_the_hosts_line_and_what_is_wrong_with_hosts() -> None:
    moment = Moment()
    moment.dead["web2"] = ConnectError("web2: no route", hint="see the switch")
    moment.clocks = {"lb1": 0.2, "lb2": -0.1}
    text = status_text(moment.state)
    assert "4 of 5 answer · clocks within 300 ms" in text
    assert "✗ web2  no route" in text
    assert "see the switch" in text


def test_what_a_host_says_can_not_drive_the_terminal() -> None:
    moment = Moment()
    moment.fail("lb2", UNIT, "\x1b[2Jgone")
    moment.marks = (Mark(host="lb2\x1b[1m", kind="rolling", who="\x07"),)
    assert not {"\x1b", "\x07"} & set(status_text(moment.state, verbose=2))


class Disks(Component):
    """An array on each host that has disks."""

    name = "disks"
    Settings: ClassVar[type[BaseModel]] = Settings

    def resources(self, ctx: Any) -> Iterable[Any]:
        del ctx
        return ()

    def sound(self, site: Site, host: Host) -> Iterable[Probe]:
        return (ARRAY,)


ARRAY = Probe(kind="array", target="data")


@pytest.mark.parametrize(
    ("where", "state", "shown"),
    [
        ("lb2", "at risk", "lb2 may not survive the next failure: array data rebuilding, 43 %"),
        ("web1", "at risk", "web1 of web may not survive the next failure: array data rebuilding, 43 %"),
        ("db", "healthy", "! db  array data rebuilding, 43 %"),
    ],
)
def test_a_host_that_may_not_survive_is_a_risk(where: str, state: str, shown: str) -> None:
    moment = Moment()
    moment.components["disks"] = Disks()
    hosts = moment.site.hosts
    host = replace(hosts[where], settings={**hosts[where].settings, "disks": Settings()})
    moment.site = replace(moment.site, hosts={**hosts, where: host})
    moment.asked = questions(moment.site, moment.components)
    moment.fail(where, ARRAY, "rebuilding, 43 %")
    assert moment.row().state == state
    assert not moment.state.good
    assert shown in status_text(moment.state)
    assert status_json(moment.state)["risks"] == {where: "array data rebuilding, 43 %"}


def test_a_group_of_its_own_is_at_risk_with_its_member() -> None:
    class Loose(Floating):
        def tiers(self, site: Site) -> Iterable[Tier]:
            return ()

    moment = Moment(Loose())
    moment.components["disks"] = Disks()
    hosts = moment.site.hosts
    web1 = replace(hosts["web1"], settings={**hosts["web1"].settings, "disks": Settings()})
    moment.site = replace(moment.site, hosts={**hosts, "web1": web1})
    moment.asked = questions(moment.site, moment.components)
    moment.fail("web1", ARRAY, "degraded, 1 of 2 members in place")
    (row,) = (row for row in moment.state.rows if row.name == "pool web")
    assert row.state == "at risk"
    assert row.why == ("web1 may not survive the next failure: array data degraded, 1 of 2 members in place",)


def test_json_holds_everything() -> None:
    moment = Moment()
    moment.move(VIP, "lb1", "lb2")
    data = json.loads(json.dumps(status_json(moment.state)))
    assert data["good"] is False
    assert data["services"][0] | {"why": []} == {
        "name": "shop", "kind": "service", "state": "alarm", "address": VIP, "holders": ["lb1", "lb2"], "why": [],
        "roles": {},
    }  # fmt: skip
    assert data["hosts"]["lb1"]["answers"] is True


def test_a_run_on_a_host_is_told() -> None:
    moment = Moment()
    state = moment.state
    busy = replace(HELLO, lock=Holder("ann", "16:03", "r1", 7))
    hosts = {**state.hosts, "db": replace(state.hosts["db"], hello=busy)}
    assert "db  a run works on it: ann since 16:03" in status_text(replace(state, hosts=hosts))
    armed = replace(HELLO, lock=Holder("ann", "16:03", "r1", 0, until="16:05:12"))
    hosts["db"] = replace(state.hosts["db"], hello=armed)
    told = "db  a run works on it: ann (run r1), whose change of the network is settled by 16:05:12"
    assert told in status_text(replace(state, hosts=hosts))


class Hosts:
    """Connections that fail, or hang until they may fail."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.tried: list[str] = []

    def connect(self, host: Host) -> Connection:
        self.tried.append(host.name)
        if host.name == "lb1":
            self.go.wait(20)
        raise ConnectError(f"{host.name}: no route")


def test_a_host_that_hangs_holds_nobody_up_and_is_asked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "FIRST", 0.2)
    monkeypatch.setattr(status, "NEXT", 0.2)
    hosts = Hosts()
    scope = Scope(make_site(shop=VIP), {"floating": Floating()}, NAMES, None, hosts.connect, "", 10)
    with Watch(scope) as looking:
        first, second = looking.look(), looking.look()
        hosts.go.set()
        third = looking.look()
    messages = [cast("ConnectError", state.hosts["lb1"].error).message for state in (first, second, third)]
    assert messages[0].startswith("lb1: no answer for")
    assert messages[1].startswith("lb1: no answer for")
    assert messages[2] == "lb1: no route"
    assert hosts.tried.count("lb1") == 1
    assert hosts.tried.count("web1") == 3
    assert first.rows[0].state == "unknown"
