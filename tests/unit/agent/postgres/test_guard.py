from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakit.agent.postgres import quorum, states
from hakit.agent.postgres.decision import FAILOVER, Decision
from hakit.agent.postgres.guard import judge
from hakit.agent.postgres.place import Member, Place
from hakit.agent.postgres.states import State
from tests.unit.agent.postgres.guard_cases import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OURS = "7711"


def place(host: str, members: Iterable[str]) -> Place:
    return Place(
        version=15,
        cluster="main",
        host=host,
        data="/data",
        members=tuple(
            Member(name=name.rstrip("*"), address=f"10.0.0.{n}", votes=not name.endswith("*"))
            for n, name in enumerate(members)
        ),
    )


def decision(words: list[str]) -> Decision:
    if words == ["0"]:
        return Decision()
    excused = words[2].lstrip("-").split(",") if len(words) > 2 else []
    return Decision(epoch=int(words[0]), primary=words[1], kind=FAILOVER, excused=tuple(excused))


def told(host: str, text: str) -> State:
    role, timeline, *rest = text.split()
    role, _, signal = role.partition(":")
    role, at, system = role.partition("@")
    return State(
        host=host,
        system=system if at else OURS,
        timeline=int(timeline),
        role=role,
        standby=bool(signal) or role == states.STANDBY,
        decision=decision(rest),
    )


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_constellation(case: Case) -> None:
    where = place(case.host, case.members.split())
    answers: dict[str, State | str] = {
        one.name: told(one.name, case.peers[one.name]) if one.name in case.peers else "timed out"
        for one in where.members
        if one.name != case.host
    }
    verdict = judge(where, OURS, case.timeline, decision(case.decision.split()), answers)
    assert verdict.opens == case.opens, verdict.why
    assert case.why in verdict.why
    assert len(verdict.ignored) == sum("@x" in text for text in case.peers.values())


def test_who_is_silent_is_named_with_the_reason() -> None:
    where = place("db1", ["db1", "db2", "db3"])
    verdict = judge(where, OURS, 1, Decision(), {"db2": "timed out", "db3": "Connection refused"})
    assert "db2: timed out, db3: Connection refused" in verdict.why


def subsets(names: Iterable[str]) -> Iterator[set[str]]:
    everyone = sorted(names)
    for size in range(len(everyone) + 1):
        for found in combinations(everyone, size):
            yield set(found)


@st.composite
def failovers(draw: st.DrawFn) -> tuple[set[str], set[str], set[str], set[str]]:
    """Voting members; whom the old primary excuses; whom it is known to may excuse; who was told of the new one."""
    members = {f"db{n}" for n in range(1, draw(st.integers(2, 6)) + 1)}
    others = members - {"db1"}
    known = draw(st.sets(st.sampled_from(sorted(others))))
    excused = draw(st.sets(st.sampled_from(sorted(known)))) if known else set()
    recorded = draw(st.sets(st.sampled_from(sorted(others)), min_size=1))
    return members, excused, known, recorded


@settings(max_examples=400, deadline=None)
@given(failovers())
def test_no_majority_opens_an_old_primary_after_a_failover_that_was_allowed(
    drawn: tuple[set[str], set[str], set[str], set[str]],
) -> None:
    members, excused, known, recorded = drawn
    if not quorum.suffices(members, recorded, known):
        return
    where = place("db1", sorted(members))
    own = Decision(epoch=1, primary="db1", kind=FAILOVER, excused=tuple(sorted(excused)))
    new = Decision(epoch=2, primary=min(recorded), kind=FAILOVER)
    for heard in subsets(members - {"db1"}):
        # The worst: nothing but the record tells of the failover; the members it was not told to are as they were.
        answers: dict[str, State | str] = {
            name: State(host=name, system=OURS, timeline=1, standby=True, decision=new if name in recorded else own)
            for name in heard
        }
        verdict = judge(where, OURS, 1, own, answers)
        assert not verdict.opens, f"{sorted(heard)} open it: {verdict.why}"


@settings(max_examples=400, deadline=None)
@given(failovers())
def test_the_maths_ask_for_no_more_than_is_needed(drawn: tuple[set[str], set[str], set[str], set[str]]) -> None:
    members, _, known, recorded = drawn
    if quorum.suffices(members, recorded, known):
        return
    # Some old primary that excuses no more than it may, and some of the others, would open it.
    for excused in subsets(known):
        voting = members - excused
        silent = voting - recorded - {"db1"}
        if len(silent) + 1 >= quorum.needed(members, excused):
            return
    pytest.fail(f"{sorted(recorded)} of {sorted(members)} suffice, with {sorted(known)} excused at most")


@pytest.mark.parametrize(
    ("members", "told_to", "enough"),
    [
        (2, 0, False),
        (2, 1, True),
        (3, 1, False),
        (3, 2, True),
        (4, 1, False),
        (4, 2, True),
        (5, 2, False),
        (5, 3, True),
    ],
)
def test_half_of_the_members_rounded_up_must_be_told(members: int, told_to: int, enough: bool) -> None:
    names = [f"db{n}" for n in range(1, members + 1)]
    assert quorum.suffices(set(names), set(names[1 : told_to + 1]), set()) == enough


def test_a_stranger_that_was_told_is_no_help() -> None:
    assert not quorum.suffices({"db1", "db2", "db3"}, {"db2", "far"}, set())


@given(st.sets(st.sampled_from("abcdef"), min_size=1), st.sets(st.sampled_from("abcdef")))
def test_two_majorities_meet(voting: set[str], excused: set[str]) -> None:
    assert 2 * quorum.needed(voting, excused) > len(voting - excused)
