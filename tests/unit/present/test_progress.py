"""Progress on a terminal that is gone: nobody reads it, and the work goes on."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakit.engine.events import Noted, Started
from hakit.present import progress
from hakit.present.progress import Working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, tick: float) -> Iterator[Callable[[], None]]:
    """A terminal of our own as standard error, drawn on every `tick` seconds; call what is given to hang it up."""
    controller, ours = os.openpty()

    def hang_up() -> None:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, controller)
        os.close(nothing)

    try:
        with open(ours, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:  # noqa: PTH123 - a descriptor
            patch.setattr(sys, "stderr", stream)
            patch.setattr(progress, "TICK", tick)
            patch.setenv("TERM", "xterm")
            patch.delenv("NO_COLOR", raising=False)
            yield hang_up
    except OSError:  # what could not be written is written anew as the stream is closed
        pass
    finally:
        os.close(controller)


def test_a_terminal_that_hangs_up_ends_nobodys_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = False
    with terminal(monkeypatch, tick=3600) as hang_up:
        with Working(2, 3) as working:
            before = working.live
            working.sink(Started("web1", 3))
            hang_up()
            working.sink(Noted("web1", "goes on"))
            assert (before, working.live) == (True, False)
            with working.paused():
                working.sink(Noted("web1", "ends"))
        ended = True
    assert ended


def test_what_draws_the_progress_notices_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = False
    with terminal(monkeypatch, tick=0.01) as hang_up, Working(2, 3) as working:
        assert working.live
        hang_up()
        deadline = time.monotonic() + 30
        while working.live and time.monotonic() < deadline:
            time.sleep(0.01)
        gone = not working.live
    assert gone
