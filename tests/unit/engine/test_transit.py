"""A change of a host's network, as the controller sees it: what it confirms, what it gives up, what it waits for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.resources.network import Network
from hakit.engine import events, reaching, transit
from hakit.engine.transit import Transit
from hakit.errors import AgentError, ConnectError, HostKeyError, LockedError, RefusedError
from hakit.inventory.model import Login
from tests.unit.engine.sites import host

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.tasks import Task
    from hakit.engine.outcome import NetworkEnd
    from hakit.engine.run import Run
    from hakit.engine.session import HostSession
    from hakit.inventory.model import Host

OLD, NEW = "10.0.0.5", "10.0.0.50"
NETWORK = Network(manager="ifupdown", files=(), links=(), timeout=60.0)
ID = "0a1b"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (transit, "FIRST", 0.0),
        (transit, "POLL", 0.005),
        (transit, "QUICK", 10.0),
        (transit, "SLOW", 0.5),
        (transit, "BACK", 0.1),
        (reaching, "FIRST_PAUSE", 0.005),
        (reaching, "HANGS", 0.02),
    ):
        monkeypatch.setattr(module, name, value)


def told(missing: str = "", **more: Any) -> dict[str, Any]:
    """What a host tells of an armed change whose network is in place."""
    found = {
        "missing": [missing] if missing else [],
        "armed": {"id": ID, "run": "run"},
        "left": 50.0,
        "since": 1e6,
        "outcome": None,
        "log": ["05:00 armed", "05:01 done"],
    }
    return {**found, **more}


def ended(what: str, why: str = "") -> dict[str, Any]:
    return told(armed=None, left=None, since=None, outcome={"id": ID, "what": what, "why": why})


UNDER_WAY = told("the change is still under way", since=None)


class Connected:
    """A connection that knows where it leads."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Place:
    """A host, its answers to looks in turn (the last one again and again), and who can be reached where."""

    def __init__(self, *answers: Any, address: str = OLD, at: str = OLD) -> None:
        self.answers = list(answers)
        self.host = replace(host("web1"), login=Login(address))
        self.diary: list[str] = []
        self.events: list[events.Event] = []
        self.left: list[str] = []
        self.address = at
        self.usable = True
        self.refuses: dict[str, Exception] = {}
        self.ways: dict[str, Callable[[], Connected]] = {}
        self.connections: list[Connected] = []
        self.aborted, self.hung_up = threading.Event(), threading.Event()
        self.then: dict[str, Callable[[], None]] = {}

    def connect(self, one: Host) -> Connected:
        address = one.login.host
        self.diary.append(f"connect {address}{' as ' + one.login.known_as if one.login.known_as else ''}")
        connection = self.ways[address]() if address in self.ways else Connected(address)
        self.connections.append(connection)
        return connection

    def resume(self, connection: Connected, address: str) -> None:
        self._raise("resume")
        assert connection.address == address
        self.address, self.usable = address, True

    def close(self) -> None:
        self.diary.append("close")
        self.usable = False

    def drop(self) -> None:
        if self.usable:
            self.hung_up.set()
        self.usable = False

    def hang(self) -> None:
        assert self.hung_up.wait(5.0)

    def ensure_lock(self) -> None:
        self._raise("lock")
        self.diary.append("lock")

    def keep_place(self) -> None:
        self._raise("keep")
        self.diary.append(f"keep {self.address}")

    def task(self, task: Task, on_event: Any) -> dict[str, Any]:
        del on_event
        do, words = task.do, dict(task.arguments)
        if do in self.then:
            self.then[do]()
        if do not in ("check", "look"):
            self.diary.append(" ".join([do, *(words[name] for name in ("timeout", "why") if name in words)]))
        self._raise(do)
        if do == "begin":
            assert (words["run"], words["who"]) == ("run", "me")
            assert "returning.py" in words["library"]
            return {"id": ID, "deadline": 1.0, "timeout": 60.0}
        assert words.get("id", ID) == ID
        if do in ("check", "look"):
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                if not isinstance(answer, RefusedError):
                    self.usable = False
                raise answer
            return dict(answer)
        return {"outcome": None}

    def _raise(self, what: str) -> None:
        if what in self.refuses:
            error = self.refuses.pop(what)
            if not isinstance(error, RefusedError | LockedError):
                self.usable = False
            raise error

    def change(self, timeout: float | None = None) -> NetworkEnd:
        scope = SimpleNamespace(run_id="run", who="me", connect=self.connect)
        run = cast("Run", SimpleNamespace(scope=scope, sink=self.events.append))
        session = cast("HostSession", self)
        work = Transit(run, session, NETWORK, timeout=timeout, aborted=self.aborted.is_set, leave=self.left.append)
        return work.carry_out()

    @property
    def noted(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, events.Noted)]

    def did(self, *words: str) -> list[str]:
        return [line for line in self.diary if line.startswith(words)]


def test_what_works_is_confirmed_over_a_new_connection() -> None:
    place = Place(told())
    end = place.change()
    assert (end.how, end.why) == ("confirmed", "")
    assert place.diary == ["begin 60", "close", f"connect {OLD}", "lock", "confirm", f"keep {OLD}"]
    assert place.noted[0].startswith(f"network changed; reaching web1 at {OLD} … (the old one returns by itself at ")
    assert place.noted[1].startswith(f"network confirmed over a new connection to {OLD}, after ")
    assert place.left[0].startswith("the old one returns by itself at ")
    assert place.left[-1] == ""


def test_the_command_line_has_the_last_word_on_the_time() -> None:
    place = Place(told())
    place.change(timeout=7.5)
    assert place.diary[0] == "begin 7.5"


def test_what_is_missing_is_waited_for_and_told_once() -> None:
    place = Place(*[told("bond0: no LACP partner answers")] * 3, told("the gateway 10.0.0.1 does not answer"), told())
    assert place.change().how == "confirmed"
    assert place.noted[1:3] == [
        "waits for the new network: bond0: no LACP partner answers",
        "waits for the new network: the gateway 10.0.0.1 does not answer",
    ]
    assert len(place.did("connect")) == 1


def test_a_connection_from_before_the_end_of_the_change_proves_nothing() -> None:
    place = Place(UNDER_WAY, told(since=0.0), told())
    assert place.change().how == "confirmed"
    assert len(place.did("connect")) == 3
    assert place.diary.index("confirm") > place.diary.index("lock")


def test_a_connection_that_breaks_is_followed_by_another() -> None:
    place = Place(ConnectError("web1: the connection was lost"), AgentError("web1: gone"), told())
    place.refuses["resume"] = ConnectError("web1: no agent")
    assert place.change().how == "confirmed"
    assert len(place.did("connect")) == 4
    assert place.connections[0].closed


def test_a_host_that_hangs_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "QUICK", 0.5)
    place = Place(told())
    place.then["check"] = lambda: None if place.hung_up.is_set() else place.hang()
    assert place.change().how == "confirmed"
    assert len(place.did("connect")) == 2


def test_a_host_that_is_slow_is_waited_for_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "QUICK", 0.05)
    place = Place(told())
    place.then["check"] = lambda: time.sleep(0.1)
    assert place.change().how == "confirmed"
    assert len(place.did("connect")) > 1


def test_a_host_that_can_not_look_is_asked_again() -> None:
    place = Place(RefusedError("web1: ip did not end within 10 s"), told())
    assert place.change().how == "confirmed"
    assert place.noted[1] == "waits for the new network: web1: ip did not end within 10 s"


@pytest.mark.parametrize(
    ("address", "ways"),
    [(OLD, [f"connect {OLD}"]), (NEW, [f"connect {NEW} as {OLD}", f"connect {OLD}"])],
    ids=["it stays", "it moves"],
)
def test_the_host_is_looked_for_where_it_may_be(address: str, ways: list[str]) -> None:
    def away() -> Connected:
        raise ConnectError("web1: no answer within 10 s")

    place = Place(told(), address=address)
    place.ways[OLD] = away if address == NEW else lambda: Connected(OLD)
    assert place.change().how == "confirmed"
    assert sorted(set(place.did("connect"))) == sorted(ways)
    assert place.did("keep") == [f"keep {address}"]


def test_a_host_that_moves_is_not_confirmed_at_its_old_address() -> None:
    arrived = threading.Event()

    def new() -> Connected:
        if not arrived.is_set():
            raise HostKeyError("web1: the host key is unknown")
        return Connected(NEW)

    place = Place(told(), address=NEW)
    place.ways[NEW] = new
    looks: list[str] = []

    def look() -> None:
        looks.append(place.address)
        if len(looks) == 5:
            arrived.set()

    place.then["check"] = look
    assert place.change().how == "confirmed"
    assert looks[:5] == [OLD] * 5
    assert looks[-1] == NEW
    assert (
        f"waits for the new network: hakit does not reach it at {NEW}: another machine answers at {NEW}: it does not "
        "show the host's key" in place.noted
    )


def test_what_is_still_missing_in_the_end_is_given_up_with_the_reason() -> None:
    silent = "the gateway 10.0.0.1 does not answer"
    place = Place(
        told(silent),
        told(silent, left=1.0),
        told("the old network is being put back", left=0.0),
        ended("returned", silent),
    )
    place.then["check"] = lambda: place.diary.append("check")
    end = place.change()
    assert (end.how, end.why) == ("returned", silent)
    assert end.log == ("05:00 armed", "05:01 done")
    assert place.did("giveup") == [f"giveup {silent}"]
    after = place.diary[place.diary.index(f"giveup {silent}") + 1 :]
    assert after[0] == "close"  # its agent has the host's lock
    assert after[-1] == "lock"
    assert "confirm" not in place.diary
    assert place.left[-1] == ""


def test_what_the_return_takes_down_is_no_reason_for_it() -> None:
    silent = "the gateway 10.0.0.1 does not answer"
    place = Place(told(silent, left=1.0), ended("returned", silent))
    tries: list[int] = []

    def connect() -> Connected:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectError(f"web1: {OLD}: no answer within 10 s")
        return Connected(OLD)

    place.then["giveup"] = lambda: place.ways.update({OLD: connect})
    assert place.change().why == silent
    assert len(tries) == 3


def test_a_host_that_is_slow_to_answer_is_told_sooner() -> None:
    lacking = told("eth1: no carrier", left=6.0)
    for seconds, words in ((0.4, ["giveup eth1: no carrier"]), (0.0, [])):
        place = Place(lacking, ended("returned", "it was not confirmed in time"))
        place.then["check"] = lambda seconds=seconds: time.sleep(seconds)  # type: ignore[misc]
        place.change()
        assert place.did("giveup") == words


def test_a_change_that_is_under_way_is_not_given_up() -> None:
    place = Place({**UNDER_WAY, "left": 1.0}, told(left=1.0))
    assert place.change().how == "confirmed"
    assert place.did("giveup") == []


def test_a_host_that_can_not_be_told_returns_by_itself() -> None:
    place = Place(told("eth1: no carrier", left=1.0), ended("returned", "it was not confirmed in time"))
    place.refuses["giveup"] = ConnectError("web1: the connection was lost")
    end = place.change()
    assert (end.how, end.why) == ("returned", "it was not confirmed in time; eth1: no carrier")
    assert "the host was not told, and does it by itself: web1: the connection was lost" in place.noted


def test_a_host_that_nobody_reached_tells_why_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "BACK", 5.0)
    tries: list[int] = []

    def connect() -> Connected:
        tries.append(1)
        if len(tries) < 5:
            raise ConnectError(f"web1: {OLD}: no answer within 10 s")
        return Connected(OLD)

    place = Place(ended("returned", "it was not confirmed in time"))
    place.ways[OLD] = connect
    end = place.change(timeout=0.01)
    assert (end.how, end.why) == ("returned", f"it was not confirmed in time; {OLD}: no answer within 10 s")
    assert "the old network is put back; waiting for the host to tell" in place.noted
    assert place.diary[-1] == "lock"


def test_a_host_that_is_never_reached_again_is_lost() -> None:
    def away() -> Connected:
        raise ConnectError(f"web1: {OLD}: no answer within 10 s")

    place = Place(told())
    place.ways[OLD] = away
    end = place.change(timeout=0.01)
    assert (end.how, end.why) == ("lost", f"it was not reached again: {OLD}: no answer within 10 s")


def test_a_confirmation_whose_answer_is_lost_is_asked_for() -> None:
    place = Place(told(), ended("confirmed"))
    place.refuses["confirm"] = ConnectError("web1: the connection was lost")
    assert place.change().how == "confirmed"
    assert place.did("confirm") == ["confirm"]
    assert len(place.did("connect")) == 2


def test_a_confirmation_that_comes_too_late_is_told() -> None:
    place = Place(told(), ended("returned", "it was not confirmed in time"))
    place.refuses["confirm"] = RefusedError("web1: too late: the old network is put back")
    end = place.change()
    assert (end.how, end.why) == ("returned", "it was not confirmed in time")
    assert "can't confirm: web1: too late: the old network is put back" in place.noted


def test_a_lock_that_another_has_is_waited_for() -> None:
    place = Place(told())
    place.refuses["lock"] = LockedError("web1: another run works on this host")
    assert place.change().how == "confirmed"


def test_an_address_that_can_not_be_kept_undoes_nothing() -> None:
    place = Place(told(), address=NEW)
    place.ways[OLD] = lambda: (_ for _ in ()).throw(ConnectError("web1: away"))
    place.refuses["keep"] = ConnectError("/site/.hakit/known_hosts: can't be written")
    assert place.change().how == "confirmed"
    assert "/site/.hakit/known_hosts: can't be written" in place.noted


def test_a_host_that_refuses_is_left_as_it_is() -> None:
    place = Place(told())
    place.refuses["begin"] = RefusedError("web1: ifup rejects the network's files")
    with pytest.raises(RefusedError, match="ifup rejects"):
        place.change()
    assert place.diary == ["begin 60"]
    assert place.left[-1] == ""


def test_a_connection_lost_over_the_beginning_is_no_reason_to_leave_the_host_alone() -> None:
    not_yet = told(armed=None, left=None, since=None)
    place = Place(not_yet, not_yet, told())
    place.refuses["begin"] = ConnectError("web1: the connection was lost")
    assert place.change().how == "confirmed"
    assert place.noted[0] == "the connection was lost as the change began: web1: the connection was lost"


@pytest.mark.parametrize("run", ["another", ""])
def test_a_change_that_never_began_is_told(run: str) -> None:
    other = {"id": "ffff", "run": run}
    place = Place(told(armed=other if run else None, left=50.0 if run else None))
    place.refuses["begin"] = AgentError("web1: the agent is gone")
    end = place.change()
    assert (end.how, end.why) == ("returned", "the host knows of no change that waits")
    assert "confirm" not in place.diary


def test_an_operator_who_leaves_is_told_what_becomes_of_the_host() -> None:
    place = Place(told("bond0: no LACP partner answers"))
    place.then["check"] = place.aborted.set
    end = place.change()
    assert end.how == "open"
    assert place.left[-1].startswith("the old one returns by itself at ")
    assert end.why == place.left[-1]
    assert place.did("giveup", "confirm") == []


def test_an_operator_who_leaves_waits_for_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "QUICK", 60.0)
    place = Place(told())

    def hang() -> None:
        place.aborted.set()
        place.hang()

    place.then["check"] = hang
    assert place.change().how == "open"
    assert place.hung_up.is_set()


def test_nonsense_is_not_believed() -> None:
    for answer in (told(armed={"id": 7}), {**told(), "missing": "no"}, {**told(), "left": None}):
        with pytest.raises(AgentError, match="no proper"):
            Place(answer).change()


def test_a_secret_that_can_not_be_read_ends_the_attempts() -> None:
    place = Place(told())

    def fail() -> Connected:
        raise AgentError("no such secret")

    place.ways[OLD] = fail
    with pytest.raises(AgentError, match="no such secret"):
        place.change()


def test_attempts_that_hang_are_gone_round_and_hung_up_in_the_end() -> None:
    released = threading.Event()
    late: list[Connected] = []

    def connect() -> Connected:
        if not late:
            late.append(Connected(OLD))
            released.wait(5.0)
            return late[0]
        return Connected(OLD)

    place = Place(told())
    place.ways[OLD] = connect
    assert place.change().how == "confirmed"
    assert len(place.did("connect")) == 2
    released.set()
    for _ in range(500):
        if late[0].closed:
            break
        threading.Event().wait(0.01)
    assert late[0].closed
