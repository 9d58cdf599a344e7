"""What makes a machine that Vagrant has made a host of the inventory: a script that Vagrant runs in it. Pure."""

from __future__ import annotations

import base64
import gzip
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakit.lab.disk import Accounts, KeyPair, host_files
from hakit.lab.qemu.machine import link_files, mac, packed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.lab.disk import DiskFile
    from hakit.lab.plan import HostPlan

SCRIPT: Final = Path(__file__).with_name("setup.sh")
USER: Final = "vagrant"
"""Whom Vagrant logs in as, in every box."""
OF_A_LAB: Final = (
    "/etc/apt/apt.conf.d/90hakit-lab-proxy",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/root/.ssh/authorized_keys",
)
"""Files that only a host of `hakit lab` has: others make their own keys, and know no package proxy."""


def in_a_lab(lab: str, host: HostPlan, files: Iterable[DiskFile], client_key: str) -> str:
    """The script for a host of `hakit lab`, which brings `files` of its own; `client_key` may log in."""
    # Vagrant's user is there before the host's files are made, so they leave it as it is.
    login = USER if host.user == USER else ""
    return _script(lab, host, files, login, (client_key,) if login else ())


def by_itself(lab: str, host: HostPlan, keys: Iterable[str]) -> str:
    """The script for a machine of `vagrant up` alone; who has one of the public `keys` may log in on it."""
    made = host_files(
        lab,
        replace(host, user="root"),
        host_key=KeyPair(b"", ""),
        client_key="",
        proxy="",
        accounts=Accounts("", "", ""),
    )
    return _script(lab, host, (file for file in made if file.path not in OF_A_LAB), host.user, keys)


def _script(lab: str, host: HostPlan, files: Iterable[DiskFile], login: str, keys: Iterable[str]) -> str:
    packing = gzip.compress(packed((*files, *link_files(lab, host.name, host.nics))), mtime=0)
    archive = base64.encodebytes(packing).decode("ascii")
    nics = " ".join(f"{nic.name}={mac(lab, host.name, nic)}" for nic in host.nics)
    values = {"host": host.name, "nics": nics, "login": login, "keys": "\n".join(keys)}
    given = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return f"set -eu\n{given}files() {{\n    cat <<'END'\n{archive}END\n}}\n{SCRIPT.read_text(encoding='utf-8')}"
