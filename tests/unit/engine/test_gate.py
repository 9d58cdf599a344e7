"""A changed member must serve again, as seen by whoever can see it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from hakit.agent.answers import ProbeResult
from hakit.agent.probes import Probe
from hakit.components.base import RedundancyGroup
from hakit.engine import gate
from hakit.engine.gate import Gate
from hakit.engine.steps import Standing
from hakit.errors import AgentError
from tests.unit.engine.sites import host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.engine.session import HostSession


Targets = dict[str, bool] | None
YES, NO = True, False


class Session:
    """A session that answers probes from a list, then for ever with its last answer; or by their targets."""

    def __init__(
        self, name: str, *answers: bool | None, usable: bool = True, told: str = "refused", targets: Targets = None
    ) -> None:
        self.host = host(name)
        self.detail = told
        self.usable = usable
        self.asked = 0
        self.targets = dict(targets or {})
        self._answers = answers

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        self.asked += 1
        if self.targets:
            return tuple(ProbeResult(self.targets[probe.target], self.detail, 0.0) for probe in probes)
        answer = self._answers[min(self.asked - 1, len(self._answers) - 1)]
        if answer is None:
            raise AgentError(f"{self.host.name}: gone")
        return tuple(ProbeResult(answer, self.detail, 0.0) for _ in probes)


def open_sessions(*sessions: Session) -> dict[str, HostSession]:
    return {one.host.name: cast("HostSession", one) for one in sessions}


def wait(*sessions: Session) -> str:
    probe = Probe(kind="http", target="http://web1/", seen_from="lb1")
    group = RedundancyGroup("pool", "haproxy", ("web1", "web2"), {"web1": (probe,)})
    return Gate([group], open_sessions(*sessions)).await_serving("web1", [group])


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PAUSE", 0.001)
    monkeypatch.setattr(gate, "PATIENCE", 0.2)


def test_the_probe_is_asked_from_where_it_looks_until_it_says_yes() -> None:
    lb1, web1 = Session("lb1", NO, NO, YES), Session("web1", NO)
    assert wait(lb1, web1) == ""
    assert (lb1.asked, web1.asked) == (3, 0)


def test_a_member_that_does_not_serve_is_told_with_the_reason() -> None:
    assert "http://web1/ from lb1: refused" in wait(Session("lb1", NO), Session("web1", YES))


def test_a_group_may_need_longer_and_says_so() -> None:
    told: list[tuple[str, str]] = []
    lb1 = Session("lb1", *[NO] * 400, YES)
    probe = Probe(kind="http", target="http://web1/", seen_from="lb1")
    group = RedundancyGroup("pool", "haproxy", ("web1", "web2"), {"web1": (probe,)}, patience=60.0)
    assert (
        Gate([group], open_sessions(lb1), tell=lambda *words: told.append(words)).await_serving("web1", [group]) == ""
    )
    assert [host for host, _ in told] == ["web1"]
    assert "gets up to 60 s more for it: " in told[0][1]


@pytest.mark.parametrize("others", [(), (Session("lb1", YES, usable=False),)], ids=["not asked", "dead"])
def test_without_the_asker_the_member_is_asked_itself(others: tuple[Session, ...]) -> None:
    web1 = Session("web1", YES)
    assert wait(*others, web1) == ""
    assert web1.asked == 1


def test_without_the_asker_a_peer_looks_before_the_member_itself() -> None:
    web1, web2 = Session("web1", YES), Session("web2", YES)
    assert wait(web1, web2) == ""
    assert (web1.asked, web2.asked) == (0, 1)


def test_when_an_asker_is_lost_meanwhile_another_one_looks() -> None:
    web1 = Session("web1", NO, YES)
    assert wait(Session("lb1", None), web1) == ""
    assert web1.asked == 2


def test_where_nobody_is_left_to_ask_there_is_no_success() -> None:
    assert "nobody is left to ask for http http://web1/ (lb1: gone)" in wait(Session("lb1", None))


MEMBERS = ("web1", "web2", "web3")


def pool(keep: int = 1) -> RedundancyGroup:
    probes = {name: (Probe(kind="tcp", target=name, seen_from="lb1"),) for name in MEMBERS}
    return RedundancyGroup("pool", "haproxy", MEMBERS, probes, keep=keep)


@pytest.mark.parametrize(
    ("serving", "keep", "why"),
    [
        (MEMBERS, 1, ""),
        (MEMBERS, 2, ""),
        (("web1", "web2"), 1, ""),
        (("web1", "web2"), 2, "pool would be left with 1 of 3"),
        (
            ("web1",),
            1,
            "pool would be left with 0 of 3 that serve (web2 does not serve: tcp web2 from lb1: refused; web3",
        ),
        (("web2", "web3"), 2, ""),
        ((), 1, ""),
    ],
    ids=["all", "enough left", "one left", "too few left", "the last one", "a repair", "nobody serves"],
)
def test_what_remains_must_serve(serving: tuple[str, ...], keep: int, why: str) -> None:
    lb1 = Session("lb1", targets={name: name in serving for name in MEMBERS})
    found = Gate([pool(keep)], open_sessions(lb1)).remains("web1")
    assert str(found or "").startswith(why)
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ((), "web2 does not serve: nobody is left to ask for tcp web2 (lb1: gone); web3"),
        ((Session("web1", None),), "web2 does not serve: nobody is left to ask for tcp web2 (lb1: gone); web3"),
        ((Session("web1", targets={"web1": YES, "web2": NO, "web3": NO}),), "web2 does not serve: tcp web2 from web1"),
    ],
    ids=["nobody is left", "all are lost", "the others do not serve"],
)
def test_the_gate_stays_closed_when_the_one_who_looks_is_lost(others: tuple[Session, ...], why: str) -> None:
    found = Gate([pool()], open_sessions(Session("lb1", None), *others)).remains("web1")
    assert f"pool would be left with 0 of 3 that serve ({why}" in str(found)


def test_a_peer_that_looks_in_place_of_one_that_is_lost_is_believed() -> None:
    web1 = Session("web1", targets={"web1": YES, "web2": NO, "web3": YES})
    assert Gate([pool()], open_sessions(Session("lb1", None), web1)).remains("web1") is None


def test_who_is_in_maintenance_is_named_with_the_command_that_ends_it() -> None:
    lb1 = Session("lb1", targets={"web1": YES, "web2": NO, "web3": YES}, told="web2: timed out")
    found = Gate([pool()], open_sessions(lb1)).remains("web1", {"web3": "in maintenance since 20:28 by ana@desk"})
    assert found is not None
    assert str(found) == (
        "pool would be left with 0 of 3 that serve (web2 does not serve: tcp web2 from lb1: timed out; "
        "web3 in maintenance since 20:28 by ana@desk)"
    )
    assert found.hint == "take it back with  hakit maintenance off web3"


def test_nobody_waits_for_those_who_are_out_on_purpose() -> None:
    lb1 = Session("lb1", targets=dict.fromkeys(MEMBERS, YES))
    assert Gate([pool()], open_sessions(lb1)).remains("web1", {"web2": "in maintenance", "web3": "in maintenance"})
    assert lb1.asked == 1


def test_where_nobody_rests_the_status_helps() -> None:
    lb1 = Session("lb1", targets={"web1": YES, "web2": NO, "web3": NO})
    found = Gate([pool()], open_sessions(lb1)).remains("web1")
    assert found is not None
    assert found.hint.endswith("hakit status")


def test_a_host_in_several_groups_obeys_all_of_them() -> None:
    pair = RedundancyGroup(
        "pair", "keepalived", ("web1", "db1"), {h: (Probe(kind="unit", target=h),) for h in ("web1", "db1")}
    )
    lb1 = Session("lb1", targets=dict.fromkeys(MEMBERS, YES))
    sessions = open_sessions(lb1, Session("web1", YES), Session("db1", NO))
    assert "pair would be left with 0 of 2" in str(Gate([pool(), pair], sessions).remains("web1"))


ARRAY = Probe(kind="array", target="data")


@pytest.mark.parametrize(
    ("risky", "serving", "why"),
    [
        ((), MEMBERS, ""),
        (
            ("web2",),
            MEMBERS,
            "pool would be left with what the next failure may end (web2: array data from web2: rebuil",
        ),
        (("web1",), MEMBERS, ""),
        (("web2",), ("web1", "web3"), ""),
        (("web2",), ("web2", "web3"), ""),
    ],
    ids=["all are sound", "a peer rebuilds", "it rebuilds itself", "the peer does not serve", "a repair"],
)
def test_nobody_is_taken_from_a_member_that_may_not_survive(
    risky: tuple[str, ...], serving: tuple[str, ...], why: str
) -> None:
    group = replace(pool(), sound=dict.fromkeys(MEMBERS, (ARRAY,)))
    lb1 = Session("lb1", targets={name: name in serving for name in MEMBERS})
    own = [Session(name, targets={"data": name not in risky}, told="rebuilding, 43 %") for name in MEMBERS]
    found = Gate([group], open_sessions(lb1, *own)).remains("web1")
    assert str(found or "").startswith(why)
    assert bool(found) == bool(why)
    assert found is None or (found.lasting and found.hint.endswith("hakit status"))


def test_who_can_not_be_asked_what_he_stands_on_keeps_nobody_waiting() -> None:
    group = replace(pool(), sound={"web2": (ARRAY,)})
    lb1 = Session("lb1", targets=dict.fromkeys(MEMBERS, YES))
    assert Gate([group], open_sessions(lb1, Session("web2", None))).remains("web1") is None


def test_a_wait_ends_when_the_operator_wants_no_more() -> None:
    lb1 = Session("lb1", targets={"web1": YES, "web2": NO, "web3": NO})
    assert Gate([pool()], open_sessions(lb1), halted=lambda: True).remains("web1")
    assert lb1.asked == 1


def test_who_holds_the_role_and_who_is_idle_is_asked_at_once() -> None:
    holder = Probe(kind="address", target="vip")
    probes = {name: (Probe(kind="unit", target="unit"),) for name in ("lb1", "lb2")}
    group = RedundancyGroup("pair", "keepalived", ("lb2", "lb1"), probes, holder)
    lb1, lb2 = Session("lb1", targets={"vip": YES, "unit": YES}), Session("lb2", targets={"vip": NO, "unit": NO})
    standing = Gate([group], open_sessions(lb1, lb2)).standing(["lb1"])
    assert standing == Standing({"lb1": frozenset({"pair"})}, frozenset({"lb2"}))
    assert (lb1.asked, lb2.asked) == (1, 1)


def test_what_a_client_saw_before_it_must_see_again() -> None:
    service = Probe(kind="tcp", target="vip", seen_from="web1")
    group = RedundancyGroup("pair", "keepalived", ("lb2", "lb1"), service=(service,))
    web1 = Session("web1", targets={"vip": YES})
    watching = Gate([group], open_sessions(web1))
    watching.standing(["lb1"])
    web1.targets = {"vip": NO}
    assert "tcp vip from web1: refused" in watching.await_serving("lb1", [group])
    assert Gate([group], open_sessions(web1)).await_serving("lb1", [group]) == ""


def in_rotation() -> tuple[RedundancyGroup, Session]:
    """A pool whose first server works, while its balancer does not send it anything yet."""
    works, reached = (Probe(kind=kind, target=kind, seen_from="lb1") for kind in ("tcp", "socket"))
    group = RedundancyGroup("pool", "haproxy", ("web1", "web2"), {"web1": (works,)}, reached={"web1": (reached,)})
    return group, Session("lb1", targets={"tcp": YES, "socket": NO})


def test_a_host_that_is_out_is_ready_before_its_balancers_send_it_work() -> None:
    group, lb1 = in_rotation()
    assert Gate([group], open_sessions(lb1)).await_ready("web1", [group]) == ""
    assert "socket socket from lb1" in Gate([group], open_sessions(lb1)).await_serving("web1", [group])


def test_a_host_that_no_balancer_sends_work_does_not_remain() -> None:
    group, lb1 = in_rotation()
    web2 = Probe(kind="tcp", target="tcp", seen_from="lb1")
    group = RedundancyGroup("pool", "haproxy", group.hosts, {**group.probes, "web2": (web2,)}, reached=group.reached)
    assert "would be left with 0 of 2" in str(Gate([group], open_sessions(lb1)).remains("web2"))


def test_a_long_answer_is_told_by_its_beginning() -> None:
    probe = Probe(kind="socket", target="/run/x", text="show stat", seen_from="lb1")
    group = RedundancyGroup("pool", "haproxy", ("web1", "web2"), {"web1": (probe,)})
    lb1 = Session("lb1", NO, told=f"{'a' * 300}\nb")
    why = Gate([group], open_sessions(lb1)).await_serving("web1", [group])
    assert why.endswith(f"show stat on /run/x from lb1: {'a' * 200} …")
