"""What makes a lab host's disk differ from the base image: its name, addresses, keys and login. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hakit.lab.plan import SSH_PORT

if TYPE_CHECKING:
    from hakit.lab.plan import HostPlan, Nic

USER_ID: Final = 1000
"""Debian's first id for people; the base image has none of them."""
SHADOW_GROUP: Final = 42
"""The group `shadow`: its number is the same on every Debian (base-passwd)."""


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on a host's disk: absolute path, content, mode, owner, group."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: int = 0
    group: int = 0


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key in OpenSSH's formats: the private file, and `ssh-ed25519 AAAA…` without a comment."""

    private: bytes
    public: str

    @classmethod
    def new(cls) -> KeyPair:
        """A fresh key."""
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return cls(private, public.decode("ascii"))


@dataclass(frozen=True, slots=True)
class Accounts:
    """The base image's account files, which a host's own user is added to."""

    passwd: str
    shadow: str
    group: str


def host_files(
    lab: str, host: HostPlan, *, host_key: KeyPair, client_key: str, proxy: str, accounts: Accounts
) -> tuple[DiskFile, ...]:
    """Every file that the host's disk has beyond the base image.

    `lab` is the lab's id, `client_key` the public key that may log in, `proxy` the URL of the lab's package proxy.
    """
    machine = hashlib.sha256(f"{lab}/{host.name}".encode()).hexdigest()[:32]
    listen = "" if host.port == SSH_PORT else f"Port {host.port}\n"
    return (
        DiskFile("/etc/hostname", f"{host.name}\n".encode()),
        DiskFile("/etc/machine-id", f"{machine}\n".encode(), 0o444),
        DiskFile("/etc/hosts", _hosts(host).encode()),
        DiskFile("/etc/network/interfaces", _interfaces(host.nics).encode()),
        DiskFile("/etc/apt/apt.conf.d/90hakit-lab-proxy", f'Acquire::http::Proxy "{proxy}";\n'.encode()),
        DiskFile("/etc/ssh/sshd_config.d/hakit-lab.conf", f"LogLevel VERBOSE\n{listen}".encode()),
        DiskFile("/etc/ssh/ssh_host_ed25519_key", host_key.private, 0o600),
        DiskFile("/etc/ssh/ssh_host_ed25519_key.pub", f"{host_key.public} root@{host.name}\n".encode()),
        DiskFile("/root/.ssh/authorized_keys", f"{client_key} hakit-lab\n".encode(), 0o600),
        *(_login(host.user, client_key, accounts) if host.user != "root" else ()),
    )


def known_hosts(keys: dict[str, str], hosts: tuple[HostPlan, ...]) -> str:
    """The known_hosts file of a lab: each host by name and by every address of its own; `keys` are public keys."""
    lines = []
    for host in hosts:
        names = [host.name, *(nic.address.split("/")[0] for nic in host.nics if nic.address)]
        if host.port != SSH_PORT:
            names = [f"[{name}]:{host.port}" for name in names]
        lines.append(f"{','.join(names)} {keys[host.name]}\n")
    return "".join(lines)


def _hosts(host: HostPlan) -> str:
    return f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{host.address} {host.name}\n"


def _interfaces(nics: tuple[Nic, ...]) -> str:
    text = "auto lo\niface lo inet loopback\n"
    for nic in nics:
        text += f"\nauto {nic.name}\n"
        if nic.address:
            family = "inet6" if ipaddress.ip_interface(nic.address).version == 6 else "inet"  # noqa: PLR2004 - IPv6
            text += f"iface {nic.name} {family} static\n    address {nic.address}\n"
        else:
            text += f"iface {nic.name} inet manual\n    up ip link set {nic.name} up\n"
    return text


def _login(user: str, client_key: str, accounts: Accounts) -> tuple[DiskFile, ...]:
    """A user who may log in with the lab's key and become root without a password, as the inventory expects."""
    known = accounts.passwd.splitlines()
    if any(line.startswith(f"{user}:") for line in known):
        return ()
    home = f"/home/{user}"
    return (
        DiskFile("/etc/passwd", f"{accounts.passwd}{user}:x:{USER_ID}:{USER_ID}::{home}:/bin/bash\n".encode()),
        DiskFile("/etc/shadow", f"{accounts.shadow}{user}:*:19000:0:99999:7:::\n".encode(), 0o640, 0, SHADOW_GROUP),
        DiskFile("/etc/group", f"{accounts.group}{user}:x:{USER_ID}:\n".encode()),
        DiskFile(
            f"/etc/sudoers.d/hakit-lab-{user.replace('.', '-')}", f"{user} ALL=(ALL) NOPASSWD: ALL\n".encode(), 0o440
        ),
        DiskFile(f"{home}/.ssh/authorized_keys", f"{client_key} hakit-lab\n".encode(), 0o600, USER_ID, USER_ID),
    )
