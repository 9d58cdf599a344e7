from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.errors import Failure
from hakit.agent.postgres import record
from hakit.agent.postgres.decision import Decision
from hakit.agent.postgres.place import Member, Place
from hakit.agent.work import Work
from tests.unit.agent.postgres.servers import account

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place(
    version=15,
    cluster="main",
    host="db1",
    data="/data",
    members=tuple(Member(name=f"db{n}", address=f"10.0.0.{n}") for n in (1, 2, 3)),
)


class Kept:
    """The record of db1 below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        uid, gid, _ = account()
        self.path = root / PLACE.decision.lstrip("/")
        self.path.parent.mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text(f"postgres:x:{uid}:{gid}::/:/bin/sh\n")
        (root / "etc/group").write_text(f"postgres:x:{gid}:\n")
        self.work = Work(str(root), lambda _: None)

    def decide(self, epoch: int, primary: str, **more: Any) -> dict[str, Any]:
        text = json.dumps({"epoch": epoch, "primary": primary, "kind": "switchover", **more})
        return record.decide(PLACE, text, self.work)

    @property
    def known(self) -> Decision:
        return record.read(str(self.path))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_nothing_was_decided_where_nothing_is(kept: Kept) -> None:
    assert kept.known == Decision()
    assert (kept.known.epoch, kept.known.primary) == (0, "")


def test_a_decision_is_kept_for_the_server_to_read(kept: Kept) -> None:
    answer = kept.decide(2, "db2", before="db1", since="2026-11-22T16:03:11Z", run="r", who="ann", excused=["db3"])
    assert kept.known == Decision(
        epoch=2, primary="db2", before="db1", kind="switchover", since="2026-11-22T16:03:11Z", run="r", who="ann",
        excused=("db3",),
    )  # fmt: skip
    assert answer == json.loads(kept.path.read_text())
    info = kept.path.stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (*account()[:2], 0o640)


def test_only_a_newer_decision_replaces_one(kept: Kept) -> None:
    kept.decide(3, "db2")
    for epoch, primary in ((2, "db3"), (3, "db3"), (1, "db2")):
        with pytest.raises(Failure, match="epoch 3 already: db2 is primary"):
            kept.decide(epoch, primary)
    assert kept.known.primary == "db2"
    kept.decide(4, "db3")
    assert kept.known.primary == "db3"


def test_the_same_decision_again_is_done_already(kept: Kept) -> None:
    kept.decide(3, "db2", run="r", excused=["db1", "db3"])
    record.count_again(str(kept.path), {"db3"})
    assert kept.decide(3, "db2", run="r", excused=["db1", "db3"])["excused"] == ["db1"]
    with pytest.raises(Failure):
        kept.decide(3, "db2", run="another")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"epoch": 0}',
        '{"epoch": 1}',
        '{"epoch": 1, "primary": "db1", "kind": "whim"}',
        '{"epoch": "1", "primary": "db1", "kind": "made"}',
        '{"epoch": true, "primary": "db1", "kind": "made"}',
        '{"epoch": -1, "primary": "db1", "kind": "made"}',
        '{"epoch": 1, "primary": 7, "kind": "made"}',
        '{"epoch": 1, "primary": "db1", "kind": "made", "excused": "db2"}',
        '{"epoch": 1, "primary": "db1", "kind": "made", "excused": [2]}',
    ],
)
def test_what_is_no_decision_is_refused_and_changes_nothing(kept: Kept, text: str) -> None:
    kept.decide(1, "db2")
    before = kept.path.read_bytes()
    with pytest.raises(Failure, match="no record of a decision"):
        record.decide(PLACE, text, kept.work)
    assert kept.path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"{", b'{"epoch": 1}', b"\xff", b'{"epoch": 1, "primary": "db1", "kind": "?"}'])
def test_a_damaged_record_is_never_taken_for_none(kept: Kept, data: bytes) -> None:
    kept.path.write_bytes(data)
    with pytest.raises(Failure, match="is no record of a decision"):
        record.read(str(kept.path))
    with pytest.raises(Failure):
        kept.decide(9, "db1")


def test_a_link_in_its_place_is_not_followed(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"epoch": 1, "primary": "db1", "kind": "made"}')
    kept.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure):
        record.read(str(kept.path))


def test_words_that_a_newer_version_adds_are_no_harm(kept: Kept) -> None:
    kept.decide(1, "db1", weather="fine")
    assert kept.known.primary == "db1"


def test_the_first_decision_excuses_those_who_never_joined(kept: Kept) -> None:
    record.write_first(PLACE, kept.work)
    assert (kept.known.epoch, kept.known.primary, kept.known.kind) == (1, "db1", "made")
    assert kept.known.excused == ("db2", "db3")


def test_the_first_decision_is_written_once(kept: Kept) -> None:
    record.write_first(PLACE, kept.work)
    record.count_again(str(kept.path), {"db2"})
    record.write_first(PLACE, kept.work)
    assert (kept.known.epoch, kept.known.excused) == (1, ("db3",))


def test_a_cluster_made_where_another_one_was_has_a_newer_decision(kept: Kept) -> None:
    kept.decide(4, "db2")
    record.write_first(PLACE, kept.work)
    assert (kept.known.epoch, kept.known.primary) == (5, "db1")


def test_who_has_come_back_counts_again(kept: Kept) -> None:
    kept.decide(2, "db1", excused=["db2", "db3"])
    assert not record.count_again(str(kept.path), {"db1"})
    assert record.count_again(str(kept.path), {"db3", "db1"})
    assert (kept.known.epoch, kept.known.excused) == (2, ("db2",))


def test_a_decision_is_not_lost_to_who_shortens_the_list_meanwhile(kept: Kept) -> None:
    kept.decide(1, "db1", excused=[f"x{n}" for n in range(40)])
    done = threading.Event()

    def shorten() -> None:
        for number in range(40):
            record.count_again(str(kept.path), {f"x{number}"})
        done.set()

    thread = threading.Thread(target=shorten)
    thread.start()
    epoch = 1
    while not done.is_set():
        epoch += 1
        kept.decide(epoch, "db2", excused=[f"x{n}" for n in range(40)])
        assert kept.known.epoch == epoch
    thread.join()
    assert epoch > 1
    assert kept.known.epoch == epoch
