"""The script that makes a machine a host: its parts are run; the whole runs in `make test-vagrant`."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from hakit.lab.disk import Accounts, DiskFile, KeyPair, host_files
from hakit.lab.vagrant import setup
from tests.unit.lab.vagrant.plans import ONE, TWO

if TYPE_CHECKING:
    from pathlib import Path

LAB = "0123abcd"
KEYS = ("ssh-ed25519 AAAA it's me", "ssh-rsa BBBB $HOME `id`")


def said(script: str, asked: str) -> bytes:
    """What a shell prints with the head of a script, which only sets and declares."""
    head = script.split("# Runs once", 1)[0]
    return subprocess.run(["sh", "-c", f"{head}\n{asked}"], capture_output=True, check=True).stdout


def files(script: str) -> dict[str, tuple[bytes, int, int]]:
    packing = said(script, "files | base64 --decode | gzip --decompress")
    with tarfile.open(fileobj=io.BytesIO(packing)) as archive:
        return {
            entry.name: (archive.extractfile(entry).read(), entry.mode, entry.uid)  # type: ignore[union-attr]
            for entry in archive
            if entry.isfile()
        }


def test_values_reach_the_machine_whatever_signs_are_in_them() -> None:
    script = setup.by_itself(LAB, TWO, KEYS)
    assert said(script, 'printf %s "$keys"').decode() == "\n".join(KEYS)
    assert said(script, 'echo "$host $login"').decode() == "two admin\n"
    nics = said(setup.by_itself(LAB, ONE, ()), 'echo "$nics"').decode().split()
    assert [nic.split("=")[0] for nic in nics] == ["eth0", "eth1", "eth2"]
    assert nics[2] == "eth2=52:54:00:00:00:02"


def test_a_machine_by_itself_has_no_secret_of_a_lab_and_no_proxy() -> None:
    found = files(setup.by_itself(LAB, ONE, KEYS))
    assert {"etc/hostname", "etc/network/interfaces", "etc/systemd/network/10-lab-eth1.link"} <= set(found)
    assert found["etc/hostname"][0] == b"one\n"
    assert b"10.80.0.11/24" in found["etc/network/interfaces"][0]
    assert not {name for name in found if "host_ed25519" in name or "proxy" in name or "authorized_keys" in name}
    assert not {name for name in found if "shadow" in name or "passwd" in name}


def test_a_host_of_a_lab_gets_every_file_of_its_own() -> None:
    own = host_files(
        LAB,
        TWO,
        host_key=KeyPair(b"private", "ssh-ed25519 PUBLIC"),
        client_key="ssh-ed25519 CLIENT",
        proxy="http://10.79.0.1:3142",
        accounts=Accounts("root:x:0:0::/root:/bin/sh\n", "root:*:::::::\n", "root:x:0:\n"),
    )
    script = setup.in_a_lab(LAB, TWO, own, "ssh-ed25519 CLIENT")
    found = files(script)
    assert {file.path.lstrip("/"): (file.content, file.mode, file.owner) for file in own}.items() <= found.items()
    assert said(script, 'printf %s "$login"') == b"", "its files say who may log in"


def test_vagrants_own_user_may_be_the_inventorys_too() -> None:
    script = setup.in_a_lab(LAB, replace(TWO, user="vagrant"), [DiskFile("/etc/hostname", b"two\n")], "ssh-rsa C")
    assert said(script, 'echo "$login $keys"') == b"vagrant ssh-rsa C\n"


def test_the_whole_script_is_one_that_sh_reads(tmp_path: Path) -> None:
    script = tmp_path / "setup"
    script.write_text(setup.by_itself(LAB, ONE, KEYS))
    subprocess.run(["sh", "-n", script], check=True)
