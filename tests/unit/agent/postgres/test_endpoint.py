from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.agent.postgres import endpoint, states
from hakit.agent.postgres.decision import Decision
from hakit.agent.postgres.endpoint import Answer, Heard, View, answer
from hakit.agent.postgres.states import PRIMARY, STANDBY, STARTING, STOPPED, State

NOW = 1000.0
MB = 1 << 20


def lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def member(host: str = "db1", role: str = PRIMARY, **fields: Any) -> State:
    made = {"system": "7711", "timeline": 1, "lsn": lsn(100 * MB), "standby": role == STANDBY, **fields}
    return State(host=host, role=role, **made)


def peer(host: str, role: str, age: float = 0.1, **fields: Any) -> Heard:
    return Heard(state=member(host, role, **fields), at=NOW - age, asked=NOW - min(age, 0.1))


SILENT = Heard(asked=NOW - 0.1)


def view(mine: State, peers: dict[str, Heard] | None = None, **fields: Any) -> View:
    peers = {"db2": SILENT, "db3": SILENT} if peers is None else peers
    made = {"now": NOW, "answered": NOW - 0.1, "word": NOW - 0.1, "streamed": NOW - 0.1, **fields}
    return View(mine=mine, peers=peers, **made)


def status(path: str, seen: View) -> int:
    return answer(path, seen).status


PRIMARY_ALONE = view(member())
STANDING_BY = view(
    member(role=STANDBY, replayed=lsn(90 * MB), streams=True), {"db2": peer("db2", PRIMARY)}, end=100 * MB
)

EXPECTED = {
    #                            primary replica lag=16MB read ready live
    "primary": (PRIMARY_ALONE, (200, 503, 503, 200, 200, 200)),
    "primary beside standbys": (view(member(), {"db2": peer("db2", STANDBY)}), (200, 503, 503, 200, 200, 200)),
    "primary, held": (view(member(), held="moving"), (503, 503, 503, 503, 503, 200)),
    "primary that hangs": (view(member(), answered=NOW - 1.2), (503, 503, 503, 503, 503, 503)),
    "two primaries": (view(member(), {"db2": peer("db2", PRIMARY)}), (503, 503, 503, 503, 503, 200)),
    "two primaries on two timelines": (
        view(member(timeline=2), {"db2": peer("db2", PRIMARY)}),
        (503, 503, 503, 503, 503, 200),
    ),
    "the primary of another cluster": (
        view(member(), {"db2": peer("db2", PRIMARY, system="9")}),
        (200, 503, 503, 200, 200, 200),
    ),
    "primary beside a standby of ours and one of another cluster": (
        view(member(), {"db2": peer("db2", STANDBY), "db3": peer("db3", PRIMARY, system="9")}),
        (200, 503, 503, 200, 200, 200),
    ),
    "primary of another cluster than the rest": (
        view(member(system="9"), {"db2": peer("db2", PRIMARY), "db3": peer("db3", STANDBY)}),
        (503, 503, 503, 503, 503, 200),
    ),
    "standby of another cluster than the rest": (
        view(
            member(role=STANDBY, system="9", replayed=lsn(100 * MB)),
            {"db2": peer("db2", PRIMARY), "db3": peer("db3", STANDBY)},
            end=100 * MB,
        ),
        (503, 503, 503, 503, 503, 200),
    ),
    "standby beside peers without data": (
        view(
            member(role=STANDBY, streams=True, replayed=lsn(100 * MB)),
            {"db2": peer("db2", STOPPED, system=""), "db3": peer("db3", STOPPED, system="")},
            end=100 * MB,
        ),
        (503, 200, 200, 200, 200, 200),
    ),
    "a peer that was a primary and was not heard since": (
        view(member(), {"db2": peer("db2", PRIMARY, age=5.0)}),
        (200, 503, 503, 200, 200, 200),
    ),
    "primary after a freeze, peers not asked yet": (
        view(member(), {"db2": Heard(asked=NOW - 60)}),
        (503, 503, 503, 503, 503, 200),
    ),
    "primary that has never asked its peers": (view(member(), {"db2": Heard()}), (503, 503, 503, 503, 503, 200)),
    "primary without peers": (view(member(), {}), (200, 503, 503, 200, 200, 200)),
    "standby": (STANDING_BY, (503, 200, 200, 200, 200, 200)),
    "standby, held": (STANDING_BY.replace(held="restarting"), (503, 503, 503, 503, 200, 200)),
    "standby that hangs": (STANDING_BY.replace(answered=NOW - 1.2), (503, 503, 503, 503, 503, 503)),
    "standby that is far behind": (STANDING_BY.replace(end=200 * MB), (503, 200, 503, 200, 200, 200)),
    "standby of an unknown primary": (STANDING_BY.replace(end=0), (503, 200, 503, 200, 200, 200)),
    "standby that does not stream": (
        view(member(role=STANDBY, replayed=lsn(90 * MB)), end=100 * MB),
        (503, 200, 200, 200, 503, 200),
    ),
    "standby that hears nobody for a while": (
        view(member(role=STANDBY, replayed=lsn(90 * MB)), end=100 * MB, word=NOW - 29, streamed=NOW - 29),
        (503, 200, 200, 200, 503, 200),
    ),
    "standby that hears nobody for long": (
        view(member(role=STANDBY, replayed=lsn(90 * MB)), end=100 * MB, word=NOW - 31, streamed=NOW - 31),
        (503, 503, 503, 503, 503, 200),
    ),
    "standby right after a switchover": (
        view(
            member(role=STANDBY, replayed=lsn(100 * MB)),
            {"db2": peer("db2", PRIMARY, timeline=2)},
            end=100 * MB,
            streamed=NOW - 2,
        ),
        (503, 200, 200, 200, 503, 200),
    ),
    "standby that can't follow the new primary": (
        view(
            member(role=STANDBY, replayed=lsn(100 * MB)),
            {"db2": peer("db2", PRIMARY, timeline=2)},
            end=100 * MB,
            streamed=NOW - 6,
        ),
        (503, 503, 503, 503, 503, 200),
    ),
    "stopped": (view(member(role=STOPPED)), (503, 503, 503, 503, 503, 503)),
    "starting": (view(member(role=STARTING)), (503, 503, 503, 503, 503, 503)),
}
PATHS = ("/primary", "/replica", "/replica?lag=16MB", "/read", "/ready", "/live")


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_member_answers(name: str) -> None:
    seen, expected = EXPECTED[name]
    assert {path: status(path, seen) for path in PATHS} == dict(zip(PATHS, expected, strict=True))


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("path", PATHS)
def test_a_no_has_a_reason_of_one_line(name: str, path: str) -> None:
    found = answer(path, EXPECTED[name][0])
    assert found.text.strip()
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/replica?lag=10MB", 200),
        ("/replica?lag=10485760", 200),
        ("/replica?lag=10485759", 503),
        ("/replica?lag=10240kB", 200),
        ("/replica?lag=9MB", 503),
        ("/replica?lag=0", 503),
        ("/replica?lag=1GB", 200),
        ("/replica?other=1&lag=1MB", 503),
        ("/read?lag=9MB", 503),
        ("/read-only?lag=10MB", 200),
        ("/replica?lag=", 400),
        ("/replica?lag=MB", 400),
        ("/replica?lag=16mb", 400),
        ("/replica?lag=-1", 400),
        ("/replica?lag=1e3", 400),
        ("/replica?lag=" + "9" * 40, 400),
        ("/", 404),
        ("/master", 404),
        ("", 404),
        ("/primary/", 404),
    ],
)
def test_limits_and_paths(path: str, expected: int) -> None:
    assert status(path, STANDING_BY) == expected


def test_both_claimants_are_named() -> None:
    found = answer("/primary", view(member(timeline=2), {"db2": peer("db2", PRIMARY, timeline=1), "db3": SILENT}))
    assert found.text == "db2 (timeline 1) claims to be the primary, too; ours is timeline 2"


def test_the_state_is_told_whatever_it_is() -> None:
    for seen, _ in EXPECTED.values():
        found = answer("/state", seen)
        assert found.status == 200
        assert json.loads(found.text)["role"] == seen.mine.role


def test_the_end_of_the_wal_is_what_those_tell_who_hear_a_primary() -> None:
    behind = member(role=STANDBY, lsn=lsn(50 * MB), streams=True)
    assert endpoint.end_of_wal(view(behind)) == 50 * MB
    assert endpoint.end_of_wal(view(behind, {"db2": peer("db2", PRIMARY, lsn=lsn(70 * MB))})) == 70 * MB
    assert endpoint.end_of_wal(view(behind, {"db2": peer("db2", STANDBY, lsn=lsn(60 * MB), streams=True)})) == 60 * MB
    alone = member(role=STANDBY, lsn=lsn(50 * MB))
    assert endpoint.end_of_wal(view(alone, {"db2": peer("db2", STANDBY, lsn=lsn(60 * MB))})) == 0
    assert endpoint.end_of_wal(view(alone, {"db2": peer("db2", PRIMARY, age=3, lsn=lsn(60 * MB))})) == 0
    assert endpoint.end_of_wal(view(alone, {"db2": peer("db2", PRIMARY, system="9")})) == 0


TEXT = st.text(max_size=20)
STATES = st.builds(
    State,
    host=st.text(min_size=1, max_size=20),
    system=TEXT,
    timeline=st.integers(0, 1 << 31),
    role=st.sampled_from(states.ROLES),
    lsn=st.integers(0, (1 << 64) - 1).map(lsn),
    replayed=st.sampled_from(["", "0/0", "A/FF"]),
    standby=st.booleans(),
    streams=st.booleans(),
    held=TEXT,
    decision=st.builds(
        Decision,
        epoch=st.integers(1, 1 << 40),
        primary=st.text(min_size=1, max_size=20),
        kind=st.sampled_from(["made", "switchover", "failover", "started"]),
        excused=st.lists(TEXT, max_size=3).map(tuple),
    )
    | st.just(Decision()),
    since=TEXT,
)


@given(STATES)
def test_a_state_arrives_as_it_was_told(state: State) -> None:
    assert states.parse(states.text(state)) == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"host": "db1"}',
        '{"host": "db1", "role": "king"}',
        '{"host": "db1", "role": "primary", "timeline": "1"}',
        '{"host": "db1", "role": "primary", "timeline": true}',
        '{"host": "db1", "role": "primary", "lsn": "0-1"}',
        '{"host": "db1", "role": "primary", "lsn": 5}',
        '{"host": "db1", "role": "primary", "streams": 1}',
        '{"host": "db1", "role": "primary", "decision": []}',
        '{"host": "db1", "role": "primary", "decision": {"epoch": 3}}',
    ],
)
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        states.parse(text)


def test_an_answer_compares_by_value() -> None:
    assert answer("/live", PRIMARY_ALONE) == Answer(status=200, text="db1: primary")
