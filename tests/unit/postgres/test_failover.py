from __future__ import annotations

from typing import Any

import pytest

from hakit.errors import RefusedError
from hakit.postgres.failover import Failover
from hakit.postgres.rejoin import Return
from hakit.postgres.switchover import Switchover
from tests.unit.postgres.model import Killed, Model, Server


def loaded(hosts: int = 3, synchronous: int = 1) -> Model:
    model = Model(hosts, synchronous)
    assert all(model.write() for _ in range(3))
    return model


def failover(model: Model, fence: bool = False) -> Failover:
    def command(host: str) -> bool:
        if fence:
            model.power_off(host)
        return fence

    return Failover(model.conductor(), command)


@pytest.mark.parametrize(("hosts", "synchronous"), [(2, 1), (3, 1), (3, 2), (5, 2)])
def test_the_most_advanced_takes_the_place_of_a_dead_primary(hosts: int, synchronous: int) -> None:
    model = loaded(hosts, synchronous)
    model.power_off("db1")
    outcome = failover(model).run(fenced=["db1"])
    assert outcome.loss == ""
    assert (model.primary, outcome.before) == (outcome.primary, "db1")
    assert outcome.next == ("hakit postgres rejoin main db1",)
    model.write()
    assert not model.lost()


def test_the_old_primary_stays_shut_when_its_power_returns_and_rejoins() -> None:
    model = loaded()
    model.servers["db1"].wal.append((1, "never acknowledged"))
    model.power_off("db1")
    failover(model).run(fenced=["db1"])
    model.power_on("db1")
    assert not model.servers["db1"].running
    outcome = Return(model.conductor(), "db1").rejoin()
    assert outcome.notes == ("it was rewound",)
    assert model.healthy()
    assert model.write()
    assert not model.lost()


def test_nobody_is_promoted_while_the_old_primary_may_live() -> None:
    model = loaded()
    model.servers["db1"].wired = False
    with pytest.raises(RefusedError, match="db1 does not answer, and may still take writes") as caught:
        failover(model).run()
    assert "--fenced db1" in str(caught.value.hint)
    assert model.write(), "the standbys follow as before"


def test_a_fence_command_answers_for_the_old_primary() -> None:
    model = loaded()
    model.servers["db1"].wired = False
    outcome = failover(model, fence=True).run()
    assert not model.servers["db1"].power
    assert model.primary == outcome.primary


def test_a_host_that_answers_is_not_dead() -> None:
    model = loaded()
    with pytest.raises(RefusedError, match="db1 answers"):
        failover(model).run(fenced=["db1"])
    with pytest.raises(RefusedError, match="nothing to fail over"):
        failover(model).run()


def test_too_few_candidates_are_refused_and_the_standby_follows_again() -> None:
    model = loaded()
    model.power_off("db3")
    assert model.write()
    model.power_off("db1")
    with pytest.raises(RefusedError, match="may lose commits") as caught:
        failover(model).run(fenced=["db1", "db3"])
    assert "db3 can't" in str(caught.value.why)
    assert model.servers["db2"].upstream == "db1"
    outcome = failover(model).run(fenced=["db1", "db3"], accept_loss=True)
    assert outcome.loss
    assert model.primary == "db2"
    assert model.servers["db2"].decision["excused"] == ["db1", "db3"]


def test_an_asynchronous_cluster_says_what_may_be_lost() -> None:
    model = loaded(3, 0)
    model.power_off("db1")
    with pytest.raises(RefusedError, match="may lose commits") as caught:
        failover(model).run(fenced=["db1"])
    assert "wait for no standby" in str(caught.value.why)


def test_a_lagging_target_is_refused_by_what_it_lacks() -> None:
    model = loaded()
    model.servers["db3"].upstream = ""
    model.write()
    model.power_off("db1")
    with pytest.raises(RefusedError, match="may lose") as caught:
        failover(model).run("db3", ["db1"])
    assert "what db2 has and db3 has not (16 bytes of WAL)" in str(caught.value.why)
    assert failover(model).run(fenced=["db1"]).primary == "db2"


def test_each_unreachable_member_is_named_where_a_guard_could_miss_the_decision() -> None:
    model = loaded(5, 2)
    for host in ("db1", "db4", "db5"):
        model.power_off(host)
    with pytest.raises(RefusedError, match="db1 and db4 and db5 do not answer"):
        failover(model).run(fenced=[], accept_loss=True)


def test_a_stopped_primary_that_answers_is_opened_again_by_name() -> None:
    model = loaded()
    for host in ("db2", "db3"):
        model.power_off(host)
    model.power_off("db1")
    model.power_on("db1")
    assert not model.servers["db1"].running
    with pytest.raises(RefusedError, match="opening db1 may lose"):
        failover(model).run("db1", ["db2", "db3"])
    outcome = failover(model).run("db1", ["db2", "db3"], accept_loss=True)
    assert (outcome.kind, model.primary) == ("started", "db1")
    model.power_on("db2")
    model.power_on("db3")
    assert model.write()
    assert not model.lost()


def test_a_former_primary_is_demoted_over_ssh() -> None:
    model = loaded()
    model.servers["db1"].running = False
    failover(model).run()
    assert model.servers["db1"].signal
    Return(model.conductor(), "db1").rejoin()
    assert model.healthy()


def test_killed_at_each_step_the_next_one_finishes() -> None:
    model = loaded()
    model.power_off("db1")
    failover(model).run(fenced=["db1"])
    for kill in range(2, 2 * model.steps + 2):
        model = loaded()
        model.power_off("db1")
        model.kill_at = kill
        with pytest.raises(Killed):
            failover(model).run(fenced=["db1"])
        model.kill_at = -1
        model.power_on("db1")
        model.power_off("db1")
        done = all(model.streams(model.servers[one]) for one in ("db2", "db3") if one != model.primary)
        if not model.primary or not done or model.servers[model.primary].held:
            failover(model).run(fenced=["db1"])
        assert model.write(), (kill, model.log)
        assert not model.lost()
        model.power_on("db1")
        if not model.healthy():
            Return(model.conductor(), "db1").rejoin()
        assert model.healthy(), (kill, model.log)


def test_two_that_were_promoted_to_one_timeline_are_never_rewound() -> None:
    model = loaded()
    model.power_off("db1")
    model.servers["db2"].decision = {"epoch": 2, "primary": "db2", "kind": "failover", "excused": []}
    model.do_promote(model.servers["db2"])
    model.power_off("db2")
    failover(model).run("db3", ["db1", "db2"], accept_loss=True)
    model.power_on("db2")
    with pytest.raises(RefusedError, match="have both been primaries on timeline 2") as caught:
        Return(model.conductor(), "db2").rejoin()
    assert "hakit postgres reinit main db2" in str(caught.value.hint)
    Return(model.conductor(), "db2").reinit()
    model.power_on("db1")
    Return(model.conductor(), "db1").rejoin()
    assert model.healthy()


def test_a_promoted_one_that_nobody_followed_is_opened_not_overtaken() -> None:
    model = loaded()
    model.power_off("db1")
    model.servers["db2"].decision = {"epoch": 2, "primary": "db2", "kind": "failover", "excused": []}
    model.do_promote(model.servers["db2"])
    model.servers["db2"].running = False
    with pytest.raises(RefusedError, match="db2 was promoted to timeline 2") as caught:
        failover(model).run(fenced=["db1"])
    assert "failover main --to db2" in str(caught.value.hint)
    failover(model).run("db2", ["db1"], accept_loss=True)
    assert model.primary == "db2"


def test_the_one_with_more_is_chosen_whatever_the_order() -> None:
    model = loaded(3, 0)
    model.servers["db2"].upstream = ""
    model.write()
    model.power_off("db1")
    assert failover(model).run(fenced=["db1"], accept_loss=True).primary == "db3"


def test_where_not_all_can_be_halted_the_others_follow_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    model.power_off("db1")
    halt = model.do_halt

    def hang(server: Server) -> dict[str, Any]:
        if server.host == "db3":
            raise RefusedError("db3: the server still receives after 30 s")
        return halt(server)

    monkeypatch.setattr(model, "do_halt", hang)
    with pytest.raises(RefusedError, match="may lose commits"):
        failover(model).run(fenced=["db1"])
    assert model.servers["db2"].upstream == "db1"
    assert all(one.epoch < 2 for one in model.servers.values())


def test_a_primary_that_was_made_without_those_who_answer_is_reckoned_with() -> None:
    model = loaded(3, 2)
    for host in ("db1", "db3"):
        model.power_off(host)
    failover(model).run(fenced=["db1", "db3"], accept_loss=True)
    for host in ("db1", "db3"):
        model.power_on(host)
    model.servers["db2"].wired = False
    with pytest.raises(RefusedError, match="db2 does not answer, and may still take writes"):
        failover(model).run()
    assert model.primary == "db2"


def test_the_same_failover_again_finds_it_done() -> None:
    model = loaded()
    model.power_off("db1")
    first = failover(model).run(fenced=["db1"])
    again = failover(model).run(fenced=["db1"])
    assert (again.primary, again.epoch, again.timeline) == (first.primary, first.epoch, first.timeline)


@pytest.mark.parametrize("kill", range(2, 12))
def test_a_decision_that_only_the_lost_primary_knows_is_none_of_its_own_epoch(kill: int) -> None:
    model = loaded()
    model.kill_at = kill
    with pytest.raises(Killed):
        Switchover(model.conductor()).run("db3")
    model.kill_at = -1
    model.power_off("db1")
    failover(model).run("db2", ["db1"])
    model.power_on("db1")
    assert not model.conductor().look().torn
    Return(model.conductor(), "db1").rejoin()
    assert (model.primary, model.lost()) == ("db2", [])
    assert model.servers["db1"].decision["primary"] == "db2"
