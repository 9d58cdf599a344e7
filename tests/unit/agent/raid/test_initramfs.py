"""The early boot's copies of files: seen in the images, made anew where they differ; initramfs-tools is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.handlers import initramfs
from hakit.agent.handlers.initramfs import Initramfses
from hakit.agent.process import Result
from hakit.agent.raid import early
from hakit.agent.resources.raid import STARTED, Initramfs

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
    for one in (early, initramfs):
        monkeypatch.setattr(one, "find", lambda name: f"/usr/sbin/{name}")

    def unpack(words: list[str]) -> Result:
        image, folder = words[1:]
        copy = Path(folder) / "main/etc/mdadm/mdadm.conf"
        copy.parent.mkdir(parents=True)
        arrays, _, options = Path(image).read_text().partition("---\n")
        copy.write_text(arrays)
        if options:
            (Path(folder) / "main/etc/modprobe.d").mkdir()
            (Path(folder) / f"main{STARTED}").write_text(options)
        return Result(0, "", "")

    def update(words: list[str]) -> Result:
        assert words == ["update-initramfs", "-u", "-k", "all"]
        for name in IMAGES:
            (host.root / "boot" / name).unlink()
            options = host.root / STARTED[1:]
            more = f"---\n{options.read_text()}" if options.exists() else ""
            (host.root / "boot" / name).write_text(f"ARRAY   /dev/md/data UUID=1\n{more}")
        return Result(0, "", "")

    host.programs.update({"unmkinitramfs": unpack, "update-initramfs": update})
    return path


def plan(host: Host, one: Initramfs = ONE) -> Change:
    return Initramfses().diff(one, Initramfses().read([one], host.work)[one.key], host.work)


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


def test_an_image_holds_all_that_it_should(host: Host, conf: Path) -> None:
    both = ONE.replace(also=(STARTED,))
    options = host.root / STARTED[1:]
    options.parent.mkdir(parents=True)
    Initramfses().apply(ONE, plan(host), host.work)
    options.write_text("# why\noptions md_mod start_ro=0\n")
    change = plan(host, both)
    assert change.summary == (f"have the early boot know the arrays: /boot/{IMAGES[0]}, /boot/{IMAGES[1]}",)
    Initramfses().apply(both, change, host.work)
    host.ran.clear()
    assert plan(host, both).summary == plan(host).summary == ()
    assert host.ran == []
    options.write_text("options md_mod start_ro=1\n")
    assert plan(host, both).summary
    assert plan(host).summary == ()
    assert conf.exists()


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
