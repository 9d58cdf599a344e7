"""A whole change, from the plan to its end: the controller's engine, agents in processes, a simulated kernel."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import BaseModel

from hakit.agent import process
from hakit.agent.network import beginning
from hakit.agent.network.live import read
from hakit.agent.resources.files import Files
from hakit.agent.wire import Text
from hakit.components.base import Component, HostContext
from hakit.engine import events, transit
from hakit.engine.apply import Apply
from hakit.engine.rolling import Limits
from hakit.engine.run import Run, Scope
from hakit.errors import ConnectError, HostKeyError, LockedError
from hakit.inventory.model import Login
from hakit.present.plan import plan_json
from tests.unit.agent.agent_support import Agents, one
from tests.unit.agent.network.machine import equip
from tests.unit.agent.network.simulated import bonded_network, plain_network
from tests.unit.agent.network.test_transaction import begin, change, give_up, host_with
from tests.unit.engine.sites import host as make_host
from tests.unit.engine.sites import site as make_site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.network import Network
    from hakit.engine.outcome import Outcome
    from hakit.engine.plan import SitePlan
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path as Place

OLD, NEW = "10.0.0.5", "10.0.0.50"
NETWORKD = "systemd-networkd"
DEBIAN = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n'


class Empty(BaseModel):
    pass


class Networked(Component):
    """Declares a network, and a file that comes after it."""

    name = "bonding"
    Settings: ClassVar[type[BaseModel]] = Empty

    def __init__(self, network: Network) -> None:
        self.declared = network

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        yield self.declared
        yield Files(label="/etc/after", files=(one("/etc/after", f"{ctx.host.name}\n"),), after=(self.declared.key,))

    def links(self, site: Site, host: Host) -> dict[str, str]:
        del site, host
        return {link.name: "" for link in self.declared.links}

    def addresses(self, site: Site, host: Host) -> Iterable[tuple[str, Place]]:
        del site, host
        for link in self.declared.links:
            for address in link.addresses:
                yield address.partition("/")[0], ("bonding",)


class Connection:
    """A connection to an agent in a process of its own; `root` is no user, but whether sudo is needed."""

    def __init__(self, world: World) -> None:
        self.root = True
        self.target = SimpleNamespace(sudo_password=None)
        self._world = world
        self._channels: list[Any] = []

    def exec(self, command: str) -> Any:
        channel = self._world.agents.channel(command)
        self._channels.append(channel)
        return channel

    def pin(self) -> None:
        self._world.pinned += 1

    def close(self) -> None:
        for channel in self._channels:
            channel.hang_up()


class World:
    """One host, and what a run does to it; it is reached at the addresses that its kernel has."""

    def __init__(self, memory: Path, network: Network, address: str = OLD) -> None:
        self.host = host_with(memory / "root", plain_network(NETWORKD))
        self.host.write("/etc/os-release", DEBIAN)
        self.agents = Agents(memory / "root")
        equip(self.host)
        self.network = network
        self.address = address
        self.folder = memory
        self.events: list[events.Event] = []
        self.connected: list[str] = []
        self.pinned = 0
        self.stranger = ""

    def connect(self, host: Host) -> Any:
        address = host.login.host
        self.connected.append(f"{address}{f' as {host.login.known_as}' if host.login.known_as else ''}")
        if address == self.stranger:
            raise HostKeyError(f"web1: the host key is unknown: ED25519 SHA256:x at {address}")
        if not any(address == held.partition("/")[0] for link in read(self.host).links for held in link.addresses):
            raise ConnectError(f"web1: {address}: no route to the host")
        return Connection(self)

    def run(self, *, lock: bool = True) -> Run:
        host = replace(make_host("web1", bonding=Empty()), login=Login(self.address))
        site = make_site(host, root=self.folder)
        scope = Scope(site, {"bonding": Networked(self.network)}, ("web1",), None, self.connect, "r1", who="me")
        return Run(scope, self.events.append, lock=lock)

    def plan(self) -> SitePlan:
        with self.run(lock=False) as run:
            return run.plan()

    def apply(self, confirm: float | None = None) -> Outcome:
        with self.run() as run:
            return Apply(run, run.plan(), Limits(confirm=confirm)).execute()

    @property
    def noted(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, events.Noted)]

    def after(self) -> bool:
        return (self.host.folder / "etc/after").exists()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    monkeypatch.setattr(process, "PATH", f"{memory}/root/bin:{process.PATH}")
    monkeypatch.setattr(transit, "FIRST", 0.1)
    monkeypatch.setattr(transit, "POLL", 0.1)
    monkeypatch.setattr(transit, "BACK", 20.0)


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is given up when it is first seen."""
    for name in ("TELL", "SHARE"):
        monkeypatch.setattr(transit, name, 100.0)


def moved(address: str) -> Network:
    """The bond, with another address."""
    network = bonded_network(NETWORKD)
    (file,) = network.files
    text = file.content.reveal().replace(f"{OLD}/24", f"{address}/24")
    links = tuple(link.replace(addresses=tuple(f"{address}/24" for _ in link.addresses)) for link in network.links)
    return network.replace(files=(file.replace(content=Text(text)),), links=links)


def test_a_network_is_changed_confirmed_and_then_as_declared(memory: Path) -> None:
    world = World(memory, bonded_network(NETWORKD))
    outcome = world.apply()
    assert outcome.good, (outcome, world.noted)
    assert outcome.hosts["web1"].changed == 2
    assert world.after()
    assert world.host.record.pending() is None
    assert world.apply().hosts["web1"].state == "same"
    assert world.plan().hosts["web1"].changes == ()


def test_a_network_that_does_not_work_returns_and_the_host_says_why(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    world = World(memory, bonded_network(NETWORKD).replace(lacp=("bond0",)))
    outcome = world.apply(confirm=30.0)
    result = outcome.hosts["web1"]
    assert (result.state, result.why) == ("failed", "the old network is back: bond0: no LACP partner answers")
    assert result.network is not None
    assert any("the old network is put back: bond0: no LACP partner answers" in line for line in result.network.log)
    assert not world.after()
    assert world.host.record.pending() is None
    world.network = plain_network(NETWORKD)
    (change,) = world.plan().hosts["web1"].changes
    assert change.key == "files:/etc/after"


def test_a_host_is_followed_to_its_new_address(memory: Path) -> None:
    world = World(memory, plain_network(NETWORKD))
    world.plan()
    assert world.connected == [OLD]
    world.network, world.address = moved(NEW), NEW
    outcome = world.apply()
    assert outcome.good, (outcome, world.noted)
    assert world.connected[1:3] == [f"{NEW} as {OLD}", OLD]
    assert world.noted[0] == f"is still reached at {OLD}: {NEW} is the address that it is to get"
    assert world.pinned == 1
    world.connected.clear()
    assert world.apply().hosts["web1"].state == "same"
    assert world.connected == [NEW]


def test_a_host_that_is_not_found_at_its_new_address_goes_back(memory: Path) -> None:
    """Its old address goes, and a wrong file does not give it the new one: nobody reaches it until it returns."""
    world = World(memory, plain_network(NETWORKD))
    world.plan()
    world.network, world.address = moved(NEW).replace(files=bonded_network(NETWORKD).files), NEW
    outcome = world.apply(confirm=8.0)
    assert outcome.hosts["web1"].why.startswith("the old network is back: it was not confirmed in time")
    assert world.pinned == 0
    assert json.loads((memory / ".hakit/places/web1.json").read_text()) == {"host": OLD}
    assert world.plan().hosts["web1"].changes


def test_another_machine_at_the_new_address_is_told_before_anything(memory: Path) -> None:
    world = World(memory, plain_network(NETWORKD))
    world.plan()
    world.network, world.address, world.stranger = moved(NEW), NEW, NEW
    error = world.plan().failed["web1"]
    assert error.message == f"web1: another machine answers at {NEW}, the address that it is to get"
    assert f"the key that is known at {OLD}" in (error.why or "")


@pytest.mark.parametrize("declared", [True, False], ids=["the network says so", "no link is declared to have it"])
def test_a_host_is_only_looked_for_where_it_was_if_it_is_declared_to_move(memory: Path, declared: bool) -> None:
    world = World(memory, plain_network(NETWORKD))
    world.plan()
    world.network, world.address = moved(NEW) if declared else plain_network(NETWORKD), NEW
    found = world.plan()
    assert ("web1" in found.hosts) is declared
    assert (f"{OLD}" in world.connected[1:]) is declared


def test_another_run_is_kept_off_until_the_host_has_settled_it(memory: Path) -> None:
    world = World(memory, bonded_network(NETWORKD))
    begin(world.host, moved(NEW), run="dead")
    with world.run() as run:
        error = run.open()["web1"]
    assert isinstance(error, LockedError)
    assert "admin@desk (run dead), whose change of the network is settled by" in error.message
    assert "puts its old network back by itself" in (error.why or "")
    (change_,) = world.plan().hosts["web1"].refused
    assert "waits for its confirmation" in (change_.rejection.message if change_.rejection else "")
    change(world.host)
    world.address = NEW
    assert list(world.plan().hosts) == ["web1"]
    assert not (memory / ".hakit/places/web1.json").exists()  # it may leave that address again
    give_up(world.host)
    world.address = OLD
    assert world.apply().good
    assert any("the last change of the network was put back at" in text for text in world.noted)
    world.network = moved(NEW).replace(lacp=("bond0",))
    (said,) = plan_json(world.plan())["hosts"]["web1"]["notes"]
    assert said == "bond0: no LACP partner answers"


def test_an_agent_that_dies_as_it_begins_leaves_a_host_that_is_asked(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after it has set the change off: the answer that tells of it never comes."""
    world = World(memory, bonded_network(NETWORKD))
    told = beginning.begin

    def die(*words: Any) -> dict[str, Any]:
        told(*words)
        os.kill(os.getpid(), 9)
        time.sleep(60)
        return {}

    monkeypatch.setattr(beginning, "begin", die)
    outcome = world.apply()
    assert outcome.good, (outcome, world.noted)
    assert any("connection was lost as the change began" in text for text in world.noted)
