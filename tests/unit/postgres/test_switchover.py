from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import RefusedError
from hakit.postgres.failover import Failover
from hakit.postgres.rejoin import Return
from hakit.postgres.switchover import Switchover
from tests.unit.postgres.model import Killed, Model, Server

if TYPE_CHECKING:
    from collections.abc import Mapping


def loaded(hosts: int = 3, synchronous: int = 1) -> Model:
    model = Model(hosts, synchronous)
    assert all(model.write() for _ in range(3))
    return model


@pytest.mark.parametrize(("hosts", "synchronous"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (5, 2)])
def test_the_standby_takes_over_and_everybody_follows_it(hosts: int, synchronous: int) -> None:
    model = loaded(hosts, synchronous)
    outcome = Switchover(model.conductor()).run("db2")
    assert (outcome.primary, outcome.before, outcome.left) == ("db2", "db1", {})
    assert outcome.pause is not None
    assert outcome.pause > 0
    assert outcome.timeline == 2
    assert model.healthy()
    assert model.write()
    assert not model.lost()


@pytest.mark.parametrize(
    ("hosts", "full", "said"),
    [
        (3, ["db3"], ""),
        (3, ["db2"], "db2 could not keep it"),
        (3, ["db1"], "db1 takes writes now"),
        (4, ["db3", "db4"], ""),
        (5, ["db3", "db4", "db5"], "on 2 members only"),
    ],
)
def test_only_those_must_keep_the_decision_without_whom_it_is_not_safe(hosts: int, full: list[str], said: str) -> None:
    model = loaded(hosts)
    for host in full:
        model.servers[host].full = True
    if said:
        with pytest.raises(RefusedError) as caught:
            Switchover(model.conductor()).run("db2")
        assert said in f"{caught.value.message} {caught.value.why} {caught.value.hint}"
        assert model.primary == "db1"
        assert model.servers["db1"].decision["primary"] == "db1"
        assert not any(one.held for one in model.servers.values())
    else:
        assert Switchover(model.conductor()).run("db2").left == {}
        assert model.healthy()
    assert model.write()
    assert not model.lost()


@pytest.mark.parametrize(("hosts", "synchronous"), [(2, 1), (3, 1), (3, 2), (4, 2), (5, 2), (5, 3), (5, 4)])
def test_commits_are_acknowledged_until_the_old_primary_is_held(hosts: int, synchronous: int) -> None:
    model = loaded(hosts, synchronous)
    do, waited = model.do, []

    def watch(host: str, verb: str, arguments: Mapping[str, str], timeout: float) -> dict[str, Any]:
        answer = do(host, verb, arguments, timeout)
        if model.primary == "db1" and not model.servers["db1"].held and not model.write():
            waited.append((verb, host))
        return answer

    model.do = watch  # type: ignore[method-assign]  # of this model alone
    outcome = Switchover(model.conductor()).run("db2")
    assert waited == []
    assert (outcome.primary, outcome.left) == ("db2", {})
    assert outcome.pause is not None
    assert outcome.pause < 2
    assert model.healthy()
    assert model.write()
    assert not model.lost()


def test_it_can_go_to_and_fro() -> None:
    model = loaded()
    for target in ("db2", "db3", "db1", "db2"):
        Switchover(model.conductor()).run(target)
        assert model.primary == target
        assert model.write()
        assert model.healthy()
    assert not model.lost()


@pytest.mark.parametrize(("to", "kind", "lead"), [("", "switchover", "db2"), ("db1", "settled", "db1")])
def test_a_hold_that_going_back_left_is_released_and_what_was_asked_for_is_done(to: str, kind: str, lead: str) -> None:
    model = loaded()
    model.servers["db1"].decision = {"epoch": 3, "primary": "db1", "before": "db2", "kind": "started", "excused": []}
    model.servers["db1"].held = model.servers["db2"].held = "a switchover to db2 is on its way"
    outcome = Switchover(model.conductor()).run(to)
    assert (outcome.kind, outcome.primary) == (kind, lead)
    assert model.healthy()
    assert model.write()


def steps_of(hosts: int) -> int:
    model = loaded(hosts)
    Switchover(model.conductor()).run("db2")
    return model.steps


@pytest.mark.parametrize("hosts", [2, 3])
def test_killed_at_each_step_the_next_one_finishes(hosts: int) -> None:
    for kill in range(2, 2 * steps_of(hosts) + 2):
        model = loaded(hosts)
        model.kill_at = kill
        with pytest.raises(Killed):
            Switchover(model.conductor()).run("db2")
        model.kill_at = -1
        model.write()
        if model.primary == "db2" and model.healthy():
            continue
        begun = any(one.epoch > 1 for one in model.servers.values())
        outcome = Switchover(model.conductor()).run()
        assert not outcome.left, (kill, model.log)
        assert model.healthy(), (kill, model.log)
        assert not begun or model.primary == "db2", (kill, model.log)
        assert model.write()
        assert not model.lost()


def test_a_target_that_misses_the_end_is_not_promoted_and_the_old_primary_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = loaded()
    stop = model.do_stop

    def cut(server: Server, mode: str = "fast") -> dict[str, Any]:
        for one in model.servers.values():
            one.upstream = ""
        return stop(server, mode)

    monkeypatch.setattr(model, "do_stop", cut)
    with pytest.raises(RefusedError, match="has not got all"):
        Switchover(model.conductor()).run("db2")
    assert model.primary == "db1"
    assert model.healthy()
    assert model.write()


def test_nobody_is_chosen_who_does_not_stream() -> None:
    model = loaded()
    model.servers["db2"].upstream = ""
    model.servers["db3"].upstream = ""
    with pytest.raises(RefusedError, match="nobody can take over") as caught:
        Switchover(model.conductor()).run()
    assert "db2 does not stream" in str(caught.value.why)
    assert model.primary == "db1"


def test_two_primaries_are_refused_with_both_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    lonely = model.servers["db3"]
    lonely.signal, lonely.timeline = False, 2
    monkeypatch.setattr(model, "check", lambda: None)
    with pytest.raises(RefusedError, match="split brain: db1 and db3 both run") as caught:
        Switchover(model.conductor()).run()
    assert "db1: primary, timeline 1" in str(caught.value.why)
    assert "db3: primary, timeline 2" in str(caught.value.why)


def test_who_was_promoted_by_hand_comes_back_as_a_copy_once_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    rival = model.servers["db3"]
    rival.signal, rival.timeline = False, 2
    monkeypatch.setattr(model, "check", lambda: None)
    with pytest.raises(RefusedError, match="both run as primaries"):
        Return(model.conductor(), "db3").reinit()
    model.do_stop(rival)
    for command in (Switchover(model.conductor()).run, Return(model.conductor(), "db3").rejoin):
        with pytest.raises(RefusedError, match="split brain") as caught:
            command()
        assert "hakit postgres reinit main db3" in str(caught.value.hint)
    with pytest.raises(RefusedError, match="split brain"):
        Return(model.conductor(), "db2").reinit()
    Return(model.conductor(), "db3").reinit()
    assert model.healthy()
    assert model.primary == "db1"


def test_who_was_promoted_by_hand_may_stay_once_the_primary_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    rival = model.servers["db3"]
    monkeypatch.setattr(model, "check", lambda: None)
    rival.signal, rival.timeline = False, 2
    rival.wal.append((2, "promoted"))
    model.write()  # db1 still acknowledges, with db2
    model.do_stop(model.servers["db1"])
    outcome = Failover(model.conductor(), lambda _: False).run()
    assert outcome.primary == "db3"
    for host in ("db1", "db2"):
        Return(model.conductor(), host).rejoin()
    assert model.healthy()
    assert model.primary == "db3"


def test_a_target_lost_while_it_is_promoted_is_found_by_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    promote = model.do_promote

    def lose(server: Server) -> dict[str, Any]:
        promote(server)
        raise RefusedError("db2: was not promoted within 60 s")

    monkeypatch.setattr(model, "do_promote", lose)
    with pytest.raises(RefusedError, match="whether db2 was promoted is not known"):
        Switchover(model.conductor()).run("db2")
    monkeypatch.undo()
    assert Switchover(model.conductor()).run().primary == "db2"
    assert model.healthy()


def test_the_server_of_a_finished_switchover_that_died_is_no_half_switchover() -> None:
    model = loaded()
    Switchover(model.conductor()).run("db2")
    model.servers["db2"].running = False
    model.servers["db2"].state = "in production"
    with pytest.raises(RefusedError, match="nothing to switch over from") as caught:
        Switchover(model.conductor()).run()
    assert caught.value.hint == "hakit postgres failover main"
    assert model.servers["db1"].running


def killed_at(step: int) -> Model:
    model = loaded()
    model.kill_at = step
    with pytest.raises(Killed):
        Switchover(model.conductor()).run("db2")
    model.kill_at = -1
    return model


@pytest.mark.parametrize("missing", [False, True])
def test_an_old_primary_that_was_booted_as_a_standby_meanwhile_is_no_hindrance(missing: bool) -> None:
    cut = (killed_at(step) for step in range(2, 200))
    model = next(one for one in cut if one.servers["db1"].signal)
    model.power_off("db1")
    model.power_on("db1")
    assert model.servers["db1"].standby
    if missing:
        model.servers["db2"].upstream = ""
        model.servers["db1"].wal.append((1, "more"))
        with pytest.raises(RefusedError, match="db2 has less than db1") as caught:
            Switchover(model.conductor()).run()
        assert "failover main" in str(caught.value.hint)
    else:
        assert Switchover(model.conductor()).run().primary == "db2"
        assert model.healthy()


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("db1", "db1 is the primary already"),
        ("db9", "db9 can't take over from db1: it is no member of main"),
        ("db3", "db3 can't take over from db1: it is never promoted: it is delayed, or promotable: false"),
        ("db2", "db2 can't take over from db1: it does not answer: no route"),
    ],
)
def test_a_target_that_can_not_take_over_is_told_why(to: str, said: str) -> None:
    model = loaded()
    model.layout = replace(model.layout, promotable=("db1", "db2"))
    model.servers["db2"].wired = False
    with pytest.raises(RefusedError) as caught:
        Switchover(model.conductor()).run(to)
    assert caught.value.message == said
    assert model.steps == 0
