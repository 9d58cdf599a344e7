"""How the order of a run reads."""

from __future__ import annotations

import pytest

from hakit.engine.handover import Foreseen, Handover
from hakit.engine.steps import Step
from hakit.errors import RefusedError
from hakit.present.order import handovers_json, handovers_text, order_json, order_text


def row(*hosts: str) -> list[Step]:
    return [
        Step(host, after=frozenset(hosts[place - 1 : place]) if place else frozenset())
        for place, host in enumerate(hosts)
    ]


def joint(*followers: str) -> list[Step]:
    stops = [Step(host, "stop", unit="keepalived.service", atomic=True) for host in followers]
    leader = Step("lb1", atomic=True, after=frozenset(step.name for step in stops))
    return [*stops, leader, *(Step(host, atomic=True, after=frozenset({leader.name})) for host in followers)]


def divided(*hosts: str) -> list[Step]:
    """These hosts copy db1, and have packages to be installed before."""
    firsts = [Step(host, keys=("package:postgresql-15",), half="first") for host in hosts]
    seconds = [
        Step(one.host, keys=("cluster:15-main", "role:ana"), after=frozenset({"db1", one.name}), half="second")
        for one in firsts
    ]
    return [Step("db1"), *firsts, *seconds]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (row("web1"), ""),
        (row("lb2", "lb1"), "one at a time: lb2 then lb1"),
        (row("web2", "web3", "web1"), "one at a time: web2, web3, then web1"),
        (joint("lb2"), "together: lb2 stops keepalived, lb1 changes, then lb2 changes and starts it"),
        (
            joint("lb2", "lb3"),
            "together: lb2 and lb3 stop keepalived, lb1 changes, then lb2 and lb3 change and start it",
        ),
        (
            [*row("a1", "a2"), *row("b1"), Step("b2", after=frozenset({"a1", "b1"}))],
            "one at a time: a1 then a2\none at a time: b1 then b2\nafter a1: b2",
        ),
        (
            [Step("db1"), *(Step(host, after=frozenset({"db1"})) for host in ("db2", "db3"))],
            "after db1: db2 and db3",
        ),
        (divided("db2", "db3"), "after db1: db2 and db3, from cluster 15-main on"),
        (divided("db2"), "after db1: db2, from cluster 15-main on"),
    ],
)
def test_in_words(steps: list[Step], text: str) -> None:
    assert order_text(steps) == text


def test_for_programs() -> None:
    assert order_json(divided("db2")) == [
        {"how": "waits", "hosts": ("db2",), "on": ("db1",), "since": "cluster:15-main"}
    ]
    assert order_json([*row("web2", "web1"), *joint("lb2")]) == [
        {"how": "one at a time", "hosts": ("web2", "web1")},
        {"how": "together", "stopped": ("lb2",), "first": ("lb1",), "after": ("lb2",), "unit": "keepalived.service"},
    ]


FORESEEN = Foreseen(
    (Handover("db1", "leads cluster main", "db2"),),
    {"db9": RefusedError("nobody can take over from db9", why="db8 does not stream")},
)


def test_what_is_handed_over_in_words() -> None:
    assert handovers_text(FORESEEN).splitlines() == [
        "db1 leads cluster main: switched over to db2 first",
        "nobody can take over from db9: db8 does not stream",
    ]
    assert handovers_text(Foreseen()) == ""


def test_what_is_handed_over_for_programs() -> None:
    assert handovers_json(FORESEEN) == [
        {"host": "db1", "what": "leads cluster main", "to": "db2", "why": ""},
        {"host": "db9", "what": "", "to": "", "why": "nobody can take over from db9\n  db8 does not stream"},
    ]
