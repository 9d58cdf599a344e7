"""The early boot's copy of mdadm.conf: seen in the images, made anew where it differs; initramfs-tools is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.handlers import initramfs
from hakit.agent.handlers.initramfs import Initramfses
from hakit.agent.process import Result
from hakit.agent.resources.raid import Initramfs

if TYPE_CHECKING:
    from hakit.agent.work import Change
    from tests.unit.agent.raid.host import Host

CONF = "/etc/mdadm/mdadm.conf"
ONE = Initramfs(path=CONF)
IMAGES = ("initrd.img-6.1.0-40-amd64", "initrd.img-6.1.0-41-amd64")


@pytest.fixture
def conf(host: Host, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mdadm.conf, and two kernels whose images are their copy of it."""
    path = host.root / CONF[1:]
    path.parent.mkdir(parents=True)
    path.write_text("CREATE owner=root\nARRAY /dev/md/data UUID=1\n")
    for name in IMAGES:
        (host.root / "boot" / name).write_text("ARRAY /dev/md/old UUID=2\n")
    (host.root / "boot/initrd.img-6.1.0-40-amd64.bak").write_text("")
    monkeypatch.setattr(initramfs, "find", lambda name: f"/usr/sbin/{name}")

    def unpack(words: list[str]) -> Result:
        image, folder = words[1:]
        copy = Path(folder) / "main/etc/mdadm/mdadm.conf"
        copy.parent.mkdir(parents=True)
        copy.write_text(Path(image).read_text())
        return Result(0, "", "")

    def update(words: list[str]) -> Result:
        assert words == ["update-initramfs", "-u", "-k", "all"]
        for name in IMAGES:
            (host.root / "boot" / name).unlink()
            (host.root / "boot" / name).write_text("ARRAY   /dev/md/data UUID=1\n")
        return Result(0, "", "")

    host.programs.update({"unmkinitramfs": unpack, "update-initramfs": update})
    return path


def plan(host: Host) -> Change:
    return Initramfses().diff(ONE, Initramfses().read([ONE], host.work)[ONE.key], host.work)


def ran(host: Host, program: str) -> int:
    return sum(words[0] == program for words in host.ran)


def test_images_are_made_anew_once(host: Host, conf: Path) -> None:
    change = plan(host)
    assert change.summary == (f"have the early boot know the arrays: /boot/{IMAGES[0]}, /boot/{IMAGES[1]}",)
    Initramfses().apply(ONE, change, host.work)
    host.ran.clear()
    assert plan(host).summary == ()
    assert ran(host, "unmkinitramfs") == 0  # what was seen once is remembered
    conf.write_text("ARRAY /dev/md/data UUID=3\n")
    assert plan(host).summary


def test_an_image_that_somebody_made_is_looked_into(host: Host, conf: Path) -> None:
    Initramfses().apply(ONE, plan(host), host.work)
    image = host.root / "boot" / IMAGES[1]
    image.unlink()
    image.write_text("ARRAY /dev/md/old UUID=2\n")
    assert plan(host).summary == (f"have the early boot know the arrays: /boot/{IMAGES[1]}",)
    assert conf.exists()


def test_a_making_that_does_not_help_is_an_error(host: Host, conf: Path) -> None:
    host.programs["update-initramfs"] = lambda _words: Result(0, "", "")
    with pytest.raises(Failure, match="still holds another"):
        Initramfses().apply(ONE, plan(host), host.work)
    assert conf.exists()


def test_a_host_without_images_has_nothing_to_do(host: Host, conf: Path) -> None:
    for name in IMAGES:
        (host.root / "boot" / name).unlink()
    assert plan(host).summary == ()
    assert conf.exists()


def test_what_is_yet_to_be_written_makes_them_outdated(host: Host, conf: Path) -> None:
    Initramfses().apply(ONE, plan(host), host.work)
    waiting = ONE.replace(after=(f"files:{CONF}",))
    host.work.declare([waiting])
    host.work.status[f"files:{CONF}"] = "change"
    change = Initramfses().diff(waiting, (), host.work)
    assert change.summary == ("have the early boot know the arrays",)
    assert conf.exists()
