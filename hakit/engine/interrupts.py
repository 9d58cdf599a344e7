"""Ctrl-C, SIGTERM and SIGHUP while steps are carried out: heard in turn with what ends, never in the middle of it."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def heard(tell: Callable[[], None]) -> Iterator[None]:
    """Have each signal call `tell` where it would raise KeyboardInterrupt anywhere.

    `tell` is called between any two instructions of the main thread, so it must be reentrant (`SimpleQueue.put` is). In
    another thread, where Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def arrive(number: int, frame: object) -> None:
        del number, frame
        tell()

    before = {number: signal.signal(number, arrive) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
