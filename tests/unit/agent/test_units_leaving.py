"""What a unit has loaded leaves: it is told to do without, wherever a run dies and whoever restarts it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.handlers.sysctl import file_text
from hakit.agent.resources.paths import Symlink
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.agent.starting import AgentGone
from tests.unit.agent.agent_support import Agents, apply_with, files, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.agent.answers import Item
    from hakit.agent.resources.base import Resource

# A systemd as far as this goes: it knows drop-ins as of its own last reload, and an invocation runs with those that
# were known at its start. A reload of a unit loads its files in /etc/UNIT anew, but no drop-in.
SYSTEMCTL = """#!/bin/sh
root="${0%/*}/.."
cd "$root/fake"
dropins() { cat "$root/etc/systemd/system/$1.d"/*.conf 2>/dev/null; }
files() { cat "$root/etc/$1"/* 2>/dev/null; }
verb=$1; shift
case $verb in
daemon-reload)
    for unit in *; do dropins $unit > $unit/known; done ;;
show)
    shift 2
    for unit; do
        test -n "$again" && echo; again=1
        need=no; dropins $unit | cmp -s - $unit/known || need=yes
        echo LoadState=loaded; echo ActiveState=active; echo UnitFileState=enabled; echo Type=oneshot
        echo RemainAfterExit=yes; echo CanReload=yes; echo Result=success
        read number < $unit/invocation; echo InvocationID=$number; echo NeedDaemonReload=$need
    done ;;
restart)
    test "$1" = -- && shift
    read number < $1/invocation; echo $(( number + 1 )) > $1/invocation
    cp $1/known $1/dropins; files $1 > $1/files; echo restart >> $1/asked ;;
reload)
    test "$1" = -- && shift
    files $1 > $1/files; echo reload >> $1/asked ;;
esac
exit 0
"""


class Systemd:
    """The fake systemd of a root, which brings its state along when the root is copied."""

    def __init__(self, agents: Agents) -> None:
        self._root = agents.root
        self._program = agents.root / "bin/systemctl"

    def boot(self, *units: str) -> None:
        """All of them run."""
        self._program.write_text(SYSTEMCTL)
        self._program.chmod(0o755)
        for unit in units:
            folder = self._root / "fake" / unit
            folder.mkdir(parents=True)
            for name, text in (("invocation", "0\n"), ("asked", ""), ("known", ""), ("dropins", ""), ("files", "")):
                (folder / name).write_text(text)
        self.do("daemon-reload")
        for unit in units:
            self.do("restart", unit)
            (self._root / "fake" / unit / "asked").write_text("")

    def do(self, *arguments: str) -> None:
        """As somebody who logs in."""
        subprocess.run([self._program, *arguments], check=True)

    def asked(self, unit: str) -> list[str]:
        """What a unit was told so far."""
        return (self._root / "fake" / unit / "asked").read_text().split()

    def runs_with(self, unit: str) -> tuple[str, str]:
        """The drop-ins and the files that a unit has loaded."""
        folder = self._root / "fake" / unit
        return (folder / "dropins").read_text(), (folder / "files").read_text()

    def on_disk(self, unit: str) -> tuple[str, str]:
        """The drop-ins and files that are there."""
        folders = (self._root / "etc/systemd/system" / f"{unit}.d", self._root / "etc" / unit)
        texts = ["".join(path.read_text() for path in sorted(folder.glob("*"))) for folder in folders]
        return texts[0], texts[1]


U, V = "u.service", "v.service"
DROP_IN = f"/etc/systemd/system/{U}.d/50-x.conf"
CONF = f"/etc/{U}/x.conf"
MEANWHILE: dict[str, tuple[tuple[str, ...], ...]] = {
    "nothing": (),
    "restart": (("restart", U),),
    "read": (("daemon-reload",),),
    "restart, read": (("restart", U), ("daemon-reload",)),
    "read, restart": (("daemon-reload",), ("restart", U)),
}


def unit(name: str = U, **more: object) -> Unit:
    return Unit(unit=name, component="test", **more)  # type: ignore[arg-type]  # fields of Unit


def drop_in() -> Resource:
    return files(one(DROP_IN, "[Service]\n"), label=DROP_IN)


def conf() -> Resource:
    return files(one(CONF, "x\n"), label=CONF)


def site(*, whole: bool, reload: bool = False) -> tuple[Resource, ...]:
    """A unit with a drop-in and a file, or without."""
    if not whole:
        return (unit(),)
    lists = {"reload_on": (CONF,), "restart_on": (DROP_IN,)} if reload else {"restart_on": (DROP_IN, CONF)}
    return drop_in(), conf(), unit(**lists, after=(f"files:{DROP_IN}", f"files:{CONF}"))


def killed_at_writes(
    memory: Path, prepare: Callable[[Agents], None], resources: tuple[Resource, ...], step: int = 1
) -> Iterator[Agents]:
    """A copy of a root per write at which the agent dies, each after its death; ends with the undisturbed run.

    `step` 1 stands for every write, 3 for every third one.
    """
    template = Agents(memory / "template")
    prepare(template)
    for number in itertools.count(1, step):
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


@pytest.mark.parametrize(
    ("original", "by_hand", "meanwhile"),
    [
        *(("", True, meanwhile) for meanwhile in MEANWHILE),
        ("", False, "nothing"),
        ("before\n", True, "nothing"),
        ("before\n", False, "restart, read"),
    ],
)
def test_a_unit_does_without_what_left(memory: Path, original: str, by_hand: bool, meanwhile: str) -> None:
    def prepare(agents: Agents) -> None:
        if original:
            agents.write(DROP_IN, original)
            agents.write(CONF, original)
        systemd = Systemd(agents)
        systemd.boot(U)
        assert agents.apply(*site(whole=True)).result.failed == 0
        assert systemd.runs_with(U) == ("[Service]\n", "x\n")
        if by_hand:
            systemd.do("restart", U)

    step = 1 if meanwhile == "restart, read" else 3
    for agents in killed_at_writes(memory, prepare, site(whole=False), step):
        systemd = Systemd(agents)
        for arguments in MEANWHILE[meanwhile]:
            systemd.do(*arguments)
        with agents.client() as client:
            assert apply_with(client, site(whole=False)).result.failed == 0
            assert systemd.runs_with(U) == systemd.on_disk(U) == (original, original)
            assert apply_with(client, site(whole=False)).result.changed == 0


def linked(text: str = "[Service]\n", name: str = "x") -> tuple[Resource, ...]:
    """A unit with a drop-in that is a link to a file."""
    target = files(one(f"/etc/{name}.conf", text), label="target")
    link = Symlink(path=DROP_IN, target=f"../../../{name}.conf", component="test", after=("files:target",))
    return target, link, unit(restart_on=(DROP_IN,), after=(f"symlink:{DROP_IN}",))


@pytest.mark.parametrize(
    "before", [(unit(),), linked("[Unit]\n"), linked("[Unit]\n", "y")], ids=["new", "same", "other"]
)
@pytest.mark.parametrize("meanwhile", ["nothing", "restart, read"])
def test_a_unit_loads_what_a_link_leads_to(memory: Path, before: tuple[Resource, ...], meanwhile: str) -> None:
    def prepare(agents: Agents) -> None:
        systemd = Systemd(agents)
        systemd.boot(U)
        agents.apply(*before)
        systemd.do("restart", U)
        item = changes(agents, *linked())[f"unit:{U}"]
        assert (item.summary, item.impact) == (("restart (50-x.conf changed)",), "disruptive")

    for agents in killed_at_writes(memory, prepare, linked(), 3):
        systemd = Systemd(agents)
        for arguments in MEANWHILE[meanwhile]:
            systemd.do(*arguments)
        with agents.client() as client:
            assert apply_with(client, linked()).result.failed == 0
            assert systemd.runs_with(U) == systemd.on_disk(U) == ("[Service]\n", "")
            assert apply_with(client, linked()).result.changed == 0


def test_a_link_that_is_no_longer_listed_and_stays_tells_nobody(agents: Agents) -> None:
    Systemd(agents).boot(U)
    agents.apply(*linked())
    *rest, _ = linked()
    assert changes(agents, *rest, unit()) == {}


def changes(agents: Agents, *resources: Resource) -> dict[str, Item]:
    return {item.key: item for item in agents.plan(*resources) if item.status != "same"}


@pytest.mark.parametrize("by_hand", [False, True], ids=["as hakit left it", "restarted by hand"])
def test_the_plan_shows_the_restart_before_anything_is_removed(agents: Agents, by_hand: bool) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(*site(whole=True))
    if by_hand:
        systemd.do("restart", U)
    found = changes(agents, *site(whole=False))
    assert list(found) == [f"files:{DROP_IN}", f"files:{CONF}", f"unit:{U}"]
    item = found[f"unit:{U}"]
    assert (item.status, item.impact) == ("change", "disruptive")
    assert item.summary == ("restart (50-x.conf removed, x.conf removed)",)


def test_what_reloaded_a_unit_reloads_it_when_it_leaves(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(*site(whole=True, reload=True))
    before = systemd.asked(U)
    rest = (drop_in(), unit(restart_on=(DROP_IN,), after=(f"files:{DROP_IN}",)))
    assert changes(agents, *rest)[f"unit:{U}"].summary == ("reload (x.conf removed)",)
    agents.apply(*rest)
    assert systemd.asked(U)[len(before) :] == ["reload"]
    assert systemd.runs_with(U) == ("[Service]\n", "")
    assert agents.apply(*rest).result.changed == 0


def test_a_drop_in_that_another_unit_claims_restarts_nothing(memory: Path) -> None:
    """It reloads the one that claims it; the one that it is for reads it at its next start."""

    def prepare(agents: Agents) -> None:
        Systemd(agents).boot(U, V)
        claims = unit(V, reload_on=(DROP_IN,), after=(f"files:{DROP_IN}",))
        agents.apply(drop_in(), unit(), claims)
        Systemd(agents).do("restart", U)

    rest = (unit(), unit(V))
    for agents in killed_at_writes(memory, prepare, rest):
        agents.apply(*rest)
        systemd = Systemd(agents)
        assert (agents.root / "fake" / U / "known").read_text() == "", "systemd has read that it is gone"
        assert "restart" not in systemd.asked(U)[1:]
        assert systemd.asked(V)[-1] == "reload"
        assert agents.apply(*rest).result.changed == 0


@pytest.mark.parametrize("meanwhile", ["nothing", "restart"])
def test_a_unit_that_only_a_file_names_is_told_when_the_file_leaves(memory: Path, meanwhile: str) -> None:
    def prepare(agents: Agents) -> None:
        Systemd(agents).boot(U)
        agents.apply(conf(), unit(enabled=None, running=None, reload_on=(CONF,), after=(f"files:{CONF}",)))
        (item,) = (item for item in agents.plan() if item.key == f"unit:{U}")
        assert (item.status, item.summary, item.impact) == ("remove", ("reload (x.conf removed)",), "reload")

    for agents in killed_at_writes(memory, prepare, ()):
        systemd = Systemd(agents)
        for arguments in MEANWHILE[meanwhile]:
            systemd.do(*arguments)
        assert agents.apply().result.failed == 0
        assert systemd.runs_with(U) == ("", "")
        assert agents.plan() == ()


def test_a_unit_that_hakit_managed_and_never_started_is_left_alone(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(*site(whole=True))
    before = systemd.asked(U)
    agents.apply()
    assert systemd.asked(U) == before
    assert agents.plan() == ()


def test_what_is_listed_later_than_written_is_known_when_it_leaves(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(conf(), unit())
    systemd.do("restart", U)
    listing = unit(reload_on=(CONF,), after=(f"files:{CONF}",))
    assert agents.apply(conf(), listing).result.changed == 0
    assert changes(agents, unit())[f"unit:{U}"].summary == ("reload (x.conf removed)",)


def test_what_is_no_longer_listed_and_leaves_later_tells_nobody(agents: Agents) -> None:
    Systemd(agents).boot(U)
    agents.apply(*site(whole=True))
    assert changes(agents, drop_in(), conf(), unit()) == {}
    agents.apply(drop_in(), conf(), unit())
    assert f"unit:{U}" not in changes(agents, unit())


def test_what_another_component_declares_now_does_not_leave(agents: Agents) -> None:
    Systemd(agents).boot(U)
    agents.apply(*site(whole=True))
    with agents.client(lock=False) as client:
        items = client.plan([unit()], ["test"], elsewhere=[DROP_IN, CONF])
    assert [item.status for item in items] == ["same"]


def test_what_only_hakit_has_to_forget_restarts_nothing(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.write("/proc/sys/net/kept", "1\n")
    agents.write("/proc/sys/net/left", "1\n")
    agents.apply(Sysctl(label="x", values=(("net.kept", "2"), ("net.left", "2")), component="test"))
    agents.write("/proc/sys/net/left", "1\n")
    agents.write("/etc/sysctl.d/60-hakit-x.conf", file_text((("net.kept", "2"),)))
    fewer = Sysctl(label="x", values=(("net.kept", "2"),), component="test")
    done = agents.apply(fewer, unit(restart_on=("sysctl:x",), after=("sysctl:x",)))
    assert done.item("sysctl:x").summary == ("forget net.left",)
    assert (done.item(f"unit:{U}").status, systemd.asked(U)) == ("same", [])
    assert agents.plan(fewer, unit(restart_on=("sysctl:x",), after=("sysctl:x",)))[1].status == "same"


def test_what_somebody_deleted_before_it_left_was_loaded_all_the_same(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(*site(whole=True))
    (agents.root / CONF[1:]).unlink()
    rest = (drop_in(), unit(restart_on=(DROP_IN,), after=(f"files:{DROP_IN}",)))
    assert agents.apply(*rest).result.changed == 2
    assert systemd.runs_with(U) == ("[Service]\n", "")


def test_a_removal_that_is_refused_restarts_nothing_and_is_not_forgotten(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(*site(whole=True))
    path = agents.root / CONF[1:]
    path.unlink()
    path.mkdir()
    rest = (drop_in(), unit(restart_on=(DROP_IN,), after=(f"files:{DROP_IN}",)))
    found = changes(agents, *rest)
    assert {key: item.status for key, item in found.items()} == {f"files:{CONF}": "refused"}
    path.rmdir()
    agents.write(CONF, "x\n")
    assert changes(agents, *rest)[f"unit:{U}"].summary == ("restart (x.conf removed)",)


def test_a_removal_that_fails_restarts_nothing_and_is_not_forgotten(agents: Agents) -> None:
    systemd = Systemd(agents)
    systemd.boot(U)
    agents.apply(*site(whole=True))
    before = systemd.asked(U)
    versions = agents.state / "previous" / CONF[1:].replace("/", ",")
    versions.parent.mkdir(exist_ok=True)
    versions.write_text("no folder, so the version that goes can't be kept\n")
    rest = (drop_in(), unit(restart_on=(DROP_IN,), after=(f"files:{DROP_IN}",)))
    assert agents.apply(*rest).result.failed == 1
    assert systemd.asked(U) == before
    versions.unlink()
    assert agents.apply(*rest).result.changed == 2
    assert systemd.runs_with(U) == ("[Service]\n", "")


def test_a_unit_that_restarts_while_a_file_is_on_its_way_out_has_loaded_it(agents: Agents) -> None:
    """As when the removal fails: the restart for another reason must not wipe out what is due."""
    Systemd(agents).boot(U)
    agents.apply(*site(whole=True))
    rest = (drop_in(), unit(restart_on=(DROP_IN,), after=(f"files:{DROP_IN}",)))
    with agents.client() as client:
        client.plan(rest, None)
        client.apply([f"unit:{U}"], [], lambda _: None)
    assert changes(agents, *rest)[f"unit:{U}"].summary == ("restart (x.conf removed)",)


@pytest.mark.parametrize(
    "leaving",
    [
        Symlink(path="/etc/u.service/link", target="/nowhere", component="test"),
        Sysctl(label="none", values=(), component="test"),
        files(one("/etc/u.service/other", "x\n"), label="other"),
    ],
    ids=lambda one: one.type,
)
def test_a_resource_that_a_unit_restarts_on_restarts_it_when_it_leaves(memory: Path, leaving: Resource) -> None:
    def prepare(agents: Agents) -> None:
        Systemd(agents).boot(U)
        agents.apply(leaving, unit(restart_on=(leaving.key,), after=(leaving.key,)))
        Systemd(agents).do("restart", U)
        assert changes(agents, unit())[f"unit:{U}"].impact == "disruptive"

    for agents in killed_at_writes(memory, prepare, (unit(),)):
        assert agents.apply(unit()).result.failed == 0
        assert "restart" in Systemd(agents).asked(U)[2:]
        assert Systemd(agents).runs_with(U) == ("", ""), "it goes first"
        assert agents.apply(unit()).result.changed == 0


def test_systemd_reads_a_file_that_no_unit_lists_after_a_kill(memory: Path) -> None:
    def prepare(agents: Agents) -> None:
        Systemd(agents).boot(U)

    for agents in killed_at_writes(memory, prepare, (drop_in(),)):
        if changes(agents, drop_in()):
            agents.apply(drop_in())
        else:
            with agents.client():
                """Who holds the host's lock has systemd read what is there, also where nothing is to be done."""
        assert (agents.root / "fake" / U / "known").read_text() == "[Service]\n"
