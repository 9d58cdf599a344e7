"""A session over the boot of its host: nobody is told that it is usable before it is."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.agent.answers import Hello
from hakit.agent.client import Client
from hakit.agent.probes import Probe
from hakit.engine import session as module
from hakit.engine.session import HostSession
from hakit.errors import AgentError, ConnectError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.engine.run import Scope


def hello(boot: str) -> Hello:
    return Hello(12, "debian", "bookworm", "", "Debian 12", {}, None, "web1", "6.1", "3.11", systemd=True, boot=boot)


class Machine:
    """A host that boots; `look` is called whenever it is spoken to, `meanwhile` while nobody speaks to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *boots: str) -> None:
        self.boots = list(boots)
        self.down = False
        self.asked = 0
        self.closed: list[str] = []
        self.look: Callable[[], object] = lambda: None
        self.meanwhile: Callable[[], object] = lambda: None
        monkeypatch.setattr(module, "RETRY", 0.0)
        monkeypatch.setattr(module, "sudo_password", lambda _: nullcontext(None))
        monkeypatch.setattr(Client, "start", self._start)
        scope = SimpleNamespace(
            connect=self._connect, site=site(host("web1")), components={}, run_id="run", who="ana@desk"
        )
        self.session = HostSession(cast("Scope", scope), host("web1"))

    def _connect(self, _: object) -> Any:
        self.look()
        self.meanwhile()
        boot = self.boots[0]
        return SimpleNamespace(exec=None, root=True, close=lambda: self.closed.append(boot))

    def _start(self, *_: object, **__: object) -> Any:
        boot = self.boots.pop(0)

        def greet(**_: object) -> Hello:
            self.look()
            if not boot:
                raise ConnectError("web1: connection lost")
            return hello(boot)

        def probe(_: object) -> tuple[()]:
            self.asked += 1
            raise ConnectError("web1: connection lost")

        return SimpleNamespace(hello=greet, probe=probe, reboot=lambda: None, close=lambda: None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(monkeypatch, "first", "first", "", "second")
    found.session.open(lock=True)
    return found


def test_a_host_that_boots_is_not_usable_before_it_is_back(machine: Machine) -> None:
    seen: list[bool] = []
    machine.look = lambda: seen.append(machine.session.usable)
    machine.session.reboot(60.0, lambda: False)
    assert seen == [False] * 6
    assert machine.session.usable


def test_who_asks_a_host_that_boots_does_not_end_the_session_that_comes(machine: Machine) -> None:
    """One that found the session usable just before is late: it asks nobody, and closes nothing."""

    def ask() -> None:
        before = list(machine.closed)
        with pytest.raises(AgentError, match="no session is open"):
            machine.session.probe([Probe(kind="tcp", target="x")])
        assert machine.closed == before

    machine.meanwhile = ask
    machine.session.reboot(60.0, lambda: False)
    assert machine.asked == 0


def test_a_host_that_does_not_come_back_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "first", "first")
    machine.session.open(lock=True)
    with pytest.raises(AgentError, match="not back"):
        machine.session.reboot(60.0, lambda: not machine.boots)
    assert not machine.session.usable
