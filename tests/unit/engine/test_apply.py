"""A server that holds a role is restarted after another one took the role over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.actions import Action
from hakit.agent.answers import BatchResult
from hakit.components.base import Facts, Order, Withdrawal
from hakit.engine import events
from hakit.engine.apply import Apply
from hakit.engine.handover import Handover
from hakit.engine.plan import Change, HostPlan, SitePlan
from hakit.errors import RefusedError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hakit.agent.answers import AgentEvent
    from hakit.engine.run import Run

SERVER = "unit:server.service"


class Session:
    def __init__(self, diary: list[str], failing: set[str]) -> None:
        self.usable = True
        self.declared = None
        self.restarted = False
        self._diary = diary
        self._failing = failing

    def apply(self, keys: Sequence[str], remove: Sequence[str], _: Callable[[AgentEvent], None]) -> BatchResult:
        self._diary.append(", ".join([*keys, *(f"-{key}" for key in remove)]))
        changed = len(keys) + len(remove) if keys != (SERVER,) or not self.restarted else 0
        return BatchResult(changed, len(self._failing.intersection(keys)))

    def act(self, *_: object) -> tuple[()]:
        return ()

    def ensure_lock(self) -> None:
        pass


class Leading:
    """Whoever `leads` hands that to another one, unless nobody is left."""

    def __init__(self, diary: list[str], leads: str, to: str) -> None:
        self.leads = leads
        self.to = to
        self.unready = False
        self._diary = diary

    def ends(self, key: str) -> bool:
        return key == SERVER

    def brace(self, _: Run, name: str) -> None:
        self._diary.append(f"brace {name}")
        if self.unready:
            raise RefusedError("it is too busy")

    def foresee(self, _: Run, name: str, unfit: Mapping[str, str], preferred: str) -> Handover | None:
        del unfit, preferred
        if name != self.leads:
            return None
        if not self.to:
            raise RefusedError(f"nobody can take over from {name}", why="they are all down")
        return Handover(name, "leads", self.to)

    def hand_over(self, _: Run, handover: Handover) -> str:
        self._diary.append(str(handover))
        self.leads = handover.to
        return "done"


def drained(_: object, of: Any) -> Iterator[Withdrawal]:
    order = Order("db2", Action(kind="write", target="/run/x"))
    yield Withdrawal("pool", (order,), (order,)) if of.name == "db1" else Withdrawal("nothing", (), ())


class Place:
    """One host, of whose changes some stop its server."""

    def __init__(self, leads: str = "db1", to: str = "db2", failing: Sequence[str] = ()) -> None:
        self.diary: list[str] = []
        self.events: list[events.Event] = []
        self.mover = Leading(self.diary, leads, to)
        scope = SimpleNamespace(
            groups=lambda: (),
            site=site(host("db1"), host("db2")),
            components={"balancer": SimpleNamespace(withdraw=drained)},
            forks=2,
            who="me",
            run_id="run",
            movers=(self.mover,),
        )
        self.sessions = {name: Session(self.diary, set(failing)) for name in ("db1", "db2")}
        self.run = cast(
            "Run", SimpleNamespace(scope=scope, sessions=self.sessions, sink=self.events.append, hang_up=lambda: None)
        )

    @property
    def noted(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, events.Noted)]

    def apply(self, *changes: Change, first: bool = False) -> Apply:
        plan = HostPlan("db1", Facts(), changes, 0, first=first)
        return Apply(self.run, SitePlan({"db1": plan}))


FILE, DATABASE = Change("files:/etc/server.conf", "change"), Change("database:orders", "add")
RESTART = Change(SERVER, "change", impact="disruptive")
RELOAD = Change(SERVER, "change", impact="reload")
GONE = Change("files:/etc/old", "remove")


def test_the_role_goes_between_the_new_configuration_and_the_restart() -> None:
    place = Place()
    work = place.apply(FILE, RESTART, DATABASE, GONE)
    assert [str(one) for one in work.foreseen.handovers] == ["db1 leads: switched over to db2 first"]
    assert work.execute().good
    assert place.diary == [
        "files:/etc/server.conf, database:orders, -files:/etc/old",
        "db1 leads: switched over to db2 first",
        SERVER,
    ]
    assert work.outcome.hosts["db1"].changed == 4


def test_what_was_restarted_by_that_is_not_restarted_again() -> None:
    place = Place()
    place.sessions["db1"].restarted = True
    work = place.apply(FILE, RESTART)
    assert work.execute().hosts["db1"].changed == 2
    assert place.noted[-1] == "server.service was restarted as it handed its role over"


@pytest.mark.parametrize(
    ("change", "leads", "first"),
    [
        (RELOAD, "db1", False),
        (RESTART, "db2", False),
        (RESTART, "db1", True),
        (Change("unit:other.service", "change", impact="disruptive"), "db1", False),
    ],
    ids=["a reload", "a standby", "decided to go first, in place", "another unit"],
)
def test_nothing_is_handed_over(change: Change, leads: str, first: bool) -> None:
    braced = ["brace db1"] if change is RESTART else []
    place = Place(leads)
    work = place.apply(FILE, change, first=first)
    assert work.foreseen.handovers == ()
    assert work.execute().good
    assert place.diary == [*braced, f"{FILE.key}, {change.key}"]


def test_a_server_that_can_not_be_prepared_is_restarted_all_the_same() -> None:
    place = Place("db2")
    place.mover.unready = True
    assert place.apply(RESTART).execute().good
    assert place.diary == ["brace db1", SERVER]
    assert place.noted == ["its stop may take longer: it is too busy"]


def test_the_role_stays_where_the_new_configuration_was_not_made() -> None:
    place = Place(failing=[FILE.key])
    work = place.apply(FILE, RESTART)
    assert work.execute().hosts["db1"].state == "failed"
    assert place.diary == [FILE.key]
    assert place.mover.leads == "db1"


def test_a_server_that_nobody_can_stand_in_for_is_restarted_in_place() -> None:
    place = Place(to="")
    work = place.apply(FILE, RESTART)
    (refused,) = work.foreseen.refused.values()
    assert refused.message == "nobody can take over from db1, so it is restarted in place"
    assert work.execute().good
    assert place.diary == ["brace db1", f"{FILE.key}, {SERVER}"]
    assert place.noted == [refused.message]


def test_a_handover_that_fails_leaves_the_server_running(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()

    def fail(*_: Any) -> str:
        raise RefusedError("db2 did not catch up")

    monkeypatch.setattr(place.mover, "hand_over", fail)
    ended = place.apply(FILE, RESTART).execute().hosts["db1"]
    assert (ended.state, ended.changed, ended.why) == ("failed", 1, "db2 did not catch up")
    assert place.diary == [FILE.key]
    told = [type(one) for one in place.events if isinstance(one, (events.Withdrawn, events.Returned))]
    assert told == [events.Withdrawn, events.Returned]
