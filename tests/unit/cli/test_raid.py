"""`hakit raid` and `--wipe`: what the command line names has to be declared, and what the hosts tell is shown."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hakit.cli import options
from hakit.cli.main import main
from hakit.cli.work import wiped
from hakit.components.base import Facts
from hakit.components.templates import Templates
from hakit.engine.run import Run
from hakit.engine.session import HostSession
from hakit.errors import ConnectError, UsageError
from hakit.raid import replacing
from hakit.raid.hands import Hands
from tests.unit.raid.arrays import array, bench, disk

if TYPE_CHECKING:
    from hakit.agent.tasks import Task
    from hakit.raid.picture import Picture
    from tests.unit.raid.arrays import Bench

HOSTS = """
all:
  vars: {hakit: {raid: {monitor: {mail: root@example.org}}}}
  hosts:
    db1:
      ansible_host: 192.0.2.1
      hakit: {raid: {arrays: {data: {level: 1, devices: ["serial:A1", "serial:B2"]}}, wipe: [B2]}}
    db2:
      ansible_host: 192.0.2.2
      hakit: {raid: {arrays: {data: {level: 1, devices: ["serial:A1", "serial:B2"]}}}}
    web1: {ansible_host: 192.0.2.3}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(HOSTS, encoding="ascii")
    return path


def ran(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    return int(str(ended.value.code))


def told(one: Picture) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(one)))
    found["devices"] = found.pop("slots")
    return found


class Sessions:
    """The hosts' agents: each answers `status` with what a test says; one without an answer is not reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **pictures: Picture) -> None:
        self.tasks: list[Task] = []
        self.locked: list[bool] = []
        sessions = self

        def begin(session: HostSession, *, lock: bool) -> Facts:
            sessions.locked.append(lock)
            name = session.host.name
            if name not in pictures:
                raise ConnectError(f"{name}: no route")
            return session.facts

        def task(_: HostSession, task: Task, on_event: object = None) -> dict[str, Any]:
            del on_event
            sessions.tasks.append(task)
            return told(pictures["db1"]) if task.do == "status" else {}

        monkeypatch.setattr(HostSession, "usable", property(lambda session: session.host.name in pictures))
        monkeypatch.setattr(HostSession, "open", begin)
        monkeypatch.setattr(HostSession, "task", task)


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_disk_that_no_inventory_names_is_not_wiped(
    verb: str, inventory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "plan", lambda _: pytest.fail("nobody may be asked"))
    assert ran(verb, "-i", str(inventory), "--wipe", "B3") == 2
    said = capsys.readouterr().err
    assert "--wipe B3: the inventory names no such disk; nothing was done" in said
    assert "raid: {wipe: [B3]}" in said


def test_a_disk_that_both_name_is_confirmed(inventory: Path) -> None:
    site, _ = options.load(inventory)
    assert wiped(site, ("B2",)) == {"B2"}
    assert wiped(site, ()) == frozenset()
    with pytest.raises(UsageError):
        wiped(site, ("B2", "A1"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", "web1"), "web1 declares no array"),
        (("status", "db3"), "db3 declares no array (did you mean db"),
        (("replace", "db1", "dta", "A1"), "db1 has no array dta (did you mean data?)"),
        (("scrub", "db1", "--stop", "--repair"), "exclude each other"),
        (("grow", "db1", "logs"), "db1 has no array logs"),
    ],
)
def test_what_is_not_declared_is_told_before_anybody_is_asked(
    words: tuple[str, ...], said: str, inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("raid", *words, "-i", str(inventory)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [("status",), ("status", "lb1"), ("grow", "nohost", "data")])
def test_an_inventory_without_arrays_says_so(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    lab = Path(__file__).parents[3] / "inventories/lab"
    assert ran("raid", *words, "-i", str(lab)) == 2
    assert "no host of the inventory declares an array" in capsys.readouterr().err


def test_status_shows_every_host_and_who_does_not_answer(
    inventory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(monkeypatch, db1=array(disk("A1"), disk("B2", "faulty", 1), state="degraded", degraded=1))
    assert ran("raid", "status", "-i", str(inventory)) == 1
    said = capsys.readouterr().out
    assert "db1  data  degraded" in said
    assert f"hakit raid replace -i {inventory} db1 data B2" in said
    assert "db2  ✗ no route" in said
    assert sessions.locked == [False, False]


def test_status_for_programs(
    inventory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Sessions(monkeypatch, db1=array(disk("A1"), disk("B2", slot=1)))
    assert ran("raid", "status", "-i", str(inventory), "db1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hosts"]["db1"]["data"]["state"] == "clean"
    assert found["errors"] == {}


def test_a_scrub_is_begun_under_the_hosts_lock(
    inventory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(monkeypatch, db1=array())
    assert ran("raid", "scrub", "-i", str(inventory), "db1") == 0
    assert [(task.do, task.arguments) for task in sessions.tasks] == [("scrub", (("action", "check"),))]
    assert sessions.locked == [True]
    assert "hakit raid status" in capsys.readouterr().out


def test_a_replaced_disk_is_still_to_be_written_into_the_inventory(
    inventory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hands: Bench = bench(new="")
    hands.there.add("C3")
    hands.declared["C3"] = disk("C3", "empty", -1, word="serial:C3")
    Sessions(monkeypatch, db1=array())
    for name in ("look", "do", "exchange", "disks"):
        monkeypatch.setattr(Hands, name, lambda _, *words, name=name, **others: getattr(hands, name)(*words, **others))
    monkeypatch.setattr(replacing, "PAUSE", 0.0)
    assert ran("raid", "replace", "-i", str(inventory), "db1", "data", "B2", "C3", "--confirm", "B2") == 0
    said = capsys.readouterr()
    assert "Pull the disk ST4000 serial B2" in said.err
    assert "Done: serial:C3 is in sync, data is clean." in said.out
    assert f"Write  serial:C3  in place of  serial:B2 ({inventory}:7:" in said.out


def test_without_the_serial_number_nothing_is_taken_out(
    inventory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = bench()
    Sessions(monkeypatch, db1=array())
    for name in ("look", "do", "exchange", "disks"):
        monkeypatch.setattr(Hands, name, lambda _, *words, name=name, **others: getattr(hands, name)(*words, **others))
    assert ran("raid", "replace", "-i", str(inventory), "db1", "data", "B2", "--yes") == 2
    assert "add  --confirm B2" in capsys.readouterr().err
    assert hands.did == []


def test_a_replaced_disk_is_declared_to_the_host_in_its_place(inventory: Path) -> None:
    site, components = options.load(inventory)
    asked: list[Task] = []
    scope = SimpleNamespace(site=site, components=components, templates=Templates(site), rendering=nullcontext())

    def task(one: Task, _: object) -> dict[str, Any]:
        asked.append(one)
        return {}

    session = SimpleNamespace(scope=scope, host=site.hosts["db1"], facts=Facts(), task=task)
    hands = Hands(cast("HostSession", session))
    hands.exchange("data", "B2", "serial:C3")
    hands.do("data", "add", device="serial:C3")
    assert asked[0].about.devices == ("serial:A1", "serial:C3")  # type: ignore[attr-defined]  # it is an Array
    assert (asked[0].kind, asked[0].do, asked[0].arguments) == ("raid", "add", (("device", "serial:C3"),))
    hands.exchange("data", "Z9", "serial:A1")
    assert hands.arrays["data"].devices == ("serial:A1", "serial:C3")
