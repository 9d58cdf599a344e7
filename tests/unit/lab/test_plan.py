from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.cli.lab import _lab
from hakit.errors import LabError
from hakit.inventory import load
from hakit.lab.lab import Lab
from hakit.lab.plan import Disk, LabPlan, Nic, lab_plan

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "all:\n  vars:\n    hakit: {lab: {driver: nspawn, network: 10.77.0.0/24}}\n  hosts:\n"


def plan_of(folder: Path, hosts: str, head: str = HEAD) -> LabPlan:
    (folder / "hosts.yml").write_text(head + hosts, encoding="utf-8")
    return lab_plan(load(folder, {}))


def test_hosts_names_and_addresses_come_from_the_inventory(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "    lb1: {ansible_host: 10.77.0.11}\n"
        "    db1: {ansible_host: 10.77.0.31, ansible_user: ops, ansible_port: 2222,"
        " hakit: {nics: {eth1: 10.78.0.31/24, eth2: null}}}\n",
    )
    lb1, db1 = plan.hosts
    assert (lb1.name, lb1.address, lb1.user, lb1.port) == ("lb1", "10.77.0.11", "root", 22)
    assert lb1.nics == (Nic("eth0", "10.77.0.11/24"),)
    assert (db1.user, db1.port) == ("ops", 2222)
    assert db1.nics == (Nic("eth0", "10.77.0.31/24"), Nic("eth1", "10.78.0.31/24"), Nic("eth2", None))
    assert plan.bridge == "10.77.0.1/24"
    assert plan.resolve("db1") == "10.77.0.31"
    assert plan.resolve("10.77.0.100") == "10.77.0.100"


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("    lb1: {ansible_host: 10.77.0.1}\n", "bridge"),
        ("    lb1: {ansible_host: 10.99.0.1}\n", "10.77.0.0/24"),
        ("    lb1: {ansible_host: 10.77.0.255}\n", "no host address"),
        ("    lb1: {ansible_host: lb1.example.net}\n", "IP address"),
        ("    lb1:\n", "IP address"),
        ("    lb1: {ansible_host: 192.0.2.1, hakit: {address: 10.77.0.11}}\n", "ansible_host is 192.0.2.1"),
        ("    lb1: {ansible_host: 10.77.0.11, hakit: {nics: {eth0: 10.78.0.1/24}}}\n", "main NIC"),
        (
            (
                "    lb1: {ansible_host: 10.77.0.11}\n"
                "    lb2: {ansible_host: 10.77.0.12, hakit: {nics: {eth1: 10.77.0.11/24}}}\n"
            ),
            "10.77.0.11 belongs to lb1",
        ),
    ],
)
def test_a_lab_that_cant_be_made_is_refused_with_the_host_at_fault(tmp_path: Path, hosts: str, said: str) -> None:
    with pytest.raises(LabError) as caught:
        plan_of(tmp_path, hosts)
    assert said in caught.value.text()
    assert "lb" in caught.value.message


def test_ssh_may_use_another_nic_than_peers(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "    lb1: {ansible_host: 10.78.0.11, hakit: {address: 10.77.0.11, nics: {eth1: 10.78.0.11/24}}}\n",
    )
    assert plan.hosts[0].address == "10.77.0.11"


@pytest.mark.parametrize("default", ["", ", release: 12", ", release: 13"])
def test_each_host_has_its_own_release_or_the_labs(tmp_path: Path, default: str) -> None:
    plan = plan_of(
        tmp_path,
        "    lb1: {ansible_host: 10.77.0.11}\n"
        "    lb2: {ansible_host: 10.77.0.12, hakit: {release: 12}}\n"
        "    lb3: {ansible_host: 10.77.0.13, hakit: {release: 13}}\n",
        HEAD.replace("/24", f"/24{default}"),
    )
    labs = 13 if "13" in default else 12
    assert [host.release for host in plan.hosts] == [labs, 12, 13]
    assert plan.releases == (12, 13)


def test_an_inventory_without_a_lab_gets_none(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="declares no lab") as caught:
        plan_of(tmp_path, "    lb1: {ansible_host: 10.77.0.11}\n", "all:\n  hosts:\n")
    assert "hakit: {lab:" in str(caught.value.hint)


def test_a_network_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no room"):
        plan_of(tmp_path, "    lb1: {ansible_host: 10.77.0.1}\n", HEAD.replace("/24", "/31"))


def test_a_folder_and_its_hosts_yml_are_the_same_lab(tmp_path: Path) -> None:
    by_folder = plan_of(tmp_path, "    lb1: {ansible_host: 10.77.0.11}\n")
    by_file = lab_plan(load(tmp_path / "hosts.yml", {}))
    assert by_folder.id == by_file.id
    other = tmp_path / "other"
    other.mkdir()
    assert plan_of(other, "    lb1: {ansible_host: 10.77.0.11}\n").id != by_folder.id
    (tmp_path / "link").symlink_to(other)
    assert lab_plan(load(tmp_path / "link", {})).id == lab_plan(load(other, {})).id


def test_no_command_of_the_lab_needs_a_secret(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        HEAD + "    lb1: {ansible_host: 10.77.0.11, hakit: {system: {files: {/etc/k: {content: {secret: none}}}}}}\n"
    )
    assert [host.name for host in _lab(tmp_path).plan.hosts] == ["lb1"]


def test_an_unknown_host_is_named_with_those_there_are(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "    lb1: {ansible_host: 10.77.0.11}\n    lb2: {ansible_host: 10.77.0.12}\n")
    with pytest.raises(LabError) as caught:
        plan.host("lb3")
    assert "lb1, lb2" in str(caught.value.hint)


text = st.text(min_size=1, max_size=10)


@given(
    st.builds(
        LabPlan,
        inventory=text,
        network=text,
        bridge=text,
        driver=text,
        packages=st.tuples(text),
        hosts=st.just(()),
    )
)
def test_a_plan_survives_the_way_to_roots_half(plan: LabPlan) -> None:
    assert LabPlan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_a_plan_with_hosts_survives_too(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "    lb1: {ansible_host: 10.77.0.11, hakit: {nics: {eth1: null}}}\n")
    assert LabPlan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


MACHINES = HEAD.replace("nspawn", "qemu")


def test_the_hardware_of_virtual_machines_comes_from_the_inventory(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "    db1:\n"
        "      ansible_host: 10.77.0.31\n"
        "      hakit:\n"
        "        nics: {eth1: null, eth2: null}\n"
        "        hardware:\n"
        "          memory: 1GiB\n"
        "          disks: {b: {size: 2GiB, serial: B1}, a: {size: 64MiB, wwn: '0x5000c500a1b2c3d4'}}\n"
        '          macs: {eth0: "52:54:00:AB:00:01"}\n'
        "          lags: {trunk: [eth0, eth1]}\n"
        "    db2: {ansible_host: 10.77.0.32}\n",
        MACHINES,
    )
    db1, db2 = plan.hosts
    assert plan.driver == "qemu"
    assert (db1.memory, db2.memory) == (1024, 384)
    assert db1.disks == (Disk("b", 2048, "B1"), Disk("a", 64, "a", "0x5000c500a1b2c3d4")), (
        "in the order of the inventory"
    )
    assert db1.nics[0] == Nic("eth0", "10.77.0.31/24", "52:54:00:ab:00:01", "trunk")
    assert db1.nics[1:] == (Nic("eth1", None, lag="trunk"), Nic("eth2", None))
    assert plan.switch is not None
    assert [nic.lag for nic in plan.switch.nics] == [None, "db1/eth0/trunk", "db1/eth1/trunk"]
    assert plan.machines == (plan.switch, db1, db2)
    assert plan.host("switch") == plan.switch
    assert LabPlan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_a_lab_without_lacp_has_no_switch(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "    switch: {ansible_host: 10.77.0.11}\n", MACHINES)
    assert plan.switch is None
    assert plan.machines == plan.hosts


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("switch: {ansible_host: 10.77.0.11, hakit: {hardware: {lags: {a: [eth0]}}}}", "this is the switch"),
        (
            "db1: {ansible_host: 10.77.0.11, hakit: {nics: {" + ", ".join(f"n{i}: null" for i in range(24)) + "}}}",
            "db1 has 25 NICs",
        ),
    ],
)
def test_what_no_machine_has_room_for_is_refused(tmp_path: Path, host: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        plan_of(tmp_path, f"    {host}\n", MACHINES)


def test_nobody_logs_in_on_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(
        tmp_path, "    db1: {ansible_host: 10.77.0.31, hakit: {hardware: {lags: {trunk: [eth0]}}}}\n", MACHINES
    )
    lab = Lab(plan)
    monkeypatch.setattr(lab, "is_up", lambda: True)
    assert "root@10.77.0.31" in lab.ssh("db1")
    with pytest.raises(LabError, match="no address"):
        lab.ssh("switch")
