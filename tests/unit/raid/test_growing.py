"""An array is grown step by step, and each is waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.storage import SeenStorage
from hakit.errors import AgentError, RefusedError
from hakit.raid.growing import Growth
from tests.unit.raid.arrays import array, disk

if TYPE_CHECKING:
    from hakit.raid.picture import Picture


class Host:
    """`Hands` on an array with things to do; each reshape is seen for two looks."""

    def __init__(self, *todo: str, picture: Picture | None = None) -> None:
        self.todo = list(todo)
        self.picture = picture or array(disk("A1"), disk("B2"))
        self.moving = 0
        self.did: list[tuple[str, dict[str, str]]] = []

    def look(self, name: str) -> Picture:
        assert name == "data"
        if self.moving:
            self.moving -= 1
            return replace(self.picture, state="reshaping", action="reshape", progress=0.5)
        return self.picture

    def do(self, name: str, verb: str, **arguments: str) -> dict[str, Any]:
        assert name == "data"
        if verb == "growth":
            return {"steps": ["start it again"] if self.picture.state in ("absent", "failed") else list(self.todo)}
        self.did.append((verb, arguments))
        if verb == "resume":
            if not self.picture.slots:
                raise AgentError("the array data does not run on this host")
            self.picture, self.moving = replace(self.picture, state="clean"), 2
            return {"resumed": True}
        if verb == "add":
            left = tuple(one for one in self.picture.others if one.word != arguments["device"])
            self.picture = replace(self.picture, others=left)
            return {}
        assert not self.moving
        step = self.todo.pop(0) if self.todo else ""
        self.moving = 2 if step else 0
        return {"step": step, "left": list(self.todo)}

    def exchange(self, name: str, old: str, new: str) -> None:
        raise AssertionError((name, old, new))

    def disks(self) -> SeenStorage:
        return SeenStorage()


def growth(host: Host) -> Growth:
    return Growth(host, "db1", "data", lambda _, __: None, lambda _: None)


def test_new_disks_come_first_and_each_step_has_a_backup_of_its_own() -> None:
    new = (disk("C3", "empty", -1), disk("D4", "empty", -1))
    host = Host("make it a RAID6", "use all", picture=array(disk("A1"), disk("B2"), others=new))
    assert growth(host).steps() == ("add serial:C3", "add serial:D4", "make it a RAID6", "use all")
    assert growth(host).run("/root/b").state == "clean"
    assert host.did == [
        ("add", {"device": "serial:C3"}),
        ("add", {"device": "serial:D4"}),
        ("grow", {"backup": "/root/b"}),
        ("grow", {"backup": "/root/b.1"}),
        ("grow", {"backup": "/root/b.2"}),
    ]


def test_a_reshape_that_runs_is_waited_for() -> None:
    host = Host()
    host.moving = 3
    assert growth(host).run("/root/b").state == "clean"


@pytest.mark.parametrize("state", ["absent", "failed"])
def test_a_reshape_that_was_cut_off_is_gone_on_with_before_anything_else(state: str) -> None:
    new = (disk("C3", "empty", -1),)
    host = Host("use all", picture=array(disk("A1"), disk("B2"), others=new, state=state))
    assert growth(host).steps() == ("start it again",)
    assert host.did == []
    assert growth(host).run("/root/b").state == "clean"
    assert [verb for verb, _ in host.did] == ["resume", "add", "grow", "grow"]


def test_a_new_disk_that_bears_something_is_told() -> None:
    host = Host(picture=array(disk("A1"), disk("B2"), others=(disk("C3", "refused", -1, why="ext4 at the beginning"),)))
    with pytest.raises(RefusedError, match="C3 can't become a member of data: ext4 at the beginning"):
        growth(host).steps()
    assert host.did == []


def test_one_that_lacks_members_is_not_reshaped() -> None:
    host = Host("x", picture=array(disk("A1"), state="degraded", degraded=1))
    with pytest.raises(RefusedError, match="is degraded, and is not reshaped so"):
        growth(host).run("/root/b")
    assert host.did == []


def test_one_that_can_not_be_started_is_told_by_its_host() -> None:
    host = Host("x", picture=replace(array(state="absent"), slots=0))
    with pytest.raises(AgentError, match="does not run on this host"):
        growth(host).run("/root/b")
    assert host.did == [("resume", {})]


def test_a_host_that_never_ends_is_given_up() -> None:
    with pytest.raises(AgentError, match="not as declared after 20 steps"):
        growth(Host(*["x"] * 50)).run("/root/b")
