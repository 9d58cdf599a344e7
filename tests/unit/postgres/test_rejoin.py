"""Taking a member back that can't follow: what is said, and that its server is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import RefusedError
from hakit.postgres.conductor import Conductor
from hakit.postgres.layout import Layout, Synchrony
from hakit.postgres.rejoin import Return

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hakit.errors import HakitError

NAMES = ("db1", "db2", "db3")
DECISION = {"epoch": 1, "primary": "db1", "kind": "made", "excused": []}
LEAD = {
    "installed": True,
    "data": "cluster",
    "system": "7",
    "timeline": 1,
    "state": "in production",
    "running": True,
    "role": "primary",
    "lsn": "0/3000100",
    "decision": DECISION,
}
LOST = {"slots": [{"name": "db3", "active": False, "kept": 0, "status": "lost"}]}


def standby(**more: Any) -> dict[str, Any]:
    streams = {"receiving": {"status": "streaming", "from": "db1", "heard": 0.1}, "standby": True, "upstream": "db1"}
    return {**LEAD, "role": "standby", "state": "in archive recovery", **streams, **more}


class Hands:
    """Members that answer looks, and whose standbys come to stream, or never do."""

    def __init__(self, looks: Mapping[str, dict[str, Any]], *, streams: bool = False) -> None:
        self.looks = looks
        self.streams = streams
        self.slots: dict[str, str] = {}
        self.done: list[tuple[str, str]] = []
        self.errors: Mapping[str, HakitError] = {}
        self.reachable = NAMES
        self.waits: list[float] = []

    def do(self, host: str, verb: str, arguments: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """Carry out one verb."""
        del timeout
        if verb == "look":
            return self.looks[host]
        self.done.append((host, verb))
        if verb == "slots":
            self.slots[host] = arguments["hosts"]
        if verb == "follow" and "wait" in arguments and not self.streams:
            self.waits.append(float(arguments["wait"]))
            raise RefusedError(f"{host} did not begin to stream")
        return {}

    def each(
        self, hosts: Iterable[str], verb: str, arguments: Callable[[str], Mapping[str, str]], timeout: float
    ) -> tuple[dict[str, dict[str, Any]], dict[str, HakitError]]:
        """Carry out one verb on several."""
        return {host: self.do(host, verb, arguments(host), timeout) for host in hosts}, {}


def taking_back(hands: Hands) -> Return:
    layout = Layout("main", NAMES, NAMES, NAMES, NAMES, Synchrony(1, NAMES), "db1")
    return Return(Conductor(layout, hands), "db3")


@pytest.mark.parametrize(
    ("why", "said", "hint"),
    [
        (
            "could not receive data from WAL stream: ERROR: requested WAL segment 0A has already been removed",
            "db3 was away for too long: db1 no longer has the WAL that it needs",
            "hakit postgres reinit main db3",
        ),
        (
            'could not connect to the primary server: FATAL: password authentication failed for user "replicator"',
            "db1 does not let db3 in",
            "hakit apply",
        ),
        (
            'could not write to file "pg_wal/xlogtemp.9": No space left on device',
            "the disk of db3 is full",
            "make room there",
        ),
    ],
    ids=["away for too long", "password", "full"],
)
def test_a_standby_that_no_rewind_helps_is_left_running(why: str, said: str, hint: str) -> None:
    hands = Hands({"db1": LEAD, "db2": standby(), "db3": standby(receiving=None, why=why)})
    with pytest.raises(RefusedError, match=said) as caught:
        taking_back(hands).rejoin()
    assert hint in str(caught.value.hint)
    assert caught.value.why == why
    assert hands.done == [("db3", "decide"), ("db1", "slots"), ("db3", "follow")]


STOPPED = {"running": False, "role": "", "receiving": None}


@pytest.mark.parametrize(
    "words",
    [
        {"state": "in archive recovery"},
        {"state": "shut down in recovery"},
        {"state": "in production", "unstarted": True},
    ],
    ids=["crashed", "shut down", "copied, not started yet"],
)
def test_a_standby_that_does_not_run_is_started_and_no_former_primary(words: dict[str, Any]) -> None:
    hands = Hands({"db1": LEAD, "db2": standby(), "db3": standby(**STOPPED, **words)}, streams=True)
    assert taking_back(hands).rejoin().notes == ("it had only to be started",)
    assert ("db3", "rewind") not in hands.done


def test_a_former_primary_that_was_told_to_be_a_standby_is_compared_and_not_just_started() -> None:
    newer = {**LEAD, "timeline": 2}
    for state in ("shut down", "in production"):
        hands = Hands({"db1": newer, "db2": standby(timeline=2), "db3": standby(**STOPPED, state=state)}, streams=True)
        taking_back(hands).rejoin()
        done = [verb for host, verb in hands.done if host == "db3"]
        assert done.index("rewind") < done.index("start")


def test_one_whose_slot_lost_its_wal_is_not_waited_for_as_long() -> None:
    gone = standby(receiving=None, why="requested WAL segment 0A has already been removed")
    for lead, why, wait in ((LEAD, "", 30.0), ({**LEAD, **LOST}, "", 5.0), (LEAD, gone["why"], 5.0)):
        hands = Hands({"db1": lead, "db2": standby(), "db3": {**gone, "why": why}})
        with pytest.raises(RefusedError):
            taking_back(hands).rejoin()
        assert hands.waits[0] == wait


def test_data_of_another_cluster_are_copied_anew_and_not_taken_back() -> None:
    hands = Hands({"db1": LEAD, "db2": standby(), "db3": standby(system="8", running=False, role="", receiving=None)})
    with pytest.raises(RefusedError, match="different clusters") as caught:
        taking_back(hands).rejoin()
    assert "hakit postgres reinit main db3" in str(caught.value.hint)
    assert hands.done == []
    with pytest.raises(RefusedError, match=r"was copied, and does not stream"):  # of a model in which nobody does
        taking_back(hands).reinit()
    assert ("db3", "reinit") in hands.done


def test_who_follows_a_standby_again_has_no_slot_left_on_the_primary() -> None:
    hands = Hands({"db1": LEAD, "db2": standby(), "db3": standby()}, streams=True)
    layout = Layout("main", NAMES, NAMES, NAMES, NAMES, Synchrony(1, NAMES), "db1", {"db3": "db2"})
    Return(Conductor(layout, hands), "db3").rejoin()
    assert hands.slots == {"db2": "db3", "db3": "", "db1": "db2"}


def test_while_its_standby_is_away_it_has_one_there() -> None:
    hands = Hands({"db1": LEAD, "db2": standby(running=False, role="", receiving=None), "db3": standby()}, streams=True)
    layout = Layout("main", NAMES, NAMES, NAMES, NAMES, Synchrony(1, NAMES), "db1", {"db3": "db2"})
    Return(Conductor(layout, hands), "db3").rejoin()
    assert set(hands.slots["db1"].split(",")) == {"db2", "db3"}
