"""A host whose network changes: what goes before, what after, what is left; alone in its groups, and out of service."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.answers import BatchResult
from hakit.agent.resources.network import Network
from hakit.agent.resources.package import Package
from hakit.agent.resources.unit import Unit
from hakit.components.base import Facts, RedundancyGroup
from hakit.engine import events, reaching, transit
from hakit.engine.apply import Apply
from hakit.engine.compile import HostResources
from hakit.engine.network import NETWORK
from hakit.engine.plan import Change, FileDiff, HostPlan, SitePlan
from hakit.engine.rolling import Limits
from hakit.engine.schedule import schedule
from hakit.errors import ConnectError, RefusedError
from hakit.present.plan import plan_text
from hakit.present.progress import told as line_of
from hakit.present.result import result_json
from tests.unit.engine.sites import host, site
from tests.unit.engine.test_apply import Leading
from tests.unit.engine.test_transit import Place, ended, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hakit.agent.answers import AgentEvent
    from hakit.engine.outcome import HostResult, Outcome
    from hakit.engine.run import Run

BEFORE = ("package:ifenslave", "package:bridge-utils")
RESOURCES = (
    Package(package="bridge-utils", component="bonding"),
    Package(package="ifenslave", component="bonding", after=("package:bridge-utils",)),
    Network(manager="ifupdown", files=(), links=(), after=("package:ifenslave",), component="bonding"),
    Unit(unit="server.service", component="server", after=(NETWORK,)),
)
BOND = Change(NETWORK, "change", ("bond0: new bond, active-backup",), "disruptive", component="bonding")
PACKAGE = Change("package:ifenslave", "add", component="bonding")
OTHER = Change("package:bridge-utils", "add", component="bonding")
FILE = Change("files:/etc/server.conf", "change", diffs=(FileDiff("/etc/server.conf", ("-a", "+b")),))
SERVER = Change("unit:server.service", "change", impact="reload")
RESTART = replace(SERVER, impact="disruptive")
GONE = Change("files:/etc/old", "remove")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((transit, "FIRST"), (transit, "POLL"), (reaching, "FIRST_PAUSE"), (transit, "BACK")):
        monkeypatch.setattr(module, name, 0.002)


class Session(Place):
    """A host that carries batches out, too; `now` is what differs once its network is as declared."""

    def __init__(self, name: str, *answers: Any) -> None:
        super().__init__(*answers)
        self.host = replace(self.host, name=name)
        self.declared = HostResources(self.host, {one.key: one for one in RESOURCES})
        self.now: tuple[Change, ...] | None = None
        self.failing: set[str] = set()
        self.restarted = False

    def apply(self, keys: Sequence[str], remove: Sequence[str], _: Callable[[AgentEvent], None]) -> BatchResult:
        self.diary.append(f"apply {', '.join([*keys, *(f'-{key}' for key in remove)])}")
        return BatchResult(len(keys) + len(remove), len(self.failing.intersection(keys)))

    def replan(self) -> HostPlan:
        self.diary.append("replan")
        assert self.now is not None
        return HostPlan(self.host.name, Facts(), self.now, 0)

    def act(self, *_: object) -> tuple[()]:
        return ()


class Hosts:
    """Hosts whose networks change, `db1` of which leads."""

    def __init__(self, *names: str, leads: str = "", to: str = "db2") -> None:
        self.events: list[events.Event] = []
        self.sessions = {name: Session(name, told()) for name in names or ("web1",)}
        self.groups: tuple[RedundancyGroup, ...] = ()
        self.diary: list[str] = []
        self.movers = (Leading(self.diary, leads, to),) if leads else ()
        self.work: Apply | None = None

    def apply(self, *changes: Change, limits: Limits | None = None, then: tuple[Change, ...] = ()) -> Outcome:
        for session in self.sessions.values():
            session.now = then
        scope = SimpleNamespace(
            groups=lambda: self.groups,
            site=site(*(host(name) for name in self.sessions)),
            components={},
            forks=4,
            who="me",
            run_id="run",
            movers=self.movers,
            connect=lambda one: self.sessions[one.name].connect(one),
        )
        run = SimpleNamespace(scope=scope, sessions=self.sessions, sink=self.events.append, hang_up=lambda: None)
        plans = {name: HostPlan(name, Facts(), changes, 0) for name in self.sessions}
        self.work = Apply(cast("Run", run), SitePlan(plans), limits)
        return self.work.execute()

    def one(self, *changes: Change, then: tuple[Change, ...] = (), limits: Limits | None = None) -> HostResult:
        return self.apply(*changes, then=then, limits=limits).hosts["web1"]

    @property
    def did(self) -> list[str]:
        return self.sessions["web1"].diary

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        assert self.work is not None
        self.work._rolling._stop()

    def skipped(self) -> list[tuple[str, str]]:
        return [(one.key, one.because) for one in self.events if isinstance(one, events.Skipped)]

    def lines(self) -> list[str]:
        return [line for one in self.events if (line := line_of(one, everything=False))]


def test_the_network_goes_between_what_it_needs_and_the_rest() -> None:
    hosts = Hosts()
    result = hosts.one(OTHER, PACKAGE, BOND, FILE, SERVER, GONE, then=(FILE, SERVER, GONE))
    assert (result.state, result.changed) == ("changed", 6)
    assert result.network is not None
    assert result.network.how == "confirmed"
    assert hosts.did == [
        "apply package:bridge-utils, package:ifenslave",
        "begin 60",
        "close",
        "connect 10.0.0.5",
        "lock",
        "confirm",
        "keep 10.0.0.5",
        "replan",
        "apply files:/etc/server.conf, unit:server.service, -files:/etc/old",
    ]
    assert any("network:network  changed and confirmed after 0." in line for line in hosts.lines())


def test_no_other_host_is_connected_to_twice() -> None:
    hosts = Hosts()
    assert hosts.one(FILE, SERVER).state == "changed"
    assert hosts.did == ["apply files:/etc/server.conf, unit:server.service"]


def test_a_network_alone_needs_no_batch() -> None:
    hosts = Hosts()
    assert hosts.one(BOND).changed == 1
    assert not any(line.startswith("apply") for line in hosts.did)


def test_what_is_as_declared_after_the_change_is_left_alone() -> None:
    hosts = Hosts()
    assert hosts.one(BOND, FILE, SERVER, then=(SERVER,)).changed == 2
    assert hosts.did[-1] == "apply unit:server.service"


def test_what_the_host_refuses_after_the_change_is_left_to_tell() -> None:
    hosts = Hosts()
    hosts.sessions["web1"].failing = {FILE.key}
    assert hosts.one(BOND, FILE, then=(replace(FILE, kind="refused"),)).why == "1 of 2 failed"
    assert hosts.did[-1] == "apply files:/etc/server.conf"


def test_what_changed_since_the_plan_was_shown_is_left_alone() -> None:
    hosts = Hosts()
    other = replace(FILE, diffs=(FileDiff("/etc/server.conf", ("-c", "+b")),))
    result = hosts.one(BOND, FILE, SERVER, then=(other, SERVER))
    assert (result.state, result.why) == ("failed", "1 of 3 failed")
    assert hosts.did[-1] == "apply unit:server.service"
    assert any("changed since the plan was shown" in line for line in hosts.lines())


def test_a_network_is_not_changed_without_what_it_needs() -> None:
    hosts = Hosts()
    hosts.sessions["web1"].failing = {PACKAGE.key}
    result = hosts.one(PACKAGE, BOND, FILE)
    assert (result.state, result.changed, result.why) == ("failed", 1, "1 of 3 failed")
    assert hosts.did == ["apply package:ifenslave"]
    assert hosts.skipped() == [(NETWORK, PACKAGE.key), (FILE.key, NETWORK)]


def test_a_network_that_returned_is_told_with_the_hosts_log_and_the_rest_is_left() -> None:
    hosts = Hosts()
    hosts.sessions["web1"].answers = [ended("returned", "bond0: no LACP partner answers")]
    outcome = hosts.apply(PACKAGE, BOND, FILE, GONE)
    result = outcome.hosts["web1"]
    assert not outcome.good
    assert (result.state, result.changed) == ("failed", 1)
    assert result.why == "the old network is back: bond0: no LACP partner answers"
    assert hosts.skipped() == [(FILE.key, NETWORK), (GONE.key, NETWORK)]
    (line,) = [line for line in hosts.lines() if "✗" in line]
    for words in ("the old network is back", "05:00 armed", "mend the cable, the switch or the inventory"):
        assert words in line
    network = result_json(outcome, "run")["hosts"]["web1"]["network"]
    assert (network["how"], network["log"]) == ("returned", ["05:00 armed", "05:01 done"])
    assert "replan" not in hosts.did


def test_a_host_that_refuses_says_why_and_nothing_is_changed() -> None:
    hosts = Hosts()
    hosts.sessions["web1"].refuses["begin"] = RefusedError("web1: ifup rejects the files", why="/etc: line 3")
    result = hosts.one(BOND, FILE)
    assert (result.why, result.network) == ("its network was not changed: ifup rejects the files", None)
    (line,) = [line for line in hosts.lines() if "✗" in line]
    assert "nothing was changed: ifup rejects the files" in line
    assert "line 3" in line
    assert hosts.skipped() == [(FILE.key, NETWORK)]


def test_a_host_that_is_lost_is_told_with_what_to_look_at() -> None:
    hosts = Hosts()

    def away() -> Any:
        raise ConnectError("web1: no answer within 10 s")

    hosts.sessions["web1"].ways["10.0.0.5"] = away
    result = hosts.one(BOND, limits=Limits(confirm=1.0))
    assert result.why == "the host is lost: it was not reached again: no answer within 10 s"
    assert any("journalctl -u hakit-network-return" in line for line in hosts.lines())
    assert hosts.did[0] == "begin 1"


def test_an_interrupt_lets_the_network_be_settled_and_leaves_the_rest() -> None:
    hosts = Hosts()
    hosts.sessions["web1"].then["confirm"] = hosts.interrupt
    outcome = hosts.apply(PACKAGE, BOND, FILE, then=(FILE,))
    assert outcome.stopped
    result = outcome.hosts["web1"]
    assert (result.state, result.changed) == ("failed", 2)
    assert result.why == "interrupted: its network is changed, the next apply does the rest"
    assert hosts.did[-1] == "replan"


def test_an_interrupt_before_the_network_leaves_that(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts()
    session = hosts.sessions["web1"]
    carry_out = session.apply

    def apply(keys: Sequence[str], remove: Sequence[str], on_event: Any) -> BatchResult:
        hosts.interrupt()
        return carry_out(keys, remove, on_event)

    monkeypatch.setattr(session, "apply", apply)
    assert hosts.one(PACKAGE, BOND, FILE).why == "interrupted before its network was changed"
    assert hosts.did == ["apply package:ifenslave"]


def test_a_second_interrupt_tells_when_the_host_returns() -> None:
    hosts = Hosts()
    session = hosts.sessions["web1"]
    session.answers = [told("bond0: no LACP partner answers")]

    def interrupt() -> None:
        assert hosts.work is not None
        hosts.work._rolling._ended.put(None)
        hosts.work._rolling._ended.put(None)

    session.then["check"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        hosts.apply(BOND, FILE)
    assert hosts.work is not None
    result = hosts.work.outcome.hosts["web1"]
    assert result.why.startswith("left in the middle of a change of its network: the old one returns by itself at ")
    assert any("see then  hakit plan" in line for line in hosts.lines())


def test_who_leads_hands_that_over_before_its_network_changes() -> None:
    hosts = Hosts("db1", "db2", leads="db1")
    hosts.groups = (RedundancyGroup("cluster", "db", ("db1", "db2")),)
    outcome = hosts.apply(BOND, RESTART, then=(RESTART,))
    assert outcome.good
    assert hosts.diary[:1] == ["db1 leads: switched over to db2 first"]
    assert hosts.sessions["db1"].did("begin", "apply") == ["begin 60", "apply unit:server.service"]


def test_whose_role_nobody_can_take_is_not_cut_off() -> None:
    hosts = Hosts("db1", leads="db1", to="")
    outcome = hosts.apply(BOND)
    assert outcome.hosts["db1"].why == "not touched: nobody can take over from db1\n  they are all down"
    assert hosts.sessions["db1"].diary == []
    assert hosts.work is not None
    assert hosts.work.foreseen.refused["db1"].message == "nobody can take over from db1"


def test_mates_are_never_in_transit_together_and_others_go_side_by_side() -> None:
    plans = [HostPlan(name, Facts(), (BOND,), 0) for name in ("lb1", "lb2", "web1")]
    steps = {one.host: one for one in schedule(plans, [RedundancyGroup("front", "vrrp", ("lb2", "lb1"))])}
    assert all(one.gated and one.disrupts and one.whole for one in steps.values())
    assert steps["lb1"].after == {"lb2"}
    assert steps["web1"].after == steps["lb2"].after == frozenset()
    hosts = Hosts("web1", "web2")
    together = threading.Barrier(2, timeout=10.0)

    def meet() -> None:
        together.wait()

    for session in hosts.sessions.values():
        session.then["begin"] = meet
    assert hosts.apply(BOND).good


def test_a_network_that_is_forgotten_is_no_change_of_it() -> None:
    hosts = Hosts()
    gone = Change(NETWORK, "remove", ("forget; the network stays as it is",))
    assert hosts.one(gone, FILE).state == "changed"
    assert hosts.did == ["apply files:/etc/server.conf, -network:network"]


def test_a_plan_counts_a_network_apart_from_restarts() -> None:
    plan = HostPlan("web1", Facts(), (BOND, RESTART), 3)
    text = plan_text(SitePlan({"web1": plan}), site(host("web1")), seconds=0.1)
    assert "  ~ network " in text
    assert "1 host changes: 1 change, 1 restart, 1 network change." in text
