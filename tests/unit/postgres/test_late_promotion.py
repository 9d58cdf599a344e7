"""A promotion that was asked for and comes later than it was waited for: an open report holds the replay up."""

from __future__ import annotations

import pytest

from hakit.errors import HakitError, RefusedError
from hakit.postgres.failover import Failover
from hakit.postgres.switchover import Switchover
from tests.unit.postgres.model import Model

LONG = 1000
"""Answers: longer than any command."""


def loaded(hosts: int = 3, synchronous: int = 1) -> Model:
    model = Model(hosts, synchronous)
    assert all(model.write() for _ in range(3))
    return model


def failover(model: Model) -> Failover:
    return Failover(model.conductor(), lambda _: False)


def asked(to: str, delay: int, hosts: int = 3) -> Model:
    """A model with a failover whose promotion has not ended yet."""
    model = loaded(hosts, 2 if hosts > 3 else 1)
    model.power_off("db1")
    model.delay = LONG
    with pytest.raises(RefusedError, match=f"whether {to} was promoted is not known"):
        failover(model).run(to, ["db1"])
    model.delay = 0
    model.servers[to].promoting = 1 + delay
    return model


@pytest.mark.parametrize("hosts", [3, 5])
@pytest.mark.parametrize("to", ["", "db2", "db3"])
@pytest.mark.parametrize("delay", range(1, 50))
def test_however_late_it_comes_nobody_else_is_promoted_beside_it(to: str, delay: int, hosts: int) -> None:
    model = asked("db2", delay, hosts)
    for _ in range(3):
        try:
            failover(model).run(to, ["db1"])
        except HakitError:
            continue
        break
    assert model.primary
    for server in model.servers.values():
        if server.promoting:
            model.end_promotion(server)
    model.check()
    assert model.write()
    assert not model.lost()


@pytest.mark.parametrize("to", ["", "db3"])
def test_a_run_that_finds_it_promoted_meanwhile_says_so_and_the_next_one_goes_on(to: str) -> None:
    model = asked("db2", LONG)
    conductor = model.conductor()
    conductor.agree = lambda _: model.end_promotion(model.servers["db2"])
    with pytest.raises(RefusedError, match="db2 runs as a primary by now"):
        Failover(conductor, lambda _: False).run(to, ["db1"])
    assert failover(model).run("", ["db1"]).primary == "db2"


def test_the_next_run_keeps_to_whom_it_asked() -> None:
    model = asked("db3", LONG)
    assert failover(model).run("", ["db1"]).primary == "db3"


def test_another_one_is_promoted_only_after_that_one_was_restarted() -> None:
    model = asked("db3", LONG)
    outcome = failover(model).run("db2", ["db1"])
    assert (outcome.primary, outcome.loss) == ("db2", "")
    assert "stop db3 {'mode': 'fast'}" in model.log
    assert model.servers["db3"].standby
    assert not model.servers["db3"].promoting


def test_the_old_primary_is_opened_only_after_that_one_was_restarted() -> None:
    model = asked("db2", LONG)
    model.power_on("db1")
    failover(model).run("db1", accept_loss=True)
    assert model.primary == "db1"
    assert not model.servers["db2"].promoting


def test_an_old_primary_that_is_a_standby_on_its_disk_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    model.delay = LONG
    with pytest.raises(RefusedError, match="whether db2 was promoted is not known"):
        Switchover(model.conductor()).run("db2")
    look = model.do_look

    def slow(server: object) -> dict[str, object]:
        answer = look(model.servers["db2"]) if server is model.servers["db2"] else look(server)  # type: ignore[arg-type]  # a server of the model
        return {**answer, "lsn": "", "role": ""} if server is model.servers["db2"] else answer

    with monkeypatch.context() as patch:
        patch.setattr(model, "do_look", slow)
        with pytest.raises(RefusedError, match="db2 has not got all") as caught:
            Switchover(model.conductor()).run()
    assert "failover main" in str(caught.value.hint)
    assert not model.servers["db1"].running
    model.end_promotion(model.servers["db2"])
    assert Switchover(model.conductor()).run().primary == "db2"


def test_nobody_stops_writes_for_a_target_that_does_not_replay() -> None:
    model = loaded()
    model.servers["db2"].late = 16
    assert model.write()
    with pytest.raises(RefusedError, match="db2 does not come near db1") as caught:
        Switchover(model.conductor()).run("db2")
    assert "a long query there" in str(caught.value.why)
    assert (model.primary, model.servers["db1"].held) == ("db1", "")
    assert all(one.epoch < 2 for one in model.servers.values())
