"""Bootstrap interrupted: what was begun ends, what was not begun is named."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from hakit.cli.bootstrap import Bootstrap
from hakit.engine.manageable import Step
from hakit.present.prepare import ending

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from hakit.engine.prepare import Preparation

SOON = 10.0


@dataclass
class Bare:
    """A host that lacks sudo, and is as slow to get it as it takes to set `gate`."""

    begun: Callable[[], object]
    gate: threading.Event = field(default_factory=threading.Event)
    user: str = "ops"
    login: str = "root"
    steps: tuple[Step, ...] = (Step("sudo", "package sudo", ""),)
    proven: bool = False

    def look(self) -> None:
        pass

    def carry_out(self, on_line: Callable[[str, str], None]) -> None:
        on_line("begin", "sudo")
        self.begun()
        assert self.gate.wait(SOON)

    def prove(self) -> None:
        self.proven = True


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def prepared(hosts: dict[str, Bare], *, quiet: bool = False) -> Bootstrap:
    run = Bootstrap(cast("dict[str, Preparation]", hosts), 1, quiet=quiet)
    run.look()
    return run


def test_a_first_interrupt_finishes_what_was_begun(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = {name: Bare(lambda: None) for name in ("db1", "db2")}

    def begun() -> None:
        interrupt(signal.SIGHUP)
        threading.Timer(0.1, hosts["db1"].gate.set).start()

    hosts["db1"].begun = begun
    run = prepared(hosts)
    done = run.carry_out()
    assert run.stopped
    assert {name: one.ending for name, one in done.items()} == {"db1": "prepared", "db2": "lacking"}
    assert (hosts["db1"].proven, hosts["db2"].proven) == (True, False)
    assert "interrupted: finishing the hosts that were begun; Ctrl-C again" in capsys.readouterr().err
    text = ending(done, 1.0, Path("site"), stopped=True)
    assert text.startswith("db2  not begun\nStopped: 1 host prepared, 1 left as before, 0 failed.")


def test_a_second_interrupt_leaves_alone_what_runs() -> None:
    host = Bare(lambda: None)

    def twice() -> None:
        interrupt()
        interrupt(signal.SIGTERM)

    host.begun = twice
    (one,) = prepared({"db1": host}, quiet=True).carry_out().values()
    host.gate.set()
    assert (one.ending, str(one.error)) == ("failed", "db1: left in the middle")


def test_a_terminal_that_is_gone_ends_no_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    def hung_up(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    host = Bare(lambda: None)
    host.gate.set()
    run = prepared({"db1": host})
    monkeypatch.setattr(click, "echo", hung_up)
    assert [one.ending for one in run.carry_out().values()] == ["prepared"]
