from __future__ import annotations

import threading

import pytest

from hakit.lab.workers import side_by_side


def test_so_many_at_once_and_all_in_the_end() -> None:
    two = threading.Barrier(2)
    done: list[int] = []

    def work(item: int) -> None:
        two.wait(5)
        done.append(item)

    side_by_side([1, 2, 3, 4], work, 2, lambda _: pytest.fail("nothing is to be stopped"))
    assert sorted(done) == [1, 2, 3, 4]
    side_by_side([], work, 2, lambda _: None)


def test_an_error_stops_what_is_under_way_and_begins_nothing_more() -> None:
    stopped = threading.Event()
    begun: list[str] = []
    ended: list[str] = []

    def work(item: str) -> None:
        begun.append(item)
        if item == "bad":
            raise OSError(item)
        assert stopped.wait(5)

    def stop(item: str) -> None:
        ended.append(item)
        stopped.set()

    with pytest.raises(OSError, match="bad"):
        side_by_side(["slow", "bad", "later", "last"], work, 2, stop)
    assert set(begun) <= {"slow", "bad", "later"}
    assert "slow" in ended
