from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import pytest

from hakit.agent.network.place import STALE
from hakit.lab.disk import DiskFile
from hakit.lab.plan import HostPlan, Nic
from hakit.lab.qemu import accelerator, bootdisk, channels, switch
from hakit.lab.qemu.image import DiskImage
from hakit.lab.qemu.machine import link_files, mac, packed
from hakit.lab.sources import Source, Upstream
from hakit.lab.state import boot_id


def test_addresses_of_nics_are_stable_and_differ() -> None:
    nics = [mac(lab, host, Nic(nic, None)) for lab in "ab" for host in ("db1", "db2") for nic in ("eth0", "eth1")]
    assert len(set(nics)) == 8
    assert nics[0] == mac("a", "db1", Nic("eth0", None))
    assert all(one.startswith("52:54:00:") and len(one) == 17 for one in nics)
    assert mac("a", "db1", Nic("eth0", None, mac="52:54:00:00:00:01")) == "52:54:00:00:00:01"


def test_names_of_nics_stay_when_a_network_of_hakit_goes() -> None:
    paths = [file.path for file in link_files("a", "db1", (Nic("eth0", None), Nic("eth1", None)))]
    assert len(paths) == 2
    assert all(path.endswith(".link") and not Path(path).name.startswith(STALE) for path in paths)


def test_files_are_packed_with_owners_and_the_folders_that_may_be_missing() -> None:
    files = [
        DiskFile("/etc/hostname", b"db1\n"),
        DiskFile("/home/ops/.ssh/authorized_keys", b"key\n", 0o600, 1000, 1000),
        DiskFile("/root/.ssh/authorized_keys", b"key\n", 0o600),
    ]
    with tarfile.open(fileobj=io.BytesIO(packed(files))) as archive:
        found = {entry.name: (entry.mode, entry.uid, entry.gid) for entry in archive}
        assert archive.extractfile("etc/hostname").read() == b"db1\n"  # type: ignore[union-attr]
    assert found == {
        "etc/hostname": (0o644, 0, 0),
        "home/ops": (0o755, 1000, 1000),
        "home/ops/.ssh": (0o700, 1000, 1000),
        "home/ops/.ssh/authorized_keys": (0o600, 1000, 1000),
        "root/.ssh": (0o700, 0, 0),
        "root/.ssh/authorized_keys": (0o600, 0, 0),
    }


def test_a_boot_record_has_one_active_partition_to_the_end_of_the_disk() -> None:
    sectors = (8 << 30) // 512
    record = bootdisk.boot_record(b"\xeb" * 512, sectors, b"abcd")
    assert len(record) == 512
    assert record[510:] == b"\x55\xaa"
    assert record[:440] == b"\xeb" * 440
    assert record[440:444] == b"abcd"
    status, _, kind, _, start, length = struct.unpack("<B3sB3sII", record[446:462])
    assert (status, kind, start, start + length) == (0x80, 0x83, 2048, sectors)
    assert record[462:510] == bytes(48), "no other partition"


def test_the_image_of_machines_is_another_than_that_of_containers() -> None:
    upstream = Upstream((Source("http://mirror.example/debian", "bookworm", ("main",)),), {}, ())
    image = DiskImage(12, ("vim",), upstream)
    assert image.key.startswith("bookworm-vm-")
    assert {"openssh-server", "linux-image-cloud-amd64", "vim"} <= set(image.included)
    assert not {"bridge-utils", "ethtool", "ifenslave", "mdadm"} & set(image.included), "hakit installs it"


PORTS = (
    Nic("uplink", None),
    Nic("p1", None, lag="db1/eth1/a"),
    Nic("p2", None, lag="db1/eth2/a"),
    Nic("p3", None, lag="db1/eth3/b"),
    Nic("p4", None, lag="db2/eth1/a"),
)


def test_the_switch_bonds_the_ports_of_each_group_of_each_host() -> None:
    made = HostPlan("switch", "", "root", 22, PORTS, 12)
    assert switch.groups(made) == {"bond1": ("p1", "p2"), "bond2": ("p3",), "bond3": ("p4",)}
    text = switch.interfaces(made)
    assert "ip link add bond2 type bond mode 802.3ad" in text
    for port in ("p1", "p2", "p3", "p4", "bond1", "bond3", "uplink"):
        assert f"ip link set {port} mtu 9000 master br0 up\n" in text
    assert text.index("ip link set p4") < text.index("ip link set br0 up")
    (service,) = [file for file in switch.files(made) if file.path.endswith("channels.service")]
    assert b" br0 bond1=p1,p2 bond2=p3 bond3=p4\n" in service.content


def test_ports_are_bonded_while_lacp_is_spoken_there_and_apart_otherwise() -> None:
    channel, other = channels.channels(["bond1=p1,p2", "bond2=p3"])
    assert not channel.turns(100.0), "nobody has spoken yet"
    channel.heard = 100.0
    assert channel.turns(101.0)
    assert not other.turns(101.0)
    commands = [" ".join(command) for command in channel.turn("br0")]
    for port in ("p1", "p2"):
        down = commands.index(f"ip link set {port} down")
        assert commands.index(f"ip link set {port} master bond1") > down
    assert not channel.turns(107.0), "a bond misses one or two of its partner's words"
    assert channel.turns(109.0)
    assert "ip link set p2 master br0" in [" ".join(command) for command in channel.turn("br0")]


@pytest.mark.parametrize(
    ("kvm", "chosen"),
    [(None, "tcg"), (0.2, "kvm"), (6.0, "tcg")],
    ids=["it does not boot", "it boots", "emulation is faster"],
)
def test_kvm_is_taken_where_it_helps_and_asked_once(
    kvm: float | None, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def boots(name: str) -> float | None:
        asked.append(name)
        return {"kvm": kvm, "tcg": 0.2}[name]

    monkeypatch.setattr(accelerator, "boots", boots)
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path)
    kept, said = tmp_path / "new" / "accelerator", list[str]()
    assert [accelerator.choose(said.append, kept) for _ in range(3)] == [chosen] * 3
    assert asked.count("kvm") == 1
    assert len(said) == (chosen == "tcg")


def test_what_was_found_of_kvm_is_good_for_one_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path / "none")
    kept, said = tmp_path / "accelerator", list[str]()
    kept.write_text(f"{boot_id()} kvm\n")
    assert accelerator.choose(said.append, kept) == "kvm"
    kept.write_text("another kvm\n")
    assert accelerator.choose(said.append, kept) == "tcg", "another boot may have another kernel"
    kept.write_text("")
    assert accelerator.choose(said.append, kept) == "tcg"


@pytest.mark.parametrize("script", ["first.sh", "network.sh"])
def test_scripts_are_given_to_a_shell_as_one_argument(script: str) -> None:
    text = (Path(bootdisk.__file__).parent / script).read_text(encoding="ascii")
    assert "\0" not in text
    assert len(text) < 1 << 17, "the kernel's limit on one argument"
