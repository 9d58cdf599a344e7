from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hakit.errors import RefusedError
from hakit.postgres.failover import Failover
from hakit.postgres.layout import Synchrony
from hakit.postgres.rejoin import Return
from hakit.postgres.switchover import Switchover
from hakit.present.postgres import outcome_text
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


@pytest.mark.parametrize("decided", [True, False], ids=["a decision names it", "the standbys follow it"])
def test_a_primary_that_must_not_be_promoted_again_is_fenced_like_any_other(decided: bool) -> None:
    model = loaded()
    Switchover(model.conductor()).run("db2")
    model.layout = replace(model.layout, promotable=("db1",))
    if not decided:
        for host in ("db1", "db3"):
            model.servers[host].decision = {}
    model.servers["db2"].wired = False
    with pytest.raises(RefusedError, match="db2 does not answer, and may still take writes"):
        failover(model).run()
    assert model.primary == "db2"
    assert failover(model, fence=True).run().primary == "db1"


def test_a_member_that_others_are_declared_to_follow_is_no_primary_for_that() -> None:
    model = Model(4, 1, never=["db3"])
    model.layout = replace(model.layout, upstreams={"db4": "db3"}, candidates=("db1", "db2"))
    model.servers["db4"].upstream = "db3"
    for host in ("db1", "db3"):
        model.power_off(host)
    with pytest.raises(RefusedError, match="commits") as caught:
        failover(model).run(fenced=["db1"])
    assert "--fenced" not in str(caught.value.hint)


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


@pytest.mark.parametrize("standby", [False, True], ids=["it leads", "it is a standby"])
def test_a_host_that_answers_only_after_the_question_is_not_dead(standby: bool) -> None:
    model = loaded()
    late = model.servers["db3" if standby else "db1"]
    late.wired = False
    if standby:
        model.power_off("db1")
    conductor = model.conductor()
    conductor.agree = lambda _: setattr(late, "wired", True)
    with pytest.raises(RefusedError, match=f"{late.host} answers by now") as caught:
        Failover(conductor, lambda _: False).run(fenced={"db1", late.host}, accept_loss=True)
    assert f"leave  --fenced {late.host}  out" in str(caught.value.hint)
    assert all(one.epoch < 2 for one in model.servers.values())
    assert model.servers["db2"].upstream == "db1"


def test_a_host_that_answers_only_after_standbys_were_started_is_not_dead() -> None:
    model = loaded()
    model.servers["db1"].wired = False
    model.do_stop(model.servers["db3"])
    start = model.do_start

    def come(server: Server) -> dict[str, Any]:
        model.servers["db1"].wired = True
        return start(server)

    model.do_start = come  # type: ignore[method-assign]  # of this model alone
    with pytest.raises(RefusedError, match="db1 answers by now"):
        failover(model).run(fenced=["db1"])
    assert model.primary == "db1"


def test_a_host_that_answers_only_while_the_others_are_halted_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    model.servers["db1"].wired = False
    halt = model.do_halt

    def come(server: Server) -> dict[str, Any]:
        model.servers["db1"].wired = True
        return halt(server)

    monkeypatch.setattr(model, "do_halt", come)
    with pytest.raises(RefusedError, match="db1 answers by now"):
        failover(model).run(fenced=["db1"])
    assert model.primary == "db1"
    assert model.write()


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


def test_a_dead_candidate_that_left_the_inventory_still_may_have_the_last_commits() -> None:
    model = loaded()
    model.servers["db2"].upstream = ""
    assert model.write()
    for host in ("db1", "db3"):
        model.power_off(host)
    model.forget("db3")
    with pytest.raises(RefusedError, match="may lose commits") as caught:
        failover(model).run(fenced=["db1"])
    assert "db3 can't" in str(caught.value.why)


@pytest.mark.parametrize("count", [0, 1])
def test_a_weaker_rule_that_may_have_reached_the_primary_alone_proves_nothing(count: int) -> None:
    model = loaded(3, 2)
    model.power_off("db3")
    model.synchronous = count
    assert model.write()
    model.servers["db2"].wal.pop()
    model.power_off("db1")
    model.layout = replace(model.layout, synchrony=Synchrony(count, model.layout.members if count else ()))
    with pytest.raises(RefusedError, match="may lose commits"):
        failover(model).run(fenced=["db1", "db3"])


def test_a_primary_that_left_the_inventory_has_to_be_put_back() -> None:
    model = loaded()
    Switchover(model.conductor()).run("db2")
    model.forget("db2")
    with pytest.raises(RefusedError, match="db2 was made the primary, and the inventory has it no more"):
        failover(model).run()
    assert model.primary == "db2"
    assert model.write()


def test_one_that_can_not_keep_the_decision_stops_nobody_where_the_others_suffice() -> None:
    model = loaded(5, 2)
    model.power_off("db1")
    model.servers["db5"].full = True
    assert failover(model).run(fenced=["db1"]).primary == "db2"
    model = loaded(3)
    model.power_off("db1")
    model.servers["db3"].full = True
    with pytest.raises(RefusedError, match=r"the decision is on 1 members only \(db2\)"):
        failover(model).run(fenced=["db1"])
    assert not model.primary


def test_one_that_knows_a_newer_decision_stops_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(5, 2)
    model.power_off("db1")
    decide = model.do_decide

    def other(server: Server, record: str) -> dict[str, Any]:
        if server.host == "db5":
            server.decision = {"epoch": 99, "primary": "db5", "kind": "failover", "excused": []}
        return decide(server, record)

    monkeypatch.setattr(model, "do_decide", other)
    with pytest.raises(RefusedError, match="db5: knows another decision of epoch 99"):
        failover(model).run(fenced=["db1"])
    assert not model.primary


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


def test_who_is_away_may_have_been_the_primary_since() -> None:
    model = loaded()
    for host in ("db1", "db2"):
        model.power_off(host)
    failover(model).run("db3", ["db1", "db2"], accept_loss=True)
    assert model.write() is False, "nobody is there to acknowledge it"
    model.power_off("db3")
    for host in ("db2", "db1"):
        model.power_on(host)
    model.do_stop(model.servers["db1"])
    with pytest.raises(RefusedError, match="opening db1 may lose") as caught:
        failover(model).run("db1", ["db3"])
    assert "what was written on db3" in str(caught.value.why)
    assert not model.primary


def test_a_half_switchover_is_undone_without_loss() -> None:
    model = loaded()
    model.kill_at = 2 * next(n for n in range(1, 30) if _signals_after(n))
    with pytest.raises(Killed):
        Switchover(model.conductor()).run("db2")
    model.kill_at = -1
    outcome = failover(model).run("db1")
    assert (outcome.primary, outcome.loss) == ("db1", "")
    assert model.healthy()


def _signals_after(steps: int) -> bool:
    """Whether the old primary of a switchover that is killed before this step is a standby on its disk."""
    model = loaded()
    model.kill_at = 2 * steps
    with pytest.raises(Killed):
        Switchover(model.conductor()).run("db2")
    return model.servers["db1"].signal


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


def test_killed_after_the_old_primary_was_made_a_standby_the_next_one_keeps_to_the_choice() -> None:
    model = loaded()
    model.servers["db1"].running = False
    failover(model).run()
    demoted = 0
    for kill in range(2, 2 * model.steps + 2):
        model = loaded()
        model.servers["db1"].running = False
        model.kill_at = kill
        with pytest.raises(Killed):
            failover(model).run()
        model.kill_at = -1
        if not model.primary and model.servers["db1"].signal:
            demoted += 1
            outcome = failover(model).run()
            assert outcome.primary != "db1", (kill, model.log)
            assert not model.lost()
    assert demoted


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


def test_an_epoch_that_was_decided_twice_is_settled_once_one_of_the_two_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = loaded()
    model.power_off("db1")
    monkeypatch.setattr(model, "check", lambda: None)
    for host in ("db2", "db3"):
        server = model.servers[host]
        server.decision = {"epoch": 2, "primary": host, "before": "db1", "kind": "failover", "excused": ["db1"]}
        model.do_promote(server)
    with pytest.raises(RefusedError, match="both run as primaries"):
        failover(model).run("db2", ["db1"])
    model.do_stop(model.servers["db3"])
    with pytest.raises(RefusedError, match="decided twice") as caught:
        failover(model).run(fenced=["db1"])
    assert "hakit postgres failover main --to db2" in str(caught.value.hint)
    findings = model.conductor().look().findings()
    assert "hakit postgres failover main --to db2" in {one.command for one in findings}
    assert not any("rejoin" in one.command for one in findings)
    with pytest.raises(RefusedError, match="decided twice"):
        failover(model).run("db3", ["db1"])
    assert failover(model).run("db2", ["db1"]).kind == "settled"
    model.power_on("db1")
    Return(model.conductor(), "db3").reinit()
    Return(model.conductor(), "db1").rejoin()
    assert model.healthy()


def test_a_member_with_the_data_of_another_cluster_stops_no_failover_to_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = loaded(5, 2)
    model.power_off("db1")
    look = model.do_look

    def other(server: Server) -> dict[str, Any]:
        return {**look(server), **({"system": "8"} if server.host == "db5" else {})}

    monkeypatch.setattr(model, "do_look", other)
    with pytest.raises(RefusedError, match="different clusters") as caught:
        failover(model).run(fenced=["db1"])
    assert "failover main --to HOST" in str(caught.value.hint)
    upstream = model.servers["db5"].upstream
    outcome = failover(model).run("db2", ["db1"])
    assert (outcome.primary, outcome.loss) == ("db2", "")
    assert outcome.left["db5"] == "it has the data of another cluster"
    assert "hakit postgres reinit main db5" in outcome.next
    assert model.servers["db5"].upstream == upstream


@pytest.mark.parametrize("known", [["db1"], ["db2"]], ids=["the last primary has it", "as many have it"])
def test_who_may_be_the_one_of_another_cluster_is_promoted_only_where_a_loss_is_accepted(
    known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded()
    if known == ["db1"]:
        model.do_stop(model.servers["db1"])
    else:
        model.power_off("db1")
    look = model.do_look

    def other(server: Server) -> dict[str, Any]:
        return {**look(server), **({"system": "8"} if server.host in known else {})}

    monkeypatch.setattr(model, "do_look", other)
    dead = [] if known == ["db1"] else ["db1"]
    with pytest.raises(RefusedError, match="different clusters"):
        failover(model).run("db3", dead)
    assert failover(model).run("db3", dead, accept_loss=True).primary == "db3"


def test_a_member_of_another_cluster_that_leads_stops_every_failover(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    look = model.do_look
    monkeypatch.setattr(model, "do_look", lambda server: {**look(server), **({"system": "8"} if server.leads else {})})
    with pytest.raises(RefusedError, match="different clusters"):
        failover(model).run("db2")


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


@pytest.mark.parametrize("switched", [False, True])
def test_one_that_only_has_a_standby_follow_again_promoted_nobody(switched: bool) -> None:
    model = loaded()
    if switched:
        Switchover(model.conductor()).run("db2")
    lead = model.primary
    model.servers["db3"].upstream = ""
    outcome = failover(model).run()
    assert (outcome.kind, outcome.primary, outcome.left) == ("settled", lead, {})
    assert f"{lead} leads main (timeline {1 + switched}); nobody had to be promoted." in outcome_text("main", outcome)
    assert model.healthy()


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
