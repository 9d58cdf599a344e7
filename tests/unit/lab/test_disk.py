from __future__ import annotations

from typing import TYPE_CHECKING

import paramiko
import pytest

from hakit.lab.disk import Accounts, DiskFile, KeyPair, host_files, known_hosts
from hakit.lab.plan import HostPlan, Nic

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNTS = Accounts("root:x:0:0:root:/root:/bin/bash\n", "root:*:19000:0:99999:7:::\n", "root:x:0:\nshadow:x:42:\n")
HOST = HostPlan("lb1", "10.77.0.11", "root", 22, (Nic("eth0", "10.77.0.11/24"), Nic("eth1", None)), 12)
USER = HostPlan("db1", "10.77.0.31", "ops", 2222, (Nic("eth0", "10.77.0.31/24"), Nic("eth1", "fd00::31/64")), 12)


def files(host: HostPlan) -> dict[str, DiskFile]:
    made = host_files(
        "0123abcd",
        host,
        host_key=KeyPair(b"private", "ssh-ed25519 HOST"),
        client_key="ssh-ed25519 CLIENT",
        proxy="http://10.77.0.1:3142",
        accounts=ACCOUNTS,
    )
    return {file.path: file for file in made}


def test_private_things_are_private() -> None:
    for path, file in files(USER).items():
        if "key" in path and not path.endswith(".pub"):
            assert file.mode == 0o600, path
    assert files(USER)["/etc/shadow"].mode == 0o640
    assert files(USER)["/etc/sudoers.d/hakit-lab-ops"].mode == 0o440


def test_addresses() -> None:
    assert files(HOST)["/etc/network/interfaces"].content.decode() == (
        "auto lo\niface lo inet loopback\n"
        "\nauto eth0\niface eth0 inet static\n    address 10.77.0.11/24\n"
        "\nauto eth1\niface eth1 inet manual\n    up ip link set eth1 up\n"
    )
    assert b"iface eth1 inet6 static\n    address fd00::31/64\n" in files(USER)["/etc/network/interfaces"].content


def test_a_host_knows_itself_and_no_peer() -> None:
    assert files(HOST)["/etc/hosts"].content.endswith(b"10.77.0.11 lb1\n")
    assert b"db1" not in files(HOST)["/etc/hosts"].content


def test_machine_ids_differ_between_hosts_and_labs() -> None:
    ids = {files(host)["/etc/machine-id"].content for host in (HOST, USER)}
    assert len(ids) == 2
    assert all(len(one) == 33 for one in ids)


def test_root_needs_no_account_and_a_user_gets_one() -> None:
    assert "/etc/passwd" not in files(HOST)
    made = files(USER)
    assert made["/etc/passwd"].content.decode() == ACCOUNTS.passwd + "ops:x:1000:1000::/home/ops:/bin/bash\n"
    assert made["/etc/group"].content.decode().endswith("ops:x:1000:\n")
    assert made["/home/ops/.ssh/authorized_keys"].owner == 1000
    assert made["/etc/shadow"].group == 42
    assert made["/etc/sudoers.d/hakit-lab-ops"].content == b"ops ALL=(ALL) NOPASSWD: ALL\n"


def test_sudo_reads_no_file_with_a_dot_in_its_name() -> None:
    dotted = HostPlan("db1", "10.77.0.31", "first.last", 22, USER.nics, 12)
    assert "/etc/sudoers.d/hakit-lab-first-last" in files(dotted)


def test_another_port_is_sshds_too() -> None:
    assert files(HOST)["/etc/ssh/sshd_config.d/hakit-lab.conf"].content == b"LogLevel VERBOSE\n"
    assert b"Port 2222\n" in files(USER)["/etc/ssh/sshd_config.d/hakit-lab.conf"].content


@pytest.mark.parametrize("name", ["lb1", "10.77.0.11", "[db1]:2222", "[10.77.0.31]:2222", "[fd00::31]:2222"])
def test_keys_are_known_before_the_first_connection(tmp_path: Path, name: str) -> None:
    pair = KeyPair.new()
    path = tmp_path / "known_hosts"
    path.write_text(known_hosts({"lb1": pair.public, "db1": pair.public}, (HOST, USER)), encoding="ascii")
    key = paramiko.HostKeys(str(path)).lookup(name)
    assert key is not None
    assert key["ssh-ed25519"].get_base64() == pair.public.split()[1]


def test_a_key_pair_is_one_that_ssh_reads(tmp_path: Path) -> None:
    pair = KeyPair.new()
    path = tmp_path / "key"
    path.write_bytes(pair.private)
    assert paramiko.Ed25519Key.from_private_key_file(str(path)).get_base64() == pair.public.split()[1]
    assert KeyPair.new() != pair
