"""Who is changed after whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hakit.components.base import Facts, RedundancyGroup
from hakit.engine.plan import Change, HostPlan
from hakit.engine.schedule import Step, mates, schedule


def plan(host: str, impact: str = "reload", kind: str = "change") -> HostPlan:
    change = Change(f"files:/etc/{host}", kind, impact=impact)  # type: ignore[arg-type]  # any kind of the type
    return HostPlan(host, Facts(), (change,), same=0)


def pair(*hosts: str) -> RedundancyGroup:
    return RedundancyGroup("pair", "keepalived", hosts)


def order(steps: tuple[Step, ...]) -> dict[str, frozenset[str]]:
    return {step.host: step.after for step in steps}


def test_a_pair_is_changed_one_at_a_time_backup_first() -> None:
    steps = schedule([plan("lb1"), plan("lb2")], [pair("lb2", "lb1")], {})
    assert order(steps) == {"lb2": frozenset(), "lb1": frozenset({"lb2"})}


def test_who_holds_the_address_now_goes_last_whatever_the_inventory_prefers() -> None:
    steps = schedule([plan("lb1"), plan("lb2")], [pair("lb2", "lb1")], {"lb2": 1})
    assert order(steps) == {"lb1": frozenset(), "lb2": frozenset({"lb1"})}


def test_what_nobody_notices_is_changed_at_once() -> None:
    steps = schedule([plan("lb1", "none"), plan("lb2", "none")], [pair("lb2", "lb1")], {})
    assert all(not step.after for step in steps)


def test_hosts_that_do_not_stand_in_for_each_other_do_not_wait() -> None:
    steps = schedule([plan("lb1"), plan("web1")], [pair("lb1"), pair("web1")], {})
    assert all(not step.after for step in steps)


def test_a_host_that_refuses_has_no_step() -> None:
    assert schedule([plan("lb1", kind="refused")], [], {}) == ()


def test_removals_are_told_apart() -> None:
    (step,) = schedule([plan("lb1", kind="remove")], [], {})
    assert (step.keys, step.remove) == ((), ("files:/etc/lb1",))


def test_mates_are_those_of_every_group() -> None:
    assert mates("a", [pair("a", "b"), pair("c", "a"), pair("d", "e")]) == {"b", "c"}


HOSTS = [f"h{number}" for number in range(6)]
GROUPS = st.lists(st.lists(st.sampled_from(HOSTS), min_size=1, unique=True).map(lambda hosts: pair(*hosts)), max_size=5)


@given(
    groups=GROUPS,
    impacts=st.lists(st.sampled_from(["none", "reload", "disruptive"]), min_size=6, max_size=6),
    holding=st.dictionaries(st.sampled_from(HOSTS), st.integers(0, 3)),
)
def test_no_two_gated_mates_ever_run_together_and_nobody_waits_in_a_circle(
    groups: list[RedundancyGroup], impacts: list[str], holding: dict[str, int]
) -> None:
    plans = [plan(host, impact) for host, impact in zip(HOSTS, impacts, strict=True)]
    waiting = order(schedule(plans, groups, holding))
    finished: set[str] = set()
    while len(finished) < len(HOSTS):
        ready = {host for host, after in waiting.items() if host not in finished and after <= finished}
        assert ready, "a circle"
        for group in groups:
            noticed = {host for host in ready & set(group.hosts) if impacts[HOSTS.index(host)] != "none"}
            assert len(noticed) <= 1
        finished |= ready
