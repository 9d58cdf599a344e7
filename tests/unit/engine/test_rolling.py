"""Steps carried out: what a failure, a gate that is closed, an interruption and a dead run do to the others."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.actions import Action, Mark
from hakit.agent.answers import ActResult, ProbeResult
from hakit.agent.probes import Probe
from hakit.components.base import Order, RedundancyGroup, Withdrawal
from hakit.engine import events, gate
from hakit.engine.handover import Handover
from hakit.engine.outcome import HostResult
from hakit.engine.rolling import Limits, Rolling
from hakit.engine.steps import Step
from hakit.errors import AgentError, LockedError, RefusedError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hakit.components.base import Component
    from hakit.engine.outcome import State
    from hakit.engine.run import Run

HOSTS = ("web1", "web2", "web3")


class Session:
    """A host whose service is up or down; actions and marks are written down in the site's diary."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.host = host(name)
        self.usable = True
        self.serves = True
        self.locked = False
        self.diary = diary

    def ensure_lock(self) -> None:
        if not self.usable:
            raise AgentError(f"{self.host.name}: gone")
        if self.locked:
            raise LockedError(f"{self.host.name}: another run works on this host")

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        if mark is not None:
            self.diary.append(f"{self.host.name}: {'mark' if mark.kind else 'unmark'} {mark.host}")
        self.diary += [f"{self.host.name}: {one.kind} {one.target}" for one in actions]
        return tuple(ActResult(ok=True, detail="") for _ in actions)


class Leading:
    """A role that `leader` holds; only those of `able` can take it over."""

    def __init__(self, place: Site, leader: str, able: Sequence[str]) -> None:
        self.leader = leader
        self.able = able
        self.breaks = False
        self.then: Callable[[], object] = lambda: None
        self._place = place

    def foresee(self, _: Run, host: str, unfit: Mapping[str, str], preferred: str) -> Handover | None:
        if host != self.leader:
            return None
        able = [one for one in self.able if one not in (host, *unfit)]
        if not able:
            raise RefusedError(f"nobody can take over from {host}")
        return Handover(host, "leads", preferred if preferred in able else able[0], "hakit look")

    def hand_over(self, _: Run, handover: Handover) -> str:
        if self.breaks:
            raise RefusedError("it did not work")
        self._place.diary.append(f"{handover.host} → {handover.to}")
        self.leader = handover.to
        self.then()
        return "handed over"


class Site:
    """Three servers behind a balancer that drains them; `rolling` carries steps out on them."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.events: list[events.Event] = []
        self.sessions = {name: Session(name, self.diary) for name in (*HOSTS, "lb1")}
        for name, session in self.sessions.items():
            session.probe = self._probe  # type: ignore[attr-defined]  # answers for all
            assert session.host.name == name
        probes = {name: (Probe(kind="tcp", target=name, seen_from="lb1"),) for name in HOSTS}
        self.groups: tuple[RedundancyGroup, ...] = (
            RedundancyGroup("pool", "haproxy", HOSTS, probes, unit="k.service"),
        )
        self.drained = True
        self.runs = True
        self.movers: tuple[Leading, ...] = ()

    def _probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        return tuple(ProbeResult(self._says(one), "refused", 0.0) for one in probes)

    def _says(self, probe: Probe) -> bool:
        return self.runs if probe.kind == "unit" else self.sessions[probe.target].serves

    def withdraw(self, _: object, of: Any) -> Iterator[Withdrawal]:
        if self.drained and of.name in HOSTS:
            out, back = (Order("lb1", Action(kind=kind, target=of.name)) for kind in ("write", "remove"))
            yield Withdrawal("pool", (out,), (back,))

    def rolling(self, limits: Limits | None = None, idle: Sequence[str] = (), abandoned: Sequence[str] = ()) -> Rolling:
        component = cast("Component", SimpleNamespace(withdraw=self.withdraw))
        scope = SimpleNamespace(
            groups=lambda: self.groups,
            site=site(*(one.host for one in self.sessions.values())),
            components={"haproxy": component},
            forks=4,
            who="me",
            run_id="run",
            movers=self.movers,
        )
        run = SimpleNamespace(scope=scope, sessions=self.sessions, sink=self.events.append, hang_up=lambda: None)
        resting = dict.fromkeys(idle, "in maintenance")
        return Rolling(cast("Run", run), limits or Limits(), resting, abandoned)

    def told(self, kind: type[events.Event]) -> list[str]:
        return [one.host for one in self.events if isinstance(one, kind)]

    def worker(self, *failing: str) -> Callable[[Step], HostResult]:
        def work(step: Step) -> HostResult:
            self.diary.append(f"{step.host}: work")
            return HostResult("failed", why="no") if step.host in failing else HostResult("changed", 1)

        return work


def in_order(*hosts: str, **fields: Any) -> list[Step]:
    steps: list[Step] = []
    for name in hosts:
        after = frozenset({steps[-1].name}) if steps else frozenset()
        steps.append(Step(name, after=after, gated=True, **fields))
    return steps


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PAUSE", 0.001)
    monkeypatch.setattr(gate, "PATIENCE", 0.2)


@pytest.fixture
def place() -> Site:
    return Site()


def test_a_member_is_out_of_its_duties_while_it_is_disrupted(place: Site) -> None:
    outcome = place.rolling().execute(in_order("web1", disrupts=True), place.worker())
    assert outcome.good
    assert place.diary == [
        "web1: mark web1",
        "lb1: mark web1",
        "lb1: write web1",
        "web1: work",
        "web1: unmark web1",
        "lb1: unmark web1",
        "lb1: remove web1",
    ]


def leading(place: Site, leader: str, *able: str) -> Leading:
    """A role that somebody holds on these hosts."""
    mover = Leading(place, leader, able)
    place.movers = (mover,)
    return mover


def test_a_role_is_handed_over_before_its_holder_is_out(place: Site) -> None:
    mover = leading(place, "web2", "web1", "web3")
    place.drained = False
    assert place.rolling().execute(in_order("web1", "web2", disrupts=True, whole=True), place.worker()).good
    assert place.diary == ["web1: work", "web2 → web1", "web2: work"]
    assert mover.leader == "web1"


def test_a_role_is_kept_where_only_a_part_of_its_holder_stops(place: Site) -> None:
    leading(place, "web2", "web1")
    place.drained = False
    assert place.rolling().execute(in_order("web2", disrupts=True), place.worker()).good
    assert place.diary == ["web2: work"]


def test_who_was_foreseen_takes_a_role_over(place: Site) -> None:
    mover = leading(place, "web2", "web3", "web1")
    rolling = place.rolling()
    assert [str(one) for one in rolling.handovers.foreseen(["web1", "web2"]).handovers] == [
        "web2 leads: switched over to web3 first"
    ]
    mover.able = ["web1", "web3"]
    rolling.execute(in_order("web2", disrupts=True, whole=True), place.worker())
    assert mover.leader == "web3"


def test_a_host_in_maintenance_takes_nothing_over(place: Site) -> None:
    mover = leading(place, "web2", "web1", "web3")
    place.rolling(idle=["web1"]).execute(in_order("web2", disrupts=True, whole=True), place.worker())
    assert mover.leader == "web3"


def test_who_can_hand_its_role_to_nobody_is_not_touched(place: Site) -> None:
    leading(place, "web2", "web2")
    rolling = place.rolling()
    assert rolling.handovers.foreseen(["web2"]).refused["web2"].message == "nobody can take over from web2"
    outcome = rolling.execute(in_order("web2", "web3", disrupts=True, whole=True), place.worker())
    assert outcome.hosts["web2"] == HostResult("not started", why="not touched: nobody can take over from web2")
    assert outcome.hosts["web3"].state == "not started"
    assert not place.diary


def test_the_operator_may_have_a_role_go_with_its_host(place: Site) -> None:
    leading(place, "web2")
    limits = Limits(override="it is night")
    assert place.rolling(limits).execute(in_order("web2", disrupts=True, whole=True), place.worker()).good
    assert place.told(events.Overridden) == ["web2"]


def test_nobody_overrules_a_handover_that_failed(place: Site) -> None:
    leading(place, "web2", "web1").breaks = True
    outcome = place.rolling(Limits(override="now")).execute(in_order("web2", disrupts=True, whole=True), place.worker())
    assert outcome.hosts["web2"] == HostResult("failed", why="it did not work")
    assert (place.told(events.Broken), place.told(events.Unreachable)) == (["web2"], [])
    assert "web2: work" not in place.diary


def test_whether_the_others_serve_is_looked_at_again_after_a_handover(place: Site) -> None:
    def die() -> None:
        place.sessions["web1"].serves = place.sessions["web3"].serves = False

    leading(place, "web2", "web1").then = die
    outcome = place.rolling().execute(in_order("web2", disrupts=True, whole=True), place.worker())
    assert outcome.hosts["web2"].state == "not started"
    assert place.diary == ["web2 → web1"]


def test_a_reload_takes_nobody_out(place: Site) -> None:
    assert place.rolling().execute(in_order("web1"), place.worker()).good
    assert place.diary == ["web1: work"]


def test_one_that_fails_stops_those_that_stand_in_for_it(place: Site) -> None:
    outcome = place.rolling().execute(in_order(*HOSTS), place.worker("web1"))
    assert {name: one.state for name, one in outcome.hosts.items()} == {
        "web1": "failed",
        "web2": "not started",
        "web3": "not started",
    }
    assert place.told(events.NotStarted) == ["web2", "web3"]


def test_one_that_does_not_serve_afterwards_has_failed_and_stays_out(place: Site) -> None:
    def break_it(step: Step) -> HostResult:
        place.sessions[step.host].serves = False
        return HostResult("changed", 1)

    outcome = place.rolling().execute(in_order("web1", "web2", disrupts=True), break_it)
    assert outcome.hosts["web1"].state == "failed"
    assert "does not serve" in outcome.hosts["web1"].why
    assert outcome.hosts["web2"].state == "not started"
    assert "web1: unmark web1" not in place.diary


def test_one_that_fails_but_serves_comes_back(place: Site) -> None:
    outcome = place.rolling().execute(in_order("web1", disrupts=True), place.worker("web1"))
    assert outcome.hosts["web1"].state == "failed"
    assert place.diary[-1] == "lb1: remove web1"


def test_the_last_one_that_serves_is_not_touched(place: Site) -> None:
    place.sessions["web2"].serves = place.sessions["web3"].serves = False
    outcome = place.rolling().execute(in_order("web1", disrupts=True), place.worker())
    assert outcome.hosts["web1"].state == "not started"
    assert "would be left with 0 of 3" in outcome.hosts["web1"].why
    assert place.diary == []


def test_the_operator_may_overrule_the_gate(place: Site) -> None:
    place.sessions["web2"].serves = place.sessions["web3"].serves = False
    assert place.rolling(Limits(override="I know")).execute(in_order("web1", disrupts=True), place.worker()).good
    (told,) = [one for one in place.events if isinstance(one, events.Overridden)]
    assert told.reason == "I know"


def test_a_host_in_maintenance_needs_no_gate_and_stays_out(place: Site) -> None:
    for session in place.sessions.values():
        session.serves = False
    place.sessions["web2"].serves = True
    assert place.rolling(idle=["web1"]).execute(in_order("web1", disrupts=True), place.worker()).good
    assert place.diary == ["web1: work"]


@pytest.mark.parametrize(("allowed", "state"), [(1, "not started"), (2, "changed"), (None, "changed")])
def test_nothing_is_begun_once_enough_have_failed(place: Site, allowed: int | None, state: str) -> None:
    place.groups = ()
    rolling = place.rolling(Limits(max_fail=allowed))

    def work(step: Step) -> HostResult:
        if step.host == "web1":
            return HostResult("failed", why="no")
        while "web1" not in rolling.outcome.hosts:
            time.sleep(0.001)
        return HostResult("changed", 1)

    outcome = rolling.execute([Step("web1"), Step("web2"), Step("lb1", after=frozenset({"web2"}))], work)
    assert outcome.hosts["lb1"].state == state
    assert outcome.hosts["lb1"].why == ("--max-fail 1 is reached" if allowed == 1 else "")


@pytest.mark.parametrize("state", ["failed", "unreachable"])
def test_what_has_failed_before_anything_is_begun_counts(place: Site, state: State) -> None:
    place.groups = ()
    known = {"lb1": HostResult(state, why="no")}
    outcome = place.rolling(Limits(max_fail=1)).execute([Step("web1"), Step("web2")], place.worker(), known)
    assert place.diary == []
    assert outcome.hosts["web1"] == HostResult("not started", why="--max-fail 1 is reached")


def test_who_waits_for_a_step_that_failed_is_left_alone_whoever_it_is(place: Site) -> None:
    place.groups = ()
    steps = [
        Step("web1"),
        Step("web2", after=frozenset({"web1"})),
        Step("web3", after=frozenset({"web2"})),
        Step("lb1"),
    ]
    outcome = place.rolling().execute(steps, place.worker("web1"))
    states = {name: one.state for name, one in outcome.hosts.items()}
    assert states == {"web1": "failed", "web2": "not started", "web3": "not started", "lb1": "changed"}


def test_what_a_dead_run_left_out_is_taken_back_once_it_serves(place: Site) -> None:
    steps = [Step("web1", "restore", gated=True), Step("web2", keys=("x",))]
    assert place.rolling(abandoned=["web1", "web2"]).execute(steps, place.worker()).good
    for name in ("web1", "web2"):
        back = [line for line in place.diary if name in line]
        work = [] if name == "web1" else ["web2: work"]
        assert back == [*work, f"{name}: unmark {name}", f"lb1: unmark {name}", f"lb1: remove {name}"]


def test_a_helper_that_is_gone_holds_nobody_up(place: Site) -> None:
    place.sessions["lb1"].usable = False
    place.sessions["web1"].serves = True
    assert place.rolling().execute(in_order("web1", disrupts=True), place.worker()).good
    assert any("lb1 could not be told" in one.text for one in place.events if isinstance(one, events.Noted))


def test_a_helper_that_is_lost_before_it_takes_a_host_back_has_failed(place: Site) -> None:
    """Its agent was killed, say: it may serve, and leave the host out."""
    place.sessions["web1"].serves = True
    work = place.worker()

    def losing(step: Step) -> HostResult:
        place.sessions["lb1"].usable = False
        return work(step)

    outcome = place.rolling().execute(in_order("web1", disrupts=True), losing)
    assert outcome.hosts["web1"].state == "changed"
    assert outcome.hosts["lb1"].state == "failed"
    assert "may go on counting web1 as out of service" in outcome.hosts["lb1"].why
    assert not outcome.good


def divided(*hosts: str) -> list[Step]:
    """web1 whole; the data of these hosts come from it, everything else goes before."""
    steps = [Step("web1", keys=("data:own",))]
    for name in hosts:
        first = Step(name, keys=("package:db",), half="first")
        after = frozenset({"web1", first.name})
        steps += [first, Step(name, keys=("data:copy", "unit:db"), after=after, half="second")]
    return steps


def failing(place: Site, *names: str) -> Callable[[Step], HostResult]:
    """Work on steps of which these fail; web1 ends after all first halves that are begun."""
    begun = threading.Barrier(2)

    def work(step: Step) -> HostResult:
        if step.name in ("web1", "web2 first"):
            begun.wait(10)
        place.diary.append(step.name)
        return HostResult("failed", why="no") if step.name in names else HostResult("changed", len(step.keys))

    return work


def test_what_waits_for_nobody_goes_beside_the_one_that_is_waited_for(place: Site) -> None:
    outcome = place.rolling().execute(divided("web2"), failing(place))
    assert outcome.good
    assert outcome.hosts["web2"] == HostResult("changed", 3)
    assert place.diary[-1] == "web2"


def test_what_waited_for_one_that_failed_is_left_and_named(place: Site) -> None:
    outcome = place.rolling().execute(divided("web2", "web3"), failing(place, "web1"))
    assert set(place.diary) == {"web1", "web2 first", "web3 first"}
    for name in ("web2", "web3"):
        found = outcome.hosts[name]
        assert (found.state, found.changed) == ("not started", 1)
        assert found.why == "data:copy and what stands on it: web1 failed, and they stand in for each other"
    assert sorted(place.told(events.NotStarted)) == ["web2", "web3"]


def test_a_first_half_that_fails_keeps_nobody_else_from_going_on(place: Site) -> None:
    outcome = place.rolling().execute(divided("web2", "web3"), failing(place, "web2 first"))
    assert {name: one.state for name, one in outcome.hosts.items()} == {
        "web1": "changed",
        "web2": "failed",
        "web3": "changed",
    }
    assert "web2" not in place.diary
    assert outcome.hosts["web2"].why == "no"


def test_who_waits_for_a_host_waits_for_both_of_its_halves(place: Site) -> None:
    place.groups = ()
    steps = [*divided("web2"), Step("lb1", after=frozenset({"web2", "web2 first"}))]
    outcome = place.rolling().execute(steps, failing(place, "web2 first"))
    assert outcome.hosts["lb1"] == HostResult("not started", why="it waits for web2, which failed")


def test_an_interruption_between_the_halves_leaves_the_second(place: Site) -> None:
    rolling = place.rolling()

    def work(step: Step) -> HostResult:
        if step.name == "web1":
            while "web2" not in rolling.outcome.hosts:
                time.sleep(0.001)
            interrupt()
            assert rolling._halted.wait(10)
        return HostResult("changed", 1)

    outcome = rolling.execute(divided("web2"), work)
    assert outcome.stopped
    assert outcome.hosts["web1"].state == "changed"
    assert outcome.hosts["web2"] == HostResult("not started", 1, why="data:copy and what stands on it: interrupted")


def test_no_second_half_is_begun_once_enough_have_failed(place: Site) -> None:
    place.groups = ()
    outcome = place.rolling(Limits(max_fail=1)).execute(divided("web2", "web3"), failing(place, "web2 first"))
    assert outcome.hosts["web3"].state == "not started"
    assert outcome.hosts["web3"].why.endswith("--max-fail 1 is reached")


def atomic() -> list[Step]:
    return [
        Step("web2", "stop", unit="k.service", atomic=True),
        Step("web1", after=frozenset({"web2 stop"}), atomic=True, gated=True),
        Step("web2", after=frozenset({"web2 stop", "web1 atomic"}), atomic=True, gated=True),
    ]


def test_a_follower_is_silent_until_its_leader_has_changed(place: Site) -> None:
    assert place.rolling().execute(atomic(), place.worker()).good
    assert place.diary == ["web2: stop k.service", "web1: work", "web2: work"]


def test_followers_speak_again_when_their_leader_fails(place: Site) -> None:
    outcome = place.rolling().execute(atomic(), place.worker("web1"))
    assert place.diary == ["web2: stop k.service", "web1: work", "web2: start k.service"]
    assert outcome.hosts["web2"].state == "not started"


def test_nobody_is_disrupted_while_another_run_works_on_a_helper(place: Site) -> None:
    place.sessions["lb1"].locked = True
    outcome = place.rolling().execute(in_order("web1", disrupts=True), place.worker())
    assert outcome.hosts["web1"].why == "lb1: another run works on this host"
    assert place.diary == []


def test_a_helper_that_another_run_works_on_by_then_hinders_no_return(place: Site) -> None:
    def work(_: Step) -> HostResult:
        place.sessions["lb1"].locked = True
        return HostResult("changed", 1)

    outcome = place.rolling().execute(in_order("web1", disrupts=True), work)
    assert place.diary[-1] == "web1: unmark web1"
    assert {name: one.state for name, one in outcome.hosts.items()} == {"web1": "changed", "lb1": "failed"}


class Changing:
    """What the leader does in a joint change, and what happens meanwhile."""

    def __init__(self, place: Site, rolling: Rolling, changed: int) -> None:
        self.place = place
        self.rolling = rolling
        self.changed = changed

    def fails(self) -> HostResult:
        return HostResult("failed", self.changed, why="no")

    def is_lost(self) -> HostResult:
        raise AgentError("web1: gone")

    def does_not_serve(self) -> HostResult:
        self.place.sessions["web1"].serves = False
        return HostResult("changed", self.changed)

    def is_interrupted(self) -> HostResult:
        interrupt()
        assert self.rolling._halted.wait(10)
        assert "web2: start k.service" not in self.place.diary, "while it is not known what the leader does"
        return HostResult("changed" if self.changed else "same", self.changed)

    def is_not_the_only_one_that_fails(self) -> HostResult:
        while "lb1" not in self.rolling.outcome.hosts:
            time.sleep(0.001)
        assert "web2: start k.service" not in self.place.diary, "while it is not known what the leader does"
        return HostResult("changed", self.changed)


@pytest.mark.parametrize(
    ("what", "changed", "runs", "starts"),
    [
        ("fails", 0, True, True),
        ("fails", 1, True, False),
        ("fails", 1, False, True),
        ("is_lost", 0, True, False),
        ("does_not_serve", 1, True, False),
        ("does_not_serve", 1, False, True),
        ("is_interrupted", 0, True, True),
        ("is_interrupted", 1, True, False),
        ("is_not_the_only_one_that_fails", 1, True, False),
    ],
)
def test_a_follower_that_is_left_speaks_again_only_where_nobody_speaks_otherwise(
    place: Site, what: str, changed: int, *, runs: bool, starts: bool
) -> None:
    rolling = place.rolling(Limits(max_fail=1))
    place.runs = runs
    leader = Changing(place, rolling, changed)

    def work(step: Step) -> HostResult:
        if step.host == "lb1":
            return HostResult("failed", why="no")
        assert step.host == "web1"
        found: HostResult = getattr(leader, what)()
        return found

    steps = atomic()
    if what == "is_not_the_only_one_that_fails":
        steps.append(Step("lb1", after=frozenset({"web2 stop"})))
    outcome = rolling.execute(steps, work)
    assert outcome.hosts["web2"].state == "not started"
    assert ("web2: start k.service" in place.diary) == starts
    notes = [one.text for one in place.events if isinstance(one, events.Noted) and one.host == "web2"]
    assert any(one.startswith("k.service stays stopped, for web1 may have changed") for one in notes) != starts


def test_another_follower_stays_silent_too_once_the_leader_has_changed(place: Site) -> None:
    steps = atomic()
    steps += [
        Step("web3", "stop", unit="k.service", atomic=True),
        Step("web3", after=frozenset({"web3 stop", "web1 atomic", "web2 atomic"}), atomic=True, gated=True),
    ]
    steps[1] = replace(steps[1], after=frozenset({"web2 stop", "web3 stop"}))
    outcome = place.rolling().execute(steps, place.worker("web2"))
    assert outcome.hosts["web3"].state == "not started"
    assert not [line for line in place.diary if "start k.service" in line]


def test_a_follower_that_fails_stays_silent(place: Site) -> None:
    outcome = place.rolling().execute(atomic(), place.worker("web2"))
    assert place.diary == ["web2: stop k.service", "web1: work", "web2: work"]
    assert outcome.hosts["web2"].state == "failed"


def test_no_follower_stops_while_its_leader_does_not_serve(place: Site) -> None:
    place.sessions["web1"].serves = place.sessions["web3"].serves = False
    outcome = place.rolling().execute(atomic(), place.worker())
    assert place.diary == []
    assert outcome.count("not started") == 2


def interrupt() -> None:
    """What Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interruption_ends_what_runs_and_leaves_the_rest(place: Site) -> None:
    rolling = place.rolling()

    def work(_: Step) -> HostResult:
        interrupt()
        assert rolling._halted.wait(10)
        return HostResult("changed", 1)

    outcome = rolling.execute(in_order("web1", "web2"), work)
    assert outcome.stopped
    assert {name: one.state for name, one in outcome.hosts.items()} == {"web1": "changed", "web2": "not started"}
    assert outcome.hosts["web2"].why == "interrupted"


@pytest.mark.parametrize("moment", ["in its bookkeeping", "later"])
def test_the_second_interruption_stops_and_says_what_was_cut(
    place: Site, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    go_on = threading.Event()
    rolling = place.rolling()
    monkeypatch.setattr(rolling._run, "hang_up", go_on.set)
    sink = rolling._run.sink

    def listen(event: events.Event) -> None:
        sink(event)
        if moment == "in its bookkeeping" and isinstance(event, events.NotStarted):
            interrupt()

    monkeypatch.setattr(rolling._run, "sink", listen)

    def work(step: Step) -> HostResult:
        interrupt()
        assert rolling._halted.wait(10)
        if moment == "later":
            interrupt()
        assert go_on.wait(10)
        raise AgentError(f"{step.host}: hung up")

    with pytest.raises(KeyboardInterrupt):
        rolling.execute(in_order("web1", "web2"), work)
    assert "stopped in the middle" in rolling.outcome.hosts["web1"].why
    assert rolling.outcome.hosts["web2"].state == "not started"


def test_who_was_cut_while_it_handed_its_role_over_is_told_where_to_look(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    mover = leading(place, "web2", "web1")
    rolling = place.rolling()
    monkeypatch.setattr(rolling._run, "hang_up", go_on.set)

    def cut() -> None:
        interrupt()
        assert rolling._halted.wait(10)
        interrupt()
        assert go_on.wait(10)
        raise AgentError("web2: hung up")

    mover.then = cut
    with pytest.raises(KeyboardInterrupt):
        rolling.execute(in_order("web2", disrupts=True, whole=True), place.worker())
    why = "stopped in the middle of a handover; where things stand says  hakit look"
    assert rolling.outcome.hosts["web2"].why == why
