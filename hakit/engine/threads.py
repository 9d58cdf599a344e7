"""Work in threads that nobody waits for in the end, so that a command ends when it is done."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
P = ParamSpec("P")


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
