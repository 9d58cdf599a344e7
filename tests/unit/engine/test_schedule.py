"""Who is changed after whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.components.base import Facts, RedundancyGroup
from hakit.engine.plan import Change, HostPlan, SitePlan
from hakit.engine.schedule import blocked, schedule
from hakit.engine.steps import Standing, Step, mates
from hakit.engine.together import torn
from hakit.errors import ConnectError, RefusedError


def change(host: str, impact: str, kind: str = "change", component: str = "") -> Change:
    return Change(f"files:/etc/{component}{host}", kind, impact=impact, component=component)  # type: ignore[arg-type]  # any kind of the type


def plan(host: str, impact: str = "reload", kind: str = "change") -> HostPlan:
    return HostPlan(host, Facts(), (change(host, impact, kind),), same=0)


def pair(*hosts: str) -> RedundancyGroup:
    return RedundancyGroup("pair", "keepalived", hosts, unit="keepalived.service")


def order(steps: tuple[Step, ...]) -> dict[str, frozenset[str]]:
    return {step.name: step.after for step in steps}


def holds(**counts: int) -> Standing:
    return Standing({host: frozenset(f"group {number}" for number in range(count)) for host, count in counts.items()})


def test_a_pair_is_changed_one_at_a_time_backup_first() -> None:
    steps = schedule([plan("lb1"), plan("lb2")], [pair("lb2", "lb1")])
    assert order(steps) == {"lb2": frozenset(), "lb1": frozenset({"lb2"})}


def test_who_holds_the_address_now_goes_last_whatever_the_inventory_prefers() -> None:
    steps = schedule([plan("lb1"), plan("lb2")], [pair("lb2", "lb1")], holds(lb2=1))
    assert order(steps) == {"lb1": frozenset(), "lb2": frozenset({"lb1"})}


def test_what_nobody_notices_is_changed_at_once() -> None:
    steps = schedule([plan("lb1", "none"), plan("lb2", "none")], [pair("lb2", "lb1")])
    assert all(not step.after for step in steps)


def test_hosts_that_do_not_stand_in_for_each_other_do_not_wait() -> None:
    steps = schedule([plan("lb1"), plan("web1")], [pair("lb1"), pair("web1")])
    assert all(not step.after for step in steps)


def test_a_host_that_refuses_has_no_step() -> None:
    assert schedule([plan("lb1", kind="refused")], []) == ()


def test_removals_are_told_apart() -> None:
    (step,) = schedule([plan("lb1", kind="remove")], [])
    assert (step.keys, step.remove) == ((), ("files:/etc/lb1",))


def test_mates_are_those_of_every_group() -> None:
    assert mates("a", [pair("a", "b"), pair("c", "a"), pair("d", "e")]) == {"b", "c"}


HOSTS = [f"h{number}" for number in range(6)]
GROUPS = st.lists(st.lists(st.sampled_from(HOSTS), min_size=1, unique=True).map(lambda hosts: pair(*hosts)), max_size=5)


HELPERS = st.dictionaries(st.sampled_from(HOSTS), st.frozensets(st.sampled_from(HOSTS), max_size=2))


@st.composite
def turns(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Who comes after whom, without a circle: a host after some of those that stand before it in a row."""
    row = draw(st.permutations(HOSTS))
    return {
        host: tuple(draw(st.lists(st.sampled_from(row[:place]), max_size=2))) for place, host in enumerate(row) if place
    }


@given(
    groups=GROUPS,
    impacts=st.lists(st.sampled_from(["none", "reload", "disruptive"]), min_size=6, max_size=6),
    holding=st.dictionaries(st.sampled_from(HOSTS), st.integers(0, 3)),
    helpers=HELPERS,
    after=turns(),
    first=st.frozensets(st.sampled_from(HOSTS), max_size=2),
)
def test_no_two_gated_mates_ever_run_together_and_nobody_waits_in_a_circle(
    *,
    groups: list[RedundancyGroup],
    impacts: list[str],
    holding: dict[str, int],
    helpers: dict[str, frozenset[str]],
    after: dict[str, tuple[str, ...]],
    first: frozenset[str],
) -> None:
    plans = [
        replace(plan(host, impact), after=after.get(host, ()), first=host in first)
        for host, impact in zip(HOSTS, impacts, strict=True)
    ]
    waiting = order(schedule(plans, groups, replace(holds(**holding), helpers=helpers)))
    finished: set[str] = set()
    while len(finished) < len(HOSTS):
        ready = {host for host, before in waiting.items() if host not in finished and before <= finished}
        assert ready, "a circle"
        assert all(finished.issuperset(after.get(host, ())) for host in ready)
        for group in groups:
            noticed = {host for host in ready & set(group.hosts) if impacts[HOSTS.index(host)] != "none"}
            assert len(noticed) <= 1
        finished |= ready


@given(
    groups=GROUPS,
    atomic=st.frozensets(st.sampled_from(HOSTS)),
    after=st.dictionaries(st.sampled_from(HOSTS), st.lists(st.sampled_from(HOSTS), max_size=2).map(tuple), max_size=4),
)
def test_whatever_is_decided_the_steps_can_be_carried_out_or_are_refused(
    groups: list[RedundancyGroup], atomic: frozenset[str], after: dict[str, tuple[str, ...]]
) -> None:
    plans = [
        replace(agreeing(host) if host in atomic else plan(host, "disruptive"), after=after.get(host, ()))
        for host in HOSTS
    ]
    try:
        waiting = order(schedule(plans, groups))
    except RefusedError:
        waiting = None
    if waiting is None:
        assert any(other != host for host, others in after.items() for other in others)
        return
    finished: set[str] = set()
    while finished != waiting.keys():
        ready = {name for name, before in waiting.items() if name not in finished and before <= finished}
        assert ready, "a circle"
        for name in ready:
            host = name.split()[0]
            earlier = {step for step in waiting for other in after.get(host, ()) if step.split()[0] == other != host}
            assert earlier <= finished
        finished |= ready


def after(host: str, *others: str, impact: str = "disruptive") -> HostPlan:
    return replace(plan(host, impact), after=others)


def test_who_is_decided_to_come_later_does_whatever_its_place_and_role() -> None:
    """The backup of the group that does not even serve, after the one that holds the role."""
    standing = Standing({"lb1": frozenset({"pair"})}, frozenset({"lb2"}))
    steps = schedule([plan("lb1"), after("lb2", "lb1")], [pair("lb2", "lb1")], standing)
    assert order(steps) == {"lb1": frozenset(), "lb2": {"lb1"}}


def test_who_is_decided_to_be_first_is_whatever_role_it_holds() -> None:
    plans = [plan("db1"), replace(plan("db2"), first=True), plan("db3")]
    assert order(schedule(plans, [pair("db1", "db3", "db2")], holds(db2=1)))["db2"] == frozenset()


def test_nobody_waits_for_a_host_that_is_as_declared() -> None:
    unchanged = HostPlan("db1", Facts(), (), same=3)
    assert order(schedule([unchanged, after("db2", "db1", "db2")], [])) == {"db2": frozenset()}


def test_those_that_come_after_others_wait_for_all_their_steps() -> None:
    waits = order(schedule([agreeing("lb1"), agreeing("lb2"), after("db1", "lb1")], [pair("lb2", "lb1")]))
    assert waits["db1"] == {"lb1 atomic"} | ({"lb1 stop"} & waits.keys())


@pytest.mark.parametrize(
    ("plans", "circle"),
    [
        ([after("db1", "db2"), after("db2", "db1")], "db2 before db1 before db2|db1 before db2 before db1"),
        ([after("a", "c"), after("b", "a"), after("c", "b")], "before"),
    ],
    ids=["two", "three"],
)
def test_hosts_that_would_wait_for_each_other_are_refused(plans: list[HostPlan], circle: str) -> None:
    with pytest.raises(RefusedError, match=f"the changes wait for each other: .*({circle})"):
        schedule(plans, [])


def test_who_comes_after_one_that_is_not_changed_is_not_changed_either() -> None:
    plans = {"db1": plan("db1"), "db2": after("db2", "db1"), "db3": after("db3", "db2"), "db4": plan("db4")}
    whole = SitePlan(plans)
    assert blocked(whole, {}) == {}
    because = "must be changed after db2, which is not changed either"
    for refused in (plan("db1", kind="refused"), None):
        some = {**plans, "db1": refused} if refused else {name: one for name, one in plans.items() if name != "db1"}
        why = "refuses" if refused else "can't be asked"
        assert blocked(SitePlan(some), {}) == {"db2": f"must be changed after db1, which {why}", "db3": because}
    assert set(blocked(whole, {"db1": "torn"})) == {"db1", "db2", "db3"}
    limited = {name: one for name, one in plans.items() if name != "db1"}
    assert blocked(SitePlan(limited, watched={"db1": HostPlan("db1", Facts(), (), same=1)}), {}) == {}
    assert "this run leaves out" in blocked(SitePlan(limited, watched={"db1": plans["db1"]}), {})["db2"]
    same = {**plans, "db2": HostPlan("db2", Facts(), (), same=1, after=("db1",))}
    assert blocked(SitePlan({**same, "db1": plan("db1", kind="refused")}), {}) == {}


def agreeing(host: str, *others: Change) -> HostPlan:
    """A host with a change that its partners must make at the same time."""
    return HostPlan(host, Facts(), (*others, change(host, "group-atomic", component="keepalived")), same=0)


def test_members_that_must_agree_stop_then_follow_the_one_that_holds_the_role() -> None:
    steps = schedule([agreeing("lb1"), agreeing("lb2"), agreeing("lb3")], [pair("lb3", "lb2", "lb1")], holds(lb2=1))
    assert order(steps) == {
        "lb1 stop": frozenset(),
        "lb3 stop": frozenset(),
        "lb2 atomic": {"lb1 stop", "lb3 stop"},
        "lb1 atomic": {"lb1 stop", "lb2 atomic"},
        "lb3 atomic": {"lb3 stop", "lb2 atomic"},
    }
    assert {step.unit for step in steps if step.act == "stop"} == {"keepalived.service"}


def test_a_member_that_does_not_serve_never_leads() -> None:
    standing = Standing({"lb1": frozenset({"pair"})}, frozenset({"lb1"}))
    steps = schedule([agreeing("lb1"), agreeing("lb2")], [pair("lb2", "lb1")], standing)
    assert [step.host for step in steps if step.act == "stop"] == ["lb1"]


def test_what_else_changes_on_such_hosts_is_done_before_one_at_a_time() -> None:
    other = change("lb", "disruptive", component="haproxy")
    steps = schedule([agreeing("lb1", other), agreeing("lb2", other)], [pair("lb2", "lb1")])
    waits = order(steps)
    assert not waits["lb2"]
    assert waits["lb1"] == {"lb2"}
    assert waits["lb2 stop"] == {"lb1", "lb2"}
    assert [step.keys for step in steps if step.name == "lb1"] == [("files:/etc/haproxylb",)]


def test_a_new_member_joins_after_the_others_know_it() -> None:
    new = HostPlan("lb3", Facts(), (change("lb3", "none", "add", "keepalived"),), same=0)
    waits = order(schedule([agreeing("lb1"), agreeing("lb2"), new], [pair("lb3", "lb2", "lb1")]))
    assert waits["lb3 atomic"] == {"lb1 atomic"}


def test_who_leaves_is_silent_before_the_others_forget_it() -> None:
    leaving = HostPlan("lb3", Facts(), (Change("unit:keepalived.service", "remove", impact="disruptive"),), same=0)
    waits = order(schedule([agreeing("lb1"), agreeing("lb2"), leaving], [pair("lb2", "lb1")]))
    assert waits["lb2 stop"] == {"lb3"}
    assert "lb3" in waits["lb1 atomic"]


def unit_change(host: str, impact: str) -> HostPlan:
    return HostPlan(host, Facts(), (Change("unit:keepalived.service", "change", impact=impact),), same=0)


def test_who_only_starts_waits_until_the_others_have_loaded_the_same() -> None:
    waits = order(schedule([unit_change("lb1", "reload"), unit_change("lb2", "none")], [pair("lb2", "lb1")]))
    assert waits == {"lb1": frozenset(), "lb2": {"lb1"}}
    waits = order(schedule([unit_change("lb1", "disruptive"), unit_change("lb2", "none")], [pair("lb2", "lb1")]))
    assert waits == {"lb1": frozenset(), "lb2": frozenset()}


def test_who_helps_is_not_disrupted_together_with_whom_it_helps() -> None:
    standing = Standing(helpers={"web1": frozenset({"lb1"}), "lb1": frozenset({"lb1"})})
    waits = order(schedule([plan("lb1", "disruptive"), plan("web1", "disruptive")], [], standing))
    assert waits == {"web1": frozenset(), "lb1": {"web1"}}
    waits = order(schedule([plan("lb1"), plan("web1", "disruptive")], [], standing))
    assert waits == {"web1": frozenset(), "lb1": frozenset()}


def test_two_pairs_change_side_by_side() -> None:
    groups = [
        RedundancyGroup(name, "keepalived", hosts, unit="k")
        for name, hosts in {"a": ("a2", "a1"), "b": ("b2", "b1")}.items()
    ]
    waits = order(schedule([agreeing(host) for host in ("a1", "a2", "b1", "b2")], groups))
    assert waits["b1 atomic"] == {"b2 stop"}


def test_members_that_must_agree_are_not_torn_apart() -> None:
    group = pair("lb2", "lb1")
    both = {"lb1": agreeing("lb1"), "lb2": agreeing("lb2")}
    assert torn(SitePlan(both), [group]) == {}
    assert (
        "which this run leaves out"
        in torn(SitePlan({"lb1": both["lb1"]}, watched={"lb2": both["lb2"]}), [group])["lb1"]
    )
    assert "can't be asked" in torn(SitePlan({"lb1": both["lb1"]}, failed={"lb2": ConnectError("x")}), [group])["lb1"]
    assert torn(SitePlan({"lb1": both["lb1"]}, watched={"lb2": plan("lb2")}), [group]) == {}


def test_who_does_not_serve_is_mended_first_and_who_is_left_out_is_taken_back() -> None:
    standing = Standing({"lb2": frozenset({"pair"})}, frozenset({"lb1"}))
    assert order(schedule([plan("lb1"), plan("lb2")], [pair("lb2", "lb1")], standing))["lb2"] == {"lb1"}
    (step,) = schedule([], [pair("lb2", "lb1")], restore=["lb1"])
    assert (step.host, step.act, step.gated) == ("lb1", "restore", True)


def new(host: str, *others: str, held: int = 1, impact: str = "none") -> HostPlan:
    """A member to be: of its changes, the last `held` wait for others. One of the first has an impact."""
    keys = ("package:db", f"files:/etc/{host}", "cluster:main", "unit:db")
    changes = tuple(Change(key, "add", impact=impact if place == 1 else "none") for place, key in enumerate(keys))
    return HostPlan(host, Facts(), changes, same=0, after=others, held=keys[len(keys) - held :])


def test_what_waits_for_others_holds_nothing_else_up() -> None:
    steps = schedule([new("db3", "db2", held=2), new("db1"), new("db2", "db1", held=2)], [pair("db2", "db3", "db1")])
    assert order(steps) == {
        "db1": frozenset(),
        "db2 first": frozenset(),
        "db3 first": frozenset(),
        "db2": {"db2 first", "db1"},
        "db3": {"db3 first", "db2", "db2 first"},
    }
    halves = {step.name: step.keys for step in steps if step.host == "db2"}
    assert halves == {"db2 first": ("package:db", "files:/etc/db2"), "db2": ("cluster:main", "unit:db")}


def test_with_few_hands_the_one_that_others_wait_for_begins() -> None:
    assert schedule([new("db2", "db1"), new("db1")], [])[0].host == "db1"


@pytest.mark.parametrize(
    "waiting",
    [
        new("db2", "db1", impact="reload"),
        new("db2", "db1", impact="disruptive"),
        replace(new("db2", "db1"), changes=(*new("db2").changes, change("db2", "none", "remove"))),
        new("db2", "db1", held=4),
        new("db2", "db1", held=0),
        new("db2"),
    ],
    ids=["reloads", "disrupts", "removes", "nothing goes before", "all waits", "waits for nobody"],
)
def test_a_host_goes_in_one_where_somebody_may_notice_or_nothing_can_go_before(waiting: HostPlan) -> None:
    steps = schedule([new("db1"), waiting], [pair("db2", "db1")])
    assert sorted(order(steps)) == ["db1", "db2"]
    assert sum(len(step.keys) + len(step.remove) for step in steps if step.host == "db2") == len(waiting.changes)


def test_a_host_that_comes_back_or_must_agree_with_others_goes_in_one() -> None:
    plans = [new("db1"), new("db2", "db1")]
    assert "db2 first" not in order(schedule(plans, [], restore=["db2"]))
    plans[1] = replace(plans[1], changes=(*plans[1].changes, change("db2", "group-atomic", component="keepalived")))
    names = order(schedule([*plans, agreeing("lb1")], [pair("db2", "lb1")]))
    assert "db2 first" not in names
    assert "db2 atomic" in names


def test_no_unit_starts_early_that_a_mate_is_yet_to_reload() -> None:
    starts = replace(new("db2", "db1"), changes=(Change("unit:keepalived.service", "change"), *new("db2").changes))
    groups = [pair("db2", "lb1")]
    assert "db2 first" in order(schedule([new("db1"), starts, plan("lb1", "none")], groups))
    found = order(schedule([new("db1"), starts, unit_change("lb1", "reload")], groups))
    assert found["db2"] == {"db1", "lb1"}


@given(
    groups=GROUPS,
    impacts=st.lists(
        st.tuples(*[st.sampled_from(["none", "none", "reload", "disruptive"])] * 2), min_size=6, max_size=6
    ),
    after=turns(),
    held=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    restore=st.sets(st.sampled_from(HOSTS), max_size=1),
)
def test_halves_hold_to_the_same_rules(
    *,
    groups: list[RedundancyGroup],
    impacts: list[tuple[str, ...]],
    after: dict[str, tuple[str, ...]],
    held: list[int],
    restore: set[str],
) -> None:
    plans = {}
    for host, pairs, count in zip(HOSTS, impacts, held, strict=True):
        changes = tuple(Change(f"files:/{place}", "change", impact=impact) for place, impact in enumerate(pairs))
        keys = tuple(change.key for change in changes[:count])
        plans[host] = HostPlan(host, Facts(), changes, same=0, after=after.get(host, ()), held=keys)
    steps = {step.name: step for step in schedule(plans.values(), groups, restore=restore)}
    for host, one in plans.items():
        assert sorted(key for step in steps.values() if step.host == host for key in step.keys) == [
            change.key for change in one.changes
        ]
    finished: set[str] = set()
    while finished != steps.keys():
        ready = [step for step in steps.values() if step.name not in finished and step.after <= finished]
        assert ready, "a circle"
        for step in ready:
            done = {name for name in finished if name.split()[0] in after.get(step.host, ())}
            early = step.half == "first"
            assert early or {n for n, s in steps.items() if s.host in after.get(step.host, ())} == done
            assert not early or not (step.gated or step.disrupts or set(step.keys) & set(plans[step.host].held))
        for group in groups:
            assert sum(step.gated and step.host in group.hosts for step in ready) <= 1
        finished |= {step.name for step in ready}
