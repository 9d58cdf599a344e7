"""Work in threads: what is waited for, and for how long."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from hakit.engine.threads import LISTEN, begin, completed, each, wait


def test_all_are_waited_for() -> None:
    gate = threading.Event()
    works: list[Future[Any]] = [begin(gate.wait, 10), begin(int, "7")]
    threading.Timer(LISTEN * 1.5, gate.set).start()
    done, late = wait(works)
    assert (done, late) == (set(works), set())
    assert works[1].result() == 7


def test_one_is_enough_with_first() -> None:
    never: Future[Any] = Future()
    quick: Future[Any] = begin(int, "7")
    assert wait([never, quick], first=True) == ({quick}, {never})


def test_no_longer_than_told() -> None:
    never: Future[int] = Future()
    for timeout in (0.0, 0.1, LISTEN + 0.1):
        began = time.monotonic()
        assert wait([never], timeout) == (set(), {never})
        assert timeout <= time.monotonic() - began < timeout + 2


def test_nothing_is_done_at_once() -> None:
    nothing: list[Future[int]] = []
    assert wait(nothing) == (set(), set())
    assert list(completed(nothing)) == []


def test_each_comes_when_it_is_done() -> None:
    gate = threading.Event()
    slow: Future[Any] = begin(gate.wait, 10)
    quick: Future[Any] = begin(int, "7")
    found = completed([slow, quick])
    assert next(found) is quick
    gate.set()
    assert list(found) == [slow]


def test_so_many_at_once_and_in_their_order() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def work(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)  # long enough for others to begin meanwhile, if they may
        with lock:
            now[0] -= 1
        return -number

    assert each(work, range(9), 3) == [-number for number in range(9)]
    assert most == [3]
    assert each(work, (), 3) == []


def test_an_interrupt_begins_no_more_and_leaves_alone_what_runs() -> None:
    gate, begun, ended = threading.Event(), [], []

    def work(number: int) -> None:
        begun.append(number)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        gate.wait(10)
        ended.append(number)

    with pytest.raises(KeyboardInterrupt):
        each(work, range(9), 2)
    assert (sorted(begun), ended) == ([0, 1], [])
    gate.set()
