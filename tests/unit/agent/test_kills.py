"""An agent killed before any of its writes: the next run brings the host where an undisturbed run would have."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.resources.paths import Directory, Symlink
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.agent.starting import AgentGone
from tests.unit.agent.agent_support import ME, MY_GROUP, Agents, apply_with, files, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.agent.resources.base import Resource

# A systemd with one unit that loads one file. What it has loaded, which invocation runs and what was asked is in files.
SYSTEMCTL = """#!/bin/sh
cd "${0%/*}/../fake"
case "$1" in
show)
    echo "LoadState=loaded"; echo "ActiveState=$(cat active)"; echo "UnitFileState=enabled"
    echo "Type=oneshot"; echo "RemainAfterExit=yes"
    echo "InvocationID=$(cat invocation)"; echo "NeedDaemonReload=no"; echo "CanReload=yes"; echo "Result=success" ;;
start|restart)
    echo active > active; echo $(( $(cat invocation) + 1 )) > invocation
    cat ../etc/daemon.conf > loaded; echo $1 >> asked ;;
reload)
    cat ../etc/daemon.conf > loaded; echo reload >> asked ;;
stop)
    echo inactive > active; echo stop >> asked ;;
esac
"""


class Systemd:
    """The fake systemd of a root, which brings its state along when the root is copied."""

    def __init__(self, agents: Agents) -> None:
        self._folder = agents.root / "fake"
        self._file = agents.root / "etc/daemon.conf"
        if not self._folder.exists():
            self._folder.mkdir()
            program = agents.root / "bin/systemctl"
            program.write_text(SYSTEMCTL)
            program.chmod(0o755)
            self.set(active="active", invocation="1", asked="", loaded=self._file.read_text())

    def set(self, **values: str) -> None:
        for name, value in values.items():
            (self._folder / name).write_text(value)

    def get(self, name: str) -> str:
        return (self._folder / name).read_text().strip()

    def restart_by_itself(self) -> None:
        """What Restart= does, or a reboot."""
        self.set(invocation=str(int(self.get("invocation")) + 1), loaded=self._file.read_text())


def daemon(text: str) -> tuple[Resource, ...]:
    unit = Unit(unit="daemon.service", reload_on=("/etc/daemon.conf",), component="test", after=("files:daemon",))
    return files(one("/etc/daemon.conf", text), label="daemon"), unit


def killed_at_every_write(
    memory: Path, prepare: Callable[[Agents], None], resources: tuple[Resource, ...]
) -> Iterator[Agents]:
    """A copy of a root per write at which the agent dies, each after its death; ends with the undisturbed run."""
    template = Agents(memory / "template")
    prepare(template)
    for number in itertools.count(1):
        agents = Agents(Path(shutil.copytree(template.root, memory / str(number), symlinks=True)))
        try:
            done = agents.apply(*resources, kill_at=number)
        except AgentGone:
            yield agents
            continue
        assert done.result.failed == 0
        assert number > 10, "the kills hit nothing"
        yield agents
        return


def old_site(agents: Agents) -> None:
    agents.write("/etc/adopted.conf", "original\n", 0o600)
    (agents.root / "etc/link").symlink_to("/before")
    agents.apply(
        files(one("/etc/a.conf", "old a\n"), one("/etc/new/deep/b.conf", "old b\n"), label="ab"),
        Symlink(path="/etc/second", target="/x", component="test"),
    )


NEW_SITE = (
    Directory(path="/etc/dir", mode=0o750, owner=ME, group=MY_GROUP, component="test"),
    files(one("/etc/a.conf", "new a\n", 0o600), one("/etc/adopted.conf", "ours\n"), label="ab"),
    Symlink(path="/etc/link", target="/after", component="test"),
)


def test_a_run_killed_anywhere_is_completed_by_the_next(memory: Path) -> None:
    ends = []
    for agents in killed_at_every_write(memory, old_site, NEW_SITE):
        assert agents.read("/etc/a.conf") in {"old a\n", "new a\n"}
        with agents.client() as client:
            assert apply_with(client, NEW_SITE).result.failed == 0
            assert apply_with(client, NEW_SITE).result.changed == 0
            tree = agents.tree()
            assert apply_with(client, ()).result.failed == 0
            ends.append((tree, agents.tree(), client.plan((), None)))
    undisturbed = ends[-1]
    assert undisturbed[1]["etc/adopted.conf"].endswith("original\n")
    assert undisturbed[1]["etc/link"].endswith("/before")
    for end in ends:
        assert end == undisturbed


def test_a_removal_killed_anywhere_is_completed_by_the_next(memory: Path) -> None:
    def prepare(agents: Agents) -> None:
        old_site(agents)
        agents.apply(*NEW_SITE)

    trees = []
    for agents in killed_at_every_write(memory, prepare, ()):
        with agents.client() as client:
            assert apply_with(client, ()).result.failed == 0
            assert client.plan((), None) == ()
        trees.append(agents.tree())
    assert trees[-1]["etc/adopted.conf"].endswith("original\n")
    assert all(tree == trees[-1] for tree in trees)


def test_an_original_that_is_back_is_taken_for_nobodys_change(memory: Path) -> None:
    def prepare(agents: Agents) -> None:
        agents.write("/etc/a.conf", "original\n")
        agents.apply(files(one("/etc/a.conf", "ours\n")))

    for agents in killed_at_every_write(memory, prepare, ()):
        again = agents.apply()
        assert agents.read("/etc/a.conf") == "original\n"
        assert not [line for event in again.events for line in event.summary if "outside hakit" in line]


def test_a_parameter_that_is_not_declared_any_more_is_forgotten_wherever_the_run_was_killed(memory: Path) -> None:
    def prepare(agents: Agents) -> None:
        agents.write("/proc/sys/net/kept", "1\n")
        agents.write("/proc/sys/net/left", "1\n")
        agents.apply(Sysctl(label="x", values=(("net.kept", "2"), ("net.left", "2")), component="test"))

    fewer = (Sysctl(label="x", values=(("net.kept", "3"),), component="test"),)
    ends = []
    for agents in killed_at_every_write(memory, prepare, fewer):
        assert agents.apply(*fewer).result.failed == 0
        assert agents.apply(*fewer).result.changed == 0
        assert (agents.read("/proc/sys/net/kept"), agents.read("/proc/sys/net/left")) == ("3\n", "1\n")
        ends.append(json.loads(agents.read("/var/lib/hakit/manifest.json"))["items"])
    assert ends[-1]["sysctl:x"]["live"] == {"net.kept": "1"}
    assert all(end == ends[-1] for end in ends)


@pytest.mark.parametrize(
    ("active", "meanwhile", "recorded"),
    [
        ("active", "nothing", True),
        ("active", "nothing", False),
        ("active", "restart", True),
        ("active", "restart", False),
        ("inactive", "nothing", True),
    ],
)
def test_a_reload_is_never_forgotten(memory: Path, active: str, meanwhile: str, recorded: bool) -> None:
    """Wherever the run dies and whatever the unit does meanwhile, in the end it has loaded what is declared."""

    def prepare(agents: Agents) -> None:
        agents.write("/etc/daemon.conf", "old\n")
        systemd = Systemd(agents)
        if recorded:
            agents.apply(*daemon("older\n"))
        systemd.set(active=active)

    for agents in killed_at_every_write(memory, prepare, daemon("new\n")):
        systemd = Systemd(agents)
        if meanwhile == "restart" and systemd.get("active") == "active":
            systemd.restart_by_itself()
        with agents.client() as client:
            assert apply_with(client, daemon("new\n")).result.failed == 0
            assert (systemd.get("loaded"), systemd.get("active")) == ("new", "active")
            assert [item.status for item in client.plan(daemon("new\n"), None)] == ["same", "same"]


def test_nothing_is_reloaded_without_need(agents: Agents) -> None:
    agents.write("/etc/daemon.conf", "same\n")
    systemd = Systemd(agents)
    assert agents.apply(*daemon("same\n")).result.changed == 0
    assert agents.apply(*daemon("new\n")).result.changed == 2
    systemd.restart_by_itself()
    assert agents.apply(*daemon("new\n")).result.changed == 0
    assert systemd.get("asked") == "reload"


def test_the_plan_shows_the_reload_that_a_file_will_need(agents: Agents) -> None:
    agents.write("/etc/daemon.conf", "same\n")
    Systemd(agents)
    item = agents.plan(*daemon("new\n"))[1]
    assert (item.status, item.summary, item.impact) == ("change", ("reload (daemon.conf changed)",), "reload")


def test_a_change_by_others_is_mended_and_loaded(agents: Agents) -> None:
    agents.write("/etc/daemon.conf", "old\n")
    systemd = Systemd(agents)
    systemd.set(active="inactive")
    agents.apply(*daemon("new\n"))
    agents.write("/etc/daemon.conf", "by hand\n")
    systemd.restart_by_itself()
    assert systemd.get("loaded") == "by hand"
    agents.apply(*daemon("new\n"))
    assert systemd.get("loaded") == "new"


def test_a_restart_asked_by_a_resource_outlives_a_killed_run(memory: Path) -> None:
    def resources(text: str) -> tuple[Resource, ...]:
        part = files(one("/etc/part", text), label="part")
        unit = Unit(unit="daemon.service", restart_on=("files:part",), component="test", after=("files:part",))
        return part, unit

    def prepare(agents: Agents) -> None:
        agents.write("/etc/daemon.conf", "old\n")
        Systemd(agents)
        agents.apply(*resources("old\n"))

    for agents in killed_at_every_write(memory, prepare, resources("new\n")):
        agents.apply(*resources("new\n"))
        assert agents.read("/etc/part") == "new\n"
        assert "restart" in (agents.root / "fake/asked").read_text()
        assert agents.apply(*resources("new\n")).result.changed == 0
