"""A host that comes back from maintenance: everyone who keeps it out has to learn of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.actions import Action
from hakit.agent.answers import ActResult
from hakit.components.base import Order, Withdrawal
from hakit.engine import maintenance
from hakit.engine.duty import MAINTENANCE
from hakit.engine.maintenance import Maintenance
from hakit.engine.rolling import Limits
from hakit.errors import RefusedError
from tests.unit.engine.test_retire import Session, retired, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakit.agent.actions import Mark


class Balancer(Session):
    """It drains servers, unless its HAProxy is dead; a mark stays where what it stands for was not undone."""

    dead = False

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        if self.dead:
            return tuple(ActResult(ok=False, detail="no such socket") for _ in actions)
        return super().act(actions, mark)


def drained(_: object, of: Any) -> Iterator[Withdrawal]:
    for name in ("lb1", "lb2") if of.name == "web1" else ():
        order = Order(name, Action(kind="write", target="/run/x"))
        yield Withdrawal("pool", (order,), (order,))


def resting(**sessions: Session) -> Maintenance:
    site = run(sessions, *sessions)
    cast("Any", site.scope).components = {"haproxy": SimpleNamespace(withdraw=drained)}
    return Maintenance(site, "web1")


@pytest.mark.parametrize("reason", ["usable", "dead"])
def test_a_balancer_that_can_not_be_told_is_named(reason: str) -> None:
    mark = retired("web1", MAINTENANCE)
    web1, lb1, lb2 = Session(mark), Balancer(mark), Balancer(mark)
    setattr(lb2, reason, reason == "dead")
    with pytest.raises(RefusedError, match="web1 is back in service, but not for lb2, which could not be told") as told:
        resting(web1=web1, lb1=lb1, lb2=lb2).end(Limits())
    assert (web1.marks, lb1.marks) == ((), ())
    assert "hakit maintenance off web1" in str(told.value.hint)
    lb2.usable, lb2.dead = True, False
    resting(web1=web1, lb1=lb1, lb2=lb2).end(Limits())
    assert lb2.marks == ()


def test_those_that_can_not_be_asked_are_known() -> None:
    assert resting(web1=Session(), lb1=Balancer(), lb2=Balancer(usable=False)).unknown == ("lb2",)


class Interrupted(Session):
    """Where somebody interrupts as it is told something."""

    def act(self, actions: Sequence[Action], mark: Mark | None = None) -> tuple[ActResult, ...]:
        super().act(actions, mark)
        raise KeyboardInterrupt


def test_an_interrupt_while_a_host_leaves_is_told_from_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    web1 = Session()
    work = resting(web1=web1, lb1=Interrupted(), lb2=Session())
    with pytest.raises(KeyboardInterrupt):
        work.begin("", Limits())
    assert work.leaving
    assert [mark.kind for mark in web1.marks] == [MAINTENANCE]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(maintenance, "spare", interrupt)
    work = resting(web1=web1)
    with pytest.raises(KeyboardInterrupt):
        work.begin("", Limits())
    assert not work.leaving
