"""How long a read-only command waits for members that take their time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from hakit.engine import threads
from hakit.errors import ConnectError
from hakit.postgres import sessions


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SOON", 0.3)


def ended(error: Exception | None = None) -> Future[None]:
    future: Future[None] = Future()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
    return future


def waited(*futures: Future[None]) -> float:
    began = time.monotonic()
    sessions.wait_for_most(futures)
    return time.monotonic() - began


def test_who_is_silent_is_not_waited_for_once_another_has_answered() -> None:
    assert 0.3 <= waited(ended(), ended(), Future()) < 5


def test_those_that_are_not_slower_than_others_are_waited_for() -> None:
    late: Future[None] = Future()
    threading.Timer(0.2, late.set_result, (None,)).start()
    later: Future[None] = Future()
    threading.Timer(0.5, later.set_result, (None,)).start()
    waited(late, later)
    assert later.done()


def test_while_nobody_has_answered_all_are_waited_for() -> None:
    late: Future[None] = Future()
    threading.Timer(0.8, late.set_result, (None,)).start()
    assert waited(ended(ConnectError("no route")), late) >= 0.7
    assert late.done()


def test_a_thread_gives_its_result_or_its_error() -> None:
    assert threads.begin(divmod, 7, 2).result(5) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.begin(divmod, 7, 0).result(5)
