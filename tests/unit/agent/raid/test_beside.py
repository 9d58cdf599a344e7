"""Looks beside each other: all are waited for, in order, and nothing that one of them raises is lost."""

from __future__ import annotations

from _thread import allocate_lock

import pytest

from hakit.agent.raid.beside import beside


def test_they_go_on_beside_each_other() -> None:
    met = allocate_lock()
    met.acquire()

    def second() -> str:
        met.release()
        return "second"

    assert beside([lambda: f"first {met.acquire(timeout=30)}", second]) == ["first True", "second"]


def test_what_one_raises_is_raised_when_all_have_ended() -> None:
    ended = []

    def fails() -> None:
        raise OSError(5, "it can't be read")

    with pytest.raises(OSError, match="can't be read"):
        beside([fails, lambda: ended.append(1)])
    assert ended == [1]


def test_nothing_finds_nothing() -> None:
    assert beside([]) == []
