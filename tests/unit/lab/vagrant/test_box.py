from __future__ import annotations

import json
import os
import tarfile
from typing import TYPE_CHECKING

from hakit.lab.disk import USER_ID, Accounts, KeyPair, host_files
from hakit.lab.qemu.image import DiskImage
from hakit.lab.sources import Source, Upstream
from hakit.lab.vagrant import box
from hakit.lab.vagrant.setup import USER
from tests.unit.lab.vagrant.plans import TWO

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ACCOUNTS = Accounts("root:x:0:0::/root:/bin/sh\n", "root:*:::::::\n", "root:x:0:\n")
UPSTREAM = Upstream((Source("http://mirror.example/debian", "bookworm", ("main",)),), {}, ())


def test_vagrant_comes_in_by_the_boxs_own_key_and_is_no_person() -> None:
    files = {file.path: file for file in box.box_files("ssh-ed25519 KEY", ACCOUNTS)}
    assert files["/etc/passwd"].content.startswith(ACCOUNTS.passwd.encode())
    assert f"{USER}:x:900:900:".encode() in files["/etc/passwd"].content
    key = files[f"/home/{USER}/.ssh/authorized_keys"]
    assert (key.content, key.mode, key.owner) == (b"ssh-ed25519 KEY hakit-box\n", 0o600, 900)
    assert files[f"/etc/sudoers.d/{USER}"].mode == 0o440


def test_a_hosts_user_is_added_to_the_boxs() -> None:
    texts = {file.path: file.content.decode() for file in box.box_files("k", ACCOUNTS)}
    accounts = Accounts(texts["/etc/passwd"], texts["/etc/shadow"], texts["/etc/group"])
    made = host_files("0", TWO, host_key=KeyPair(b"", ""), client_key="k", proxy="", accounts=accounts)
    (passwd,) = (file.content.decode() for file in made if file.path == "/etc/passwd")
    assert [line.split(":")[0] for line in passwd.splitlines()] == ["root", USER, "admin"]
    assert passwd.splitlines()[-1].split(":")[2] == str(USER_ID)


def test_a_box_is_another_image_than_a_machine_of_the_same_packages() -> None:
    images = [kind(12, (), UPSTREAM) for kind in (DiskImage, box.Box)]
    assert images[0].included == images[1].included
    assert len({image.key for image in images}) == 2
    assert set(DiskImage.files) < set(box.Box.files)


def test_a_packed_box_holds_what_vagrant_reads_and_is_its_owners_alone(tmp_path: Path) -> None:
    image = tmp_path / "bookworm-box-0.1"
    image.mkdir()
    for name in (*box.PARTS, "else"):
        (image / name).write_text(name)
    target = tmp_path / "debian.box"
    target.write_text("an old one")
    target.chmod(0o644)
    box.pack(image, target, (os.getuid(), os.getgid()))
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        assert archive.getnames() == list(box.PARTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [image.name, target.name]


def test_a_finished_box_has_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "new"
    for name in ("etc/ssh", "etc/systemd/system", "etc/sudoers.d", "home", "usr/local/lib"):
        (root / name).mkdir(parents=True)
    for name, text in zip(
        ("passwd", "shadow", "group"), (ACCOUNTS.passwd, ACCOUNTS.shadow, ACCOUNTS.group), strict=True
    ):
        (root / "etc" / name).write_text(text)
    trees = []

    def make(tree: Path, target: Path) -> None:
        wants = sorted(
            str(path.relative_to(tree / "etc/systemd/system")) for path in tree.glob("etc/systemd/system/*.wants/*")
        )
        targets = [(tree / "etc/systemd/system" / name).resolve().exists() for name in wants]
        trees.append((wants, targets, (tree / f"home/{USER}/.ssh/authorized_keys").read_text()))
        target.touch()

    monkeypatch.setattr("hakit.lab.qemu.bootdisk.make", make)
    box.Box(12, (), UPSTREAM).finish(root)
    ((wants, targets, authorized),) = trees
    assert wants == sorted(box.WANTED)
    assert all(targets), "no link leads nowhere"
    assert authorized.startswith("ssh-ed25519 ")
    assert {path.name for path in root.iterdir()} == {*box.PARTS, "etc"}
    assert json.loads((root / "metadata.json").read_text()) == {
        "provider": "libvirt",
        "format": "qcow2",
        "virtual_size": 16,
    }
    assert (root / box.PRIVATE_KEY).stat().st_mode & 0o777 == 0o600
    assert f"{USER}:" in (root / "etc/passwd").read_text()
