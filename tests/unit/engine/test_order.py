"""The order that is told is the one that the steps go in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hakit.components.base import RedundancyGroup
from hakit.engine.order import Together, Turns, Waits, order
from hakit.engine.schedule import schedule
from hakit.engine.steps import Standing, Step
from tests.unit.engine.test_schedule import GROUPS, HELPERS, HOSTS, agreeing, holds, new, pair, plan, turns


def pool(*hosts: str) -> RedundancyGroup:
    return RedundancyGroup("pool", "haproxy", hosts)


def test_a_group_goes_one_at_a_time_and_the_holder_last() -> None:
    steps = schedule([plan(name) for name in ("web1", "web2", "web3")], [pool("web1", "web2", "web3")], holds(web1=1))
    assert order(steps) == (Turns(("web2", "web3", "web1")),)


def test_groups_that_do_not_meet_have_rows_of_their_own() -> None:
    steps = schedule([plan(name) for name in ("a1", "a2", "b1", "b2")], [pool("a1", "a2"), pool("b1", "b2")])
    assert order(steps) == (Turns(("a1", "a2")), Turns(("b1", "b2")))


def test_who_helps_stands_in_one_row_with_whom_it_helps() -> None:
    helping = Standing(helpers={name: frozenset({"lb1", "lb2"}) for name in ("web1", "web2")})
    plans = [plan(name, "disruptive") for name in ("lb1", "lb2", "web1", "web2")]
    steps = schedule(plans, [pool("lb2", "lb1"), pool("web1", "web2")], helping)
    assert order(steps) == (Turns(("web1", "web2", "lb2", "lb1")),)


def test_a_wait_across_rows_is_told() -> None:
    first, second = Step("a1", gated=True), Step("b1", gated=True)
    steps = (
        first,
        second,
        Step("a2", after=frozenset({"a1"}), gated=True),
        Step("b2", after=frozenset({"a1", "b1"}), gated=True),
    )
    assert order(steps) == (Turns(("a1", "a2")), Turns(("b1", "b2")), Waits(("b2",), ("a1",)))


def test_who_waits_for_the_same_is_told_at_once() -> None:
    first = Step("db1")
    after = frozenset({first.name})
    assert order((first, Step("db2", after=after), Step("db3", after=after))) == (Waits(("db2", "db3"), ("db1",)),)
    below = Step("db4", after=frozenset({"db2"}))
    assert order((first, Step("db2", after=after), Step("db3", after=after), below)) == (
        Turns(("db2", "db4")),
        Waits(("db2", "db3"), ("db1",)),
    )


def test_a_wait_with_a_part_alone_is_told_so() -> None:
    steps = schedule([new("db1"), new("db2", "db1"), new("db3", "db1")], [pool("db1", "db2", "db3")])
    assert order(steps) == (Waits(("db2", "db3"), ("db1",), "unit:db"),)
    steps = schedule([new("db1"), new("db2", "db1"), replace(new("db3", "db1"), held=())], [])
    assert order(steps) == (Waits(("db2",), ("db1",), "unit:db"), Waits(("db3",), ("db1",)))
    steps = schedule([new("db1"), new("db2", "db1", held=2)], [])
    assert order(steps) == (Waits(("db2",), ("db1",), "cluster:main"),)


def test_members_that_must_agree_are_told_together() -> None:
    steps = schedule([agreeing("lb1"), agreeing("lb2")], [pair("lb2", "lb1")], holds(lb1=1))
    assert order(steps) == (Together(("lb2",), ("lb1",), ("lb2",), "keepalived.service"),)


def test_who_waits_for_nobody_is_not_told() -> None:
    assert order(schedule([plan("web1"), plan("web2", "none"), plan("web3", "none")], [pool(*HOSTS)])) == ()


@given(groups=GROUPS, helpers=HELPERS, after=turns(), divided=st.sets(st.sampled_from(HOSTS)))
def test_every_wait_is_told_and_nothing_else(
    groups: list[RedundancyGroup],
    helpers: dict[str, frozenset[str]],
    after: dict[str, tuple[str, ...]],
    divided: set[str],
) -> None:
    plans = [
        replace(new(name) if name in divided else plan(name, "disruptive"), after=after.get(name, ())) for name in HOSTS
    ]
    steps = schedule(plans, groups, Standing(helpers=helpers))
    told: set[tuple[str, str]] = set()
    for part in order(steps):
        if isinstance(part, Turns):
            told |= {(a, b) for place, b in enumerate(part.hosts) for a in part.hosts[:place]}
        elif isinstance(part, Waits):
            told |= {(other, host) for host in part.hosts for other in part.on}
    assert closed(told) == closed(
        {(name.split()[0], step.host) for step in steps for name in step.after if name != f"{step.host} first"}
    )


def closed(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    while more := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs = pairs | more
    return pairs
