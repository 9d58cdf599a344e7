"""Components that look at all their hosts before they declare: who is asked, what is decided, what becomes of it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
from pydantic import BaseModel

from hakit.agent.answers import Hello, Item
from hakit.agent.errors import Failure
from hakit.agent.postgres.place import Place
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.tasks import Task
from hakit.components.base import Component, Decision, Facts, HostContext, RedundancyGroup
from hakit.engine import events, session
from hakit.engine.apply import Apply
from hakit.engine.compile import HostResources
from hakit.engine.plan import Change, held_of
from hakit.engine.render import broken
from hakit.engine.run import Run, Scope
from hakit.engine.schedule import blocked
from hakit.errors import ConnectError, RefusedError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from hakit.agent.resources.base import Resource
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection

Answers = dict[str, dict[str, Any]]


class Empty(BaseModel):
    pass


class Plain(Component):
    """Declares a folder and observes nothing."""

    name = "plain"
    Settings: ClassVar[type[BaseModel]] = Empty

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        assert ctx.decided is None
        yield Directory(path=f"/srv/{self.name}")


class Cluster(Component):
    """Asks each of its hosts who it is, and declares what was decided of it."""

    name = "cluster"
    Settings: ClassVar[type[BaseModel]] = Empty

    def __init__(self, decisions: Mapping[str, Decision] | RefusedError | None = None) -> None:
        self.decisions = decisions
        self.observed: Answers | None = None
        self.facts: dict[str, Facts] = {}
        self.declared: dict[str, object] = {}

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        yield RedundancyGroup("cluster", self.name, tuple(one.name for one in site.running(self.name)))

    def observe(self, site: Site, host: Host, facts: Facts) -> Task | None:
        del site, facts
        return Task(kind="postgres", do="look", about=Place(version=15, cluster="main", host=host.name, data="/data"))

    def decide(self, site: Site, facts: Mapping[str, Facts], observed: Mapping[str, Any]) -> Mapping[str, Decision]:
        del site
        assert self.observed is None, "decided twice"
        self.observed, self.facts = dict(observed), dict(facts)
        if isinstance(self.decisions, RefusedError):
            raise self.decisions
        return self.decisions or {}

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        self.declared[ctx.host.name] = ctx.decided
        yield Directory(path="/srv/cluster")
        yield Directory(path="/srv/cluster/data")
        yield Directory(path="/srv/programs")


class Hosts:
    """What the hosts answer: their agents, by name. The diary tells what they were asked, in order."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.asleep: set[str] = set()
        self.refusing: dict[str, Failure] = {}
        self._lock = threading.Lock()

    def connect(self, host: Host) -> Connection:
        if host.name in self.asleep:
            raise ConnectError(f"{host.name}: no route")
        return cast("Connection", _Connection(self, host.name))

    def note(self, name: str, what: str) -> None:
        with self._lock:
            self.diary.append(f"{name} {what}")


class _Connection:
    root = True

    def __init__(self, hosts: Hosts, name: str) -> None:
        self.hosts = hosts
        self.name = name
        self.target = SimpleNamespace(sudo_password=None)

    def exec(self, command: str) -> Any:
        raise AssertionError(command)

    def close(self) -> None:
        pass


class _Client:
    """An agent: everything differs, and it knows its name."""

    def __init__(self, hosts: Hosts, name: str) -> None:
        self.hosts, self.name = hosts, name

    @classmethod
    def start(cls, execute: Callable[[str], Any], **_: object) -> _Client:
        connection = cast("Any", execute).__self__
        return cls(connection.hosts, connection.name)

    def hello(self, **_: object) -> Hello:
        self.hosts.note(self.name, "hello")
        return Hello(12, "debian", "bookworm", "", "Debian", {}, 1 << 30, self.name, "6.1", "3.11", systemd=True)

    def task(self, task: Task, on_event: object) -> dict[str, Any]:
        del on_event
        self.hosts.note(self.name, task.do)
        if self.name in self.hosts.refusing:
            raise self.hosts.refusing[self.name]
        return {"me": self.name}

    def plan(self, resources: Sequence[Resource], *_: object) -> tuple[Item, ...]:
        self.hosts.note(self.name, "plan")
        return tuple(Item(one.key, "change", impact="disruptive") for one in resources)

    def close(self) -> None:
        pass


NAMES = ("db1", "db2", "db3", "web1")


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setattr(session, "Client", _Client)
    return Hosts()


def scope(place: Hosts, folder: Path, *components: Component, **fields: Any) -> Scope:
    every = [host(name, **({"cluster": Empty()} if name != "web1" else {"plain": Empty()})) for name in NAMES]
    known = {one.name: one for one in components}
    given = {"hosts": NAMES, "only": None, "run_id": "", **fields}
    return Scope(site(*every, root=folder), known, connect=place.connect, **given)


def run(scope: Scope) -> Run:
    return Run(scope, lambda _: None, lock=False)


def test_all_are_asked_then_it_is_decided_once_and_then_they_plan(hosts: Hosts, tmp_path: Path) -> None:
    cluster = Cluster({"db1": Decision("primary"), "db2": Decision("standby")})
    with run(scope(hosts, tmp_path, cluster, Plain())) as work:
        plan = work.plan()
    assert set(plan.hosts) == set(NAMES)
    assert cluster.observed == {name: {"me": name} for name in ("db1", "db2", "db3")}
    assert set(cluster.facts) == set(NAMES)
    assert cluster.declared == {"db1": "primary", "db2": "standby", "db3": None}
    looks = [place for place, line in enumerate(hosts.diary) if line.endswith("look")]
    plans = [place for place, line in enumerate(hosts.diary) if line.endswith("plan")]
    assert max(looks) < min(plans)
    assert "web1 look" not in hosts.diary


def test_what_was_noted_of_a_host_to_be_changed_is_told(hosts: Hosts, tmp_path: Path) -> None:
    cluster = Cluster({name: Decision(notes=(f"{name} is full",)) for name in ("db1", "db2")})
    told: list[tuple[str, str]] = []

    def sink(event: events.Event) -> None:
        if isinstance(event, events.Noted):
            told.append((event.host, event.text))

    with Run(scope(hosts, tmp_path, cluster, hosts=("db1", "web1"), watched=("db2",)), sink, lock=False) as work:
        work.plan()
    assert told == [("db1", "db1 is full")]


def test_without_such_a_component_no_host_waits_for_another(hosts: Hosts, tmp_path: Path) -> None:
    """One host's plan is there before another one is even opened: there is one worker."""
    with run(scope(hosts, tmp_path, Plain(), forks=1)) as work:
        work.plan()
    assert hosts.diary == [f"{name} {what}" for name in NAMES for what in ("hello", "plan")]


@pytest.mark.parametrize(
    "fields",
    [{"only": frozenset({"plain"})}, {"hosts": ("web1",), "watched": ("db1",)}],
    ids=["another component", "no host to be changed runs it"],
)
def test_who_need_not_decide_is_not_asked(hosts: Hosts, tmp_path: Path, fields: dict[str, Any]) -> None:
    cluster = Cluster()
    with run(scope(hosts, tmp_path, cluster, Plain(), **fields)) as work:
        work.plan()
    assert cluster.observed is None
    assert not any(line.endswith("look") for line in hosts.diary)


def test_hosts_that_are_only_watched_are_asked_too(hosts: Hosts, tmp_path: Path) -> None:
    cluster = Cluster()
    with run(scope(hosts, tmp_path, cluster, hosts=("db2",), watched=("db1", "db3"))) as work:
        plan = work.plan()
    assert set(cluster.observed or ()) == {"db1", "db2", "db3"}
    assert (set(plan.hosts), set(plan.watched)) == ({"db2"}, {"db1", "db3"})


def test_who_cannot_be_asked_is_missing_in_what_is_observed_and_has_failed(hosts: Hosts, tmp_path: Path) -> None:
    cluster = Cluster()
    hosts.asleep = {"db1"}
    hosts.refusing = {"db2": Failure("the server hangs", output="no answer for 5 s\n")}
    with run(scope(hosts, tmp_path, cluster, Plain())) as work:
        plan = work.plan()
    assert set(cluster.observed or ()) == {"db3"}
    assert set(plan.hosts) == {"db3", "web1"}
    assert plan.failed["db1"].message == "db1: no route"
    assert (plan.failed["db2"].message, plan.failed["db2"].why) == ("db2: the server hangs", "no answer for 5 s")


def test_a_component_that_refuses_keeps_its_own_hosts_from_being_changed(hosts: Hosts, tmp_path: Path) -> None:
    with run(scope(hosts, tmp_path, Cluster(RefusedError("main has two primaries")), Plain())) as work:
        plan = work.plan()
    assert {name: error.message for name, error in plan.failed.items()} == dict.fromkeys(
        ("db1", "db2", "db3"), "main has two primaries"
    )
    assert set(plan.hosts) == {"web1"}


def turns(hosts: Hosts, folder: Path, decisions: Mapping[str, Decision]) -> dict[str, frozenset[str]]:
    with run(scope(hosts, folder, Cluster(decisions), Plain())) as work:
        return {step.name: step.after for step in Apply(work, work.plan()).steps}


def test_what_is_decided_says_who_goes_first_and_who_comes_after_whom(hosts: Hosts, tmp_path: Path) -> None:
    """The group's own order is db1, db2, db3."""
    found = turns(hosts, tmp_path, {"db3": Decision(first=True)})
    assert found == {"db3": frozenset(), "db1": {"db3"}, "db2": {"db1"}, "web1": frozenset()}
    found = turns(hosts, tmp_path, {"db1": Decision(after=("db2", "db3"))})
    assert found == {"db2": frozenset(), "db3": {"db2"}, "db1": {"db2", "db3"}, "web1": frozenset()}


@pytest.mark.parametrize(
    ("decision", "held"),
    [
        (Decision(after=("db1",), held=("directory:/srv/cluster",)), ["/srv/cluster", "/srv/cluster/data"]),
        (Decision(after=("db1",), held=("directory:/srv/cluster/data",)), ["/srv/cluster/data"]),
        (Decision(after=("db1",), held=("unit:not.there",)), []),
        (Decision(after=("db1",)), []),
        (Decision(held=("directory:/srv/cluster",)), []),
    ],
    ids=["with what stands on it", "the last", "nothing that differs", "all of it", "waits for nobody"],
)
def test_what_is_decided_says_what_of_a_host_waits(
    hosts: Hosts, tmp_path: Path, decision: Decision, held: list[str]
) -> None:
    with run(scope(hosts, tmp_path, Cluster({"db2": decision}), Plain())) as work:
        plan = work.plan()
    assert plan.hosts["db2"].held == tuple(f"directory:{path}" for path in held)
    assert plan.hosts["db1"].held == ()


def test_one_that_waits_with_everything_waits_whatever_another_component_says() -> None:
    one, other = Decision(after=("db1",), held=("package:x",)), Decision(after=("db3",))
    declared = HostResources(host("db2"), {"package:x": Package(package="x")})
    changes = [Change("package:x", "add")]
    assert held_of(changes, declared, [one, Decision()]) == ("package:x",)
    assert held_of(changes, declared, [one, other]) == ()


@pytest.mark.parametrize(
    ("fields", "asleep", "why"),
    [
        ({}, {"db2"}, "must be changed after db2, which can't be asked"),
        ({"hosts": ("db1",), "watched": ("db2", "db3")}, set(), "must be changed after db2, which this run leaves out"),
    ],
    ids=["lost", "left out"],
)
def test_who_comes_after_one_that_is_not_changed_is_not_changed_either(
    hosts: Hosts, tmp_path: Path, fields: dict[str, Any], asleep: set[str], why: str
) -> None:
    hosts.asleep = asleep
    with run(scope(hosts, tmp_path, Cluster({"db1": Decision(after=("db2",))}), Plain(), **fields)) as work:
        plan = work.plan()
        assert blocked(plan, {}) == {"db1": why}
        assert "db1" not in {step.host for step in Apply(work, plan).steps}


def test_offline_nothing_is_decided(tmp_path: Path) -> None:
    cluster = Cluster({"db1": Decision("primary")})
    made = site(host("db1", cluster=Empty()), root=tmp_path)
    assert broken(made, {"cluster": cluster}) == ()
    assert cluster.declared == {"db1": None}
    assert cluster.observed is None
