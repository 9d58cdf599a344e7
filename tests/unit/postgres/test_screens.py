from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from hakit.engine.events import Noted, Reached, Unreachable
from hakit.errors import ConnectError
from hakit.postgres.conductor import Outcome
from hakit.postgres.layout import Layout, Synchrony
from hakit.postgres.member import MemberState
from hakit.postgres.picture import Picture
from hakit.present.postgres import Moving, outcome_json, outcome_text, size, status_json, status_text

NOW = datetime(2026, 11, 22, 16, 0, 0, tzinfo=UTC)
MEMBERS = ("db1", "db2", "db3")
LAYOUT = Layout("main", MEMBERS, MEMBERS, MEMBERS, MEMBERS, Synchrony(1, MEMBERS), "db1")
NAMES = {"synchronous_standby_names": "ANY 1 (db1,db2,db3)", "synchronous_commit": "on"}
DECISION = {"epoch": 1, "primary": "db1", "kind": "made"}
FAILED_OVER = {"epoch": 2, "primary": "db2", "before": "db1", "kind": "failover"}


def member(host: str, **words: Any) -> MemberState:
    common = {"installed": True, "data": "cluster", "system": "7", "timeline": 1, "decision": DECISION}
    return MemberState.of(host, {**common, **words})


def primary(host: str = "db1", **words: Any) -> MemberState:
    replicas = [{"name": one, "state": "streaming", "sync": "quorum"} for one in MEMBERS if one != host]
    found = {"running": True, "role": "primary", "lsn": "0/3000100", "replicas": replicas, "settings": NAMES}
    return member(host, **{**found, **words})


def standby(host: str, **words: Any) -> MemberState:
    found = {
        "running": True,
        "role": "standby",
        "standby": True,
        "lsn": "0/3000100",
        "replayed": "0/3000100",
        "upstream": "db1",
        "receiving": {"status": "streaming", "from": "db1"},
        "settings": NAMES,
    }
    return member(host, **{**found, **words})


def picture(*states: MemberState, **errors: str) -> Picture:
    return Picture(LAYOUT, {one.host: one for one in states}, errors)


def test_a_healthy_cluster_fits_into_eighty_columns() -> None:
    behind = standby("db3", replayed="0/3000000", replayed_at="2026-11-22T15:59:58.5Z")
    slots = [{"name": "db2", "active": True, "kept": 0, "status": "reserved"}]
    text = status_text(picture(primary(slots=slots, free=3 << 30), standby("db2"), behind), NOW)
    assert text.splitlines() == [
        "main  healthy  db1 leads, 2 standbys stream",
        "host  role     timeline  LSN        behind        sync",
        "db1   primary  1         0/3000100",
        "db2   standby  1         0/3000100  0 B           quorum",
        "db3   standby  1         0/3000100  256 B, 1.5 s  quorum",
        "slots on db1: db2 in use, keeps 0 B; 3.0 GiB free",
    ]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("states", "errors", "said", "command"),
    [
        (
            [primary(), primary("db2", timeline=2), standby("db3")],
            {},
            "✗ split brain: db1 and db2 both run as primaries of main\n    db1: primary, timeline 1, 0/3000100",
            "",
        ),
        ([standby("db2"), standby("db3")], {"db1": "no route"}, "db1 was, and does not answer", "failover main"),
        (
            [
                member("db1", standby=True, state="shut down"),
                standby("db2", decision={"epoch": 2, "primary": "db2", "before": "db1", "kind": "switchover"}),
                standby("db3"),
            ],
            {},
            "the switchover from db1 to db2 stopped half-way: nobody is the primary",
            "switchover main",
        ),
        (
            [
                primary(
                    "db2", timeline=2, decision={"epoch": 2, "primary": "db2", "before": "db1", "kind": "failover"}
                ),
                member("db1", state="in production", why="epoch 2 names db2"),
                standby("db3", timeline=2),
            ],
            {},
            "db1 has the data of a former primary, and is stopped",
            "rejoin main db1",
        ),
        (
            [standby("db2", decision=FAILED_OVER), standby("db3", decision=FAILED_OVER)],
            {"db1": "no route"},
            "the failover to db2 stopped half-way: nobody is the primary",
            "failover main --fenced db1",
        ),
        (
            [member("db1", state="in production"), standby("db2", decision=FAILED_OVER), standby("db3")],
            {},
            "the failover to db2 stopped half-way: nobody is the primary",
            "failover main",
        ),
        (
            [primary(held="a switchover to db2 is on its way"), standby("db2"), standby("db3")],
            {},
            "db1 gets no writes: a switchover to db2 is on its way",
            "failover main",
        ),
        (
            [
                primary(slots=[{"name": "db3", "active": False, "kept": 5, "status": "lost"}]),
                standby("db2"),
                standby("db3", receiving=None),
            ],
            {},
            "db3 was away for too long: the WAL that it needs is gone",
            "reinit main db3",
        ),
        (
            [primary(), standby("db2"), standby("db3", receiving=None, upstream="")],
            {},
            "db3 receives nothing: it follows nobody",
            "rejoin main db3",
        ),
        (
            [primary(replicas=[]), standby("db2"), standby("db3")],
            {},
            "writes hang: commits wait for 1 standby, and none is attached to db1",
            "",
        ),
        (
            [primary(pending=["max_connections"]), standby("db2"), standby("db3")],
            {},
            "db1 needs a restart for max_connections",
            "hakit apply",
        ),
        (
            [primary(), standby("db2"), member("db3", data="foreign")],
            {},
            "the data directory of db3 holds something else than a cluster",
            "reinit main db3",
        ),
        (
            [
                primary(slots=[{"name": "db3", "active": False, "kept": 0, "status": "lost"}]),
                standby("db2"),
                member("db3", standby=True, state="shut down in recovery"),
            ],
            {},
            "db3 was away for too long: the WAL that it needs is gone",
            "reinit main db3",
        ),
        (
            [
                primary(),
                standby("db2"),
                standby("db3", receiving=None, why="requested WAL segment 0A has already been removed"),
            ],
            {},
            "db3 was away for too long: the WAL that it needs is gone",
            "reinit main db3",
        ),
        (
            [primary(), standby("db2"), standby("db3", receiving=None, why="password authentication failed")],
            {},
            "db3 receives nothing from db1: password authentication failed",
            "hakit apply",
        ),
        (
            [primary(), standby("db2"), member("db3", system="", why="it belongs to daemon")],
            {},
            "the data of db3 can't be used: it belongs to daemon",
            "reinit main db3",
        ),
        (
            [primary(free=900 << 10), standby("db2"), standby("db3")],
            {},
            "db1 has 0 MiB left for WAL, and its server stops when that is full: make room",
            "",
        ),
        (
            [primary(), standby("db2"), member("db3", system="8", standby=True)],
            {},
            "split brain: the members of main have the data of different clusters (db1, db2: 7; db3: 8)\n    db1: ",
            "reinit main db3",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_command_that_mends_it(
    states: list[MemberState], errors: dict[str, str], said: str, command: str
) -> None:
    found = picture(*states, **errors)
    text = status_text(found, NOW)
    assert said in text
    assert command in text
    assert found.findings()
    assert json.dumps(status_json(found, NOW))


@pytest.mark.parametrize(
    ("kind", "before", "said", "command"),
    [
        ("switchover", "db1", "a switchover to db2 was begun and not ended; db1 is still the primary", "switchover"),
        ("failover", "db1", "a failover to db2 was begun and not ended; db1 is still the primary", "failover"),
        ("made", "", "db2 was made the primary, but db1 leads: it was promoted by other means", "failover"),
        ("started", "db1", "db2 was to go on as the primary, but db1 leads", "failover"),
        ("switchover", "db3", "db2 was named the primary (by a switchover), but db1 leads", "switchover"),
    ],
)
def test_a_decision_that_names_another_one_is_told_by_its_kind(kind: str, before: str, said: str, command: str) -> None:
    named = {"epoch": 2, "primary": "db2", "before": before, "kind": kind}
    found = picture(primary(decision=named), standby("db2"), standby("db3")).findings()
    assert [(said in one.text, one.command) for one in found] == [(True, f"hakit postgres {command} main")]


def test_where_nobody_answers_nobody_is_to_be_promoted() -> None:
    found = picture(**dict.fromkeys(MEMBERS, "no route"))
    lines = status_text(found, NOW).splitlines()
    assert lines[0] == "main  unknown  nobody answers"
    assert "✗ no member of main answers, so nobody can tell who leads" in lines
    assert "failover" not in "".join(lines)


def test_a_cluster_that_is_not_made_says_so_once() -> None:
    blank = [member(host, installed=False, data="absent", decision=None) for host in MEMBERS]
    assert status_text(picture(*blank), NOW).splitlines()[-2:] == ["✗ main is not made yet", "    hakit apply"]


def test_a_command_that_mends_two_things_is_named_once() -> None:
    pending = [primary(pending=["max_connections"]), standby("db2", pending=["max_connections"]), standby("db3")]
    assert status_text(picture(*pending), NOW).count("hakit apply") == 1


@pytest.mark.parametrize(
    ("kind", "before", "said"),
    [
        ("switchover", "db2", "switchover to db1 from db2"),
        ("failover", "", "failover to db1"),
        ("started", "db1", "db1 goes on as the primary"),
    ],
)
def test_the_last_decision_is_told_with_its_time_and_who_made_it(
    kind: str, before: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    when = {"since": "2026-11-22T15:00:00Z", "who": "ann@desk"}
    moved = {"epoch": 2, "primary": "db1", "before": before, "kind": kind, **when}
    text = status_text(picture(primary(decision=moved), standby("db2"), standby("db3")), NOW)
    assert f"last decided: {said}, 2026-11-22 15:00:00 +0000, by ann@desk" in text


def test_who_is_waited_for_is_named() -> None:
    asking = Moving(("db1", "db2"), asking=True)
    assert asking.lines() == []
    asking.begin(time.monotonic() - 2.0)
    assert asking.lines() == ["waiting for db1, db2  2.0 s"]
    asking.sink(Reached("db1", 0.1))
    assert asking.lines() == ["waiting for db2  2.0 s"]
    asking.sink(Unreachable("db2", ConnectError("db2: no route")))
    assert asking.lines() == []


def test_members_of_another_cluster_are_a_split_brain() -> None:
    assert "different clusters" in picture(primary(), standby("db2", system="8"), standby("db3")).torn


def test_one_that_holds_a_commit_back_is_in_its_place() -> None:
    slots = [{"name": "db3", "active": False, "kept": 5, "status": "extended"}]
    late = standby("db3", receiving=None, delays=True, replayed="0/2000000")
    replicas = [{"name": "db2", "state": "streaming", "sync": "quorum"}]
    found = picture(primary(slots=slots, replicas=replicas), standby("db2"), late)
    assert found.findings() == ()
    assert "delayed" in status_text(found, NOW)


def test_who_has_the_data_of_another_cluster_is_copied_anew() -> None:
    found = picture(primary(), standby("db2"), member("db3", system="8", timeline=5))
    assert found.astray == ("db3",)
    text = status_text(found, NOW)
    assert "db3 has the data of another cluster" in text
    assert "rejoin" not in text


def test_an_epoch_that_was_decided_twice_is_a_split_brain() -> None:
    other = {"epoch": 1, "primary": "db2", "kind": "failover"}
    assert "decided twice" in picture(primary(), standby("db2", decision=other)).torn


def test_a_standby_on_a_newer_timeline_than_the_primary_is_a_split_brain() -> None:
    torn = picture(primary(), standby("db2", timeline=2), standby("db3")).torn
    assert torn == "db1 is the primary on timeline 1, and db2 is on timeline 2"


def test_who_was_promoted_by_hand_is_copied_anew_once_it_is_stopped() -> None:
    rival = member("db2", timeline=2, state="shut down", checkpoint="0/3000200")
    found = picture(primary(), rival, standby("db3"))
    assert found.astray == ("db2",)
    text = status_text(found, NOW)
    assert "ALARM" in text
    assert "hakit postgres reinit main db2" in text
    assert "rejoin" not in text


@pytest.mark.parametrize(
    "states",
    [
        [primary(), primary("db2", timeline=2), standby("db3")],
        [primary(), member("db2", timeline=2, decision={**DECISION, "epoch": 2, "primary": "db2"}), standby("db3")],
        [primary(), primary("db2", system="8"), standby("db3")],
        [standby("db1"), standby("db2"), member("db3", system="8")],
        [standby("db1"), member("db2", timeline=2), standby("db3")],
        [primary(), standby("db2"), standby("db3")],
    ],
    ids=["it runs", "it was decided", "another one runs", "another one, nobody leads", "nobody leads", "all is well"],
)
def test_nobody_is_astray_while_it_is_not_clear_who_is_right(states: list[MemberState]) -> None:
    assert picture(*states).astray == ()


def test_an_outcome_names_the_pause_and_what_is_left() -> None:
    outcome = Outcome("switchover", "db2", "db1", 3, 4, 0.8342, left={"db3": "is off"}, next=("hakit postgres x",))
    text = outcome_text("main", outcome)
    assert "switched over to db2 (timeline 3); writes paused for 0.83 s" in text
    assert "db3 is not in its place: is off" in text
    assert outcome_json("main", outcome)["pause"] == 0.834


def test_what_a_host_says_of_itself_names_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    Moving(("db1",)).sink(Noted("db1", "db1 was not shut down cleanly: it recovers first"))
    assert capsys.readouterr().err == "db1  was not shut down cleanly: it recovers first\n"


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 1024, 20 << 20, 3 << 30)] == ["0 B", "1023 B", "1.0 KiB", "20 MiB", "3.0 GiB"]
