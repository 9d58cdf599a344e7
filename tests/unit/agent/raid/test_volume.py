"""Volume groups and volumes on an array: what LVM is told, and what is refused. LVM is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.handlers import volume
from hakit.agent.handlers.volume import Volumegroups, Volumes
from hakit.agent.process import Result
from hakit.agent.raid import intent as intents
from hakit.agent.resources.raid import Volume, Volumegroup
from tests.unit.agent.raid.host import Host, array
from tests.unit.agent.raid.images import MIB, UUID_TEXT, put
from tests.unit.agent.raid.test_array import apply as make_array

if TYPE_CHECKING:
    from hakit.agent.work import Change

GROUP = Volumegroup(group="vg", array="data", after=("array:data",))
VOLUME = Volume(group="vg", volume="pg", size=8)


class Lvm:
    """Physical volumes, and volumes by group and name."""

    def __init__(self, host: Host) -> None:
        self.pvs: dict[str, str] = {}
        self.lvs: dict[tuple[str, str], int] = {}
        self.told: list[list[str]] = []
        for name in ("pvs", "lvs", "vgcreate", "lvcreate"):
            host.programs[name] = self

    def __call__(self, words: list[str]) -> Result:
        if words[0] == "pvs":
            return Result(0, "".join(f"  {name}|{group}\n" for name, group in self.pvs.items()), "")
        if words[0] == "lvs":
            return Result(0, "".join(f"  {group}|{name}|{size}\n" for (group, name), size in self.lvs.items()), "")
        self.told.append(words)
        if words[0] == "vgcreate":
            self.pvs[words[3]] = words[2]
        else:
            self.lvs[words[-1], words[words.index("--name") + 1]] = 8 * MIB
        return Result(0, "", "")


@pytest.fixture
def lvm(host: Host, monkeypatch: pytest.MonkeyPatch) -> Lvm:
    monkeypatch.setattr(volume, "find", lambda name: f"/sbin/{name}")
    make_array(host, array())
    host.work.declare([array(), GROUP, VOLUME])
    return Lvm(host)


def group(host: Host) -> Change:
    return Volumegroups().diff(GROUP, Volumegroups().read([GROUP], host.work)[GROUP.key], host.work)


def one(host: Host, declared: Volume = VOLUME) -> Change:
    return Volumes().diff(declared, Volumes().read([declared], host.work)[declared.key], host.work)


def test_they_are_made_once_without_a_word_that_answers_questions(host: Host, lvm: Lvm) -> None:
    Volumegroups().apply(GROUP, group(host), host.work)
    assert group(host).summary == ()
    Volumes().apply(VOLUME, one(host), host.work)
    assert one(host).summary == ()
    node = str(host.path("md127"))
    assert lvm.told[0] == ["vgcreate", "--", "vg", node]
    assert lvm.told[1] == ["lvcreate", "--wipesignatures", "n", "--size", "8m", "--name", "pg", "--", "vg"]
    assert not {"--yes", "-y", "--force", "-f"} & {word for words in lvm.told for word in words}
    assert intents.read("data", UUID_TEXT, host.work) is None


def test_volumes_on_wiped_disks_are_remembered_until_they_hold_something(host: Host, lvm: Lvm) -> None:
    record = intents.read("data", UUID_TEXT, host.work)
    assert record is not None
    intents.write(record.replace(wiped=("B",)), host.work)
    Volumegroups().apply(GROUP, group(host), host.work)
    Volumes().apply(VOLUME, one(host), host.work)
    again = intents.read("data", UUID_TEXT, host.work)
    assert again is not None
    assert again.volumes == ("vg/pg",)
    assert len(lvm.told) == 2


@pytest.mark.parametrize(
    ("name", "group_name", "words"),
    [("/dev/sdz", "vg", "is there on sdz"), ("md127", "other", "belongs to the volume group other")],
)
def test_what_belongs_elsewhere_is_refused(host: Host, lvm: Lvm, name: str, group_name: str, words: str) -> None:
    lvm.pvs[name if name.startswith("/") else str(host.path(name))] = group_name
    with pytest.raises(Failure, match=words):
        group(host)
    assert lvm.told == []


def test_an_array_that_bears_data_is_refused(host: Host, lvm: Lvm) -> None:
    put(host.path("md127"), 3 * MIB, b"precious")
    with pytest.raises(Failure, match="data without any signature at 3 MiB"):
        group(host)
    assert lvm.told == []


def test_a_group_that_was_cut_short_is_made(host: Host, lvm: Lvm) -> None:
    lvm.pvs[str(host.path("md127"))] = ""
    put(host.path("md127"), 512, b"LABELONE")
    assert group(host).new
    intents.forget("data", host.work)
    with pytest.raises(Failure, match="LVM physical volume"):
        group(host)


def test_another_size_is_told_and_left(host: Host, lvm: Lvm) -> None:
    lvm.lvs["vg", "pg"] = 4 * MIB
    assert one(host).summary == ()
    assert "has 4 MiB, not 8" in host.said[-1]


def test_without_lvm_they_wait_for_it_or_are_refused(host: Host, lvm: Lvm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "find", lambda _name: None)
    with pytest.raises(Failure, match="lvm2 is not installed"):
        group(host)
    host.work.status["package:lvm2"] = "change"
    waiting = GROUP.replace(after=("package:lvm2",))
    change = Volumegroups().diff(waiting, None, host.work)
    assert change.after == "known after package:lvm2"
    assert lvm.told == []
