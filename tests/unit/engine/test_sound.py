"""A host whose disks would not survive the next failure is not booted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from hakit.agent.answers import ProbeResult
from hakit.agent.probes import Probe
from hakit.components.base import Component, RedundancyGroup
from hakit.engine.rolling import Limits
from hakit.engine.sound import unsound, with_sound
from hakit.engine.upkeep import Round
from hakit.inventory.types import Settings
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import BaseModel

    from hakit.engine.outcome import HostResult
    from hakit.engine.run import Run
    from hakit.engine.session import HostSession
    from hakit.inventory.model import Host, Site

ARRAY = Probe(kind="array", target="data")


class Disks(Component):
    """An array on each host that has disks."""

    name = "disks"
    Settings: ClassVar[type[BaseModel]] = Settings

    def resources(self, ctx: Any) -> Iterable[Any]:
        del ctx
        return ()

    def sound(self, site: Site, host: Host) -> Iterable[Probe]:
        del site, host
        return (ARRAY,)


SITE = site(host("db1", disks=Settings()), host("web1"))
COMPONENTS = {"disks": Disks()}


class Session:
    """A host that answers for its array, and boots."""

    def __init__(self, *, ok: bool) -> None:
        self.host = SITE.hosts["db1"]
        self.scope = SimpleNamespace(site=SITE, components=COMPONENTS)
        self.ok = ok
        self.booted = 0

    def probe(self, probes: Sequence[Probe]) -> tuple[ProbeResult, ...]:
        return tuple(ProbeResult(self.ok, "clean" if self.ok else "rebuilding, 43 %", 0.0) for _ in probes)

    def reboot(self, patience: float, halted: object) -> float:
        del patience, halted
        self.booted += 1
        return 1.0


def booted(session: Session, override: str = "") -> tuple[HostResult, list[Any]]:
    told: list[Any] = []
    run = SimpleNamespace(
        sink=told.append, scope=SimpleNamespace(groups=tuple, movers=(), site=SITE), sessions={}, resting=dict
    )
    one = object.__new__(Round)
    one._run = cast("Run", run)
    one._limits = Limits(override=override)
    one._rolling = cast("Any", SimpleNamespace(aborted=lambda: False))
    return one._boot(cast("HostSession", session), 0.0), told


def test_a_sound_host_is_booted() -> None:
    session = Session(ok=True)
    assert booted(session)[0].state == "changed"
    assert session.booted == 1


def test_a_host_whose_array_is_rebuilt_is_not() -> None:
    session = Session(ok=False)
    result, told = booted(session)
    assert (result.state, session.booted) == ("failed", 0)
    assert result.why == "not booted, it may not survive the next failure: array data rebuilding, 43 %"
    assert told[0].text == result.why


def test_the_operator_may_have_it_booted() -> None:
    session = Session(ok=False)
    result, told = booted(session, "the disk comes tomorrow")
    assert (result.state, session.booted) == ("changed", 1)
    assert "array data rebuilding, 43 %" in told[0].why


def test_who_has_no_disks_is_asked_nothing() -> None:
    session = Session(ok=False)
    session.host = SITE.hosts["web1"]
    assert unsound(cast("HostSession", session)) == ""


@pytest.mark.parametrize(("members", "known"), [(("db1", "web1"), {"db1": (ARRAY,)}), (("web1",), {})])
def test_a_group_knows_what_its_members_stand_on(members: tuple[str, ...], known: dict[str, Any]) -> None:
    assert with_sound(RedundancyGroup("g", "x", members), SITE, COMPONENTS).sound == known
