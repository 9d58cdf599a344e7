"""A dead host that is retired: its peers remember it until that is taken back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.answers import ActResult, BatchResult
from hakit.components.base import Facts
from hakit.engine import retire
from hakit.engine.duty import MAINTENANCE, RETIRED, mark_of
from hakit.engine.events import Noted
from hakit.engine.handover import Handover
from hakit.engine.outcome import HostResult
from hakit.engine.plan import Change, HostPlan, SitePlan
from hakit.engine.retire import Retirement, take_back
from hakit.engine.rolling import Limits
from hakit.engine.run import Run
from hakit.errors import ConnectError, RefusedError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hakit.agent.actions import Action, Mark
    from hakit.engine.outcome import Outcome
    from hakit.engine.run import Scope
    from hakit.engine.session import HostSession
    from hakit.errors import HakitError


class Session:
    """A host that keeps marks, or does not answer."""

    def __init__(self, *marks: Mark, usable: bool = True) -> None:
        self.marks = marks
        self.usable = usable
        self.locked = False

    def ensure_lock(self) -> None:
        self.locked = True

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        assert self.usable
        if mark is not None:
            self.marks = tuple(one for one in self.marks if one.host != mark.host) + ((mark,) if mark.kind else ())
        return tuple(ActResult(ok=True, detail="") for _ in actions)


NAMES = ("web1", "web2", "web3")


class Opened(Run):
    """A run whose sessions are open already."""

    def open(self) -> dict[str, HakitError]:
        return {name: ConnectError(f"{name}: no answer") for name, one in self.sessions.items() if not one.usable}


def run(sessions: dict[str, Session], *names: str, kind: type[Opened] = Opened) -> Run:
    hosts = site(*(host(name) for name in names))
    scope: Any = SimpleNamespace(
        site=hosts,
        components={},
        hosts=names,
        watched=(),
        groups=lambda: (),
        forks=2,
        who="ana@desk",
        run_id="run",
        movers=(),
    )
    found = kind(cast("Scope", scope), lambda _: None, lock=True)
    found.sessions = cast("dict[str, HostSession]", sessions)
    return found


def retired(name: str = "web3", kind: str = RETIRED) -> Mark:
    return mark_of(name, kind, "ana@desk", "run")


def test_every_peer_that_answers_remembers_a_dead_host() -> None:
    sessions = {"web1": Session(), "web2": Session(usable=False)}
    peers = run(sessions, "web1", "web2")
    whole = run(sessions, *NAMES)
    assert Retirement(peers, whole.scope, "web3", dead=True).execute(SitePlan({}), Limits()).good
    (mark,) = sessions["web1"].marks
    assert (mark.host, mark.kind, mark.who) == ("web3", RETIRED, "ana@desk")


def test_a_later_run_learns_it_from_one_peer() -> None:
    later = run({"web1": Session(), "web2": Session(retired()), "web3": Session(usable=False)}, *NAMES)
    assert later.marks()["web3"].kind == RETIRED


def test_it_is_taken_back_while_the_host_is_dead() -> None:
    sessions = {"web1": Session(retired()), "web2": Session(retired()), "web3": Session(usable=False)}
    assert take_back(run(sessions, *NAMES), "web3")
    assert [(sessions[name].marks, sessions[name].locked) for name in ("web1", "web2")] == [((), True)] * 2


def test_it_is_not_taken_back_for_good_while_a_peer_may_still_remember_it() -> None:
    sessions = {"web1": Session(retired()), "web2": Session(usable=False), "web3": Session()}
    with pytest.raises(RefusedError, match="not retired any more, but web2 could not be told") as told:
        take_back(run(sessions, *NAMES), "web3")
    assert sessions["web1"].marks == ()
    assert "hakit retire --undo web3" in str(told.value.hint)
    with pytest.raises(RefusedError, match="nobody who answers says that web3 is retired, and web2 can't be asked"):
        take_back(run(sessions, *NAMES), "web3")
    sessions["web2"] = Session(retired())
    assert take_back(run(sessions, *NAMES), "web3")


@pytest.mark.parametrize("marks", [(), (retired(kind=MAINTENANCE),)], ids=["in service", "in maintenance"])
def test_a_host_that_is_not_retired_is_left_as_it_is(marks: tuple[Mark, ...]) -> None:
    sessions = {"web1": Session(*marks), "web3": Session()}
    assert not take_back(run(sessions, "web1", "web3"), "web3")
    assert sessions["web1"].marks == marks


def test_whether_a_dead_host_is_retired_nobody_knows_without_its_peers() -> None:
    with pytest.raises(ConnectError, match="web3: no answer"):
        take_back(run({"web1": Session(), "web3": Session(usable=False)}, "web1", "web3"), "web3")


class Leading:
    """A role that a host holds; with `back` it comes back to who has handed it over, as soon as that is out."""

    def __init__(self, *, back: bool = False) -> None:
        self.leader = "web3"
        self.back = back

    def ends(self, key: str) -> bool:
        return key == SERVER

    def foresee(self, work: Run, host: str, unfit: Mapping[str, str], preferred: str) -> Handover | None:
        del preferred
        out = any(mark.host == "web3" for mark in work.sessions["web3"].marks)
        able = next((one for one in ("web3", "web1", "web2") if one not in (host, *unfit)), "")
        return Handover(host, "leads", able) if host == self.leader or (self.back and out and host == "web3") else None

    def hand_over(self, work: Run, handover: Handover) -> str:
        if self.leader == "web3":
            assert not any(session.marks for session in work.sessions.values()), "before it is out"
        work.sink(Noted(handover.host, "hands over"))
        self.leader = handover.to
        return "leads now"


SERVER = "unit:server.service"


class Emptied(Session):
    """A host that leaves, and whatever hakit made on it."""

    emptied = False

    def open(self, *, lock: bool) -> Facts:
        del lock
        return Facts()

    def leftovers(self, facts: Facts) -> HostPlan:
        return HostPlan("web3", facts, (Change(SERVER, "remove"),), 0)

    def apply(self, keys: Sequence[str], remove: Sequence[str], _: object) -> BatchResult:
        self.emptied = True
        return BatchResult(len(keys) + len(remove), 0)


class Planned(Opened):
    """Of the peers web1 has to restart its server."""

    def plan(self) -> SitePlan:
        return SitePlan({"web1": HostPlan("web1", Facts(), (Change(SERVER, "change", impact="disruptive"),), 0)})


def leave(monkeypatch: pytest.MonkeyPatch, mover: Leading) -> tuple[Outcome, Emptied, list[str]]:
    leaving, told = Emptied(), list[str]()
    work = retirement(monkeypatch, leaving, mover, told)
    return work.execute(work.plan(), Limits()), leaving, told


def retirement(monkeypatch: pytest.MonkeyPatch, leaving: Session, mover: Leading, told: list[str]) -> Retirement:
    sessions: dict[str, Session] = {"web1": Emptied(), "web2": Session(), "web3": leaving}
    monkeypatch.setattr(retire, "HostSession", lambda *_: leaving)
    peers = run(sessions, "web1", "web2", kind=Planned)
    cast("Any", peers.scope).movers = (mover,)
    peers.sink = lambda event: told.append(f"{event.host} {event.text}") if isinstance(event, Noted) else None
    return Retirement(peers, run(sessions, *NAMES).scope, "web3", dead=False)


class Cut(Emptied):
    """Somebody interrupts as the host is told `at` something: to leave its duties, or to remove what is on it."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        if self.at == "withdraw":
            raise KeyboardInterrupt
        return super().act(actions, mark)

    def apply(self, keys: Sequence[str], remove: Sequence[str], on_event: object) -> BatchResult:
        if self.at == "clear":
            raise KeyboardInterrupt
        return super().apply(keys, remove, on_event)


@pytest.mark.parametrize(("at", "peers"), [("withdraw", []), ("clear", ["web1"])])
def test_what_an_interrupt_leaves_is_told(at: str, peers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    work = retirement(monkeypatch, Cut(at), Leading(), [])
    found = work.plan()
    with pytest.raises(KeyboardInterrupt):
        work.execute(found, Limits())
    assert work.outcome.stopped
    assert not work.outcome.good
    assert sorted(work.outcome.hosts) == [*peers, "web3"]
    why = "interrupted after it was taken out; the same command goes on"
    assert work.outcome.hosts["web3"] == HostResult("failed", why=why)


def test_an_interrupt_before_anything_was_begun_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    work = retirement(monkeypatch, Emptied(), Leading(), [])
    found = work.plan()
    monkeypatch.setattr(retire, "spare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        work.execute(found, Limits())
    assert work.outcome.hosts["web3"] == HostResult("not started", why="interrupted")


def test_a_peer_hands_nothing_over_to_a_host_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, leaving, told = leave(monkeypatch, Leading())
    assert outcome.good
    assert leaving.emptied
    assert [one for one in told if "leads now" in one] == ["web1 leads now", "web2 leads now"]


def test_a_host_that_leads_again_is_not_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, leaving, _ = leave(monkeypatch, Leading(back=True))
    assert outcome.hosts["web3"] == HostResult("not started", why="it leads again; retire it once more")
    assert not leaving.emptied


def test_a_host_that_leaves_hands_its_role_over_first() -> None:
    sessions = {name: Session() for name in NAMES}
    peers = run(sessions, "web1", "web2")
    cast("Any", peers.scope).movers = (Leading(),)
    told: list[str] = []
    peers.sink = lambda event: told.append(event.text) if isinstance(event, Noted) else None
    leaving = Retirement(peers, run(sessions, *NAMES).scope, "web3", dead=False)
    assert [str(one) for one in leaving.foreseen.handovers] == ["web3 leads: switched over to web1 first"]
    assert leaving.execute(SitePlan({}), Limits()).good
    assert told == ["leads: switched over to web1 first", "hands over", "leads now"]
    assert sessions["web3"].marks[0].kind == RETIRED
