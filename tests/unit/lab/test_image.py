from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from hakit.lab import image
from hakit.lab.image import MAX_AGE, Image, ensure, newest
from hakit.lab.sources import Source, Upstream
from hakit.lab.state import Place

if TYPE_CHECKING:
    from pathlib import Path

UPSTREAM = Upstream((Source("http://mirror.example/debian", "bookworm", ("main",)),), {}, ())
IMAGE = Image(12, (), UPSTREAM)
PLACE = Place("0123abcd")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(image, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(image, "LABS", tmp_path / "labs")
    monkeypatch.setattr(image, "cgroup_root", lambda: tmp_path / "cgroup")
    made = tmp_path / "cache" / "images"
    made.mkdir(parents=True)
    return made


def add(folder: Path, age: float, key: str = IMAGE.key) -> Path:
    path = folder / f"{key}.{int(time.time() - age)}"
    path.mkdir()
    os.utime(path, (time.time() - age,) * 2)
    return path


def bootstrap(_: Image, __: Place, ___: str, target: Path, ____: Path) -> None:
    for name in ("etc/ssh", "etc/systemd/system"):
        (target / name).mkdir(parents=True)
    (target / "etc/ssh/ssh_host_rsa_key").touch()


def no_mirror(_: Image, __: Place, ___: str, ____: Path, _____: Path) -> None:
    raise LabError("the base image could not be made")


def test_the_key_names_all_that_goes_into_an_image() -> None:
    keys = {
        one.key
        for one in (
            IMAGE,
            Image(13, (), UPSTREAM),
            Image(12, ("vim",), UPSTREAM),
            Image(12, (), Upstream(UPSTREAM.sources, {}, ('Acquire::Check-Date "false";',))),
            Image(12, (), Upstream((Source("http://other.example/debian", "bookworm", ("main",)),), {}, ())),
        )
    }
    assert len(keys) == 5
    assert Image(12, (), Upstream(UPSTREAM.sources, {"http": "http://p:1"}, ())).key == IMAGE.key
    assert Image(12, ("sudo",), UPSTREAM).key == IMAGE.key, "sudo is in every image"


def test_no_image_brings_what_hakit_is_to_install() -> None:
    assert not {"haproxy", "keepalived", "nginx", "nginx-light", "postgresql"} & set(IMAGE.included)


def test_a_fresh_image_is_used_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_bootstrap", no_mirror)
    add(folder, MAX_AGE / 2)
    fresh = add(folder, 60)
    assert ensure(IMAGE, PLACE, "http://p", lambda _: None) == fresh


def test_an_image_is_made_whole_and_without_an_identity(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_bootstrap", bootstrap)
    said: list[str] = []
    made = ensure(IMAGE, PLACE, "http://p", said.append)
    assert newest(folder, IMAGE.key) == made
    assert not list(made.glob("etc/ssh/ssh_host_*"))
    assert (made / "etc/machine-id").read_bytes() == b""
    assert str((made / "etc/systemd/system/apt-daily.timer").readlink()) == "/dev/null"
    assert "openssh-server" in said[0], "what is installed is said first"
    assert ensure(IMAGE, PLACE, "http://p", said.append) == made


def test_an_old_image_is_renewed_and_goes_when_no_disk_lies_on_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "_bootstrap", bootstrap)
    used, unused, other = add(folder, 2 * MAX_AGE), add(folder, 3 * MAX_AGE), add(folder, 9 * MAX_AGE, "trixie-0")
    host = tmp_path / "labs/0123abcd/hosts/lb1"
    host.mkdir(parents=True)
    (host / "image").symlink_to(used)
    made = ensure(IMAGE, PLACE, "http://p", lambda _: None)
    assert made not in (used, unused)
    assert (used.exists(), unused.exists(), other.exists()) == (True, False, True)


def test_an_old_image_serves_on_when_the_mirror_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_bootstrap", no_mirror)
    said: list[str] = []
    with pytest.raises(LabError):
        ensure(IMAGE, PLACE, "http://p", said.append)
    old = add(folder, 2 * MAX_AGE)
    assert ensure(IMAGE, PLACE, "http://p", said.append) == old
    assert "serves on" in said[-1]
