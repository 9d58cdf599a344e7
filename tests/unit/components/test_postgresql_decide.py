"""Who makes the cluster, who copies whom, who restarts first: from what the members say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.components.base import Decision, Facts
from hakit.components.postgresql import decide
from hakit.components.postgresql.part import COPY, CREATE, Part
from hakit.errors import RefusedError
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

NAMES = ("db1", "db2", "db3")
OURS, OTHERS = "7000000000000000001", "7000000000000000002"
LIMITS = {
    "max_connections": "100",
    "max_wal_senders": "10",
    "max_worker_processes": "8",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
}
ABSENT: dict[str, Any] = {"data": "absent"}


def record(epoch: int, primary: str, kind: str = "switchover") -> dict[str, Any]:
    return {"epoch": epoch, "primary": primary, "kind": kind}


def primary(**more: Any) -> dict[str, Any]:
    return {
        "data": "cluster",
        "system": OURS,
        "timeline": 2,
        "standby": False,
        "running": True,
        "role": "primary",
        "lsn": "0/3000060",
        "settings": LIMITS,
        "decision": None,
        **more,
    }


def standby(**more: Any) -> dict[str, Any]:
    return {**primary(role="standby", standby=True), **more}


def stopped(**more: Any) -> dict[str, Any]:
    return {**primary(running=False, role="", settings=None), **more}


def cluster(folder: Path, of: dict[str, dict[str, Any]] | None = None, **settings: Any) -> Site:
    base = {"cluster": "main", "primary": "db1", "replication": {"password": {"secret": "P"}}, **settings}
    return site(folder, {name: {"postgresql": {**base, **(of or {}).get(name, {})}} for name in NAMES})


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_P", "p")


@pytest.fixture
def plain(tmp_path: Path) -> Site:
    return cluster(tmp_path)


def decided(site: Site, observed: dict[str, dict[str, Any]], release: int = 12) -> dict[str, Decision]:
    return decide.decide(site, dict.fromkeys(observed, Facts(release)), observed)


def copies(source: str, system: str = "", release: str = "15") -> Decision:
    """A member without data copies another one; only its data wait for that one."""
    return Decision(Part(COPY, source, system), after=(source,), held=(f"cluster:{release}-main",))


def parts(found: dict[str, Decision]) -> dict[str, Part]:
    assert all(isinstance(one.value, Part) for one in found.values())
    return {name: one.value for name, one in found.items() if isinstance(one.value, Part)}


def test_nobody_has_anything(plain: Site) -> None:
    assert decided(plain, dict.fromkeys(NAMES, ABSENT)) == {
        "db1": Decision(Part(CREATE)),
        "db2": copies("db1"),
        "db3": copies("db1"),
    }


def test_what_waits_has_the_name_that_the_hosts_release_gives_it(plain: Site) -> None:
    assert decided(plain, dict.fromkeys(NAMES, ABSENT), release=13)["db2"] == copies("db1", release="17")


def test_one_that_follows_another_copies_it_after_it_was_made(tmp_path: Path) -> None:
    found = decided(cluster(tmp_path, {"db3": {"upstream": "db2"}}), dict.fromkeys(NAMES, ABSENT))
    assert found["db3"] == copies("db2")


def test_a_new_member_copies_whoever_leads_now(plain: Site) -> None:
    found = decided(plain, {"db1": standby(), "db2": primary(), "db3": {"data": "empty"}})
    assert found == {
        "db1": Decision(Part(system=OURS)),
        "db2": Decision(Part(system=OURS)),
        "db3": copies("db2", OURS),
    }


def test_the_inventorys_primary_without_data_is_a_standby_like_any_other(plain: Site) -> None:
    found = decided(plain, {"db1": ABSENT, "db2": primary(), "db3": standby()})
    assert found["db1"] == copies("db2", OURS)


def test_a_named_primary_that_is_stopped_is_started_first(plain: Site) -> None:
    decision = record(1, "db1", "made")
    found = decided(plain, {"db1": stopped(decision=decision), "db2": standby(decision=decision), "db3": ABSENT})
    assert not parts(found)["db1"].parted
    assert found["db3"] == copies("db1", OURS)


@pytest.mark.parametrize(
    ("db1", "db2", "runs"),
    [
        pytest.param(stopped(decision=record(1, "db1")), primary(decision=record(2, "db2")), False, id="was replaced"),
        pytest.param(stopped(), primary(), False, id="another one leads"),
        pytest.param(stopped(), standby(decision=record(3, "db2")), False, id="another one was named"),
        pytest.param(stopped(), stopped(), False, id="two that could lead"),
        pytest.param(stopped(), standby(), True, id="the only one that could lead"),
        pytest.param(stopped(standby=True), primary(), True, id="a standby can't write"),
        pytest.param(
            stopped(decision=record(2, "db1")), standby(decision=record(1, "db2")), True, id="the latest names it"
        ),
    ],
)
def test_a_primary_of_the_past_is_not_started(
    plain: Site, db1: dict[str, Any], db2: dict[str, Any], runs: bool
) -> None:
    assert (parts(decided(plain, {"db1": db1, "db2": db2, "db3": standby()}))["db1"].parted == "") == runs


@pytest.mark.parametrize(
    ("observed", "message", "why"),
    [
        pytest.param(
            {"db1": primary(), "db2": primary(timeline=3, lsn="0/5000000", replayed_at="12:00"), "db3": standby()},
            "main has 2 primaries: db1 and db2",
            "db1 is on timeline 2 at 0/3000060; db2 is on timeline 3 at 0/5000000, last commit 12:00",
            id="split brain",
        ),
        pytest.param(
            {"db1": primary(data="absent"), "db2": standby(), "db3": standby()},
            "the server of db1 runs, but its data directory is gone",
            "all that there is of it",
            id="data gone from beneath a server",
        ),
        pytest.param(
            {"db1": primary(), "db2": standby(system=OTHERS), "db3": ABSENT},
            "hold data of different clusters",
            f"db1: {OURS}; db2: {OTHERS}",
            id="another cluster's data",
        ),
        pytest.param(
            {"db1": ABSENT, "db2": ABSENT},
            "main is not made: db3 can't be asked",
            "a second one beside it",
            id="a silent member before the cluster is made",
        ),
        pytest.param(
            {"db1": {**ABSENT, "decision": record(2, "db2")}, "db2": ABSENT, "db3": ABSENT},
            "its data are gone from every member",
            "db1 remembers that db2 was its primary",
            id="all data gone",
        ),
        pytest.param(
            {"db1": ABSENT, "db2": standby(), "db3": standby()},
            "nobody is known whom new members of main could copy",
            "none of its members runs as primary",
            id="no primary",
        ),
        pytest.param(
            {"db2": standby(decision=record(1, "db1")), "db3": ABSENT},
            "nobody is known",
            "db1 is the primary, but it does not answer",
            id="the primary is silent",
        ),
        pytest.param(
            {"db1": primary(), "db2": standby(decision=record(2, "db2")), "db3": ABSENT},
            "nobody is known",
            "db1 runs as primary, but db2 was named",
            id="an unfinished switchover",
        ),
        pytest.param(
            {"db1": standby(decision=record(2, "db2")), "db2": standby(decision=record(2, "db1")), "db3": standby()},
            "two decisions with the number 2",
            "two operators acted at once",
            id="two decisions",
        ),
    ],
)
def test_refusals(plain: Site, observed: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(RefusedError) as caught:
        decided(plain, observed)
    assert message in caught.value.message
    assert why in (caught.value.why or "")
    assert caught.value.hint


def test_an_interrupted_making_is_begun_again(plain: Site) -> None:
    observed = {"db1": {**ABSENT, "decision": record(1, "db1", "made")}, "db2": ABSENT, "db3": ABSENT}
    assert parts(decided(plain, observed))["db1"] == Part(CREATE)


def test_something_foreign_in_the_way_makes_nothing(plain: Site) -> None:
    found = decided(plain, {"db1": ABSENT, "db2": {"data": "foreign"}, "db3": ABSENT})
    assert set(parts(found).values()) == {Part()}


def test_a_member_that_does_not_answer_stops_nobody_else(plain: Site) -> None:
    assert set(decided(plain, {"db1": primary(), "db2": standby()})) == {"db1", "db2"}


def test_of_hosts_that_nobody_asked_nothing_is_decided(plain: Site) -> None:
    assert decided(plain, {}) == {}


def restarts(folder: Path, observed: dict[str, Any], of: dict[str, Any] | None = None, **parameters: Any) -> Any:
    found = decided(cluster(folder, of, parameters=parameters), observed)
    return {name: (one.first, one.after) for name, one in found.items()}


RUNNING = {"db1": standby(), "db2": primary(), "db3": standby()}


def test_nothing_to_order(tmp_path: Path) -> None:
    assert set(restarts(tmp_path, RUNNING).values()) == {(False, ())}


def test_raised_on_standbys_first(tmp_path: Path) -> None:
    found = restarts(tmp_path, RUNNING, max_connections=200)
    assert found == {"db1": (False, ()), "db2": (False, ("db1", "db3")), "db3": (False, ())}


def test_a_standby_that_is_only_made_now_is_not_waited_for(tmp_path: Path) -> None:
    found = restarts(tmp_path, {**RUNNING, "db3": ABSENT}, max_connections=200)
    assert found == {"db1": (False, ()), "db2": (False, ("db1",)), "db3": (False, ("db2",))}


def test_lowered_on_the_primary_first(tmp_path: Path) -> None:
    found = restarts(tmp_path, RUNNING, max_locks_per_transaction=32)
    assert found == {"db1": (False, ("db2",)), "db2": (True, ()), "db3": (False, ("db2",))}


def test_the_second_half_of_a_lowering_needs_no_order(tmp_path: Path) -> None:
    observed = {**RUNNING, "db2": primary(settings={**LIMITS, "max_locks_per_transaction": "32"})}
    assert set(restarts(tmp_path, observed, max_locks_per_transaction=32).values()) == {(False, ())}


def test_both_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="max_connections can't be raised while max_worker_processes is lowered"):
        restarts(tmp_path, RUNNING, max_connections=200, max_worker_processes=4)


def test_lowering_under_a_delayed_standby_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="can't be lowered while db3 is delayed"):
        restarts(tmp_path, RUNNING, {"db3": {"delay": "1h"}}, max_connections=50)


ANSWERS = st.fixed_dictionaries(
    {
        "data": st.sampled_from(["absent", "empty", "cluster", "partial", "foreign"]),
        "standby": st.booleans(),
        "running": st.booleans(),
        "role": st.sampled_from(["primary", "standby", ""]),
        "system": st.just(OURS),
        "decision": st.none() | st.builds(record, st.integers(1, 3), st.sampled_from(NAMES)),
        "settings": st.none() | st.just(LIMITS),
    }
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Site:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAKIT_SECRET_P", "p")
        return cluster(tmp_path_factory.mktemp("cluster"), {"db3": {"upstream": "db2"}})


@given(observed=st.dictionaries(st.sampled_from(NAMES), ANSWERS))
def test_whatever_they_say(shared: Site, observed: dict[str, dict[str, Any]]) -> None:
    """At most one could open for writes, a cluster is made beside nobody's data, and nobody waits in a circle."""
    try:
        found = decided(shared, observed)
    except RefusedError:
        return
    assert set(found) == set(observed)
    given_parts = parts(found)
    open_for_writes = [
        name
        for name, part in given_parts.items()
        if decide.Seen.of(name, observed[name]).leads
        or part.origin == CREATE
        or (not part.parted and decide.Seen.of(name, observed[name]).closed)
    ]
    assert len(open_for_writes) <= 1
    if any(part.origin == CREATE for part in given_parts.values()):
        assert len(observed) == len(NAMES)
        assert not any(one["data"] == "cluster" for one in observed.values())
    for name in found:
        seen = {name}
        while found.get(name) and found[name].after:
            name = found[name].after[0]  # noqa: PLW2901 - along the chain
            assert name not in seen
            seen.add(name)


def stream(status: str = "streaming") -> dict[str, Any]:
    return {"receiving": {"status": status, "from": "db1", "heard": 0.1}}


@pytest.mark.parametrize(
    ("db1", "db3", "told"),
    [
        pytest.param(primary(), standby(**stream()), False, id="it streams"),
        pytest.param(
            primary(slots=[{"name": "db3", "status": "lost"}]), standby(**stream()), False, id="it streams without one"
        ),
        pytest.param(primary(slots=[{"name": "db3", "status": "lost"}]), standby(), True, id="its slot is lost"),
        pytest.param(
            primary(slots=[{"name": "db3", "status": "lost"}]), stopped(standby=True), True, id="it does not run"
        ),
        pytest.param(primary(slots=[{"name": "db2", "status": "lost"}]), standby(), False, id="another one's is lost"),
        pytest.param(primary(slots=[{"name": "db3", "status": "extended"}]), standby(), False, id="it will catch up"),
        pytest.param(
            primary(),
            standby(**stream("connecting"), why="ERROR: requested WAL segment 0A has already been removed"),
            True,
            id="it says so",
        ),
        pytest.param(primary(), standby(why="timeout expired"), False, id="it gets no answer"),
        pytest.param(primary(slots=[{"name": "db3", "status": "lost"}]), stopped(), False, id="a former primary"),
    ],
)
def test_a_member_that_waits_for_wal_that_is_gone_is_told(
    plain: Site, db1: dict[str, Any], db3: dict[str, Any], told: bool
) -> None:
    found = decided(plain, {"db1": db1, "db2": standby(**stream()), "db3": db3})
    assert any("hakit postgres reinit main db3" in note for note in found["db3"].notes) == told
    assert found["db1"].notes == found["db2"].notes == ()


@pytest.mark.parametrize(
    ("db1", "db2", "db3", "hint"),
    [
        pytest.param(
            primary(), standby(), stopped(system=OTHERS), "reinit main db3  moves them aside", id="one of three"
        ),
        pytest.param(stopped(), standby(), stopped(system=OTHERS), "Find out which", id="nobody leads"),
        pytest.param(primary(), standby(system=OTHERS), stopped(system=OTHERS), "Find out which", id="two of three"),
    ],
)
def test_who_takes_the_data_of_the_others_is_said_where_that_is_plain(
    plain: Site, db1: dict[str, Any], db2: dict[str, Any], db3: dict[str, Any], hint: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        decided(plain, {"db1": db1, "db2": db2, "db3": db3})
    assert hint in str(caught.value.hint)
