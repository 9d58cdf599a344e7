"""The Vagrantfile at the root, as Vagrant itself reads it, and what it asks of both providers.

`vagrant validate` needs neither libvirtd nor VirtualBox; a stand-in for VBoxManage, which tells a version, makes
Vagrant take that provider for a usable one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hakit.lab.qemu import accelerator
from hakit.lab.vagrant import described, shape
from tests.unit.lab.vagrant.plans import INVENTORY, PLAN

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[4]
VAGRANTFILE = ROOT / "Vagrantfile"
RECORDER = Path(__file__).with_name("recorder.rb")
HAKIT = f'#!/bin/sh\nexec {sys.executable} -m hakit "$@"\n'
VBOXMANAGE = "#!/bin/sh\necho 7.0.20r163906\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an inventory, hakit as a program, and something that passes for VirtualBox."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "bin").mkdir()
    for name, text in {"hakit": HAKIT, "VBoxManage": VBOXMANAGE}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def vagrant(place: Path, *words: str, cwd: Path = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "VAGRANT_HOME": str(place / "home"),
        "VAGRANT_DOTFILE_PATH": str(place / "dot"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "HAKIT": str(place / "bin" / "hakit"),
        **settings,
    }
    return subprocess.run(
        ["vagrant", *words], capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=120
    )


def recorded(place: Path, value: Mapping[str, Any], **settings: str) -> dict[str, list[list[Any]]]:
    """What the Vagrantfile asks for each machine of a plan."""
    (place / "plan.json").write_text(json.dumps(value))
    environment = {"PATH": os.environ["PATH"], "HAKIT_LAB_PLAN": str(place / "plan.json"), **settings}
    command = ["ruby", str(RECORDER), str(VAGRANTFILE), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[Any]]] = json.loads(done.stdout)
    return found


def asked(calls: list[list[Any]], name: str) -> list[Any]:
    """The words and options of every call of a name."""
    return [[*words, *([options] if options else [])] for what, words, options in calls if what == name]


def test_the_default_inventory_is_the_labs(place: Path) -> None:
    done = vagrant(place, "validate")
    assert (done.returncode, done.stdout) == (0, "Vagrantfile validated successfully.\n"), done.stderr
    status = vagrant(place, "validate", HAKIT_INVENTORY=str(ROOT / "inventories" / "lab-vm"))
    assert status.returncode == 0, status.stderr


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_an_inventory_with_disks_and_nics_is_valid_for(place: Path, provider: str) -> None:
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    done = vagrant(place, "validate", PATH=path, HAKIT_INVENTORY=str(place), VAGRANT_DEFAULT_PROVIDER=provider)
    assert (done.returncode, done.stdout) == (0, "Vagrantfile validated successfully.\n"), done.stderr


def test_what_is_wrong_with_an_inventory_is_said_in_hakits_words(place: Path) -> None:
    (place / "hosts.yml").write_text(INVENTORY.replace("memory", "memry"))
    done = vagrant(place, "validate", HAKIT_INVENTORY=str(place))
    assert done.returncode == 1
    assert "hosts.yml:12:" in done.stderr
    assert "did you mean memory?" in done.stderr
    assert "Vagrantfile" not in done.stderr


def test_without_hakit_it_says_so_in_one_line(place: Path) -> None:
    alone = place / "alone"
    alone.mkdir()
    (alone / "Vagrantfile").write_text(VAGRANTFILE.read_text())
    done = vagrant(place, "validate", cwd=alone, HAKIT="/nonexistent", PATH="/usr/bin:/bin")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("hakit is not installed")


def test_libvirt_makes_nics_and_disks_of_the_inventory(place: Path) -> None:
    one = recorded(place, shape.shape(PLAN, "tcg", {"one": "true"}))["one"]
    networks = [options for _, options in asked(one, "libvirt.network")]
    assert [options["mac"] for options in networks][2] == "52:54:00:00:00:02"
    assert {options["libvirt__network_name"] for options in networks} == {shape.prefix(PLAN)}, (
        "one switch, as in every lab"
    )
    assert {(options["libvirt__host_ip"], options["libvirt__netmask"]) for options in networks} == {
        ("10.79.0.1", "255.255.255.0")
    }
    assert [options["serial"] for _, options in asked(one, "libvirt.storage")] == ["data", "WD-0002"]
    assert [options["size"] for _, options in asked(one, "libvirt.storage")] == ["2048M", "64M"]
    assert asked(one, "libvirt.memory=") == [[512]]
    assert asked(one, "libvirt.driver=") == [["qemu"]]
    assert asked(one, "libvirt.qemuargs") == asked(one, "libvirt.serial") == []
    assert asked(one, "provision")[0][1]["inline"] == "true"


def test_libvirt_uses_kvm_where_it_works(place: Path) -> None:
    one = recorded(place, shape.shape(PLAN, "kvm", {}))["one"]
    assert asked(one, "libvirt.driver=") == [["kvm"]]
    assert asked(one, "libvirt.cpu_mode=") == [["host-passthrough"]]


def test_virtualbox_makes_nics_and_disks_of_the_inventory(place: Path) -> None:
    one = recorded(place, shape.shape(PLAN, "kvm", {}))["one"]
    networks = [options for _, options in asked(one, "virtualbox.network")]
    assert [options["mac"] for options in networks][2] == "525400000002"
    assert {options["ip"] for options in networks} == {"10.79.0.11"}, "which says only that it is the lab's network"
    assert {options["auto_config"] for options in networks} == {False}
    commands = [words[0] for words in asked(one, "virtualbox.customize")]
    made = [dict(zip(words[2::2], words[3::2], strict=True)) for words in commands if words[0] == "createmedium"]
    assert [one["--size"] for one in made] == ["2048", "64"]
    ports = [words[words.index("--port") + 1] for words in commands if words[0] == "storageattach"]
    assert ports == ["1", "2"]
    serials = {words[2].split("/")[-2]: words[3] for words in commands if words[0] == "setextradata"}
    assert serials == {"Port1": "data", "Port2": "WD-0002"}
    assert [words[2] for words in commands if words[0] == "modifyvm"] == [f"--nicpromisc{nic}" for nic in (2, 3, 4)]


def test_a_disk_that_is_there_is_not_made_again(place: Path) -> None:
    root = place / "root"
    disks = root / ".vagrant" / "disks"
    disks.mkdir(parents=True)
    (root / "Vagrantfile").write_text(VAGRANTFILE.read_text())
    (disks / f"{shape.prefix(PLAN)}-one-data.vdi").touch()
    (place / "plan.json").write_text(json.dumps(shape.shape(PLAN, "kvm", {})))
    environment = {"PATH": os.environ["PATH"], "HAKIT_LAB_PLAN": str(place / "plan.json")}
    command = ["ruby", str(RECORDER), str(root / "Vagrantfile"), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    commands = [words[0] for words in asked(json.loads(done.stdout)["one"], "virtualbox.customize")]
    assert [words[3].rsplit("-", 1)[1] for words in commands if words[0] == "createmedium"] == ["spare.vdi"]


def test_a_machine_of_hakit_lab_has_a_console_a_guest_agent_and_cables(place: Path) -> None:
    local = {host.name: shape.Local("hakit/box", Path("/l", host.name)) for host in PLAN.hosts}
    one = recorded(place, shape.shape(PLAN, "tcg", {}, local))["one"]
    assert asked(one, "box=") == [["hakit/box"]]
    assert asked(one, "libvirt.management_network_mode=") == [["none"]], "no way out of the lab"
    assert asked(one, "libvirt.serial") == [[{"type": "file", "source": {"path": "/l/one/console.log"}}]]
    assert [options["libvirt__iface_name"] for _, options in asked(one, "libvirt.network")] == [
        "one-eth0",
        "one-eth1",
        "one-eth2",
    ]
    assert {options["libvirt__always_destroy"] for _, options in asked(one, "libvirt.network")} == {False}
    assert asked(one, "libvirt.management_network_keep=") == [[True]], "networks outlive a machine that is made anew"
    words = [options["value"] for (options,) in asked(one, "libvirt.qemuargs")]
    assert any("path=/l/one/qga," in word for word in words)
    assert all("addr=" in word for word in words if "-pci," in word), "QEMU gives it a place that libvirt counts on"


def test_the_box_is_ones_own_where_it_was_made_and_may_be_named(place: Path) -> None:
    value = shape.shape(PLAN, "tcg", {})
    clouds = [asked(calls, "box=")[0][0] for calls in recorded(place, value).values()]
    assert clouds == ["debian/bookworm64", "debian/trixie64"]
    (place / "boxes" / "hakit-VAGRANTSLASH-debian-12").mkdir(parents=True)
    found = recorded(place, value)
    assert [asked(calls, "box=")[0][0] for calls in found.values()] == ["hakit/debian-12", "debian/trixie64"]
    boots = [asked(calls, "provision")[0][1]["reboot"] for calls in found.values()]
    assert boots == [False, True], "a box of somebody else's names its NICs anew when it boots"
    named = recorded(place, value, HAKIT_BOX="mine")
    assert [asked(calls, "box=")[0][0] for calls in named.values()] == ["mine", "mine"]


def test_who_has_a_key_in_their_home_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "choose", lambda _: "tcg")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_test.pub").write_text("ssh-ed25519 AAAA me\n")
    (tmp_path / ".ssh" / "id_test").write_text("a private key")
    text = json.dumps(described(PLAN, lambda _: None))
    assert "ssh-ed25519 AAAA me" in text
    assert "a private key" not in text
