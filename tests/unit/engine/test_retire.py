"""A dead host that is retired: its peers remember it until that is taken back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.answers import ActResult
from hakit.engine.duty import MAINTENANCE, RETIRED, mark_of
from hakit.engine.events import Noted
from hakit.engine.handover import Handover
from hakit.engine.plan import SitePlan
from hakit.engine.retire import Retirement, take_back
from hakit.engine.rolling import Limits
from hakit.engine.run import Run
from hakit.errors import ConnectError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hakit.agent.actions import Action, Mark
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


def run(sessions: dict[str, Session], *names: str) -> Run:
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
    found = Opened(cast("Scope", scope), lambda _: None, lock=True)
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
    sessions = {"web1": Session(retired()), "web2": Session(retired(), usable=False), "web3": Session(usable=False)}
    assert take_back(run(sessions, *NAMES), "web3")
    assert (sessions["web1"].marks, sessions["web1"].locked) == ((), True)


@pytest.mark.parametrize("marks", [(), (retired(kind=MAINTENANCE),)], ids=["in service", "in maintenance"])
def test_a_host_that_is_not_retired_is_left_as_it_is(marks: tuple[Mark, ...]) -> None:
    sessions = {"web1": Session(*marks), "web3": Session()}
    assert not take_back(run(sessions, "web1", "web3"), "web3")
    assert sessions["web1"].marks == marks


def test_whether_a_dead_host_is_retired_nobody_knows_without_its_peers() -> None:
    with pytest.raises(ConnectError, match="web3: no answer"):
        take_back(run({"web1": Session(), "web3": Session(usable=False)}, "web1", "web3"), "web3")


class Leading:
    """A role that a host holds."""

    def foresee(self, _: Run, host: str, unfit: Mapping[str, str], preferred: str) -> Handover | None:
        del preferred
        return Handover(host, "leads", "web1") if host == "web3" and "web1" not in unfit else None

    def hand_over(self, work: Run, handover: Handover) -> str:
        assert not any(session.marks for session in work.sessions.values()), "before it is out"
        work.sink(Noted(handover.host, "hands over"))
        return "leads now"


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
