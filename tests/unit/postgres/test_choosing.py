from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.postgres.choosing import Choice, Evidence, Position, Refusal, choose_failover, may_lose
from hakit.postgres.layout import Layout, Synchrony
from hakit.postgres.member import MemberState
from hakit.postgres.picture import Picture

PRIMARY = "db1"


@st.composite
def clusters(draw: st.DrawFn) -> tuple[tuple[str, ...], Synchrony]:
    members = tuple(f"db{n}" for n in range(1, draw(st.integers(2, 6)) + 1))
    count = draw(st.integers(1, len(members) - 1))
    return members, Synchrony(count, members)


@given(clusters(), st.data())
def test_when_nothing_may_be_lost_every_commit_that_could_have_been_acknowledged_is_there(
    cluster: tuple[tuple[str, ...], Synchrony], data: st.DataObject
) -> None:
    members, rule = cluster
    standbys = members[1:]
    ends = {host: data.draw(st.integers(0, 5)) for host in standbys}
    answered = data.draw(st.sets(st.sampled_from(standbys), min_size=1))
    positions = {host: Position(1, ends[host]) for host in sorted(answered)}
    target = data.draw(st.sampled_from(sorted(answered)))
    if may_lose(Evidence(members, (PRIMARY,), (rule,), positions), target):
        return
    # A commit at an end was acknowledged when so many standbys reached it.
    for commit in range(1, 6):
        acknowledged = sum(end >= commit for end in ends.values()) >= rule.count
        assert not acknowledged or ends[target] >= commit


@given(clusters(), st.data())
def test_it_is_loss_free_as_soon_as_enough_answer(
    cluster: tuple[tuple[str, ...], Synchrony], data: st.DataObject
) -> None:
    members, rule = cluster
    standbys = members[1:]
    enough = len(standbys) - rule.count + 1
    answered = data.draw(st.sets(st.sampled_from(standbys), min_size=enough))
    positions = {host: Position(1, data.draw(st.integers(0, 5))) for host in sorted(answered)}
    best = max(positions, key=lambda host: positions[host])
    assert may_lose(Evidence(members, (PRIMARY,), (rule,), positions), best) == ""
    for fewer in combinations(sorted(answered), enough - 1):
        some = {host: positions[host] for host in fewer}
        if some:
            best = max(some, key=lambda host: some[host])
            assert may_lose(Evidence(members, (PRIMARY,), (rule,), some), best)


def test_no_timeline_is_begun_a_second_time_beside_a_standby_that_does_not_start() -> None:
    """db2 was promoted and is gone; db3 followed it, and crashed. The others have all that was acknowledged."""
    names = ("db1", "db2", "db3", "db4")
    layout = Layout("main", names, names, names, names, Synchrony(2, names), "db1")
    runs = {"signal": True, "running": True, "role": "standby", "timeline": 1}
    states = {host: MemberState(host, **runs) for host in ("db1", "db4")}  # type: ignore[arg-type]  # by name
    states["db3"] = MemberState("db3", signal=True, timeline=2, state="in archive recovery")
    positions = {host: Position(1, 100) for host in ("db1", "db4")}
    found = choose_failover(Picture(layout, states), positions)
    assert isinstance(found, Refusal)
    assert found.text == "db3 is on timeline 2, and nobody that runs has it"
    del states["db3"]
    assert isinstance(choose_failover(Picture(layout, states), positions), Choice)


def test_the_timeline_counts_before_the_end() -> None:
    positions = {"db2": Position(2, 10), "db3": Position(1, 500)}
    evidence = Evidence(("db1", "db2", "db3"), ("db1",), (Synchrony(1, ("db1", "db2", "db3")),), positions)
    assert may_lose(evidence, "db2") == ""
    assert "timeline 2" in may_lose(evidence, "db3")


def test_all_rules_that_may_have_held_count() -> None:
    positions = {"db2": Position(1, 10), "db3": Position(1, 10)}
    rules = (Synchrony(1, ("db1", "db2", "db3")), Synchrony())
    evidence = Evidence(("db1", "db2", "db3"), ("db1",), rules, positions)
    assert "wait for no standby" in may_lose(evidence, "db2")


def test_synchronous_standby_names_are_read_as_postgresql_does() -> None:
    assert Synchrony.parse('ANY 2 ("db1","db2", db3)') == Synchrony(2, ("db1", "db2", "db3"))
    assert Synchrony.parse("first 1 (db1)") == Synchrony(1, ("db1",))
    assert Synchrony.parse("2 (a, b)") == Synchrony(2, ("a", "b"))
    assert Synchrony.parse("a, b") == Synchrony(1, ("a", "b"))
    assert Synchrony.parse('ANY 1 ("we""ird")') == Synchrony(1, ('we"ird',))
    assert Synchrony.parse("") == Synchrony()
    assert Synchrony.parse("ANY 1 (a)", "local") == Synchrony()
    assert Synchrony.parse("*").candidates(("a", "b"), "a") == ("b",)
    assert Synchrony.parse('ANY 1 ("DB1", "Db2", db2, Archive)').candidates(("db1", "db2"), "db1") == ("db2", "archive")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ('ANY 1 ("db1","db2","db3")', "db3 can't"),
        ('ANY 1 ("db1","db2","archive")', "archive can't"),
        ('ANY 1 ("DB1","DB2")', ""),
        ('ANY 1 ("db1")', "1 of 0 standbys"),
        ('ANY 2 ("db1","db2")', "2 of 1 standbys"),
    ],
    ids=["it left the inventory", "it never was in it", "by any case", "nobody is named", "too few are named"],
)
def test_who_is_no_member_may_have_a_commit_nobody_else_has(names: str, missing: str) -> None:
    positions = {"db2": Position(1, 10)}
    loss = may_lose(Evidence(("db1", "db2"), (PRIMARY,), (Synchrony.parse(names),), positions), "db2")
    assert missing in loss
    assert bool(loss) == bool(missing)


def test_who_follows_whom() -> None:
    members = ("db1", "db2", "db3", "db4")
    layout = Layout("main", members, members, members, upstreams={"db4": "db3"})
    assert layout.upstream_of("db4", "db1") == "db3"
    assert layout.upstream_of("db4", "db3") == "db3"
    assert layout.upstream_of("db4", "db1", absent=["db3"]) == "db1"
    assert layout.followers("db1", "db1") == ("db2", "db3")
    assert layout.followers("db3", "db1") == ("db4",)
    assert layout.followers("db3", "db1", absent=["db3"]) == ()


def test_members_that_name_each_other_follow_the_primary() -> None:
    members = ("db1", "db2", "db3")
    layout = Layout("main", members, members, members, upstreams={"db2": "db3", "db3": "db2"})
    assert layout.upstream_of("db2", "db1") == "db1"
