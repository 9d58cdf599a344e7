"""A changed member must serve again, as seen by whoever can see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from hakit.agent.client import ProbeResult
from hakit.agent.probes import Probe
from hakit.components.base import RedundancyGroup
from hakit.engine import gate
from hakit.errors import AgentError
from tests.unit.engine.sites import host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.engine.session import HostSession


YES, NO = True, False


class Session:
    """A session that answers probes from a list, then for ever with its last answer."""

    def __init__(self, name: str, *answers: bool | None, usable: bool = True) -> None:
        self.host = host(name)
        self.usable = usable
        self.asked = 0
        self._answers = answers

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if answer is None:
            raise AgentError(f"{self.host.name}: gone")
        return tuple(ProbeResult(answer, "refused", 0.0) for _ in probes)


def wait(*sessions: Session) -> str:
    probe = Probe(kind="http", target="http://web1/", seen_from="lb1")
    group = RedundancyGroup("pool", "haproxy", ("web1", "web2"), {"web1": (probe,)})
    return gate.await_serving("web1", [group], {one.host.name: cast("HostSession", one) for one in sessions})


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PAUSE", 0.001)
    monkeypatch.setattr(gate, "PATIENCE", 0.2)


def test_the_probe_is_asked_from_where_it_looks_until_it_says_yes() -> None:
    lb1, web1 = Session("lb1", NO, NO, YES), Session("web1", NO)
    assert wait(lb1, web1) == ""
    assert (lb1.asked, web1.asked) == (3, 0)


def test_a_member_that_does_not_serve_is_told_with_the_reason() -> None:
    assert "http http://web1/ from lb1: refused" in wait(Session("lb1", NO), Session("web1", YES))


@pytest.mark.parametrize("others", [(), (Session("lb1", YES, usable=False),)], ids=["not asked", "dead"])
def test_without_the_asker_the_member_is_asked_itself(others: tuple[Session, ...]) -> None:
    web1 = Session("web1", YES)
    assert wait(*others, web1) == ""
    assert web1.asked == 1


def test_an_asker_that_is_lost_meanwhile_is_no_success() -> None:
    assert "lb1: gone" in wait(Session("lb1", None), Session("web1", YES))
