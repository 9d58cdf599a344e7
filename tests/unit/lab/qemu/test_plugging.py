"""What `hakit lab plug` and `unplug` ask the lab to do, and what root's half makes of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hakit.cli import lab as module
from hakit.errors import LabError
from hakit.lab import privilege
from hakit.lab.drivers import driver
from hakit.lab.plan import DataDisk, HostPlan, HostStatus, LabPlan, NewDisk, Nic
from hakit.lab.state import Place

if TYPE_CHECKING:
    from pathlib import Path

HOST = HostPlan("db1", "10.77.0.31", "root", 22, (Nic("eth0", "10.77.0.31/24"),), 12)
PLAN = LabPlan("/x/hosts.yml", "10.77.0.0/24", "10.77.0.1/24", "qemu", (), (HOST,))


class Asked:
    """Stands for a lab; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def plug(self, host: str, disk: str, *, place: int | None, new: NewDisk | None) -> int:
        self.asked.append((host, disk, place, new))
        return place or 0

    def unplug(self, host: str, disk: str) -> None:
        self.asked.append((host, disk))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(module, "_lab", lambda _: made)
    return made


def run(folder: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(module.lab, [words[0], "-i", str(folder), *words[1:]])
    return done.exit_code, done.output


def test_a_disk_goes_out_and_in(tmp_path: Path, asked: Asked) -> None:
    code, said = run(tmp_path, "unplug", "db1", "data1")
    assert code == 0
    assert f"hakit lab plug -i {tmp_path} db1 data1" in said
    code, said = run(tmp_path, "plug", "db1", "data1", "--place", "3")
    assert code == 0
    assert "at place 3" in said
    assert asked.asked == [("db1", "data1"), ("db1", "data1", 3, None)]


def test_a_new_disk_is_blank_or_the_copy_of_a_file(tmp_path: Path, asked: Asked) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x")
    wwn = "0x5000c500a1b2c3d4"
    assert run(tmp_path, "plug", "db1", "new", "--size", "2GiB", "--wwn", wwn)[0] == 0
    assert run(tmp_path, "plug", "db1", "old", "--image", str(image), "--serial", "S7")[0] == 0
    assert [one[3] for one in asked.asked] == [NewDisk(2 << 30, "", "", wwn), NewDisk(0, str(image), "S7", "")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "2"), "'2' is no size"),
        (("--size", "0MiB"), "'0MiB' is no size"),
        (("--serial", "S7"), "only a new disk"),
        (("--wwn", "0x5000c500a1b2c3d4"), "only a new disk"),
        (("--size", "1GiB", "--image", __file__), "either a --size or an --image"),
        (("--image", "/no/such/file"), "/no/such/file is no file"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_done(
    tmp_path: Path, asked: Asked, words: tuple[str, ...], said: str
) -> None:
    code, told = run(tmp_path, "plug", "db1", "new", *words)
    assert (code, asked.asked) == (2, [])
    assert said in told


class Control:
    """Stands for root's half."""

    asked: tuple[Any, ...] = ()

    def plug(self, *words: Any) -> int:
        self.asked = words
        return 5


def test_a_new_disk_crosses_to_roots_half_whole() -> None:
    new = NewDisk(1 << 30, "/x", "S", "0x5000c500a1b2c3d4")
    control = Control()
    arguments = {"name": "db1", "disk": "d", "place": None, "new": asdict(new)}
    assert privilege._change(control, "plug", arguments, lambda _: None) == 5  # type: ignore[arg-type]  # a stand-in
    assert control.asked == ("db1", "d", None, new)
    with pytest.raises(LabError, match="no operation fly"):
        privilege._change(control, "fly", {"name": "db1"}, lambda _: None)  # type: ignore[arg-type]  # as above


def test_a_status_with_disks_crosses_back_whole() -> None:
    one = HostStatus(
        "db1",
        "10.77.0.31",
        "off",
        ssh=False,
        nics=(("eth0", True),),
        disks=(DataDisk("a", "A", "", 512, 1, plugged=False),),
    )
    assert HostStatus.from_json(one.as_json()) == one
    assert module._words(one) == "off, unplugged: a"


def test_containers_have_no_disks_of_their_own() -> None:
    with pytest.raises(LabError, match="db1 has no disks of its own"):
        _ = driver("nspawn").machine(Place("0123abcd"), HOST).drawer
    assert driver("nspawn").machine(Place("0123abcd"), HOST).disks == ()
