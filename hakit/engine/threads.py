"""Work in threads: begun so that nobody has to wait for it in the end, waited for so that an interrupt is heard."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_once
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")
LISTEN: Final = 0.5
"""Seconds after which a wait for workers is begun anew. A signal that comes between Python's look for signals and the
system call of a wait is noticed only when that ends."""


def begin(work: Callable[P, T], *words: P.args, **named: P.kwargs) -> Future[T]:
    """Call `work` in a thread of its own; a pool's threads would keep the program until each dead host is given up."""
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work(*words, **named))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=carry_out, name="hakit", daemon=True).start()
    return future


def wait(
    futures: Iterable[Future[T]], timeout: float | None = None, *, first: bool = False
) -> tuple[set[Future[T]], set[Future[T]]]:
    """Wait for all of these, or with `first` for one, at most `timeout` seconds: those done, and the others."""
    pending, until = set(futures), FIRST_COMPLETED if first else ALL_COMPLETED
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LISTEN if end is None else max(0.0, end - time.monotonic())
        done, late = wait_once(pending, min(LISTEN, left), until)
        if not late or (first and done) or left < LISTEN:
            return done, late


def each(work: Callable[[S], T], items: Iterable[S], at_once: int) -> list[T]:
    """What `work` makes of each item, in their order, `at_once` at a time.

    An interrupt begins no more, and leaves alone what runs.
    """
    waiting = deque(items)
    begun: list[Future[T]] = []
    running: set[Future[T]] = set()
    while waiting or running:
        while waiting and len(running) < at_once:
            begun.append(begin(work, waiting.popleft()))
            running.add(begun[-1])
        _, running = wait(running, first=True)
    return [one.result() for one in begun]


def completed(futures: Iterable[Future[T]]) -> Iterator[Future[T]]:
    """These, each as soon as it is done."""
    late = set(futures)
    while late:
        done, late = wait(late, first=True)
        yield from done
