"""Work on several hosts side by side."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
LOOK: Final = 0.2
"""Seconds after which a wait is begun anew: an interrupt that another thread gets does not end it."""


def side_by_side(items: Sequence[T], work: Callable[[T], None], at_once: int, stop: Callable[[T], None]) -> None:
    """Do `work` on each item, on so many at once; raises the first error.

    After an error or an interrupt nothing more is begun, and `stop` ends what is under way.
    """
    if not items:
        return
    begun: list[T] = []

    def one(item: T) -> None:
        begun.append(item)
        work(item)
        begun.remove(item)

    with ThreadPoolExecutor(min(at_once, len(items))) as pool:
        futures = [pool.submit(one, item) for item in items]
        try:
            while True:
                ended, under_way = wait(futures, LOOK, FIRST_EXCEPTION)
                for future in ended:
                    future.result()
                if not under_way:
                    return
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for item in tuple(begun):
                stop(item)
            raise
