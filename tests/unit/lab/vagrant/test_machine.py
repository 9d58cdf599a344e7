from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from hakit.lab import state
from hakit.lab.disk import Accounts, KeyPair, host_files
from hakit.lab.qemu import accelerator
from hakit.lab.state import Place, Record, boot_id
from hakit.lab.vagrant.libvirt import Libvirt, gist, network_xml
from hakit.lab.vagrant.machine import VagrantMachine, vagrantfile, write_plan
from tests.unit.lab.vagrant.plans import ONE, PLAN, TWO

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.lab.plan import HostPlan

ACCOUNTS = Accounts("", "", "")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    monkeypatch.setattr(state, "NAMESPACES", tmp_path / "netns")
    monkeypatch.setattr(accelerator, "choose", lambda: "tcg")
    place = Place(PLAN.id)
    place.folder.mkdir(parents=True)
    Record(PLAN, boot_id(), (0, 0), complete=False).write(place)
    return place


def made(place: Place, host: HostPlan) -> VagrantMachine:
    machine = VagrantMachine(place, host)
    key = KeyPair(b"private", "ssh-ed25519 PUBLIC")
    files = host_files(place.id, host, host_key=key, client_key="ssh-rsa C", proxy="http://p", accounts=ACCOUNTS)
    image = place.folder.parent / "images" / "bookworm-box-0.1"
    image.mkdir(parents=True, exist_ok=True)
    machine.make_disk(image, files)
    return machine


def test_a_host_is_there_before_its_machine_is(place: Place) -> None:
    machine = made(place, ONE)
    assert machine.exists
    assert not machine.started
    assert machine.host_key == "ssh-ed25519 PUBLIC"
    assert (machine.folder / "setup").stat().st_mode & 0o777 == 0o600, "it holds the host's private key"


def test_its_disks_are_the_declared_ones_and_stay_where_they_are(place: Place) -> None:
    assert VagrantMachine(place, ONE).disks == ()
    machine = made(place, ONE)
    assert [(disk.serial, disk.plugged) for disk in machine.disks] == [(disk.serial, True) for disk in ONE.disks]
    assert machine.disks
    with pytest.raises(LabError, match="the disks of one can't be pulled"):
        _ = machine.drawer


def test_the_vagrantfile_is_told_of_hosts_that_are_there_and_how_to_make_those_that_are_new(place: Place) -> None:
    made(place, ONE)
    write_plan(place)
    path = place.folder / "vagrant.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [host["name"] for host in json.loads(path.read_text())["hosts"]] == ["one"]
    (made(place, TWO).folder / "setup").unlink()
    write_plan(place)
    one, two = json.loads(path.read_text())["hosts"]
    assert (one["box"], two["box"]) == ("hakit/bookworm-box-0.1",) * 2
    assert "host=one" in one["setup"]
    assert two["setup"] == "", "it is a host already"
    assert one["agent"] == str(place.host("one") / "qga")


def test_without_a_record_there_is_nothing_to_tell(place: Place) -> None:
    place.record.unlink()
    with pytest.raises(LabError, match="the lab is down"):
        write_plan(place)


def test_the_process_of_a_machine_is_the_one_that_libvirt_names_and_that_lives(place: Place) -> None:
    libvirt = Libvirt(place)
    assert libvirt.process("one") is None
    file = libvirt.folder / "run/qemu" / f"hakit-{place.id}-one.pid"
    file.parent.mkdir(parents=True)
    file.write_text(f"{os.getpid()}\n")
    assert libvirt.process("one") is None, "a number that is another's by now"
    command = [sys.executable, "-c", "input()", "-name", f"guest=hakit-{place.id}-one,debug-threads=on"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        file.write_text(f"{process.pid}\n")
        while (found := libvirt.process("one")) is None and process.poll() is None:
            time.sleep(0.01)
        assert found == process.pid
        process.kill()
    assert libvirt.process("one") is None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What virsh is asked for; it agrees to everything."""
    words: list[tuple[str, ...]] = []

    def virsh(_: Libvirt, *given: str) -> str:
        words.append(given)
        return ""

    monkeypatch.setattr(Libvirt, "virsh", virsh)
    monkeypatch.setattr(Libvirt, "ask", virsh)
    return words


def volumes(place: Place, **sizes: int) -> None:
    folder = Libvirt(place).folder / "lib/images"
    folder.mkdir(parents=True)
    for name, size in sizes.items():
        (folder / name.replace("__", "-").replace("_img", ".img").replace("_qcow2", ".qcow2")).write_bytes(bytes(size))


def test_a_half_made_machine_goes_with_its_disks_and_with_nobody_elses(
    place: Place, asked: list[tuple[str, ...]]
) -> None:
    mine, others = f"hakit__{place.id}__one", f"hakit__{place.id}__one__vdb"
    names = (f"{mine}_img", f"{mine}__vdb_qcow2", f"{others}_img", f"{others}__vdb_qcow2", f"{mine}x_img")
    volumes(place, **dict.fromkeys(names, 1))
    known = Libvirt(place).machines
    for host in ("one", "two"):
        (known / host).mkdir(parents=True)
    Libvirt(place).forget("one")
    domain = f"hakit-{place.id}-one"
    assert [words[-1] for words in asked if words[0] == "vol-delete"] == [f"{domain}-vdb.qcow2", f"{domain}.img"]
    assert ("undefine", domain) in asked
    assert [path.name for path in known.iterdir()] == ["two"]


@pytest.mark.parametrize(("size", "gone"), [(10, False), (9, True)])
def test_a_box_that_was_not_copied_to_its_end_is_copied_anew(
    place: Place, asked: list[tuple[str, ...]], tmp_path: Path, size: int, *, gone: bool
) -> None:
    image = tmp_path / "bookworm-box-0.1"
    image.mkdir()
    (image / "box.img").write_bytes(bytes(10))
    copied = Libvirt(place).folder / "lib/images/hakit-VAGRANTSLASH-bookworm-box-0.1_vagrant_box_image_0_17_box.img"
    copied.parent.mkdir(parents=True)
    copied.write_bytes(bytes(size))
    Libvirt(place).forget_half_uploaded(image)
    assert bool(asked) is gone


def test_libvirt_is_entered_in_the_labs_network_with_the_labs_folders(place: Place) -> None:
    words = Libvirt(place).enter("virsh", "uri")
    assert words[:2] == ["nsenter", f"--net={place.namespace_file}"]
    assert words[-3:] == [str(place.folder / "libvirt"), "virsh", "uri"]
    assert f"<name>{place.namespace}</name>" in network_xml(place.namespace)


def test_of_what_vagrant_says_the_end_is_shown_without_where_in_its_code_it_was() -> None:
    said = (
        "==> one: Starting domain.\n"
        "\x1b[K==> one: Progress: 98%\n\n"
        "/usr/lib/ruby/vendor_ruby/fog/vm_action.rb:7:in `create': Hook script failed (Libvirt::Error)\n"
        "\tfrom /usr/lib/ruby/vendor_ruby/fog/server.rb:49:in `start'\n"
    )
    assert [line.split("rb:7")[-1].strip() for line in gist(said).splitlines()] == [
        "==> one: Starting domain.",
        ":in `create': Hook script failed (Libvirt::Error)",
    ]
    assert gist(said, 1).startswith("/usr/lib")


def test_the_vagrantfile_is_at_the_root_of_the_checkout() -> None:
    assert vagrantfile().is_file()
    assert (vagrantfile().parent / "Makefile").is_file()
