"""The primary's role as a run hands it over: to whom, and what keeps it from doing so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.cli import options
from hakit.cli.work import movers
from hakit.components.base import Facts
from hakit.engine.handover import Handover
from hakit.errors import LockedError, RefusedError
from tests.unit.postgres.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.tasks import Task
    from hakit.engine.handover import Mover
    from hakit.engine.run import Run
    from hakit.inventory.model import Host
    from tests.unit.postgres.model import Server

DATABASE = Path(__file__).parents[3] / "inventories" / "database"


@dataclass
class Session:
    """A session with a server of the model."""

    model: Model
    host: Host
    busy: bool = False
    facts: Facts = field(default_factory=Facts)

    @property
    def usable(self) -> bool:
        return self.host.name in self.model.reachable

    def ensure_lock(self) -> None:
        if self.busy:
            raise LockedError(f"{self.host.name}: another run works on this host")

    def task(self, task: Task, _: Callable[..., None]) -> dict[str, Any]:
        return self.model.do(self.host.name, task.do, dict(task.arguments), task.timeout)


class Running:
    """A run over the example inventory, on the model's servers."""

    def __init__(self) -> None:
        self.model = Model()
        assert self.model.write()
        self.site, _ = options.load(DATABASE, need_secrets=False)
        self.told: list[str] = []
        names = self.model.servers
        self.sessions = {name: Session(self.model, self.site.hosts[name]) for name in names}
        run = SimpleNamespace(
            scope=SimpleNamespace(site=self.site, run_id="run", who="ana@desk"),
            sessions=self.sessions,
            sink=lambda event: self.told.append(f"{event.host}: {event.text}"),
        )
        self.run = cast("Run", run)
        (self.mover,) = movers(self.site)

    def foresee(self, host: str, preferred: str = "", **unfit: str) -> Handover | None:
        return self.mover.foresee(self.run, host, unfit, preferred)


@pytest.fixture
def running() -> Running:
    return Running()


def test_only_the_primary_has_something_to_hand_over(running: Running) -> None:
    found = running.foresee("db1")
    assert str(found) == "db1 leads cluster main: switched over to db2 first"
    assert [running.foresee(host) for host in ("db2", "db3", "lb1")] == [None] * 3


def test_an_inventory_without_databases_has_nothing_to_hand_over(running: Running) -> None:
    alone: tuple[Mover, ...] = movers(running.site.without("db2").without("db3"))
    assert alone == ()
    assert movers(running.site.without("db1").without("db2").without("db3")) == ()


@pytest.mark.parametrize(("preferred", "to"), [("db3", "db3"), ("db2", "db3")])
def test_who_is_preferred_takes_over_if_it_may(running: Running, preferred: str, to: str) -> None:
    found = running.foresee("db1", preferred, db2="in maintenance")
    assert found is not None
    assert found.to == to


def test_the_standby_takes_over_and_the_old_primary_follows(running: Running) -> None:
    found = running.foresee("db1")
    assert found is not None
    assert running.mover.hand_over(running.run, found).startswith("leads cluster main now; writers waited ")
    assert running.model.primary == "db2"
    assert running.model.healthy()
    assert running.model.servers["db3"].decision["run"] == "run"
    assert running.foresee("db1") is None
    assert not running.model.lost()


@pytest.mark.parametrize(("host", "log"), [("db1", ["checkpoint db1 {}"]), ("db2", []), ("lb1", [])])
def test_a_checkpoint_makes_the_stop_of_a_primary_short(running: Running, host: str, log: list[str]) -> None:
    running.mover.brace(running.run, host)
    assert list(filter(None, running.model.log)) == log


def test_nobody_can_take_over(running: Running) -> None:
    running.model.power_off("db3")
    with pytest.raises(RefusedError, match="nobody can take over from db1") as caught:
        running.foresee("db1", db2="in maintenance since 20:30")
    assert caught.value.why == "db2 in maintenance since 20:30; db3 does not answer: the session with it was lost"


def mute(running: Running, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Have a server run and answer nothing, as one with no connection left does."""
    look = running.model.do_look

    def looked(server: Server) -> dict[str, Any]:
        silent = {"role": "", "lsn": "", "replicas": [], "settings": {}, "why": "sorry, too many clients already"}
        return {**look(server), **(silent if server.host == host else {})}

    monkeypatch.setattr(running.model, "do_look", looked)


def test_a_primary_that_runs_and_does_not_answer_may_lead(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    mute(running, monkeypatch, "db1")
    with pytest.raises(RefusedError, match="whether db1 leads cluster main can't be told") as caught:
        running.foresee("db1")
    assert caught.value.why == "its server runs and does not answer: sorry, too many clients already"
    assert running.foresee("db2") is None


def test_a_member_that_can_not_be_asked_may_lead(running: Running) -> None:
    running.model.servers["db1"].wired = False
    with pytest.raises(RefusedError, match="whether db1 leads cluster main can't be told") as caught:
        running.foresee("db1")
    assert caught.value.why == "db1 does not answer: the session with it was lost"


def test_a_standby_that_does_not_answer_leads_nothing(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    mute(running, monkeypatch, "db2")
    assert running.foresee("db2") is None


def test_who_has_no_server_that_runs_leads_nothing(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.model.servers["db1"].running = False
    assert running.foresee("db1") is None
    monkeypatch.setattr(running.model, "do_look", lambda _: {"installed": False, "data": "absent", "running": False})
    assert running.foresee("db1") is None


def test_two_primaries_hand_nothing_over(running: Running) -> None:
    running.model.servers["db2"].signal = False
    running.model.check = lambda: None  # type: ignore[method-assign]  # two primaries are what is asked for
    with pytest.raises(RefusedError, match="split brain"):
        running.foresee("db1")


def test_nothing_is_begun_while_another_run_works_on_a_member(running: Running) -> None:
    running.sessions["db3"].busy = True
    with pytest.raises(LockedError):
        running.mover.hand_over(running.run, Handover("db1", "leads cluster main", "db2"))
    assert running.model.primary == "db1"
    assert running.model.steps == 0


def test_an_old_primary_that_does_not_follow_is_told(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> dict[str, Any]:
        raise RefusedError("db1: its disk is gone")

    monkeypatch.setattr(running.model, "do_start", refuse)
    with pytest.raises(RefusedError, match="db2 leads cluster main now, but db1 does not follow it") as caught:
        running.mover.hand_over(running.run, Handover("db1", "leads cluster main", "db2"))
    assert caught.value.why == "db1: its disk is gone"
    assert caught.value.hint == "hakit postgres rejoin main db1"
