"""Ctrl-C at each step of a command: it ends where the cluster can be left, or does what it began."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import RefusedError, StoppedError
from hakit.postgres.failover import Failover
from hakit.postgres.switchover import Switchover
from tests.unit.postgres.model import READING, Model, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

SWITCHOVER_STEPS, FAILOVER_STEPS = 24, 14
"""More than there are, so that the last ones interrupt nothing."""


class Impatient(Model):
    """Somebody presses Ctrl-C right after these steps."""

    presses: frozenset[int] = frozenset()
    halted = False
    """Whether a step was carried out that must not be left so."""

    def do(self, host: str, verb: str, arguments: Mapping[str, str], timeout: float) -> dict[str, Any]:
        answer = super().do(host, verb, arguments, timeout)
        self.halted |= verb in ("decide", "halt", "hold")
        if verb not in READING and self.steps in self.presses:
            signal.raise_signal(signal.SIGINT)
        return answer


def loaded(*presses: int) -> Impatient:
    model = Impatient()
    assert all(model.write() for _ in range(3))
    model.presses = frozenset(presses)
    return model


@pytest.mark.parametrize("step", range(1, SWITCHOVER_STEPS))
def test_a_switchover_is_done_or_undone(step: int) -> None:
    model = loaded(step)
    try:
        outcome = Switchover(model.conductor()).run("db2")
    except StoppedError:
        assert model.primary == "db1"
    except KeyboardInterrupt:
        assert not model.halted
    else:
        assert (outcome.primary, outcome.left) == ("db2", {})
    assert model.healthy()
    assert model.write()
    assert not model.lost()


def test_an_interrupted_switchover_says_that_it_goes_on() -> None:
    model = loaded(2)
    told: list[tuple[str, str]] = []
    conductor = model.conductor()
    conductor.note = lambda host, text: told.append((host, text))
    with pytest.raises(StoppedError, match="main is as it was") as caught:
        Switchover(conductor).run("db2")
    assert "db1 is the primary as before" in str(caught.value.hint)
    assert [text for _, text in told if "Ctrl-C again" in text]


@pytest.mark.parametrize("step", range(2, 12))
def test_a_second_interrupt_ends_at_once_and_the_next_one_finishes(step: int) -> None:
    model = loaded(step, step + 1)
    with pytest.raises(KeyboardInterrupt):
        Switchover(model.conductor()).run("db2")
    model.presses = frozenset()
    if not (model.primary and model.healthy()):
        Switchover(model.conductor()).run()
    assert model.healthy()
    assert not model.lost()


@pytest.mark.parametrize("step", range(1, FAILOVER_STEPS))
def test_a_failover_is_done_or_undone(step: int) -> None:
    model = loaded(step)
    model.power_off("db1")
    try:
        outcome = Failover(model.conductor(), lambda _: False).run(fenced=["db1"])
    except StoppedError:
        assert model.primary == ""
        assert all(one.upstream == "db1" for one in model.servers.values() if one.power)
        model.presses = frozenset()
        outcome = Failover(model.conductor(), lambda _: False).run(fenced=["db1"])
    assert model.primary == outcome.primary
    assert model.write()
    assert not model.lost()


def test_nothing_is_begun_that_the_operator_does_not_agree_to() -> None:
    model = loaded()
    asked: list[str] = []

    def no(question: str) -> None:
        asked.append(question)
        raise LookupError

    conductor = model.conductor()
    conductor.agree = no
    with pytest.raises(LookupError):
        Switchover(conductor).run()
    model.power_off("db1")
    with pytest.raises(LookupError):
        Failover(conductor, lambda _: False).run(fenced=["db1"])
    assert model.steps == 0
    assert asked == [
        "Switch main over from db1 to db2? Writes pause for a moment.",
        "Make db2 the primary of main?",
    ]


def test_the_question_says_what_writers_will_notice() -> None:
    model = Model(2, 1)
    asked: list[str] = []
    assert model.write()
    conductor = model.conductor()
    conductor.agree = asked.append
    Switchover(conductor).run("db2")
    assert "until db1 has started again" in asked[0]


@pytest.mark.parametrize(
    ("to", "said"), [("", "Make db2 the primary of main?"), ("db1", "Open db1 again as the primary")]
)
def test_the_question_names_the_servers_that_run_and_are_stopped(
    to: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded()
    look = model.do_look

    def slow(server: Server) -> dict[str, Any]:
        answer = look(server)
        return {**answer, "role": "", "lsn": ""} if server.leads and server.host == "db1" else answer

    monkeypatch.setattr(model, "do_look", slow)
    asked: list[str] = []
    conductor = model.conductor()
    conductor.agree = asked.append
    with suppress(RefusedError):
        Failover(conductor, lambda _: False).run(to, accept_loss=bool(to))
    assert asked[0].startswith(said)
    assert "The server of db1 runs and does not answer: it is stopped first." in asked[0]
